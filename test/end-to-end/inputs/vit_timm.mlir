// timm's vision transformer with its names, so that weights go from one to the other without a map. The last block may be @Sparse,
// whose feed-forward layer is a mixture of experts: each is applied to all tokens, and a router that sees the class token weighs them.
moe.layer @Mlp<hidden>(%x: [tokens, dim]) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Block<heads, drop_path: number = 0.0>(%x: [tokens, dim]) {
  %n1  = layer_norm @norm1(%x) eps = 1e-6
  %att = attention @attn(%n1) heads = heads
  %mid = residual %x, %att drop_path = drop_path
  %n2  = layer_norm @norm2(%mid) eps = 1e-6
  %ff  = apply @mlp(%n2) layer @Mlp<4 * dim>
  %out = residual %mid, %ff drop_path = drop_path
  yield %out
}

moe.layer @Experts<count>(%x: [tokens, dim]) {
  %class = take %x token = 0
  %route = route @gate(%class) linear, experts = count
  %each  = experts @experts(%x) count = count layer @Mlp<4 * dim>
  %y     = combine %route, %each
  yield %y
}

moe.layer @Sparse<heads, count>(%x: [tokens, dim]) {
  %n1  = layer_norm @norm1(%x) eps = 1e-6
  %att = attention @attn(%n1) heads = heads
  %mid = add %x, %att
  %n2  = layer_norm @norm2(%mid) eps = 1e-6
  %ff  = apply @mlp(%n2) layer @Experts<count>
  %out = add %mid, %ff
  yield %out
}

moe.model @vit<classes = 1000, channels = 3, size = 224, height = size, width = size, patch = 16, dim = 384, depth = 12, heads = 6,
          @last = @Block<heads>>
    (%image: image[channels, height, width] mean 0.5 deviation 0.5) {
  default linear trunc_normal(0.02), zeros
  %patches = patches @patch_embed(%image) size = patch to dim
  %cls     = param @cls_token [1, 1, dim] normal(1e-6)
  %seq     = prepend %cls, %patches
  %pos     = param @pos_embed [1, size(%seq, tokens), dim] trunc_normal(0.02)
  %tokens  = add %seq, %pos
  %deep    = chain @blocks(%tokens) [(depth - 1) * @Block<heads>, @last]
  %norm    = layer_norm @norm(%deep) eps = 1e-6
  %feature = take %norm token = 0
  %logits  = linear @head(%feature) to classes
  return logits = %logits
}
