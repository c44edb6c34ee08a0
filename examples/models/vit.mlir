// A vision transformer (Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, arXiv 2010.11929). The default is ViT-S/16,
// timm's `vit_small_patch16_224`: the parameters have timm's names and shapes, so a state dict of timm fits as it is. Others:
//
//   ViT-Ti/16            -Ddim=192 -Dheads=3
//   ViT-B/16             -Ddim=768 -Dheads=12
//   ViT-L/16             -Ddim=1024 -Dheads=16 -Ddepth=24
//   ViT-S/32             -Dpatch=32
//   28 pixels in grey    -Dchannels=1 -Dsize=28 -Dpatch=4 -Ddim=64 -Ddepth=4 -Dheads=4 -Dclasses=10
//   64 pixels            -Dsize=64 -Dpatch=8
//
// `mean` and `deviation` are those of the pixels that the weights were trained on: 0.5 for the weights of Google and for those that timm
// calls `augreg`; DeiT's are -Dmean=[0.485,0.456,0.406] -Ddeviation=[0.229,0.224,0.225]. `drop_path` is the share of samples that skip the last block's branches in training; it rises linearly from 0 at
// the first block. Initial values are timm's.

moe.layer @Mlp<hidden>(%x: [tokens, dim]) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Block<heads, ratio, drop_path: number = 0.0>(%x: [tokens, dim]) {
  %n1  = layer_norm @norm1(%x) eps = 1e-6
  %att = attention @attn(%n1) heads = heads
  %mid = residual %x, %att drop_path = drop_path
  %n2  = layer_norm @norm2(%mid) eps = 1e-6
  %ff  = apply @mlp(%n2) layer @Mlp<ratio * dim>
  %out = residual %mid, %ff drop_path = drop_path
  yield %out
}

moe.model @vit<classes = 1000, channels = 3, size = 224, patch = 16, dim = 384, depth = 12, heads = 6, ratio = 4,
               drop_path: number = 0.1, mean: numbers = 0.5, deviation: numbers = 0.5>
              (%image: image[channels, size, size] mean mean deviation deviation) {
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
