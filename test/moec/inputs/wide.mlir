// One row of a convolution's operand is more than a thread's memory.
moe.model @wide<classes = 10, width = 1100000, filters = 64>(%image: image[1, 1, width]) {
  %c = conv @c(%image) kernel = 3 to filters
  %p = mean %c over pixels
  %l = linear @l(%p) to classes
  return logits = %l
}
