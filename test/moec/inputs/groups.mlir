// A grouped convolution behind an elementwise op: its FLOPs, launches and memory are those of one loop in each direction.
moe.model @groups<channels = 64, size = 28, kernel = 3, groups = 64>(%image: image[channels, size, size]) {
  %scale  = param @scale [channels, 1, 1] ones
  %x      = mul %image, %scale
  %maps   = conv @conv(%x) kernel = kernel, groups = groups, no_bias to channels
  %active = relu %maps
  %mean   = mean %active over pixels
  %logits = linear @head(%mean) to 10
  return logits = %logits
}
