// Runs all evaluations side by side, op by op; see Noise.h.
#include "test/fuzz/models/Noise.h"
#include "dialects/flow/Build.h"
#include "test/fuzz/RoundedTerms.h"
#include <algorithm>
#include <cmath>

using namespace mlir;

namespace moe::test {
namespace {

constexpr double kEpsilon = 0x1p-24;
/// The first run is exact. With six others the noise is less than a quarter of what it should be for one result in a
/// thousand; with 64, for none.
constexpr unsigned kRuns = 7, kManyRuns = 65;
/// A result may be so many times its noise away. The noise of one op alone is its stated bound divided by this, so
/// that one op is held to its own bound, and many to what independent errors add up to.
constexpr double kTimes = 12;
/// A choice is undecided if its operands are nearer than so many times the farthest movement.
constexpr double kNear = 16;

using Values = std::vector<flow::Array>; // one a run

class NoisyWalker {
public:
  NoisyWalker(const flow::Bindings &bindings, uint64_t seed, unsigned runs)
      : bindings(bindings), random(seed), runs(runs) {}
  NoisyEvaluation out;

  LogicalResult run(flow::EntryOp entry) {
    for (Operation &op : entry.getBody().front()) {
      if (auto input = dyn_cast<flow::InputOp>(op))
        same(input.getY(), bindings.inputs.at(input.getName().str()));
      else if (auto parameter = dyn_cast<flow::ParameterOp>(op))
        same(parameter.getY(), bindings.states.at(parameter.getPath().str()));
      else if (auto state = dyn_cast<flow::StateOp>(op))
        same(state.getY(), bindings.states.at(state.getPath().str()));
      else if (auto scalar = dyn_cast<flow::ScalarOp>(op))
        same(scalar.getY(), flow::Array(ArrayRef<int64_t>(), double(float(numberOf(scalar)))));
      else if (auto output = dyn_cast<flow::OutputOp>(op))
        out.outputs[output.getName().str()] = measured(output.getX());
      else if (auto expose = dyn_cast<flow::ExposeOp>(op))
        out.exposed[expose.getName().str()] = measured(expose.getX());
      else if (auto assign = dyn_cast<flow::AssignOp>(op))
        out.assigned[assign.getPath().str()] = measured(assign.getX());
      else if (failed(compute(&op)))
        return failure();
    }
    return success();
  }

private:
  void same(Value value, const flow::Array &array) { values[value] = Values(runs, array); }

  double numberOf(flow::ScalarOp op) {
    if (op.getKind() == flow::ScalarKind::step)
      return bindings.setting.step;
    if (op.getKind() == flow::ScalarKind::progress)
      return bindings.progress;
    auto found = bindings.scalars.find(op.getKey().str());
    return found != bindings.scalars.end() ? found->second : op.getFallback().convertToDouble();
  }

  LogicalResult compute(Operation *op) {
    auto evaluates = dyn_cast<flow::EvaluateInterface>(op);
    auto truth = dyn_cast<flow::TruthInterface>(op);
    SmallVector<flow::Array> empty;
    for (Type type : op->getResultTypes())
      if (auto shape = flow::shapeOf(type, bindings.setting.symbols))
        empty.emplace_back(*shape);
    if (!evaluates || !truth || empty.size() != op->getNumResults())
      return op->emitError("expected an op that computes, of a known shape");
    if (out.undecided.empty() && !decided(op))
      out.undecided = op->getName().getStringRef().str();
    const double factor = std::max(1.0, truth.errorFactor() * std::sqrt(3.0) / kTimes) * kEpsilon;
    SmallVector<Values> all(op->getNumResults());
    for (unsigned run = 0; run < runs; ++run) {
      SmallVector<const flow::Array *> operands;
      for (Value operand : op->getOperands())
        operands.push_back(&values.at(operand)[run]);
      SmallVector<flow::Array> results = empty;
      evaluates.evaluate(operands, results, bindings.setting);
      SmallVector<flow::Array> magnitudes;
      if (run && truth.errorFactor())
        magnitudes = truth.magnitude(operands, results);
      for (auto [number, result] : llvm::enumerate(results)) {
        if (isa<flow::ConstantOp, flow::ExtentOp>(op))
          for (double &value : result.data)
            value = double(float(value));
        if (!magnitudes.empty()) {
          const flow::Array terms = roundedTerms(op, magnitudes[number]);
          for (size_t i = 0; i < result.data.size(); ++i)
            if (std::isfinite(result.data[i]))
              result.data[i] += factor * terms.data[i] * (double(random() >> 11) * 0x1p-52 - 1);
        }
        if (run)
          inRange(op, all[number][0], result);
        all[number].push_back(std::move(result));
      }
    }
    for (auto [value, result] : llvm::zip_equal(op->getResults(), all))
      values[value] = std::move(result);
    return success();
  }

