// The walk over ops: which checks there are, and what `moec check-ops` prints. The checks of texts and compiled
// code are here, those of gradients in CheckGradients.cpp, of accesses in CheckAccesses.cpp and of costs in
// CheckCosts.cpp.
#include "frontends/check/CheckOps.h"
#include "dialects/moe/Env.h"
#include "dialects/moe/MoeDialect.h"
#include "frontends/check/BoundedCase.h"
#include "frontends/check/CheckCosts.h"
#include "frontends/check/Facts.h"
#include "frontends/check/RunCompiled.h"
#include "frontends/check/WriteCases.h"
#include "frontends/driver/Context.h"
#include "frontends/driver/Plugins.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "runtime/base/Failure.h"
#include "runtime/base/Nearest.h"
#include "runtime/base/Printable.h"
#include "runtime/base/Result.h"
#include "runtime/base/Within.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>

using namespace mlir;
using flow::Array;

namespace moe {
namespace {

std::string nameOf(Value input) { return input.getDefiningOp<flow::InputOp>().getName().str(); }

} // namespace

std::string exactText(double number) { return numberText(moert::withoutNanSign(number)); }

moert::Status checkVerifies(RegisteredOperationName name, uint64_t seed) {
  OpCase one = randomCase(name, seed);
  Value y = one.output("y");
  Operation *op = y ? y.getDefiningOp() : nullptr;
  if (!op || op->getName() != name)
    return moert::invalidInput("expected its result as the output 'y', found another value, of\n",
                               one.text());
  if (failed(mlir::verify(*one.module)))
    return moert::invalidInput("expected a case that verifies, found\n", one.text());
  if (auto reduction = dyn_cast<flow::ReductionInterface>(op))
    MOERT_TRY(checkAccumulators(reduction));
  MOERT_TRY(checkCost(one, op));
  auto found = one.evaluate();
  if (failed(found))
    return moert::invalidInput("expected a case that can be evaluated, found\n", one.text());
  for (OpResult value : op->getResults()) {
    const std::string output = flow::RandomCase::resultName(value.getResultNumber());
    auto shape = flow::shapeOf(value.getType(), one.bindings.setting.symbols);
    if (one.output(output) != value || !shape ||
        ArrayRef<int64_t>(found->outputs.at(output).shape) != ArrayRef(*shape))
      return moert::invalidInput("expected result ", value.getResultNumber(),
                                 " in its type's shape as the output '", output, "', found another, of\n",
                                 one.text());
  }
  return moert::okStatus();
}

moert::Status checkText(RegisteredOperationName name, uint64_t seed) {
  OpCase one = randomCase(name, seed);
  MLIRContext *context = one.module->getContext();
  const std::string text = one.text();
  auto printed = [](OwningOpRef<ModuleOp> module) {
    std::string again;
    llvm::raw_string_ostream stream(again);
    if (module)
      module->print(stream);
    return again;
  };
  if (std::string again = printed(parseSourceString<ModuleOp>(text, context)); again != text)
    return moert::invalidInput("expected its text to be read as what it was, found\n", again, "of\n", text);
  std::string bytecode;
  llvm::raw_string_ostream stream(bytecode);
  if (failed(writeBytecodeToFile(*one.module, stream)))
    return moert::invalidInput("expected it to be written as bytecode, found what is said above, of\n", text);
  if (std::string again = printed(parseSourceString<ModuleOp>(bytecode, context)); again != text)
    return moert::invalidInput("expected its bytecode to be read as what it was, found\n", again, "of\n",
                               text);
  return moert::okStatus();
}

// By the evaluator, before and after: only the meaning is compared, not how exact it is computed.
moert::Status checkParts(RegisteredOperationName name, uint64_t seed) {
  OpCase one = randomCase(name, seed);
  Operation *op = one.output("y").getDefiningOp();
  auto compute = cast<flow::ComputeInterface>(op);
  if (!compute.decomposes())
    return moert::okStatus();
  auto whole = one.evaluate();
  if (failed(whole))
    return moert::invalidInput("expected a case that can be evaluated, found\n", one.text());
  const std::string text = one.text();
  SmallVector<const Array *> operands;
  for (Value operand : op->getOperands())
    operands.push_back(&one.bindings.inputs.at(nameOf(operand)));
  SmallVector<Array> results;
  for (unsigned i = 0; i < op->getNumResults(); ++i)
    results.push_back(whole->outputs.at(flow::RandomCase::resultName(i)));
  const SmallVector<Array> magnitudes = cast<flow::TruthInterface>(op).magnitude(operands, results);
  OpBuilder builder(op);
  const SmallVector<Value> parts = compute.decompose(builder);
  if (parts.size() != op->getNumResults() || TypeRange(ValueRange(parts)) != op->getResultTypes())
    return moert::invalidInput("expected the results' types of its parts, found others, of\n", text);
  op->replaceAllUsesWith(parts);
  op->erase();
  auto found = failed(mlir::verify(*one.module)) ? FailureOr<flow::Evaluation>(failure()) : one.evaluate();
  if (failed(found))
    return moert::invalidInput("expected parts that can be evaluated, found\n", one.text());
  for (auto [i, result] : llvm::enumerate(results)) {
    const Array &y = found->outputs.at(flow::RandomCase::resultName(i));
    for (size_t k = 0; k < result.data.size(); ++k)
      if (!moert::within(y.data[k], result.data[k], 1e-12 * (1 + magnitudes[i].data[k])))
        return moert::invalidInput("expected ", flow::RandomCase::resultName(i), "[", k,
                                   "] of its parts to be ", exactText(result.data[k]), ", found ",
                                   exactText(y.data[k]), ", of\n", text);
  }
  return moert::okStatus();
}

moert::Result<BoundedCase> boundedCase(RegisteredOperationName name, uint64_t seed) {
  constexpr double epsilon = 0x1p-24;
  BoundedCase bounded{randomCase(name, seed), {}};
  OpCase &one = bounded.one;
  Operation *op = one.output("y").getDefiningOp();
  SmallVector<const Array *> operands;
  for (Value operand : op->getOperands())
    operands.push_back(&one.bindings.inputs.at(nameOf(operand)));
  auto evaluated = one.evaluate();
  if (failed(evaluated))
    return moert::invalidInput("expected a case that can be evaluated, found\n", one.text());
  SmallVector<Array> results;
  for (unsigned i = 0; i < op->getNumResults(); ++i)
    results.push_back(evaluated->outputs.at(flow::RandomCase::resultName(i)));
  auto truth = cast<flow::TruthInterface>(op);
  const double factor = truth.errorFactor();
  SmallVector<Array> magnitudes = truth.magnitude(operands, results);
  for (auto [i, result] : llvm::enumerate(results)) {
    const std::string output = flow::RandomCase::resultName(i);
    if (magnitudes[i].data.size() != result.data.size())
      return moert::invalidInput("expected ", result.data.size(), " magnitudes of '", output, "', found ",
                                 magnitudes[i].data.size(), ", of\n", one.text());
    for (double &magnitude : magnitudes[i].data)
      magnitude *= factor * epsilon;
    if (factor == 0 && flow::elementOf(op->getResult(i)).isF32()) // exact: the value itself, as f32 has it
      for (double &value : result.data)
        value = double(float(value));
    bounded.outputs.push_back({output, std::move(result), std::move(magnitudes[i])});
  }
  return bounded;
}

// Buffers are poisoned, and the cases' odd sizes leave tails everywhere.
moert::Status checkCompiled(RegisteredOperationName name, uint64_t seed) {
  for (const std::string &target : hostTargets()) {
    MOERT_ASSIGN(BoundedCase bounded, boundedCase(name, seed));
    const std::string text = bounded.one.text();
    auto program = compileModule(*bounded.one.module, {target});
    if (!program.ok())
      return moert::invalidInput("expected it to be compiled for ", target,
                                 ", found: ", program.status().message(), ", of\n", text);
    auto found = runEntry(*program, "main", bounded.one.bindings, {target});
    if (!found.ok())
      return moert::invalidInput("expected it to run on ", target, ", found: ", found.status().message(),
                                 ", of\n", text);
    for (const BoundedCase::Output &output : bounded.outputs) {
      const Array &y = found->outputs.at(output.name);
      if (y.data.size() != output.value.data.size())
        return moert::invalidInput("expected ", output.value.data.size(), " elements of '", output.name,
                                   "' on ", target, ", found ", y.data.size(), ", of\n", text);
      for (size_t i = 0; i < y.data.size(); ++i) {
        const double wanted = output.value.data[i], bound = output.bound.data[i];
        if (!moert::within(y.data[i], wanted, bound))
          return moert::invalidInput("expected ", output.name, "[", i, "] on ", target, " to be ",
                                     exactText(wanted), " within ", bound, ", found ", exactText(y.data[i]),
                                     ", of\n", text);
      }
    }
  }
  return moert::okStatus();
}

const std::vector<OpCheck> &opChecks() {
  static const std::vector<OpCheck> all = {{"case", 1, checkVerifies},
                                           {"text", 3, checkText},
                                           {"gradient", 1, checkGradient},
                                           {"second gradient", 2, checkSecondGradient},
                                           {"gradient behind a select", 2, checkSelected},
                                           {"accesses", 1, checkAccesses},
                                           {"parts", 1, checkParts},
                                           {"compiled code", 2, checkCompiled}};
  return all;
}

static moert::Status checkOp(RegisteredOperationName op, const CheckOpsOptions &options) {
  MOERT_TRY(checkFacts(op));
  for (const OpCheck &check : opChecks())
    for (unsigned i = 0; i < options.cases; i += check.every) {
      const uint64_t seed = options.seed + i;
      if (moert::Status status = check.run(op, seed); !status.ok())
        return std::move(status).in(
            moert::concat(op.getStringRef().str(), ", case ", seed, ", ", check.name));
    }
  return moert::okStatus();
}

/// The ops of a dialect that an author writes, in name order.
static std::vector<std::string> wordsOf(MLIRContext &context, StringRef dialect) {
  std::vector<std::string> words;
  for (RegisteredOperationName op : context.getRegisteredOperations())
    if (op.getDialectNamespace() == dialect && op.hasInterface<ExpandInterface>())
      words.push_back(op.getStringRef().str());
  llvm::sort(words);
  return words;
}

/// Says which of the dialects have no op that computes, so that their absence below is no surprise.
static void noteWhatIsNotChecked(MLIRContext &context, ArrayRef<std::string> dialects,
                                 ArrayRef<RegisteredOperationName> ops) {
  for (const std::string &dialect : dialects) {
    if (llvm::any_of(ops, [&](RegisteredOperationName op) { return op.getDialectNamespace() == dialect; }))
      continue;
    const std::vector<std::string> words = wordsOf(context, dialect);
    moert::print(stdout, moert::concat("note: dialect '", dialect,
                                       "' has no ops of the graph, so there is nothing to check",
                                       words.empty() ? "" : "; its words, which become other ops: ",
                                       llvm::join(words, ", "), "\n"));
  }
}

/// The dialects whose ops are checked.
static moert::Result<std::vector<std::string>> dialectsOf(MLIRContext &context,
                                                          const CheckOpsOptions &options) {
  std::vector<std::string> all;
  for (const LoadedPlugin &plugin : loadedPlugins())
    llvm::append_range(all, plugin.dialects);
  if (options.dialects.empty())
    return all;
  std::vector<std::string> known = all;
  for (RegisteredOperationName op : context.getRegisteredOperations())
    if (op.hasInterface<flow::ComputeInterface>() && !llvm::is_contained(known, op.getDialectNamespace()))
      known.push_back(op.getDialectNamespace().str());
  llvm::sort(known);
  for (const std::string &dialect : options.dialects)
    if (!llvm::is_contained(known, dialect))
      return moert::usageError("expected a dialect whose ops compute after --dialect, one of ",
                               llvm::join(known, ", "), "; found '", dialect, "'");
  return options.dialects;
}

/// The ops of the dialects that compute, or those of them that are named.
static moert::Result<std::vector<RegisteredOperationName>>
chosenOps(MLIRContext &context, ArrayRef<std::string> dialects, ArrayRef<std::string> names) {
  const std::vector<RegisteredOperationName> all = computingOps(context, dialects);
  if (names.empty())
    return all;
  std::vector<RegisteredOperationName> chosen;
  for (const std::string &name : names) {
    auto found = llvm::find_if(all, [&](RegisteredOperationName op) { return op.getStringRef() == name; });
    if (found == all.end()) {
      std::vector<std::string> known;
      for (RegisteredOperationName op : all)
        known.push_back(op.getStringRef().str());
      return moert::usageError("expected an op that computes after --op, such as ",
                               known.empty() ? "none" : known.front(), "; found '", name, "'",
                               moert::suggestion(name, known));
    }
    chosen.push_back(*found);
  }
  return chosen;
}

moert::Status checkOps(const CheckOpsOptions &options) {
  if (options.dialects.empty() && loadedPlugins().empty())
    return moert::usageError("expected a plugin after --load, or a dialect after --dialect, found neither");
  std::unique_ptr<MLIRContext> context = makeContext();
  context->loadAllAvailableDialects();
  MOERT_ASSIGN(const std::vector<std::string> dialects, dialectsOf(*context, options));
  MOERT_ASSIGN(const std::vector<RegisteredOperationName> ops, chosenOps(*context, dialects, options.ops));
  if (options.dialects.empty())
    for (const LoadedPlugin &plugin : loadedPlugins())
      if (plugin.dialects.empty())
        moert::print(stdout, "note: plugin '" + plugin.name +
                                 "' has no dialect, so there is nothing of its own to check; --dialect flow "
                                 "checks the project's ops, on its targets too\n");
  noteWhatIsNotChecked(*context, dialects, ops);
  if (!options.write.empty())
    return writeCases(ops, options);
  size_t wrong = 0;
  for (RegisteredOperationName op : ops) {
    if (moert::Status status = checkOp(op, options); !status.ok()) {
      moert::printFailure("moec", status);
      ++wrong;
    } else {
      moert::print(stdout, moert::concat(op.getStringRef().str(), ": ", options.cases, " cases agree\n"));
    }
  }
  if (wrong)
    return moert::invalidInput("expected all ", ops.size(), " ops to agree with their evaluators, found ",
                               wrong, " that do not; --seed S --cases 1 runs one case alone");
  return moert::okStatus();
}

} // namespace moe
