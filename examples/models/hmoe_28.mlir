// HMOE on images of 28x28 pixels (Qu et al., "Hypernetwork-based mixture of experts for domain generalization",
// arXiv 2211.08253): expert classifiers whose weights a hypernetwork writes from one learned vector an expert. Images
// are routed by distance in the space of those vectors. The default is the paper's DN form: no domain labels, three
// auxiliary losses. DL is -Den=0 -Dkl=0 -Dad=0 -Dd=1; ND is DN with `experts` other than the number of domains.
//
// What the paper leaves open is decided here, each as a parameter:
//   d2v_stride = 2   the stride of Domain2Vec's two convolutions, padded by 1: it sees the image at a quarter of its size
//   eps = 1e-6       in the router's -log(distance^2 + eps); it bounds the gradient near a vector
//   init hyperfan_in the rule for the last layers of the hypernetwork: each generated weight has the variance of an
//                    ordinary linear layer's input-preserving one (Chang et al., ICLR 2020)
//   silu_gain        1 / E[silu(x)^2] for x ~ N(0, 1): SiLU keeps 0.356 of the second moment, and the hidden layers and
//                    the last ones give it back, so that what hyperfan assumes of its input holds

moe.layer @ConvReluNorm<to, stride = 1>(%x) {
  %maps   = conv @conv(%x) kernel = 3, stride = stride, pad = 1 to to
  %active = relu %maps
  %y      = group_norm @norm(%active) groups = 8, eps = 1e-5
  yield %y
}

moe.layer @MnistCnn(%image) {               // DomainBed's MNIST_CNN: 128 features
  %maps     = chain @stages(%image) [@ConvReluNorm<64>, @ConvReluNorm<128, 2>, 2 * @ConvReluNorm<128>]
  %features = mean %maps over pixels
  yield %features
}

moe.layer @ConvRelu<to, stride>(%x) {
  %maps = conv @conv(%x) kernel = 3, stride = stride, pad = 1 to to
  %y    = relu %maps
  yield %y
}

moe.layer @Domain2Vec<vec, stride>(%image) {   // sees the image, not the features
  %maps = chain @stages(%image) [2 * @ConvRelu<32, stride>]
  %flat = mean %maps over pixels
  %v    = linear @fc(%flat) to vec
  yield %v
}

moe.layer @Dense<to, gain: number>(%x) {
  %sum = linear @fc(%x) to to init fan_in(gain), zeros
  %y   = silu %sum
  yield %y
}

moe.layer @Trunk<gain: number>(%vector) {   // vec -> 256 -> 128 -> 64 -> 32; the last layers are hyper's own
  %h = chain @layers(%vector) [@Dense<256, 1.0>, @Dense<128, gain>, @Dense<64, gain>, @Dense<32, gain>]
  yield %h
}

moe.layer @Classifier<classes>(%z) {        // owns no weights here: @hyper writes them
  %y = linear @fc(%z) to classes
  yield %y
}

moe.layer @Adversary<classes>(%v) {
  %h1 = linear @fc1(%v) to 256
  %a1 = relu %h1
  %h2 = linear @fc2(%a1) to 256
  %a2 = relu %h2
  %y  = linear @fc3(%a2) to classes
  yield %y
}

moe.model @hmoe<classes = 10, channels = 1, experts = 5, vec = 32, d2v_stride = 2, eps: number = 1e-6,
                silu_gain: number = 2.81, en: number = 1.0, kl: number = 1.0, ad: number = 0.01, d: number = 0.0>
               (%image: image[channels, 28, 28]) {
  %z     = apply @featurizer(%image) layer @MnistCnn
  %v     = apply @d2v(%image) layer @Domain2Vec<vec, d2v_stride>
  %keys  = param @embeddings [experts, vec] normal(1.0)
  %route = route @gate(%v) distance, keys = %keys, eps = eps
  %theta = hyper @hyper(%keys) trunk @Trunk<silu_gain> for @Classifier<classes> init hyperfan_in(silu_gain)
  %each  = experts @classifiers(%z) layer @Classifier<classes> weights %theta
  %mixed = combine %route, %each
  aux @entropy entropy %route, en * ramp(0, 1, until = 0.5)
  aux @balance balance_kl %route, kl
  %rev   = reverse_gradient %v by dann
  %guess = apply @adversary(%rev) layer @Adversary<classes>
  aux @adversary cross_entropy %guess, label, ad
  aux @domain cross_entropy %route, domain, d      // from the scores, by log-sum-exp
  expose @domain_vector %v
  expose @gates %route
  return logits = %mixed
}
