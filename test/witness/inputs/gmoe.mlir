// A small GMoE for test/witness/routing.py, which has it in PyTorch: two blocks of which the second is routed, with noise of every
// kind. The routed layer is given by -Dmoe=@Name.
moe.layer @Mlp<dim, hidden, drop: number = 0.0>(%x) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %kept = dropout %act, drop
  %down = linear @fc2(%kept) to dim
  yield %down
}

// As published: the best expert by cosine, with noise, limited and prioritized.
moe.layer @Cosine<dim, hidden>(%x) {
  %route = route @gate(%x) cosine, experts = 4, top = 1, proj = 16, capacity = 1.5, noise = 1.0, prioritized
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layer @Mlp<dim, hidden, 0.1>
  %mixed = combine %route, %done
  aux @balance importance_load %route, 0.3
  expose @mixed %mixed
  yield %mixed
}

// Two experts by a linear router with noise; their gates sum to 1.
moe.layer @Two<dim, hidden>(%x) {
  %route = route @gate(%x) linear, experts = 4, top = 2, capacity = 1.75, noise = 0.5, prioritized
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layer @Mlp<dim, hidden, 0.1>
  %mixed = combine %route, %done
  aux @balance importance_load %route, corrected, 0.3
  expose @mixed %mixed
  yield %mixed
}

// Two experts without noise, so that there are ties; gates as they are multiply what experts get.
moe.layer @Ties<dim, hidden>(%x) {
  %route = route @gate(%x) linear, experts = 4, top = 2, capacity = 1.75, prescore, unnormalized
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layer @Mlp<dim, hidden, 0.1>
  %mixed = combine %route, %done
  aux @balance gshard %route, 0.3
  aux @size z_loss %route, 0.01
  expose @mixed %mixed
  yield %mixed
}

moe.layer @Block<@ffn, drop_path: number>(%x) {
  %n1  = layer_norm @norm1(%x) eps = 1e-6
  %att = attention @attn(%n1) heads = 2
  %mid = residual %x, %att drop_path = drop_path
  %n2  = layer_norm @norm2(%mid) eps = 1e-6
  %ff  = apply @mlp(%n2) layer @ffn
  %out = residual %mid, %ff drop_path = drop_path
  yield %out
}

moe.model @gmoe<dim = 24, @moe = @Cosine<24, 48>>(%image: image[1, 28, 28]) {
  %patch  = patches @patch_embed(%image) size = 7 to dim
  %cls    = param @cls_token [1, 1, dim] trunc_normal(0.02)
  %pos    = param @pos_embed [1, 17, dim] trunc_normal(0.02)
  %seq    = prepend %cls, %patch
  %tokens = add %seq, %pos
  %deep   = chain @blocks(%tokens) [1 * @Block<@Mlp<dim, 2 * dim>>, 1 * @Block<@moe>] ramp drop_path from 0.2 to 0.4
  %norm   = layer_norm @norm(%deep) eps = 1e-6
  %feat   = take %norm token = 0
  %logits = linear @head(%feat) to 10
  return logits = %logits
}
