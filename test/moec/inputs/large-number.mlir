// A number that is whole and larger than any size: what the program records of it has to be read as a number again.
moe.model @large<strength: number = 92233720368547758083.0>(%x: vector[8]) {
  %y = linear @fc(%x) to 3
  %z = reverse_gradient %y by strength
  return logits = %z
}
