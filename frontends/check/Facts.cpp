#include "frontends/check/Facts.h"
#include "dialects/flow/Flow.h"
#include "dialects/moe/MoeDialect.h"
#include "frontends/check/OpCase.h"
#include "mlir/Support/DebugStringHelper.h"

using namespace mlir;
using flow::ComputeKind;

namespace moe {
namespace {

/// An interface of FlowInterfaces.td, and what it says of an op.
struct Fact {
  StringRef interface, meaning;
  bool stated;
};

SmallVector<Fact> factsOf(RegisteredOperationName name) {
  return {{"GradientInterface", "gradient", name.hasInterface<flow::GradientInterface>()},
          {"ComputeInterface", "computation", name.hasInterface<flow::ComputeInterface>()},
          {"EvaluateInterface", "evaluator", name.hasInterface<flow::EvaluateInterface>()},
          {"CostInterface", "cost", name.hasInterface<flow::CostInterface>()},
          {"TruthInterface", "random cases", name.hasInterface<flow::TruthInterface>()}};
}

} // namespace

// Loop kernels keep accumulators in memory between the parts of a reduction. To each that is a sum of reals
// they add an error term, which starts as the accumulator does.
moert::Status checkAccumulators(flow::ReductionInterface reduction) {
  const std::string op = "op '" + reduction->getName().getStringRef().str() + "'";
  const SmallVector<flow::Accumulator> all = reduction.accumulators();
  if (all.empty())
    return moert::invalidInput("expected ", op, ", a reduction, to have accumulators, found none");
  for (auto [i, accumulator] : llvm::enumerate(all)) {
    Type element = accumulator.element;
    if (!element || !(element.isF32() || element.isSignlessInteger(32) || element.isSignlessInteger(1)))
      return moert::invalidInput("expected accumulator ", i, " of ", op, " to be f32, i32 or i1, found ",
                                 element ? debugString(element) : "no type");
    if (!reduction.sumsReals())
      continue;
    if (!element.isF32() || accumulator.start != 0)
      return moert::invalidInput("expected accumulator ", i, " of ", op,
                                 ", which sums reals, to be f32 and to start at 0, found ",
                                 debugString(element), " that starts at ", accumulator.start);
  }
  return moert::okStatus();
}

moert::Status checkFacts(RegisteredOperationName name) {
  const std::string op = "op '" + name.getStringRef().str() + "'";
  const SmallVector<Fact> facts = factsOf(name);
  const bool isBoundary = name.hasTrait<flow::Boundary>(), isWord = name.hasInterface<ExpandInterface>();
  if (isBoundary || (isWord && llvm::none_of(facts, [](const Fact &fact) { return fact.stated; }))) {
    for (const Fact &fact : facts)
      if (fact.stated)
        return moert::invalidInput("expected ", op, ", which is a boundary, to compute nothing, found its ",
                                   fact.meaning.str(), " (flow::", fact.interface.str(), ")");
    return moert::okStatus();
  }
  for (const Fact &fact : facts)
    if (!fact.stated)
      return moert::invalidInput("expected every fact of ", op, ", found no ", fact.meaning.str(),
                                 " (flow::", fact.interface.str(), ")");
  OpCase one = randomCase(name, 0);
  Value y = one.output("y");
  Operation *made = y ? y.getDefiningOp() : nullptr;
  if (!made || made->getName() != name)
    return moert::invalidInput("expected a random case of ", op,
                               " to have its result as the output 'y', found none");
  const ComputeKind kind = cast<flow::ComputeInterface>(made).computeKind();
  const bool isReduction = name.hasInterface<flow::ReductionInterface>(),
             isElementwise = name.hasTrait<flow::Elementwise>();
  if (isReduction != (kind == ComputeKind::reduction))
    return moert::invalidInput("expected ", op,
                               isReduction ? " to be a reduction, found another computation"
                                           : ", a reduction, to have accumulators, found none",
                               " (flow::ReductionInterface)");
  if (isReduction)
    MOERT_TRY(checkAccumulators(cast<flow::ReductionInterface>(made)));
  if (isElementwise != (kind == ComputeKind::elementwise))
    return moert::invalidInput("expected ", op,
                               isElementwise
                                   ? ", which has the trait Flow_Elementwise, to be elementwise, found "
                                     "another computation"
                                   : ", which is elementwise, to have the trait Flow_Elementwise in its td "
                                     "file, found none: write [Flow_Elementwise, ...] as the traits of its "
                                     "Flow_ComputeOp");
  if (kind == ComputeKind::emitter && name.getDialectNamespace() != "flow")
    return moert::invalidInput("expected ", op,
                               " to be computed by loops or by other ops, found an emitter, which is a "
                               "target's own");
  return moert::okStatus();
}

} // namespace moe
