// model-test [--seed N] [--cases N] [--from N] [--print] [--text] [--coverage N]: random models in the
// language, compiled and run against the f64 evaluator; ModelCheck.h says what must hold. A failing case
// prints the arguments that run it alone and the model's text. Cases run at the host's level or the one
// below, by turns, and every fourth holds each pass against the evaluator too. --text prints the models and
// runs nothing. --coverage draws and parses so many models and fails where an op of the language that
// docs/ops.md does not list as planned, or a form of one, is in none of them.
#include "frontends/driver/Context.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "test/fuzz/CrashReport.h"
#include "test/fuzz/models/ModelCheck.h"
#include "test/unit/RunCompiled.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <sstream>

using namespace moe;
using namespace moe::test;

namespace {

struct Options {
  uint64_t seed = 1, from = 0, cases = 200, coverage = 0;
  bool print = false, text = false;
};

[[noreturn]] void usage(const char *found) {
  fprintf(stderr,
          "error: expected [--seed N] [--cases N] [--from N] [--print] [--text] [--coverage N], found '%s'\n",
          found);
  exit(2);
}

Options optionsOf(int argc, char **argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    auto is = [&](const char *name) { return !strcmp(argv[i], name) && i + 1 < argc; };
    if (is("--seed"))
      options.seed = strtoull(argv[++i], nullptr, 10);
    else if (is("--cases"))
      options.cases = strtoull(argv[++i], nullptr, 10);
    else if (is("--from"))
      options.from = strtoull(argv[++i], nullptr, 10);
    else if (is("--coverage"))
      options.coverage = strtoull(argv[++i], nullptr, 10);
    else if (!strcmp(argv[i], "--print"))
      options.print = true;
    else if (!strcmp(argv[i], "--text"))
      options.text = true;
    else
      usage(argv[i]);
  }
  return options;
}

/// The ops of docs/ops.md by name, and whether each is compiled: those of the section "Planned" are not. A
/// row of its tables is `| `SYNTAX` | MEANING |`.
std::map<std::string, bool> documentedOps() {
  std::map<std::string, bool> ops;
  std::ifstream file(MOE_SOURCE_DIR "/docs/ops.md");
  bool compiled = true;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("## ", 0) == 0)
      compiled = line != "## Planned";
    if (line.rfind("| `", 0) != 0)
      continue;
    std::string syntax = line.substr(3, line.find('`', 3) - 3);
    if (size_t equals = syntax.find(" = "); syntax[0] == '%' && equals != std::string::npos)
      syntax = syntax.substr(equals + 3);
    if (syntax.rfind("moe.", 0) == 0)
      syntax = syntax.substr(4);
    ops[syntax.substr(0, syntax.find(' '))] = compiled;
  }
  return ops;
}

/// Forms of ops that an author chooses by a word; what draws them says that it did.
const char *const forms[] = {"route distance",
                             "route linear",
                             "route cosine",
                             "route with a capacity",
                             "route with noise",
                             "select_bias",
                             "experts choose rows",
                             "experts of several layers",
                             "a routing of several blocks",
                             "aux importance_load",
                             "aux gshard",
                             "aux z_loss",
                             "aux entropy",
                             "aux balance_kl",
                             "aux cross_entropy of label",
                             "aux cross_entropy of domain",
                             "aux cross_entropy of a routing",
                             "aux of a value",
                             "aux with a ramp",
                             "aux of weight 0",
                             "expose of a value",
                             "expose of a routing",
                             "by dann",
                             "by a schedule",
                             "chain with a ramp",
                             "shared",
                             "frozen",
                             "frozen reuse",
                             "frozen layer",
                             "init",
                             "default",
                             "layer parameter",
                             "layer parameter by default",
                             "layer parameter with open arguments",
                             "argument by name",
                             "several results",
                             "several results of the model",
                             "a layer applied again",
                             "vector input",
                             "size parameter",
                             "size arithmetic",
                             "number parameter",
                             "number in the place of a value",
                             "size of a value",
                             "size that is left over",
                             "pattern of a layer's value",
                             "matmul with broadcasting",
                             "over pixels",
                             "over features",
                             "over tokens",
                             "over experts",
                             "over an axis",
                             "over axes"};

int uncovered(const Options &options) {
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  std::set<std::string> used;
  for (uint64_t number = 0; number < options.coverage; ++number) {
    ModelCase one = drawModel(options.seed, number);
    used.insert(one.used.begin(), one.used.end());
    if (auto module = mlir::parseSourceString<mlir::ModuleOp>(one.text, context.get()))
      module->walk([&](mlir::Operation *op) { used.insert(op->getName().stripDialect().str()); });
  }
  int missing = 0;
  auto require = [&](const std::string &name) {
    if (!used.count(name))
      ++missing, fprintf(stderr, "error: no model holds '%s'\n", name.c_str());
  };
  const std::map<std::string, bool> documented = documentedOps();
  for (mlir::RegisteredOperationName op : context->getRegisteredOperationsByDialect("moe")) {
    std::string name = op.stripDialect().str();
    auto found = documented.find(name);
    if (found == documented.end())
      ++missing, fprintf(stderr, "error: docs/ops.md has no row for '%s'\n", name.c_str());
    else if (found->second)
      require(name);
  }
  for (const char *form : forms)
    require(form);
  return missing;
}

} // namespace

int main(int argc, char **argv) {
  const Options options = optionsOf(argc, argv);
  if (options.coverage && uncovered(options))
    return 1;
  const std::vector<std::string> targets = testTargets();
  std::unique_ptr<mlir::MLIRContext> context;
  unsigned long counts[3] = {};
  for (uint64_t i = 0; i < options.cases; ++i) {
    // What a context has seen stays in it.
    if (i % 50 == 0)
      context = makeContext();
    const uint64_t number = options.from + i;
    const ModelCase one = drawModel(options.seed, number);
    ModelOptions how;
    how.target = targets[number % targets.size()];
    how.seed = options.seed * 7919 + number;
    how.verifyByEvaluation = number % 4 == 3;
    const std::string repeat = "model-test --seed " + std::to_string(options.seed) + " --from " +
                               std::to_string(number) + " --cases 1 --print (" + how.target + ", " +
                               one.optimizer + ")";
    if (options.print || options.text)
      printf("// %s\n%s\n", repeat.c_str(), one.text.c_str());
    if (options.text)
      continue;
    fflush(stdout);
    reportCrashesOf(repeat);
    std::string problem;
    ModelVerdict verdict = checkModel(one, how, *context, problem);
    ++counts[int(verdict)];
    if (verdict != ModelVerdict::wrong)
      continue;
    fprintf(stderr, "%s: %s\n", repeat.c_str(), problem.c_str());
    if (!options.print)
      fprintf(stderr, "%s", one.text.c_str());
    if (counts[int(ModelVerdict::wrong)] == 20)
      break;
  }
  if (options.text)
    return 0;
  printf("%lu models right, %lu undecided, %lu wrong, in %.0f s\n", counts[0], counts[1], counts[2],
         double(clock()) / CLOCKS_PER_SEC);
  // A run that decides little of what it draws has not tested anything.
  return counts[int(ModelVerdict::wrong)] || counts[int(ModelVerdict::undecided)] > options.cases / 5 ? 1 : 0;
}