  /// Cuts values to what f32 holds: the smallest are 0, the largest infinite.
  void inRange(Operation *op, const flow::Array &exact, flow::Array &result) {
    for (size_t i = 0; i < result.data.size(); ++i) {
      double &value = result.data[i];
      if (std::fabs(value) < 0x1p-126)
        value = 0;
      else if (std::fabs(value) >= 0x1p128)
        value = std::copysign(INFINITY, value);
      if (!std::isfinite(value) && std::isfinite(exact.data[i]) && out.undecided.empty())
        out.undecided = op->getName().getStringRef().str() + " beyond the range of f32";
    }
  }

  /// Whether rounding leaves what the op chooses as it is.
  bool decided(Operation *op) {
    if (isa<flow::ReluOp, flow::AbsOp>(op))
      return apart(values.at(op->getOperand(0)), nullptr);
    if (auto compare = dyn_cast<flow::CompareOp>(op))
      return apart(values.at(compare.getA()), &values.at(compare.getB()));
    if (auto convert = dyn_cast<flow::ConvertOp>(op); convert && flow::elementOf(convert.getX()).isF32())
      return apart(values.at(convert.getX()), nullptr);
    if (auto argmax = dyn_cast<flow::ArgmaxOp>(op))
      return largestIsApart(values.at(argmax.getX()), argmax.getAxis());
    return true;
  }
  /// Of b, or of 0. Differences that are the same in each run are not rounding's.
  bool apart(const Values &a, const Values *b) const {
    for (size_t i = 0; i < a[0].data.size(); ++i) {
      auto difference = [&](unsigned run) { return a[run].data[i] - (b ? (*b)[run].data[i] : 0); };
      double farthest = 0;
      for (unsigned run = 1; run < runs; ++run)
        farthest = std::max(farthest, std::fabs(difference(run) - difference(0)));
      if (farthest > 0 && std::fabs(difference(0)) <= kNear * farthest)
        return false;
    }
    return true;
  }
  bool largestIsApart(const Values &x, int64_t axis) const {
    int64_t count = x[0].shape[axis], inner = 1;
    for (size_t next = axis + 1; next < x[0].shape.size(); ++next)
      inner *= x[0].shape[next];
    for (int64_t i = 0; i < x[0].size() / count; ++i) {
      int64_t base = i / inner * count * inner + i % inner, best = base;
      for (int64_t k = 0; k < count; ++k)
        if (x[0].data[base + k * inner] > x[0].data[best])
          best = base + k * inner;
      for (int64_t k = 0; k < count; ++k) {
        double farthest = 0, gap = x[0].data[best] - x[0].data[base + k * inner];
        for (unsigned run = 1; run < runs; ++run)
          farthest = std::max(farthest, std::fabs(x[run].data[best] - x[run].data[base + k * inner] - gap));
        if (farthest > 0 && gap <= kNear * farthest)
          return false;
      }
    }
    return true;
  }

