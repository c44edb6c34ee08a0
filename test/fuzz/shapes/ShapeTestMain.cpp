// shape-test [--seed N] [--cases N] [--from N] [--kind contract|grouped|conv|loop|attention|program] [--target T] [--precision P] [--print]:
// random shapes
// of the groups that kernels are emitted for, compiled and run against the f64 evaluator; ShapeCheck.h says
// what must hold. Kernels choose by shape what they do, in more ways than anybody would write tests for:
// tiles, panels, chains, bands, parts, vectors and their rests. A failing case prints the arguments that run
// it alone. A case runs at the host's level or the one below, by turns; with `--target emulator` on the emulated
// GPU, which checks each access. `--precision tf32` has that GPU's products in tf32, within its own bound.
#include "dialects/flow/Precision.h"
#include "frontends/driver/Context.h"
#include "test/fuzz/CrashReport.h"
#include "test/fuzz/shapes/ShapeCheck.h"
#include "test/numerics/GroupRunner.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>

using namespace moe;
using namespace moe::test;

namespace {

struct Options {
  uint64_t seed = 1, from = 0, cases = 1000;
  std::string kind, target = "cpu", precision = "f32";
  bool print = false;
};

[[noreturn]] void usage(const char *found) {
  fprintf(stderr,
          "error: expected [--seed N] [--cases N] [--from N] [--kind "
          "contract|grouped|conv|loop|attention|program] "
          "[--target "
          "T] [--precision P] [--print], "
          "found '%s'\n",
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
    else if (is("--kind"))
      options.kind = argv[++i];
    else if (is("--target"))
      options.target = argv[++i];
    else if (is("--precision"))
      options.precision = argv[++i];
    else if (!strcmp(argv[i], "--print"))
      options.print = true;
    else
      usage(argv[i]);
  }
  if (!options.kind.empty() && options.kind != "contract" && options.kind != "grouped" &&
      options.kind != "conv" && options.kind != "loop" && options.kind != "attention" &&
      options.kind != "program")
    usage(options.kind.c_str());
  if (options.target != "cpu" && options.target != "emulator")
    usage(options.target.c_str());
  if (!flow::precisionNamed(options.precision))
    usage(options.precision.c_str());
  return options;
}

} // namespace

int main(int argc, char **argv) {
  const Options options = optionsOf(argc, argv);
  std::vector<Machine> targets{emulatedGpu()};
  if (options.target == "cpu") {
    const std::vector<host::CpuTarget> own = levels();
    targets.assign(own.begin(), own.end());
  }
  std::unique_ptr<mlir::MLIRContext> context;
  unsigned long counts[3] = {}, kinds[6] = {};
  const char *names[] = {"contract", "conv", "loop", "program", "attention", "grouped"};
  for (uint64_t i = 0; i < options.cases; ++i) {
    // What a context has seen stays in it.
    if (i % 200 == 0)
      context = makeContext();
    const uint64_t number = options.from + i;
    const Machine &target = targets[number % targets.size()];
    ShapeCase one = drawCase(options.seed, number, options.kind,
                             /*draws=*/std::holds_alternative<host::CpuTarget>(target));
    one.precision = options.precision;
    std::string repeat = "shape-test --seed " + std::to_string(options.seed) + " --from " +
                         std::to_string(number) + " --cases 1" +
                         (options.kind.empty() ? "" : " --kind " + options.kind) +
                         (options.target == "cpu" ? "" : " --target " + options.target) +
                         (options.precision == "f32" ? "" : " --precision " + options.precision);
    char current[512];
    snprintf(current, sizeof current, "%s (%s %s, %s, D=%lld N=%lld)", repeat.c_str(), one.kind.c_str(),
             one.about.c_str(), levelOf(target).c_str(), (long long)one.domains, (long long)one.rows);
    reportCrashesOf(current);
    if (options.print)
      printf("%s\n%s", current, textOf(one).c_str());
    std::string problem;
    Verdict verdict = checkCase(one, target, uint32_t(number * 2654435761u), *context, problem);
    ++counts[int(verdict)];
    for (int k = 0; k < 6; ++k)
      kinds[k] += one.kind == names[k];
    if (verdict != Verdict::wrong)
      continue;
    fprintf(stderr, "%s: %s\n", current, problem.c_str());
    if (counts[int(Verdict::wrong)] == 20)
      break;
  }
  printf("%lu right, %lu refused, %lu wrong, of %lu contractions, %lu grouped ones, %lu convolutions, %lu "
         "loops, "
         "%lu attentions and %lu programs in "
         "%.0f s\n",
         counts[int(Verdict::right)], counts[int(Verdict::refused)], counts[int(Verdict::wrong)], kinds[0],
         kinds[5], kinds[1], kinds[2], kinds[4], kinds[3], double(clock()) / CLOCKS_PER_SEC);
  // A run that refuses what it draws has not tested anything: only loops may be refused, and few of them.
  return counts[int(Verdict::wrong)] || counts[int(Verdict::refused)] > kinds[2] / 2 ? 1 : 0;
}
