// Soft MoE (Puigcerver et al., 2023, arXiv 2308.00951): an expert gets mixtures of all tokens of an image, one for each of its slots, and
// a token mixtures of all slots of all experts. Nothing is dispatched, so these are ordinary ops.
moe.layer @Slots<slots, hidden>(%x: [tokens, dim]) {
  %phi    = param @phi [dim, slots] normal(1 / dim)
  %scores = matmul %x, %phi                    // [tokens, slots] of each expert
  %turned = transpose %scores to [1, 0]
  %shares = softmax %turned                    // over tokens
  %mixed  = matmul %shares, %x                 // [slots, dim]
  %up     = linear @fc1(%mixed) to hidden
  %act    = gelu %up
  %down   = linear @fc2(%act) to dim
  yield %scores, %down
}

moe.layer @SoftMoe<experts, slots, hidden>(%x) {
  %scores, %results = experts @experts(%x) count = experts layer @Slots<slots, hidden>
  %own    = max %scores over features
  %most   = max %own over experts              // the largest score of each token, whose exponential is 1
  %fixed  = stop_gradient %most
  %column = reshape %fixed to [-1, 1]
  %below  = sub %scores, %column
  %parts  = exp %below
  %sums   = matmul %parts, %results
  %sum    = sum %sums over experts
  %totals = sum %parts over features
  %total  = sum %totals over experts
  %under  = reshape %total to [-1, 1]
  %y      = div %sum, %under
  yield %y
}

moe.model @soft_moe<classes = 10, channels = 1, size = 28, patch = 7, dim = 16, hidden = 24, experts = 4, slots = 2>
                   (%image: image[channels, size, size]) {
  %tokens = patches @patch_embed(%image) size = patch to dim
  %mixed  = apply @mixture(%tokens) layer @SoftMoe<experts, slots, hidden>
  %all    = residual %tokens, %mixed
  %norm   = layer_norm @norm(%all)
  %mean   = mean %norm over tokens
  %logits = linear @head(%mean) to classes
  return logits = %logits
}
