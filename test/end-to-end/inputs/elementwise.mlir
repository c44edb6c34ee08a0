// Every elementwise op, with broadcasting between samples and parameters, on values away from poles.
moe.model @elementwise(%image: image[2, 6, 8]) {
  %x    = linear @pre(%image) to 8
  %one  = linear @widen(%x) to 8 init normal(0.2), ones
  %w    = param @w [2, 1, 8] uniform(0.5, 1.5)
  %sq   = mul %x, %x
  %soft = sigmoid %w
  %pos  = add %sq, %soft
  %a    = neg %x
  %b    = exp %a
  %c    = log %pos
  %d    = sqrt %pos
  %e    = abs %x
  %f    = tanh %x
  %g    = relu %one
  %h    = silu %g
  %i    = gelu %x
  %j    = softmax %i
  %k    = stop_gradient %j
  %l    = sub %b, %w
  %m    = div %l, %pos
  %n    = where %g, %m, %c
  %s1   = add %n, %d
  %s2   = add %s1, %e
  %s3   = mul %s2, %f
  %s4   = add %s3, %h
  %s5   = mul %s4, %k
  %s6   = add %s5, %j
  %flat = flatten %s6
  %y    = linear @head(%flat) to 3
  return logits = %y
}
