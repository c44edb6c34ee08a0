// A layer that lacks a value whose name the model has, and both are in error: names do not reach beyond their layer.
moe.layer @Mlp<dim, hidden>(%x) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Mixture<hidden, experts>(%x: [tokens, dim]) {
  %route = route @gate(%x) linear, experts = experts, choose = rows by image, capacity = 2, noise = 1.0
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layer @Mlp<dim, hidden>
  %mixed %seen = combine %route, %done
  aux @z z_loss %route, 0.001
  yield %mixed
}

moe.model @expert_choice<classes = 10, channels = 1, size = 28, patch = 7, dim = 16, hidden = 24, experts = 4>
                        (%image: image[channels, size, size]) {
  %tokens = patches @patch_embed(%image) size = patch to dim
  %mixed  = apply @mixture(%tokens) layer @Mixture^bb0hidden, experts>
  %all    = residual %tokens, %mixed
  %norm   = layer_norm @norm(%all)
  %mean   = mean %norm over tokens
  %logits = linear @head(%mean) to classes
  return logits = %logits
}
