// Two small experts and a large one in one routing: a token that is simple costs less.
moe.layer @Mlp<dim, hidden>(%x) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Mixture<small, large>(%x: [tokens, dim]) {
  %route = route @gate(%x) cosine, experts = 3, top = 1, proj = 8, capacity = 1.5, noise = 1.0, prioritized
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layers [2 * @Mlp<dim, small>, @Mlp<dim, large>]
  %mixed = combine %route, %done
  aux @balance importance_load %route, 0.01
  yield %mixed
}

moe.model @two_sizes<classes = 10, channels = 1, size = 28, patch = 7, dim = 16, small = 8, large = 32>
                    (%image: image[channels, size, size]) {
  %tokens = patches @patch_embed(%image) size = patch to dim
  %mixed  = apply @mixture(%tokens) layer @Mixture<small, large>
  %all    = residual %tokens, %mixed
  %norm   = layer_norm @norm(%all)
  %mean   = mean %norm over tokens
  %logits = linear @head(%mean) to classes
  return logits = %logits
}
