// Sigmoid scores with a bias that balances the experts without a loss (Wang et al., 2024).
moe.layer @Mlp<dim, hidden>(%x) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Biased<hidden, experts, top, rate: number>(%x: [tokens, dim]) {
  %bias   = state @bias [experts] zeros
  %route  = route @gate(%x) linear, experts = experts, top = top, sigmoid, select_bias = %bias
  %sent   = dispatch %route, %x
  %done   = experts @experts(%sent) layer @Mlp<dim, hidden>
  %mixed  = combine %route, %done
  %load   = counts %route
  %mean   = mean %load
  %less   = sub %mean, %load
  %way    = sign %less
  %step   = mul %way, rate
  %new    = add %bias, %step
  assign @bias %new
  yield %mixed
}

moe.model @biased<classes = 10, channels = 1, size = 28, patch = 7, dim = 16, hidden = 32, experts = 4, top = 2, rate: number = 0.001>
                 (%image: image[channels, size, size]) {
  %tokens = patches @patch_embed(%image) size = patch to dim
  %mixed  = apply @mixture(%tokens) layer @Biased<hidden, experts, top, rate>
  %all    = residual %tokens, %mixed
  %norm   = layer_norm @norm(%all)
  %mean   = mean %norm over tokens
  %logits = linear @head(%mean) to classes
  return logits = %logits
}
