// DINOv2's ViT-S/14 with timm's names: vit_small_patch14_dinov2 and a head. Its position table is resized to the size of the images.
moe.layer @Mlp<hidden>(%x: [tokens, dim]) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Block<heads>(%x: [tokens, dim]) {
  %n1   = layer_norm @norm1(%x) eps = 1e-6
  %att  = attention @attn(%n1) heads = heads
  %att2 = layer_scale @ls1(%att)
  %mid  = add %x, %att2
  %n2   = layer_norm @norm2(%mid) eps = 1e-6
  %ff   = apply @mlp(%n2) layer @Mlp<4 * dim>
  %ff2  = layer_scale @ls2(%ff)
  %out  = add %mid, %ff2
  yield %out
}

moe.model @dinov2<classes = 10, size = 224, patch = 14, dim = 384, depth = 12, heads = 6>
    (%image: image[3, size, size] mean [0.485, 0.456, 0.406] deviation [0.229, 0.224, 0.225]) {
  %patches = patches @patch_embed(%image) size = patch to dim
  %cls     = param @cls_token [1, 1, dim] normal(1e-6)
  %seq     = prepend %cls, %patches
  %pos     = param @pos_embed [1, size(%seq, tokens), dim] trunc_normal(0.02)
  %tokens  = add %seq, %pos
  %deep    = chain @blocks(%tokens) [depth * @Block<heads>]
  %norm    = layer_norm @norm(%deep) eps = 1e-6
  expose @features %norm
  %feature = take %norm token = 0
  %logits  = linear @head(%feature) to classes
  return logits = %logits
}
