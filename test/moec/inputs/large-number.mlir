// A number that is whole and larger than any size: what the program records of it has to be read as a number again.
moe.model @large<classes = 3, strength: number = 92233720368547758083.0>(%image: image[1, 28, 28]) {
  %pixels = flatten %image
  %y = linear @fc(%pixels) to classes
  %z = reverse_gradient %y by strength
  return logits = %z
}
