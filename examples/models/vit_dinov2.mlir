// The vision transformer of DINOv2 (Oquab et al., "DINOv2: Learning robust visual features without supervision", arXiv 2304.07193):
// a ViT whose branches have layer scale, with patches of 14 pixels. The default is timm's `vit_small_patch14_dinov2` for images
// of 518 pixels, on whose names and shapes the parameters agree. timm's weights have no head, so `head` is new; `features` is what
// timm's model yields without one. vit_dinov2_reg.mlir is the one with registers. Others:
//
//   ViT-B/14    -Ddim=768 -Dheads=12
//   ViT-L/14    -Ddim=1024 -Dheads=16 -Ddepth=24
//   224 pixels  -Dsize=224, which has a position embedding of 257 tokens instead of 1370
//
// Pixels are standardised as those of ImageNet. `drop_path` is the share of samples that skip the last block's branches in
// training; it rises linearly from 0 at the first block.

moe.layer @Mlp<hidden>(%x: [tokens, dim]) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Block<heads, ratio, drop_path: number = 0.0>(%x: [tokens, dim]) {
  %n1  = layer_norm @norm1(%x) eps = 1e-6
  %att = attention @attn(%n1) heads = heads
  %sa  = layer_scale @ls1(%att)               // 1e-5 at first
  %mid = residual %x, %sa drop_path = drop_path
  %n2  = layer_norm @norm2(%mid) eps = 1e-6
  %ff  = apply @mlp(%n2) layer @Mlp<ratio * dim>
  %sf  = layer_scale @ls2(%ff)
  %out = residual %mid, %sf drop_path = drop_path
  yield %out
}

moe.model @vit_dinov2<classes = 1000, size = 518, patch = 14, dim = 384, depth = 12, heads = 6, ratio = 4,
                      drop_path: number = 0.1>
                     (%image: image[3, size, size] mean [0.485, 0.456, 0.406] deviation [0.229, 0.224, 0.225]) {
  default linear trunc_normal(0.02), zeros
  %patches = patches @patch_embed(%image) size = patch to dim
  %cls     = param @cls_token [1, 1, dim] normal(1e-6)
  %seq     = prepend %cls, %patches
  %pos     = param @pos_embed [1, size(%seq, tokens), dim] trunc_normal(0.02)
  %tokens  = add %seq, %pos
  %deep    = chain @blocks(%tokens) [depth * @Block<heads, ratio>] ramp drop_path from 0.0 to drop_path
  %norm    = layer_norm @norm(%deep) eps = 1e-6
  %feature = take %norm token = 0             // the class token
  %logits  = linear @head(%feature) to classes
  expose @features %feature
  return logits = %logits
}
