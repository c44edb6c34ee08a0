// Runs a case; see ShapeCheck.h.
#include "test/fuzz/shapes/ShapeCheck.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "test/fuzz/shapes/ShapeBounds.h"
#include "test/numerics/GroupEntry.h"
#include <cmath>
#include <cstring>

using namespace mlir;

namespace moe::test {
namespace {

constexpr uint64_t kSeed = 0x123456789abc;
constexpr int kStep = 7;

class Checker {
public:
  Checker(const ShapeCase &one, const Machine &target, uint32_t seed, std::string &problem)
      : one(one), target(target), seed(seed), problem(problem) {}

  Verdict run(MLIRContext &context) {
    auto module = parseSourceString<ModuleOp>(textOf(one), &context);
    if (!module)
      return wrong("the case's text is no program");
    module->walk([&](flow::EntryOp op) { entry = op; });
    bindings.setting = {{one.domains, one.rows}, kSeed, kStep};
    std::mt19937_64 random(seed);
    flow::bindRandom(entry, bindings, random, one.classes);
    for (const auto &[name, numbers] : one.given)
      bindings.inputs.at(name).data = numbers;
    auto expected = evaluateWithBounds(entry, bindings);
    if (!expected)
      return wrong("the evaluator does not know the case");
    std::map<std::string, double> numbers{{"seed", double(kSeed)}, {"step", kStep}};
    entry.walk([&](flow::ScalarOp op) { numbers[op.getKey().str()] = op.getFallback().convertToDouble(); });
    groupAll(entry);
    if (failed(verify(*module)))
      return wrong("the case's group is not valid");
    module->walk([&](flow::GroupOp op) { group = op; });
    for (Value value : group.getInputs())
      layouts.operands.push_back(layoutOf(nameOf(value), value));
    layouts.results.resize(group.getNumResults());
    for (flow::OutputOp output : entry.getBody().getOps<flow::OutputOp>())
      layouts.results[resultOf(output)] = layoutOf(output.getName(), output.getX());
    if (one.mayRefuse && !isOneKernel(group, layouts, target))
      return Verdict::refused;

    GroupRunner compiled(group, target, one.domains, one.rows, layouts, numbers);
    runner = &compiled;
    if (!compiled.ok())
      return wrong("the group was not compiled");
    for (unsigned i = 0; i < group.getInputs().size(); ++i)
      bind(i);
    compiled.run();
    if (!compiled.finding().empty())
      return wrong(compiled.finding());
    for (flow::OutputOp output : entry.getBody().getOps<flow::OutputOp>())
      if (!agrees(output, expected->at(output.getName().str())))
        return Verdict::wrong;
    for (unsigned i = 0; i < group.getNumResults(); ++i)
      once.push_back(bytesOf(compiled.result(i)));
    // Other numbers in what is written, so that what hides behind a maximum with NaN is seen.
    for (auto [cut, threads, poison] : {std::tuple{1u, 1u, 0xff}, {2u, 2 + seed % 2, 0x3c}}) {
      poisonAll(poison);
      compiled.run(seed * 2 + cut, threads, poison);
      if (!compiled.finding().empty())
        return wrong(compiled.finding());
      if (!sameBytes("another cut of the units gave other bytes"))
        return Verdict::wrong;
    }
    if (Verdict verdict = checkPlaces(); verdict != Verdict::right)
      return verdict;
    if (Verdict verdict = checkOverlaps(); verdict != Verdict::right)
      return verdict;
    for (unsigned i = 0; i < group.getInputs().size(); ++i)
      if (bytesOf(compiled.operand(i)) != given[i])
        return wrong("operand " + std::to_string(i) + " was written");
    return compiled.intact() ? Verdict::right : wrong("something beside the buffers was written");
  }

private:
  Verdict wrong(const std::string &what) {
    problem = what;
    return Verdict::wrong;
  }
  static StringRef nameOf(Value value) {
    if (auto input = value.getDefiningOp<flow::InputOp>())
      return input.getName();
    return value.getDefiningOp<flow::ParameterOp>().getPath();
  }
  static Type elementOf(Value value) { return cast<RankedTensorType>(value.getType()).getElementType(); }
  static unsigned resultOf(flow::OutputOp output) { return cast<OpResult>(output.getX()).getResultNumber(); }
  cpu::Layout layoutOf(StringRef name, Value value) {
    bool last = one.imagesLast.count(name.str()) && cast<RankedTensorType>(value.getType()).getRank() == 4;
    return last ? cpu::Layout{0, 2, 3, 1} : cpu::Layout();
  }
  std::vector<int64_t> orderOf(Value value, const cpu::Layout &layout) {
    return physicalOrder(*flow::shapeOf(value.getType(), bindings.setting.symbols), layout);
  }
  static std::vector<char> bytesOf(const Memory &memory) {
    const char *data = static_cast<const char *>(memory.data);
    return {data, data + memory.bytes};
  }

  void bind(unsigned i) {
    Value value = group.getInputs()[i];
    auto &from = value.getDefiningOp<flow::InputOp>() ? bindings.inputs : bindings.states;
    fill(runner->operand(i), elementOf(value), from.at(nameOf(value).str()),
         orderOf(value, layouts.operand(i)));
    given.push_back(bytesOf(runner->operand(i)));
  }

