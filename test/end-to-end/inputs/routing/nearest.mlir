// HMOE's classifiers by the nearest expert alone, its output unscaled: generated weights on rows that were dispatched.
moe.layer @Trunk(%e) {
  %h = linear @fc(%e) to 12
  %a = silu %h
  yield %a
}

moe.layer @Classifier<classes>(%z) {
  %y = linear @fc(%z) to classes
  yield %y
}

moe.model @nearest<classes = 10, channels = 1, size = 28, experts = 3, vec = 8>(%image: image[channels, size, size]) {
  %pixels = mean_pool %image kernel = 4
  %flat   = flatten %pixels
  %h      = linear @features(%flat) to 16
  %z      = relu %h
  %v      = linear @d2v(%flat) to vec
  %keys   = param @embeddings [experts, vec] normal(1.0)
  %route  = route @gate(%v) distance, keys = %keys
  %theta  = hyper @hyper(%keys) trunk @Trunk for @Classifier<classes> init hyperfan_in
  %each   = experts @classifiers(%z) layer @Classifier<classes> weights %theta
  %mixed  = combine %route, %each
  %best   = select %route top = 1, unscaled
  %sent   = dispatch %best, %z
  %done   = experts shared @classifiers(%sent) layer @Classifier<classes> weights %theta
  %y      = combine %best, %done
  aux @entropy entropy %route, 0.1
  aux @nearest cross_entropy %y, label, 0.5
  expose @best %y
  return logits = %mixed
}
