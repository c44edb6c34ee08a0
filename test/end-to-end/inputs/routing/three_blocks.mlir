// An image is routed once, and three blocks use the routing, each with experts of its own (Daxberger et al., 2023, arXiv 2309.04354). What
// is dispatched are all tokens of the image.
moe.layer @Mlp<dim, hidden>(%x) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Block<hidden>(%x: [tokens, dim], %route) {
  %norm  = layer_norm @norm(%x)
  %sent  = dispatch %route, %norm
  %done  = experts @experts(%sent) layer @Mlp<dim, hidden>
  %mixed = combine %route, %done
  %out   = residual %x, %mixed drop_path = 0.1
  yield %out
}

moe.model @three_blocks<classes = 10, channels = 1, size = 28, patch = 7, dim = 16, hidden = 24, experts = 4>
                       (%image: image[channels, size, size]) {
  %tokens = patches @patch_embed(%image) size = patch to dim
  %whole  = mean %tokens over tokens
  %route  = route @gate(%whole) linear, experts = experts, top = 2, noise = 1.0
  %deep   = chain @blocks(%tokens) [3 * @Block<hidden>] with %route
  %norm   = layer_norm @norm(%deep)
  %mean   = mean %norm over tokens
  %logits = linear @head(%mean) to classes
  aux @balance importance_load %route, 0.01
  return logits = %logits
}
