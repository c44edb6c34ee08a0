// Random numbers: the same streams in compiled code and in the evaluator.
moe.layer @Drop<rate: number>(%x) {
  %l = linear @l(%x) to 8
  %d = dropout %l, rate
  yield %d
}
moe.model @noise(%image: image[2, 6, 8]) {
  %x    = linear @pre(%image) to 8
  %kept = dropout %x, 0.3
  %path = residual %x, %kept drop_path = 0.4
  %mask = bernoulli [6, 8], 0.5
  %mul  = mul %path, %mask
  %off  = uniform [2, 1, 1], -1, 2
  %sum  = add %mul, %off
  %once = apply @twice(%sum) layer @Drop<0.25>
  %more = apply shared @twice(%once) layer @Drop<0.25>
  %ramp = chain @ramp(%more) [3 * @Drop] ramp rate from 0.0 to 0.5
  %flat = flatten %ramp
  %y    = linear @head(%flat) to 3
  return logits = %y
}
