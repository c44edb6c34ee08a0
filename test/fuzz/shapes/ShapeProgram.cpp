// Small networks of random shapes, and how one is checked. Which groups fusion forms, which layouts they have
// and what lies in whose place follows from shapes too, so that here the whole compiler and the runtime run.
// The bounds are those of the ops as differentiated; what simplification makes of them may round differently,
// within a factor.
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "passes/training/Training.h"
#include "test/fuzz/shapes/ShapeBounds.h"
#include "test/fuzz/shapes/ShapeCheck.h"
#include "test/fuzz/shapes/ShapeLoop.h"
#include "test/unit/RunCompiled.h"
#include <algorithm>
#include <cmath>

using namespace mlir;

namespace moe::test {
namespace {

class ProgramDraw : public LoopDraw {
public:
  explicit ProgramDraw(Draw &draw) : LoopDraw(draw) {}

  void make() {
    const bool images = draw.chance(70);
    if (images)
      pixels();
    else
      x = weight(shape(draw.number(2, 3), 1 << 13), false);
    const int64_t layers = draw.number(images ? 0 : 1, 3);
    for (int64_t i = 0; i < layers; ++i)
      rows();
    finish();
  }

private:
  static constexpr int64_t kProducts = int64_t(1) << 20;

  /// A weight or an input, which gradients are asked for.
  Known weight(const Sizes &sizes, bool parameter) {
    Known made{draw.input(sizes, "f32", parameter), sizes, "f32"};
    wrt.push_back(made);
    return made;
  }
  Known activation(const Known &of) {
    return unary(draw.pick<std::string>({"relu", "relu", "tanh", "silu", "gelu", "sigmoid"}), of);
  }
  void add(const Known &y) {
    x = y;
    draw.made.about += (draw.made.about.empty() ? "" : ", ") + y.type();
  }

  void pixels() {
    int64_t channels = draw.extent(draw.chance(50) ? 4 : 64), side = draw.extent(18);
    Size batch = draw.batchExtent(std::max<int64_t>(1, (1 << 13) / (channels * side * side)));
    add(weight({batch, channels, side, draw.chance(70) ? Size(side) : Size(draw.extent(18))}, false));
    const int64_t layers = draw.number(1, 3);
    for (int64_t i = 0; i < layers; ++i) {
      convolution();
      if (draw.chance(40))
        pooling();
    }
    Sizes flat{x.sizes[0], x.sizes[1].value * x.sizes[2].value * x.sizes[3].value};
    if (draw.chance(40))
      add(reduce("sum", x, {2, 3}));
    else
      add({draw.op("reshape " + x.name + " : " + x.type() + " -> " + typeOf(flat)), flat, "f32"});
  }

  void convolution() {
    const int64_t height = x.sizes[2].value, width = x.sizes[3].value;
    int64_t kernel = draw.pick<int64_t>({1, 2, 3, 3, 3, 5}), stride = draw.chance(70) ? 1 : 2;
    int64_t pad = draw.chance(70) ? kernel / 2 : draw.number(0, kernel);
    if (std::min(height, width) + 2 * pad < kernel)
      kernel = 1, pad = 0;
    const int64_t outHeight = (height + 2 * pad - kernel) / stride + 1,
                  outWidth = (width + 2 * pad - kernel) / stride + 1;
    const int64_t each = x.sizes[0].value * x.sizes[1].value * kernel * kernel * outHeight * outWidth;
    const int64_t outputs =
        draw.chance(25) ? x.sizes[1].value : draw.extent(std::clamp<int64_t>(kProducts / each, 1, 150));
    Known w = weight({outputs, x.sizes[1], kernel, kernel}, draw.chance(60));
    Sizes to{x.sizes[0], outputs, outHeight, outWidth};
    std::string s = std::to_string(stride), p = std::to_string(pad);
    Known y{draw.op("conv " + x.name + ", " + w.name + " by [" + s + ", " + s + "] pads [" + p + ", " + p +
                    ", " + p + ", " + p + "] : " + x.type() + ", " + w.type() + " -> " + typeOf(to)),
            to, "f32"};
    if (draw.chance(60))
      y = binary("add", y, broadcast(weight({outputs}, draw.chance(60)), to, {1}));
    if (draw.chance(35)) {
      std::vector<int64_t> groups;
      for (int64_t g : {1, 2, 4, 8})
        if (outputs % g == 0)
          groups.push_back(g);
      y = groupNorm(y, draw.pick(groups));
    }
    const bool sameShape = typeOf(to) == x.type();
    if (sameShape && draw.chance(60))
      y = binary("add", y, x);
    add(draw.chance(75) ? activation(y) : y);
  }

  void pooling() {
    const int64_t size = draw.number(2, 3), stride = draw.number(1, 2), pad = draw.number(0, 1);
    if (std::min(x.sizes[2].value, x.sizes[3].value) + 2 * pad < size)
      return;
    auto count = [&](int64_t of) { return (of + 2 * pad - size) / stride + 1; };
    Sizes to{x.sizes[0], x.sizes[1], count(x.sizes[2].value), count(x.sizes[3].value)}, all(to);
    all.push_back(size);
    all.push_back(size);
    std::string s = std::to_string(stride), p = std::to_string(pad), z = std::to_string(size);
    Known windows{draw.op("window " + x.name + " size [" + z + ", " + z + "] by [" + s + ", " + s +
                          "] pads [" + p + ", " + p + ", " + p + ", " + p + "] with 0.0 : " + x.type() +
                          " -> " + typeOf(all)),
                  all, "f32"};
    add(reduce(draw.pick<std::string>({"max", "sum"}), windows, {4, 5}));
  }

