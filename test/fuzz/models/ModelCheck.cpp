// Compiles and runs a model; see ModelCheck.h.
#include "test/fuzz/models/ModelCheck.h"
#include "dialects/flow/BatchHint.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "passes/pipeline/Pipeline.h"
#include "passes/training/Training.h"
#include "test/fuzz/models/Noise.h"
#include "test/unit/RunCompiled.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"
#include <cmath>

using namespace mlir;

namespace moe::test {
namespace {

/// How often values are drawn again where rounding may turn a choice.
constexpr int kDraws = 6;

class Checker {
public:
  Checker(const ModelCase &one, const ModelOptions &options, MLIRContext &context, std::string &problem)
      : one(one), options(options), context(context), problem(problem), random(options.seed) {}

  ModelVerdict run() {
    std::string said;
    ScopedDiagnosticHandler quiet(&context, [&](Diagnostic &diagnostic) {
      if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
        llvm::raw_string_ostream(said) << diagnostic.getLocation() << ": " << diagnostic << "\n";
      return success();
    });
    elaborated = parseSourceString<ModuleOp>(one.text, &context);
    PipelineOptions pipeline;
    pipeline.optimizer = one.optimizer;
    pipeline.gradients = true;
    pipeline.batchHint = hint();
    pipeline.to = Phase::elaborate;
    if (!elaborated || failed(runPipeline(*elaborated, pipeline)))
      return wrong("the text was refused: " + said);
    if (options.verifyByEvaluation) {
      auto again = parseSourceString<ModuleOp>(one.text, &context);
      pipeline.to = Phase::fuse;
      pipeline.verifyByEvaluation = true;
      if (failed(runPipeline(*again, pipeline)))
        return wrong("a pass changed the model: " + said);
    }
    truth = OwningOpRef<ModuleOp>(elaborated->clone());
    PassManager passes(&context);
    passes.addPass(createDifferentiate());
    if (failed(passes.run(*truth)))
      return wrong("not differentiated: " + said);
    program = compileProgram(*elaborated, {options.target});
    if (!program)
      return wrong("not compiled: " + said);
    bool any = false;
    for (auto [domains, rows] : batches()) {
      for (StringRef name : {"main", "gradients", "train", "as_trained"})
        if (name == "as_trained" && !hasEntry(name)) // of models with a capacity alone
          continue;
        else if (ModelVerdict verdict = checkEntry(name, domains, rows); verdict == ModelVerdict::wrong)
          return verdict;
        else
          any |= verdict == ModelVerdict::right;
    }
    return any ? ModelVerdict::right : ModelVerdict::undecided;
  }

private:
  // Programs are planned for many batches, whatever they are run with; the text decides which.
  std::string hint() const {
    const uint64_t bits = llvm::xxh3_64bits(one.text);
    const int64_t domains[] = {1, 2, 5, 64}, rows[] = {1, 3, 64, 256, 100000};
    auto side = [&](unsigned shift) -> flow::Symbols {
      return {domains[(bits >> shift) % 4], rows[(bits >> (shift + 8)) % 5]};
    };
    return flow::BatchHint{side(0), side(16)}.str();
  }
  ModelVerdict wrong(const std::string &what) {
    problem = what;
    return ModelVerdict::wrong;
  }

  std::vector<std::pair<int64_t, int64_t>> batches() {
    std::vector<std::pair<int64_t, int64_t>> all{{1, 1}, {1, 3}, {2, 1}, {3, 2}, {2, 5}, {1, 17}};
    std::shuffle(all.begin(), all.end(), random);
    all.resize(2);
    return all;
  }

  bool hasEntry(StringRef name) {
    auto result = truth->walk([&](flow::EntryOp op) {
      return op.getSymName() == name ? WalkResult::interrupt() : WalkResult::advance();
    });
    return result.wasInterrupted();
  }

