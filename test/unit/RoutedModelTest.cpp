// Models with odd routings, compiled for every target and run: one expert, more experts than rows, all of them chosen,
// everything kept, several routings and unused ones, rows that are images' tokens or vectors, and experts with parameters, noise and
// attention of their own. Every pass is checked by evaluation, and compiled code is held against the evaluator.
#include "test/unit/TextModel.h"

using namespace mlir;
using namespace moe::test;

namespace {

/// The layer of most texts; one that has a layer of this name takes its own.
const char mlp[] = R"(
moe.layer @Mlp(%x) {
  %h = linear @fc1(%x) to 5
  %a = gelu %h
  %y = linear @fc2(%a) to 4
  yield %y
}
)";

struct Text {
  const char *name, *text;
  std::string whole() const {
    return StringRef(text).contains("moe.layer @Mlp(") ? text : mlp + std::string(text);
  }
};
std::ostream &operator<<(std::ostream &stream, const Text &text) { return stream << text.name; }

const Text texts[] = {
    {"topAll", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 3, capacity = 0.7, prioritized
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Mlp
  %mixed  = combine %route, %done
  aux @b gshard %route, 0.1
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"oneExpert", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) cosine, experts = 1, proj = 2, top = 1, capacity = 0.5, prioritized
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Mlp
  %mixed  = combine %route, %done
  aux @b gshard %route, 0.1
  aux @z z_loss %route, 0.1
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"oneToken", R"(
moe.layer @Mlp(%x) {
  %h = linear @fc1(%x) to 5
  %a = gelu %h
  %y = linear @fc2(%a) to 12
  yield %y
}

moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [1, 12]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 1.0, noise = 1.0
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Mlp
  %mixed  = combine %route, %done
  aux @b importance_load %route, 0.1
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"samples", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [12]
  %route  = route @gate(%t) linear, experts = 3, top = 1, capacity = 1.0, prioritized, noise = 1.0
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Mlp
  %mixed  = combine %route, %done
  aux @b importance_load %route, 0.1
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"manyExperts", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 40, top = 3, capacity = 1.0, prioritized, noise = 1.0
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Mlp
  %mixed  = combine %route, %done
  aux @b importance_load %route, 0.1
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"capacityAll", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 1000, noise = 1.0, prioritized
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Mlp
  %mixed  = combine %route, %done
  aux @b importance_load %route, 0.1
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"alignment", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.5, alignment = 4, noise = 1.0, prioritized
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Mlp
  %mixed  = combine %route, %done
  aux @b importance_load %route, 0.1
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"prescore", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.7, prescore, sigmoid
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Mlp
  %mixed  = combine %route, %done
  aux @b gshard %route, 0.1
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"twoAxes", R"(
moe.layer @Mlp(%x) {
  %h = linear @fc1(%x) to 5
  %a = gelu %h
  %y = linear @fc2(%a) to 2
  yield %y
}

moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 2, 2]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.7
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Mlp
  %mixed  = combine %route, %done
  
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"distance", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %keys = param @keys [5, 4] normal(1.0)
  %route  = route @gate(%t) distance, keys = %keys, top = 2, capacity = 0.7, noise = 1.0
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Mlp
  %mixed  = combine %route, %done
  aux @b importance_load %route, 0.1
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"unused", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.5, noise = 1.0, prioritized
  %flat   = reshape %t to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"unusedLoss", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.5, noise = 1.0, prioritized
  aux @b importance_load %route, 0.1
  %flat   = reshape %t to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"unusedDispatch", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.5, noise = 1.0, prioritized
  %sent = dispatch %route, %t
  %done = experts @experts(%sent) layer @Mlp
  %flat   = reshape %t to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"twoRoutings", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %r1     = route @gate1(%t) linear, experts = 3, top = 2, capacity = 0.5, noise = 1.0, prioritized
  %r2     = route @gate2(%t) cosine, experts = 2, proj = 3, top = 1, capacity = 0.7, noise = 1.0
  %s1     = dispatch %r1, %t
  %s2     = dispatch %r2, %t
  %d1     = experts @e1(%s1) layer @Mlp
  %d2     = experts @e2(%s2) layer @Mlp
  %d3     = experts @e3(%s1) layer @Mlp
  %y1     = combine %r1, %d1
  %y2     = combine %r2, %d2
  %y3     = combine %r1, %d3
  %s      = add %y1, %y2
  %y      = add %s, %y3
  aux @b1 importance_load %r1, 0.1
  aux @b2 importance_load %r2, corrected, 0.1
  %flat   = reshape %y to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"rowsOfTokens", R"(
