// Every token goes to two of four experts, and to one more that all tokens share (Dai et al., 2024, arXiv 2401.06066).
moe.layer @Mlp<dim, hidden>(%x) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Mixture<hidden, experts>(%x: [tokens, dim]) {
  %route = route @gate(%x) linear, experts = experts, top = 2, capacity = 1.25, noise = 1.0
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layer @Mlp<dim, hidden>
  %mixed = combine %route, %done
  %own   = apply @shared(%x) layer @Mlp<dim, hidden>
  %all   = add %own, %mixed
  aux @balance gshard %route, 0.01
  aux @z z_loss %route, 0.001
  yield %all
}

moe.model @shared_expert<classes = 10, channels = 1, size = 28, patch = 7, dim = 16, hidden = 24, experts = 4>
                        (%image: image[channels, size, size]) {
  %tokens = patches @patch_embed(%image) size = patch to dim
  %mixed  = apply @mixture(%tokens) layer @Mixture<hidden, experts>
  %all    = residual %tokens, %mixed
  %norm   = layer_norm @norm(%all)
  %mean   = mean %norm over tokens
  %logits = linear @head(%mean) to classes
  return logits = %logits
}