  bool agrees(flow::OutputOp output, const BoundedValue &expected) {
    unsigned result = resultOf(output);
    Type element = elementOf(output.getX());
    std::vector<int64_t> order = orderOf(output.getX(), layouts.result(result));
    for (size_t i = 0; i < order.size(); ++i) {
      double found = read(runner->result(result), element, i), wanted = expected.value.data[order[i]];
      double bound = expected.error.data.empty() ? 0 : expected.error.data[order[i]];
      if (element.isF32() && bound == 0)
        wanted = double(float(wanted));
      bool same = found == wanted || (std::isnan(found) && std::isnan(wanted)) || std::isinf(bound) ||
                  std::isnan(bound);
      // What f32 cannot hold as a normal number may become 0.
      if (same || std::fabs(found - wanted) <= bound + 1e-37)
        continue;
      char text[200];
      snprintf(text, sizeof text, "output %s, element %lld of %zu: expected %.9g within %.3g, found %.9g",
               output.getName().str().c_str(), (long long)order[i], order.size(), wanted, bound, found);
      problem = text;
      return false;
    }
    return true;
  }

  void poisonAll(int poison) {
    for (unsigned i = 0; i < group.getNumResults(); ++i)
      std::memset(runner->result(i).data, poison, runner->result(i).bytes);
    for (size_t i = 0; i < runner->temporaryCount(); ++i)
      std::memset(runner->temporary(i).data, poison, runner->temporary(i).bytes);
  }

  bool sameBytes(const std::string &otherwise) {
    for (unsigned i = 0; i < group.getNumResults(); ++i)
      if (bytesOf(runner->result(i)) != once[i]) {
        problem = otherwise;
        return false;
      }
    return true;
  }

  /// Results that may lie over an operand.
  Verdict checkPlaces() {
    for (auto [result, operand] : runner->inPlace()) {
      runner->place(result, operand);
      runner->run(seed | 1);
      if (!runner->finding().empty())
        return wrong(runner->finding());
      bool same = bytesOf(runner->operand(operand)) == once[result];
      std::memcpy(runner->operand(operand).data, given[operand].data(), given[operand].size());
      runner->placeApart();
      if (!same)
        return wrong("result " + std::to_string(result) + " over operand " + std::to_string(operand) +
                     " gave other bytes");
    }
    return Verdict::right;
  }

  Memory &memoryAt(void *data) {
    for (unsigned i = 0; i < group.getNumResults(); ++i)
      if (runner->result(i).data == data)
        return runner->result(i);
    for (unsigned i = 0; i < group.getInputs().size(); ++i)
      if (runner->operand(i).data == data)
        return runner->operand(i);
    for (size_t i = 0;; ++i)
      if (runner->temporary(i).data == data)
        return runner->temporary(i);
  }

  /// What two ranges of units write is apart, byte for byte: a load and a store of what another thread writes
  /// would be a race, though both stored the same.
  Verdict checkOverlaps() {
    if (std::holds_alternative<cuda::CudaTarget>(target)) // checked by the emulator
      return Verdict::right;
    Memory scratch(runner->scratchBytes());
    for (const BoundLaunch &launch : runner->launches()) {
      std::set<void *> written;
      for (size_t i = 0; i < launch.buffers.size(); ++i)
        if (launch.writes[i])
          written.insert(launch.buffers[i]);
      std::map<void *, std::vector<bool>> taken;
      const int64_t ranges = std::min<int64_t>(launch.units, 3);
      for (int64_t range = 0; range < ranges; ++range) {
        int64_t begin = launch.units * range / ranges, end = launch.units * (range + 1) / ranges;
        std::map<void *, std::vector<bool>> own;
        for (int poison : {0xff, 0}) {
          for (void *data : written)
            std::memset(data, poison, memoryAt(data).bytes);
          std::memset(scratch.data, 0xff, scratch.bytes);
          launch.run(begin, end, scratch.data);
          for (void *data : written) {
            std::vector<bool> &bytes = own[data];
            bytes.resize(memoryAt(data).bytes);
            for (size_t i = 0; i < bytes.size(); ++i)
              if (static_cast<unsigned char *>(data)[i] != poison)
                bytes[i] = true;
          }
        }
        for (void *data : written) {
          std::vector<bool> &before = taken[data], &now = own[data];
          before.resize(now.size());
          for (size_t i = 0; i < now.size(); ++i) {
            if (now[i] && before[i])
              return wrong("two ranges of units of '" + launch.kind + "' write byte " + std::to_string(i) +
                           " of one buffer");
            before[i] = before[i] || now[i];
          }
        }
      }
      // Complete again, for the next launch.
      launch.run(0, launch.units, scratch.data);
    }
    return sameBytes("a run by launches gave other bytes") ? Verdict::right : Verdict::wrong;
  }

  const ShapeCase &one;
  const Machine &target;
  const uint32_t seed;
  std::string &problem;
  flow::EntryOp entry;
  flow::GroupOp group;
  flow::Bindings bindings;
  cpu::GroupLayouts layouts;
  GroupRunner *runner = nullptr;
  std::vector<std::vector<char>> given, once;
};

} // namespace

std::string textOf(const ShapeCase &one) {
  return "flow.program @t attributes {config = {precision = \"" + one.precision +
         "\"}} {\n  flow.entry @e infer {\n" + one.body + "  }\n}\n";
}

Verdict checkCase(const ShapeCase &one, const Machine &target, uint32_t seed, MLIRContext &context,
                  std::string &problem) {
  if (one.kind == "program")
    return checkProgram(one, target, seed, context, problem);
  return Checker(one, target, seed, problem).run(context);
}

} // namespace moe::test
