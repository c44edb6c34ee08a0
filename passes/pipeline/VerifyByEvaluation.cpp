// Each input and state is bound by name to numbers from a fixed seed, so an entry is given the same numbers
// even if a pass reorders or erases inputs. A value that depends on a flow.grad is compared from
// differentiation on.
#include "passes/pipeline/VerifyByEvaluation.h"
#include "dialects/flow/Build.h"
#include "mlir/Pass/Pass.h"
#include <cmath>

using namespace mlir;

namespace moe {
namespace {

/// Folding rounds constants to f32, and values computed from them may differ by a little more: `tolerance`,
/// relative to the largest element. If all terms cancel, only the rounding of f64 remains: `nothing`.
constexpr double tolerance = 1e-5, nothing = 1e-12;

/// The first element that differs by more than the tolerance of the largest one.
std::optional<size_t> difference(const flow::Array &before, const flow::Array &after) {
  double scale = 0;
  for (double value : before.data)
    if (std::isfinite(value))
      scale = std::max(scale, std::fabs(value));
  for (size_t i = 0; i < before.data.size(); ++i) {
    double a = before.data[i], b = after.data[i];
    if (a == b || (std::isnan(a) && std::isnan(b)))
      continue;
    if (!(std::fabs(a - b) <= tolerance * scale + nothing))
      return i;
  }
  return std::nullopt;
}

/// While it lives, what can be skipped is 0 where it is not live, as kernels may take it: so results show a wrong mark.
class SkippedAsZeros {
public:
  explicit SkippedAsZeros(flow::EntryOp entry) {
    entry.walk([&](flow::SkippableOp op) {
      OpBuilder b(op);
      Value x = op.getX(), zero = flow::constant(b, op.getLoc(), 0.0, x.getType());
      Value taken = flow::select(b, op.getLoc(), op.getLive(), x, zero);
      op.getXMutable().assign(taken);
      marks.push_back({op, x, {taken.getDefiningOp(), zero.getDefiningOp()}});
    });
  }
  ~SkippedAsZeros() {
    for (Mark &mark : marks) {
      mark.op.getXMutable().assign(mark.x);
      for (Operation *made : mark.made)
        made->erase();
    }
  }

private:
  struct Mark {
    flow::SkippableOp op;
    Value x;
    SmallVector<Operation *, 2> made;
  };
  SmallVector<Mark> marks;
};

class Instrumentation : public PassInstrumentation {
public:
  explicit Instrumentation(EntryValues &values) : values(values) {}
  void runBeforePass(Pass *pass, Operation *op) override {
    if (!pass->getArgument().empty() && !started) {
      started = true;
      (void)values.check(rootOf(op), "before");
    }
  }
  void runAfterPass(Pass *pass, Operation *op) override {
    if (!pass->getArgument().empty()) // skips MLIR's adaptors, which only contain other passes
      (void)values.check(rootOf(op), pass->getArgument());
  }

private:
  static Operation *rootOf(Operation *op) {
    while (op->getParentOp())
      op = op->getParentOp();
    return op;
  }
  EntryValues &values;
  bool started = false;
};

} // namespace

EntryValues::EntryValues(std::vector<flow::Symbols> batches, uint64_t seed)
    : batches(std::move(batches)), seed(seed) {}

LogicalResult EntryValues::compare(flow::EntryOp entry, StringRef what, const flow::Bindings &bindings,
                                   const std::map<std::string, flow::Array> &before,
                                   const std::map<std::string, flow::Array> &after, StringRef culprit) {
  LogicalResult ok = success();
  for (auto &[name, value] : before) {
    auto found = after.find(name);
    const flow::Array *now = found != after.end() ? &found->second : nullptr;
    if (!now && what == "state") { // a state without an assignment keeps its value
      auto old = bindings.states.find(name);
      now = old != bindings.states.end() ? &old->second : nullptr;
    }
    auto complain = [&]() -> InFlightDiagnostic {
      ok = failure();
      auto target = entry->getParentOfType<flow::TargetOp>();
      return entry.emitError() << "pass '" << culprit << "' changed " << what << " '" << name
                               << "' of entry '" << entry.getSymName() << "'"
                               << (target ? (" of the target '" + target.getName() + "'").str() : "")
                               << " for " << bindings.setting.symbols.D << " x " << bindings.setting.symbols.N
                               << " rows: ";
    };
    if (!now) {
      complain() << "expected it to stay, found it gone";
      continue;
    }
    if (now->shape != value.shape) {
      complain() << "expected " << value.data.size() << " elements, found " << now->data.size();
      continue;
    }
    ++compared;
    if (auto at = difference(value, *now))
      complain() << "expected " << value.data[*at] << " at element " << *at << ", found " << now->data[*at];
  }
  return ok;
}

LogicalResult EntryValues::check(flow::EntryOp entry, const flow::Symbols &symbols, flow::Evaluation &known,
                                 bool isKnown, StringRef culprit) {
  flow::Bindings bindings;
  bindings.setting = {symbols, seed, 3};
  bindings.progress = 0.25;
  int64_t classes = 2;
  if (auto config = entry->getParentOfType<flow::ProgramOp>()->getAttrOfType<DictionaryAttr>("config"))
    if (auto given = config.getAs<StringAttr>("classes"))
      (void)given.getValue().getAsInteger(10, classes);
  std::mt19937_64 random(seed);
  flow::bindRandom(entry, bindings, random, classes);
  const SkippedAsZeros zeros(entry);
  auto now = flow::evaluate(entry, bindings);
  if (llvm::failed(now))
    return failure();
  LogicalResult ok = success();
  if (isKnown) {
    auto outputs = compare(entry, "output", bindings, known.outputs, now->outputs, culprit);
    auto states = compare(entry, "state", bindings, known.assigned, now->assigned, culprit);
    ok = success(succeeded(outputs) && succeeded(states));
  }
  known = std::move(*now);
  return ok;
}

LogicalResult EntryValues::check(Operation *root, StringRef culprit) {
  LogicalResult ok = success();
  root->walk([&](flow::EntryOp entry) {
    auto [place, fresh] = known.try_emplace(entry.getSymName().str(), batches.size());
    // A difference is reported for the first batch only; the values of all batches are kept for the next
    // pass.
    LogicalResult entryOk = success();
    for (auto [symbols, values] : llvm::zip_equal(batches, place->second))
      if (llvm::failed(check(entry, symbols, values, !fresh && succeeded(entryOk), culprit)))
        entryOk = failure();
    if (llvm::failed(entryOk))
      ok = failure();
  });
  anyFailed |= llvm::failed(ok);
  return ok;
}

std::unique_ptr<PassInstrumentation> verifyByEvaluation(EntryValues &values) {
  return std::make_unique<Instrumentation>(values);
}

} // namespace moe