  ModelVerdict checkEntry(StringRef name, int64_t domains, int64_t rows) {
    flow::EntryOp entry;
    truth->walk([&](flow::EntryOp op) {
      if (op.getSymName() == name)
        entry = op;
    });
    if (!entry)
      return wrong("there is no entry '" + name.str() + "'");
    for (int draw = 0; draw < kDraws; ++draw) {
      flow::Bindings bindings = drawBindings(entry, domains, rows);
      const uint64_t seed = random();
      auto expected = evaluateWithNoise(entry, bindings, seed);
      if (!expected)
        return wrong("the evaluator does not know the model");
      problem = expected->undecided;
      if (!expected->undecided.empty())
        continue;
      std::string at = "entry " + name.str() + " at " + std::to_string(domains) + "x" + std::to_string(rows);
      return checkRun(entry, bindings, seed, *expected, at);
    }
    return ModelVerdict::undecided;
  }

  flow::Bindings drawBindings(flow::EntryOp entry, int64_t domains, int64_t rows) {
    flow::Bindings bindings;
    bindings.setting = {{domains, rows}, random(), uint32_t(random() % 1000)};
    bindings.progress = double(float(double(random() % 101) / 100));
    if (entry.getKind() == flow::EntryKind::infer)
      bindings.setting = {{domains, rows}, 0, 0};
    for (flow::InputOp input : entry.getBody().getOps<flow::InputOp>()) {
      StringRef name = input.getName();
      if (name != "label" && name != "domain")
        continue;
      flow::Array array({domains * rows});
      for (double &value : array.data)
        value = random() % 5 == 0 ? -1.0
                                  : double(random() % uint64_t(name == "label" ? one.classes : one.domains));
      bindings.inputs[name.str()] = array;
    }
    flow::bindRandom(entry, bindings, random, 1);
    return bindings;
  }

  ModelVerdict checkRun(flow::EntryOp entry, const flow::Bindings &bindings, uint64_t seed,
                        const NoisyEvaluation &expected, const std::string &at) {
    std::optional<flow::Evaluation> first;
    for (int threads : {1, 3}) {
      auto found = runProgram(program, entry.getSymName().str(), bindings, {options.target, threads, true});
      if (!found)
        return wrong(at + ": not run");
      if (!first) {
        first = std::move(found);
        continue;
      }
      auto same = [](auto &a, auto &b) { return bytesOf(a.second) == bytesOf(b.second); };
      if (!std::equal(first->outputs.begin(), first->outputs.end(), found->outputs.begin(),
                      found->outputs.end(), same) ||
          !std::equal(first->assigned.begin(), first->assigned.end(), found->assigned.begin(),
                      found->assigned.end(), same))
        return wrong(at + ": " + std::to_string(threads) + " threads gave other bytes than one");
    }
    if (std::string wanted = namesOf(expected.outputs), found = namesOf(first->outputs); wanted != found)
      return wrong(at + ": expected outputs " + wanted + ", found " + found);
    if (std::string text = disagreement(entry, bindings, seed, expected, *first); !text.empty())
      return wrong(at + ": " + text);
    // What a step leaves alone keeps its bytes.
    for (auto &[path, value] : bindings.states)
      if (auto found = first->assigned.find(path); found != first->assigned.end() &&
                                                   !expected.assigned.count(path) &&
                                                   found->second.data != value.data)
        return wrong(at + ": state '" + path + "' was changed");
    return ModelVerdict::right;
  }

  static std::string bytesOf(const flow::Array &array) {
    return std::string(reinterpret_cast<const char *>(array.data.data()), array.data.size() * sizeof(double));
  }
  template <typename Map> static std::string namesOf(const Map &map) {
    return llvm::join(llvm::make_first_range(map), ", ");
  }

  const ModelCase &one;
  const ModelOptions &options;
  MLIRContext &context;
  std::string &problem;
  std::mt19937_64 random;
  OwningOpRef<ModuleOp> elaborated, truth;
  std::shared_ptr<const moert::Program> program;
};

} // namespace

ModelVerdict checkModel(const ModelCase &one, const ModelOptions &options, MLIRContext &context,
                        std::string &problem) {
  return Checker(one, options, context, problem).run();
}

} // namespace moe::test
