// ViT-S/16 (Dosovitskiy et al., ICLR 2021) from ordinary ops: attention is products, reshapes and a softmax.
moe.layer @Mlp<dim, hidden>(%x) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Attention<dim, heads, tokens, scale: number>(%x) {
  %qkv = linear @qkv(%x) to 3 * dim
  %cut = reshape %qkv to [tokens, 3, heads, dim / heads]
  %all = transpose %cut to [1, 2, 0, 3]
  %q3  = slice %all start = 0, size = 1, axis = 0
  %k3  = slice %all start = 1, size = 1, axis = 0
  %v3  = slice %all start = 2, size = 1, axis = 0
  %q   = reshape %q3 to [heads, tokens, dim / heads]
  %k   = reshape %k3 to [heads, tokens, dim / heads]
  %v   = reshape %v3 to [heads, tokens, dim / heads]
  %kt  = transpose %k to [0, 2, 1]
  %s   = matmul %q, %kt
  %c   = param @scale [1] constant(scale)
  %sc  = mul %s, %c
  %p   = softmax %sc
  %o   = matmul %p, %v
  %ot  = transpose %o to [1, 0, 2]
  %m   = reshape %ot to [tokens, dim]
  %y   = linear @proj(%m) to dim
  yield %y
}

moe.layer @Block<dim, heads, tokens, drop_path: number = 0.0>(%x) {
  %n1  = layer_norm @norm1(%x) eps = 1e-6
  %att = apply @attn(%n1) layer @Attention<dim, heads, tokens, 0.125>
  %mid = residual %x, %att drop_path = drop_path
  %n2  = layer_norm @norm2(%mid) eps = 1e-6
  %ff  = apply @mlp(%n2) layer @Mlp<dim, 4 * dim>
  %out = residual %mid, %ff drop_path = drop_path
  yield %out
}

moe.model @vit<classes = 65, size = 224, patch = 16, dim = 384, heads = 6, depth = 12, tokens = 197>(%image: image[3, size, size]) {
  default linear trunc_normal(0.02), zeros
  %patch  = patches @patch_embed(%image) size = patch to dim
  %cls    = param @cls_token [1, 1, dim] trunc_normal(0.02)
  %pos    = param @pos_embed [1, (size / patch) * (size / patch) + 1, dim] trunc_normal(0.02)
  %seq    = prepend %cls, %patch
  %tok    = add %seq, %pos
  %deep   = chain @blocks(%tok) [depth * @Block<dim, heads, tokens>]
            ramp drop_path from 0.0 to 0.1
  %norm   = layer_norm @norm(%deep) eps = 1e-6
  %feat   = take %norm token = 0
  %logits = linear @head(%feat) to classes
  return logits = %logits
}