moe.layer @Block(%x) {
  %n = layer_norm @n(%x) eps = 1e-5
  %a = attention @attn(%n) heads = 2
  %b = residual %x, %a drop_path = 0.3
  %d = dropout %b, 0.2
  %y = linear @fc(%d) to 4
  yield %y
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %v      = mean %t over tokens
  %route  = route @gate(%v) linear, experts = 3, top = 2, capacity = 1.0, noise = 1.0, prioritized
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Block
  %mixed  = combine %route, %done
  aux @b importance_load %route, 0.1
  %flat   = reshape %mixed to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"params", R"(
moe.layer @Own(%x) {
  %p = param @p [4] normal(1.0)
  %w = param @w [4, 4] normal(1.0)
  %g = mul %x, %p
  %m = matmul %g, %w
  %s = layer_scale @ls(%m) init constant(0.5)
  %n = layer_norm @n(%s) eps = 1e-5
  %e = exp %p
  %y = add %n, %e
  yield %y
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.5
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Own
  %mixed  = combine %route, %done
  
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"paramOnly", R"(
moe.layer @Own(%x) {
  %p = param @p [4] normal(1.0)
  %y = tanh %p
  yield %y
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.5
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Own
  %mixed  = combine %route, %done
  
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"divides", R"(
moe.layer @Own(%x) {
  %a = abs %x
  %l = log %a
  %h = linear @fc1(%l) to 4
  %p = param @p [4] normal(1.0)
  %q = div %h, %p
  %r = sqrt %a
  %s = div %q, %r
  %y = linear @fc2(%s) to 4
  yield %y
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 1, capacity = 0.5
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Own
  %mixed  = combine %route, %done
  
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"noiseInside", R"(
moe.layer @Own(%x) {
  %h = linear @fc1(%x) to 4
  %d = dropout %h, 0.3
  %u = uniform [4], 0.0, 1.0
  %y = mul %d, %u
  yield %y
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.5
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Own
  %mixed  = combine %route, %done
  
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"twoValues", R"(
moe.layer @Two(%x, %z) {
  %s = add %x, %z
  %h = linear @fc1(%s) to 4
  %k = linear @fc2(%x) to 3
  yield %h, %k
}
moe.model @m(%x: vector[12], %z: vector[12]) {
  %t      = reshape %x to [3, 4]
  %u      = reshape %z to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.5
  %s1     = dispatch %route, %t
  %s2     = dispatch %route, %u
  %d1, %d2 = experts @experts(%s1, %s2) layer @Two
  %y1     = combine %route, %d1
  %y2     = combine %route, %d2
  %both   = concat %y1, %y2
  %flat   = reshape %both to [21]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"hyper", R"(
moe.layer @Classifier(%z) {
  %y = linear @fc(%z) to 4
  yield %y
}
moe.layer @Trunk(%e) {
  %h = linear @fc(%e) to 6
  %s = silu %h
  yield %s
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %keys   = param @keys [5, 4] normal(1.0)
  %route  = route @gate(%t) distance, keys = %keys, top = 2, capacity = 0.7
  %theta  = hyper @hyper(%keys) trunk @Trunk for @Classifier
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Classifier weights %theta
  %mixed  = combine %route, %done
  %flat   = reshape %mixed to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"everySigmoid", R"(
moe.layer @Mlp(%x) {
  %h = linear @fc1(%x) to 5
  %a = gelu %h
  %d = dropout %a, 0.3
  %y = linear @fc2(%d) to 4
  yield %y
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, sigmoid
  %done   = experts @experts(%t) layer @Mlp count = 3
  %mixed  = combine %route, %done
  aux @z z_loss %route, 0.1
  aux @e entropy %route, 0.1
  aux @k balance_kl %route, 0.1
  %flat   = reshape %mixed to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"identity", R"(
moe.layer @Id(%x) {
  yield %x
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.5, noise = 1.0, unnormalized
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Id
  %mixed  = combine %route, %done
  
  %flat   = flatten %mixed
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"shared", R"(
moe.layer @Mlp(%x) {
  %h = linear @fc1(%x) to 4
  %y = dropout %h, 0.3
  yield %y
}
moe.layer @Moe(%t) {
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.5, noise = 1.0
  %sent   = dispatch %route, %t
  %done   = experts @experts(%sent) layer @Mlp
  %mixed  = combine %route, %done
  yield %mixed
}
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %a      = apply @moe(%t) layer @Moe
  %b      = apply shared @moe(%a) layer @Moe
  %flat   = reshape %b to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
    {"direct", R"(
moe.model @m(%x: vector[12]) {
  %t      = reshape %x to [3, 4]
  %route  = route @gate(%t) linear, experts = 3, top = 2, capacity = 0.5
  %sent   = dispatch %route, %t
  %mixed  = combine %route, %sent
  %flat   = reshape %mixed to [12]
  %logits = linear @head(%flat) to 3
  return logits = %logits
})"},
};

class RoutedModel : public ::testing::TestWithParam<Text> {};

} // namespace

TEST_P(RoutedModel, compiledCodeAgreesWithTheEvaluator) {
  TextModel model(GetParam().whole());
  ASSERT_TRUE(bool(model));
  EXPECT_TRUE(succeeded(model.verifyByEvaluation()));
  for (const int64_t rows : {4, 2}) { // of fewer, an expert would take no row by some of the capacities
    model.given = {};
    model.given.setting = {{1, rows}, 3, 5};
    for (const char *entry : {"gradients", "main", "as_trained"}) {
      if (!model.has(entry))
        continue;
      auto all = model.everywhere(entry);
      const flow::Evaluation &right = all[0].second;
      EXPECT_FALSE(right.outputs.empty());
      for (auto &[where, result] : all)
        for (auto &[name, value] : right.outputs) {
          ASSERT_TRUE(result.outputs.count(name)) << where << ", " << name;
          EXPECT_LE(distance(value, result.outputs.at(name)), 1e-4)
              << where << ", entry " << entry << ", " << rows << " rows: " << name;
        }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, RoutedModel, ::testing::ValuesIn(texts),
                         [](const auto &info) { return std::string(info.param.name); });