  void rows() {
    const int64_t rank = int64_t(x.sizes.size()), axis = rank - 1;
    switch (draw.number(0, 5)) {
    case 0:
      return add(norm(x, {axis}, draw.chance(60)));
    case 1:
      return add(softmax(x, {axis}, draw.chance(30)));
    case 2: {
      Known seen = view(x);
      return seen.sizes.empty() ? void() : add(seen);
    }
    default: {
      const Size from = x.sizes[axis];
      const int64_t to = draw.extent(std::clamp<int64_t>(kProducts / countOf(x.sizes), 1, 300));
      const bool turned = draw.chance(40);
      Known w = weight(turned ? Sizes{from, to} : Sizes{to, from}, from.isStatic() && draw.chance(60));
      std::vector<int64_t> a, out;
      for (int64_t i = 0; i < rank; ++i) {
        a.push_back(i);
        out.push_back(i < axis ? i : rank);
      }
      Sizes sizes(x.sizes);
      sizes[axis] = to;
      Known y{draw.op("contract " + x.name + " " + listOf(a) + ", " + w.name + " " +
                      listOf(turned ? std::vector<int64_t>{axis, rank} : std::vector<int64_t>{rank, axis}) +
                      " -> " + listOf(out) + " : " + x.type() + ", " + w.type() + " -> " + typeOf(sizes)),
              sizes, "f32"};
      if (draw.chance(60))
        y = binary("add", y, broadcast(weight({to}, draw.chance(60)), sizes, {axis}));
      return add(draw.chance(60) ? activation(y) : y);
    }
    }
  }

  void finish() {
    // An output that is an input or a parameter as it is would be no result.
    Known y = unary("tanh", x);
    output(y);
    if (draw.chance(30))
      return;
    std::vector<int64_t> all;
    for (size_t axis = 0; axis < x.sizes.size(); ++axis)
      all.push_back(int64_t(axis));
    Known loss = reduce("sum", binary("mul", y, input(x.sizes)), all);
    output(loss);
    std::string names, types, results;
    for (size_t i = 0; i < wrt.size(); ++i) {
      names += (i ? ", " : "") + wrt[i].name;
      types += ", " + wrt[i].type();
      results += (i ? ", " : "") + wrt[i].type();
    }
    bool several = wrt.size() > 1;
    draw.made.body += "    %grad" + (several ? ":" + std::to_string(wrt.size()) : std::string()) +
                      " = flow.grad " + loss.name + " wrt(" + names + ") : (tensor<f32>" + types + ") -> " +
                      (several ? "(" + results + ")" : results) + "\n";
    for (size_t i = 0; i < wrt.size(); ++i)
      draw.output(several ? "%grad#" + std::to_string(i) : "%grad", wrt[i].type());
  }

  Known x;
  std::vector<Known> wrt;
};

} // namespace

ShapeCase drawProgram(uint64_t seed) {
  Draw draw(seed);
  draw.made.kind = "program";
  ProgramDraw(draw).make();
  return std::move(draw.made);
}

Verdict checkProgram(const ShapeCase &one, const Machine &target, uint32_t seed, MLIRContext &context,
                     std::string &problem) {
  auto wrong = [&](const std::string &what) {
    problem = what;
    return Verdict::wrong;
  };
  auto differentiated = parseSourceString<ModuleOp>(textOf(one), &context);
  PassManager passes(&context);
  passes.addPass(createDifferentiate());
  if (!differentiated || failed(passes.run(*differentiated)))
    return wrong("the case's text is no program with a gradient");
  flow::EntryOp entry;
  differentiated->walk([&](flow::EntryOp op) { entry = op; });
  flow::Bindings bindings;
  bindings.setting = {{one.domains, one.rows}, 0x123456789abc, 7};
  std::mt19937_64 random(seed);
  flow::bindRandom(entry, bindings, random, one.classes);
  auto expected = evaluateWithBounds(entry, bindings);
  if (!expected)
    return wrong("the evaluator does not know the case");
  std::optional<flow::Evaluation> first;
  for (int threads : {1, 2 + int(seed % 2)}) {
    auto module = parseSourceString<ModuleOp>(textOf(one), &context);
    const bool isGpu = std::holds_alternative<cuda::CudaTarget>(target);
    RunOptions options{isGpu                            ? "emulator:sm_90a"
                       : levelOf(target) == "x86-64-v3" ? "cpu:x86-64-v3"
                                                        : "cpu",
                       threads, true};
    auto found = runCompiled(*module, "e", bindings, options);
    if (!found)
      return wrong("the program was not compiled or run");
    if (first && !std::equal(first->outputs.begin(), first->outputs.end(), found->outputs.begin(),
                             [](auto &x, auto &y) { return x.second.data == y.second.data; }))
      return wrong(std::to_string(threads) + " threads gave other numbers than one");
    if (!first)
      first = std::move(found);
  }
  constexpr double kOtherOrder = 4;
  for (auto &[name, want] : *expected) {
    const flow::Array &have = first->outputs.at(name);
    double most = 0;
    for (double value : want.value.data)
      most = std::max(most, std::fabs(value));
    for (size_t i = 0; i < have.data.size(); ++i) {
      double bound = want.error.data.empty() ? 0 : want.error.data[i];
      bound = kOtherOrder * bound + 1e-6 * most + 1e-30;
      if (std::isfinite(bound) && !(std::fabs(have.data[i] - want.value.data[i]) <= bound)) {
        char text[200];
        snprintf(text, sizeof text, "output %s, element %zu of %zu: expected %.9g within %.3g, found %.9g",
                 name.c_str(), i, have.data.size(), want.value.data[i], bound, have.data[i]);
        return wrong(text);
      }
    }
  }
  return Verdict::right;
}

} // namespace moe::test
