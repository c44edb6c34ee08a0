// The vision transformer of DINOv2 with registers (Darcet et al., "Vision transformers need registers", ICLR 2024, arXiv 2309.16588):
// vit_dinov2.mlir with `registers` more tokens between the class token and the patches, which have no position and whose results
// are not used. The default is timm's `vit_small_patch14_reg4_dinov2`. All else is said in vit_dinov2.mlir.

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

moe.model @vit_dinov2_reg<classes = 1000, size = 518, patch = 14, dim = 384, depth = 12, heads = 6, ratio = 4,
                          registers = 4, drop_path: number = 0.1>
                         (%image: image[3, size, size] mean [0.485, 0.456, 0.406] deviation [0.229, 0.224, 0.225]) {
  default linear trunc_normal(0.02), zeros
  %patches = patches @patch_embed(%image) size = patch to dim
  %pos     = param @pos_embed [1, size(%patches, tokens), dim] trunc_normal(0.02)
  %placed  = add %patches, %pos
  %cls     = param @cls_token [1, 1, dim] normal(1e-6)
  %reg     = param @reg_token [1, registers, dim] normal(1e-6)
  %tokens  = prepend %cls, %reg, %placed
  %deep    = chain @blocks(%tokens) [depth * @Block<heads, ratio>] ramp drop_path from 0.0 to drop_path
  %norm    = layer_norm @norm(%deep) eps = 1e-6
  %feature = take %norm token = 0             // the class token
  %logits  = linear @head(%feature) to classes
  expose @features %feature
  return logits = %logits
}
