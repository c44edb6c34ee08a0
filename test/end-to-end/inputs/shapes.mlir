// Every op that moves elements, and reductions over each kind of axis.
moe.model @shapes(%image: image[2, 6, 8]) {
  %x    = linear @pre(%image) to 8
  %z    = relu %x
  %c0   = concat %x, %z axis = 0
  %c1   = concat %x, %z axis = 1
  %c2   = concat %c1, %c1
  %cut  = slice %c2 axis = 1, start = 1, size = 4, step = 3
  %rows = reshape %c0 to [24, 8]
  %tok  = take %rows token = -2
  %turn = transpose %x to [2, 0, 1]
  %back = transpose %turn to [1, 0, 2]
  %prod = matmul %x, %back
  %w    = param @w [2, 6, 5] normal(0.3)
  %mix  = matmul %prod, %w
  %p    = patches @patches(%x) size = 2 to 8
  %cls  = param @cls [1, 1, 8] normal(0.1)
  %seq  = prepend %cls, %p
  %r0   = mean %c0 over pixels
  %r1   = sum %cut over [0, -1]
  %r2   = variance %mix over features
  %r3   = max %seq over tokens
  %r4   = mean %x
  %r5   = reshape %r4 to [1]
  %r6   = variance %x over [0, 2]
  %r7   = max %prod over [0, 1]
  %f2   = flatten %r2
  %sq   = reshape %rows to [4, 6, 8]
  %face = slice %sq axis = 1, start = 0, size = 4, step = 1
  %pane = slice %face axis = 2, start = 0, size = 4, step = 1
  %over = transpose %pane to [2, 1, 0]
  %sym  = sub %over, %pane
  %near = mul %sym, %over
  %r8   = mean %near over [1, 2]
  %all  = concat %r8, %r0, %r1, %f2, %r3, %r5, %r6, %r7, %tok
  %y    = linear @head(%all) to 3
  return logits = %y
}
