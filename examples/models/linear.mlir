// One linear layer on the pixels of an image: the smallest model that trains.
moe.model @linear<classes = 10, channels = 1, size = 28>(%image: image[channels, size, size]) {
  %pixels = flatten %image
  %logits = linear @head(%pixels) to classes
  return logits = %logits
}
