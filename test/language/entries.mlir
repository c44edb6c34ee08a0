// Entries of a model are read, printed and kept through bytecode; elaboration says that they are not compiled yet.
// RUN: moe-opt %s --mlir-use-nameloc-as-prefix -o %t.1
// RUN: moe-opt %s --emit-bytecode -o %t.bc
// RUN: moe-opt %t.bc --mlir-use-nameloc-as-prefix -o %t.2
// RUN: cmp %t.1 %t.2
// RUN: FileCheck %s < %t.1
// RUN: not moe-opt %s --moe-elaborate 2>&1 | FileCheck %s --check-prefix=ELABORATE
// CHECK:      entry @max {
// CHECK-NEXT:   %best = select %route top = 1, unscaled
// CHECK-NEXT:   %sent = dispatch %best, %z
// CHECK-NEXT:   %done = experts shared @classifiers(%sent) layer @Classifier<classes> weights %theta
// CHECK-NEXT:   %y = combine %best, %done
// CHECK-NEXT:   return logits = %y
// CHECK-NEXT: }
// CHECK-NEXT: entry @ood {
// CHECK-NEXT:   %own = hyper shared @hyper(%v)
// CHECK-NEXT:   %y = apply shared @classifiers(%z) layer @Classifier<classes> weights %own
// ELABORATE: error: entry '@max' is not compiled yet; only the model's own body is ('main')

// Expert classifiers whose weights a hypernetwork writes from one learned vector an
// expert; images are routed by distance in that vector space (Qu et al., 2022).
moe.layer @Classifier<classes>(%z) {      // owns no weights here: @hyper writes them
  %y = linear @fc(%z) to classes
  yield %y
}

moe.layer @Trunk(%e)
moe.layer @MnistCnn(%image)
moe.layer @Domain2Vec<vec>(%image)
moe.layer @Adversary<classes>(%v)

moe.model @hmoe<classes = 10, channels = 1, experts = 5, vec = 32, en: number = 1.0, kl: number = 1.0,
                ad: number = 0.01, d: number = 0.0>(%image: image[channels, 28, 28]) {
  %z     = apply @featurizer(%image) layer @MnistCnn
  %v     = apply @d2v(%image) layer @Domain2Vec<vec>
  %keys  = param @embeddings [experts, vec] normal(1.0)
  %route = route @gate(%v) distance, keys = %keys
  %theta = hyper @hyper(%keys) trunk @Trunk for @Classifier<classes> init hyperfan_in
  %each  = experts @classifiers(%z) layer @Classifier<classes> weights %theta
  %mixed = combine %route, %each
  aux @entropy entropy %route, en * ramp(0, 1, until = 0.5)
  aux @balance balance_kl %route, kl
  %rev   = reverse_gradient %v by dann
  %guess = apply @adversary(%rev) layer @Adversary<classes>
  aux @adversary cross_entropy %guess, label, ad
  aux @domain cross_entropy %route, domain, d     // from the scores, by log-sum-exp
  expose @domain_vector %v
  expose @gates %route
  return logits = %mixed

  entry @max {                                    // the nearest expert alone, its output unscaled
    %best = select %route top = 1, unscaled
    %sent = dispatch %best, %z
    %done = experts shared @classifiers(%sent) layer @Classifier<classes> weights %theta
    %y    = combine %best, %done
    return logits = %y
  }
  entry @ood {                                    // a classifier written for each image
    %own = hyper shared @hyper(%v)
    %y   = apply shared @classifiers(%z) layer @Classifier<classes> weights %own
    return logits = %y
  }
}
