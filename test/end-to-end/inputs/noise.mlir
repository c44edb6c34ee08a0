// Random numbers: the same streams in compiled code and in the evaluator.
moe.model @noise(%image: image[2, 6, 8]) {
  %x    = linear @pre(%image) to 8
  %kept = dropout %x, 0.3
  %path = residual %x, %kept drop_path = 0.4
  %mask = bernoulli [6, 8], 0.5
  %mul  = mul %path, %mask
  %off  = uniform [2, 1, 1], -1, 2
  %sum  = add %mul, %off
  %flat = flatten %sum
  %y    = linear @head(%flat) to 3
  return logits = %y
}
