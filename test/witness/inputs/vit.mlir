// A small vision transformer: self-attention over 50 tokens of 32 features, in 4 heads of 8, with and without a bias of `qkv`.
moe.layer @Mlp<dim, hidden>(%x) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Block<dim, heads>(%x) {
  %n1  = layer_norm @norm1(%x) eps = 1e-6
  %att = attention @attn(%n1) heads = heads
  %mid = add %x, %att
  %n2  = layer_norm @norm2(%mid) eps = 1e-6
  %ff  = apply @mlp(%n2) layer @Mlp<dim, 2 * dim>
  %out = add %mid, %ff
  yield %out
}

moe.layer @Plain<heads>(%x) {
  %att = attention @attn(%x) heads = heads, no_qkv_bias
  %out = add %x, %att
  yield %out
}

moe.model @vit<classes = 10, dim = 32, heads = 4>(%image: image[1, 28, 28]) {
  %patch  = patches @patch_embed(%image) size = 4 to dim
  %cls    = param @cls_token [1, dim] normal(0.5)
  %seq    = prepend %cls, %patch
  %deep   = chain @blocks(%seq) [2 * @Block<dim, heads>, @Plain<1>]
  %norm   = layer_norm @norm(%deep) eps = 1e-6
  %feat   = take %norm token = 0
  %logits = linear @head(%feat) to classes
  return logits = %logits
}