  NoisyValue measured(Value value) {
    const Values &all = values.at(value);
    NoisyValue result{all[0], flow::Array(all[0].shape)};
    for (size_t i = 0; i < result.noise.data.size(); ++i) {
      double squares = 0;
      for (unsigned run = 1; run < runs; ++run) {
        const double one = all[run].data[i], exact = all[0].data[i];
        const bool same = one == exact || (std::isnan(one) && std::isnan(exact));
        const double moved = same ? 0 : one - exact;
        squares += moved * moved;
      }
      result.noise.data[i] = std::sqrt(squares / (runs - 1));
    }
    return result;
  }

  const flow::Bindings &bindings;
  std::mt19937_64 random;
  const unsigned runs;
  llvm::DenseMap<Value, Values> values;
};

std::optional<NoisyEvaluation> evaluateWithNoise(flow::EntryOp entry, const flow::Bindings &bindings,
                                                 uint64_t seed, unsigned runs) {
  NoisyWalker walker(bindings, seed, runs);
  if (failed(walker.run(entry)))
    return std::nullopt;
  return std::move(walker.out);
}

std::string firstDisagreement(const NoisyEvaluation &expected, const flow::Evaluation &found) {
  auto among = [](const char *kind, const std::map<std::string, NoisyValue> &values,
                  const std::map<std::string, flow::Array> &results) {
    for (auto &[name, value] : values) {
      const std::string title = kind + name;
      auto result = results.find(name);
      std::string text =
          result == results.end() ? title + " is missing" : disagreement(title, value, result->second);
      if (!text.empty())
        return text;
    }
    return std::string();
  };
  std::string text = among("output ", expected.outputs, found.outputs);
  return text.empty() ? among("state ", expected.assigned, found.assigned) : text;
}

} // namespace

std::optional<NoisyEvaluation> evaluateWithNoise(flow::EntryOp entry, const flow::Bindings &bindings,
                                                 uint64_t seed) {
  return evaluateWithNoise(entry, bindings, seed, kRuns);
}

std::string disagreement(flow::EntryOp entry, const flow::Bindings &bindings, uint64_t seed,
                         const NoisyEvaluation &expected, const flow::Evaluation &found) {
  std::string text = firstDisagreement(expected, found);
  if (text.empty())
    return text;
  auto many = evaluateWithNoise(entry, bindings, seed, kManyRuns);
  return many ? firstDisagreement(*many, found) : text;
}

std::string disagreement(const std::string &name, const NoisyValue &expected, const flow::Array &found) {
  if (expected.value.shape != found.shape)
    return name + " has another shape than the evaluator's";
  // A few runs may leave one element unmoved by chance, but not half of all.
  std::vector<double> sorted;
  for (double noise : expected.noise.data)
    if (std::isfinite(noise))
      sorted.push_back(noise);
  std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
  const double median = sorted.empty() ? 0 : sorted[sorted.size() / 2];
  double worst = 1;
  std::string text;
  for (size_t i = 0; i < found.data.size(); ++i) {
    const double want = expected.value.data[i], have = found.data[i], noise = expected.noise.data[i];
    if (want == have || (std::isnan(want) && std::isnan(have)))
      continue;
    // What is finite in one run and not in another may be either.
    if (!std::isfinite(noise))
      continue;
    // The last rounding is the result's own; what f32 cannot hold as a normal number may become 0.
    const double bound = kTimes * std::max(noise, median) + 2 * kEpsilon * std::fabs(want) + 1e-37;
    const bool finite = std::isfinite(want) && std::isfinite(have);
    const double times = finite ? std::fabs(have - want) / bound : INFINITY;
    if (times <= worst)
      continue;
    worst = times;
    char line[256];
    snprintf(line, sizeof line, "%s, element %zu of %zu: expected %.9g within %.3g, found %.9g", name.c_str(),
             i, found.data.size(), want, bound, have);
    text = line;
  }
  return text;
}

} // namespace moe::test
