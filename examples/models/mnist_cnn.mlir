// DomainBed's MNIST_CNN (networks.py) with a linear classifier: the model of its Rotated and Colored MNIST rows. Each
// convolution is followed by ReLU and then by group norm, in this order.
moe.layer @ConvReluNorm<to, stride = 1>(%x) {
  %maps   = conv @conv(%x) kernel = 3, stride = stride, pad = 1 to to
  %active = relu %maps
  %y      = group_norm @norm(%active) groups = 8, eps = 1e-5
  yield %y
}

moe.layer @MnistCnn(%image) {
  %maps     = chain @stages(%image) [@ConvReluNorm<64>, @ConvReluNorm<128, 2>, 2 * @ConvReluNorm<128>]
  %features = mean %maps over pixels
  yield %features
}

moe.model @mnist_cnn<classes = 10, channels = 1, size = 28>(%image: image[channels, size, size]) {
  %features = apply @featurizer(%image) layer @MnistCnn
  expose @features %features
  %logits   = linear @classifier(%features) to classes
  return logits = %logits
}
