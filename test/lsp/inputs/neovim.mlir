moe.layer @Mlp<hidden>(%x: [tokens, dim]) {
  %up   = linear @fc1(%x) to hiden
  %act  = geluu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.model @net<classes = 10>(%image: image[3, 32, 32]) {
  %tokens = patches @patch_embed(%image) size = 8 to 64
  %deep   = apply @mlp(%tokens) layer @Mlp<32>
  %mean   = mean %deep over tokens
  %logits = linear @head(%mean) to classes
  return logits = %logits
}
