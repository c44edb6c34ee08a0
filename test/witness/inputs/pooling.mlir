// Attention between values that project by themselves: five learned queries, the same for each image, look at 49 patches; q and k
// have 3 heads of 5 features, v 3 heads of 7. Then the five look at each other in the layers of two experts, in windows of one token
// and with a scale of their own.
moe.layer @Look(%x) {
  %n = reshape %x to [5, 1, 21]
  %w = attend %n, %n, %n heads = 7, scale = 0.3
  %s = reshape %w to [5, 21]
  %y = attention @own(%s) heads = 21
  %m = mean %y over tokens
  yield %m
}

moe.model @pooling<classes = 10>(%image: image[1, 28, 28]) {
  %patch  = patches @patch_embed(%image) size = 4 to 24
  %query  = param @queries [5, 15] normal(1.0)
  %key    = linear @key(%patch) to 15 no_bias
  %value  = linear @value(%patch) to 21 no_bias
  %seen   = attend %query, %key, %value heads = 3
  %score  = mean %seen over tokens
  %route  = route @gate(%score) linear, experts = 2
  %each   = experts @experts(%seen) layer @Look count = 2
  %mixed  = combine %route, %each
  %logits = linear @head(%mixed) to classes
  return logits = %logits
}
