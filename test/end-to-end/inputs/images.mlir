// Convolutions of all kernels and strides that differ in form, pooling, norms, windows.
moe.layer @Branch<kernel, stride, pad>(%x) {
  %c = conv @conv(%x) kernel = kernel, stride = stride, pad = pad to 6
  %n = group_norm @norm(%c) groups = 3
  %r = relu %n
  %y = mean %r over pixels
  yield %y
}
moe.model @images(%image: image[2, 11, 9]) {
  %x   = conv @pre(%image) kernel = 3 to 5
  %b0  = apply @b0(%x) layer @Branch<3, 2, 1>
  %b1  = apply @b1(%x) layer @Branch<4, 2, 1>
  %b2  = apply @b2(%x) layer @Branch<1, 1, 0>
  %b3  = apply @b3(%x) layer @Branch<7, 2, 3>
  %b4  = apply @b4(%x) layer @Branch<5, 1, 2>
  %b5  = apply @b5(%x) layer @Branch<3, 3, 0>
  %b6  = apply @b6(%x) layer @Branch<1, 2, 0>
  %b7  = apply @b7(%x) layer @Branch<3, 2, 5>     // padding of more than the kernel
  %b8  = apply @b8(%x) layer @Branch<1, 1, 2>
  %m0  = max_pool %x kernel = 2
  %m1  = max_pool %x kernel = 3, stride = 2, pad = 1
  %m2  = mean_pool %x kernel = 2
  %m3  = unfold %x kernel = 3, stride = 4, pad = 1
  %m4  = unfold %x kernel = 2, stride = 3, pad = 4
  %nb  = conv @plain(%x) no_bias to 4
  %p0  = mean %m0 over pixels
  %p1  = sum %m1 over pixels
  %p2  = mean %m2 over pixels
  %p3  = mean %m3 over [1, 2, 3, 4]
  %p4  = max %nb over pixels
  %p5  = max %m4 over [1, 2, 3, 4]
  %all = concat %b0, %b1, %b2, %b3, %b4, %b5, %b6, %b7, %b8, %p0, %p1, %p2, %p3, %p4,
                %p5
  %n   = layer_norm @norm(%all) eps = 1e-4
  %y   = linear @head(%n) to 3 no_bias
  return logits = %y
}
