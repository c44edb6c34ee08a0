// pair-test [--seed N] [--all] [--producer OP] [--consumer OP] [--print]: a table of every op of flow that reads another's
// value, boundaries among them, compiled and run against the evaluator; PairCase.h says what a pair is. The value between
// the two is read by the consumer alone, or is an output or exposed as well. Without --all, or the names of ops, every
// seventh of these forms runs, others with each of seven seeds. An op that has no case, or a pair whose types meet but
// which is not drawn, is a failure.
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "test/fuzz/CrashReport.h"
#include "test/fuzz/models/Noise.h"
#include "test/fuzz/pairs/PairCase.h"
#include "test/unit/RunCompiled.h"
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

using namespace moe;
using namespace moe::test;

namespace {

struct Options {
  uint64_t seed = 1;
  bool all = false, print = false;
  std::string producer, consumer;
};

[[noreturn]] void usage(const char *found) {
  fprintf(stderr,
          "error: expected [--seed N] [--all] [--producer OP] [--consumer OP] [--print], found '%s'\n",
          found);
  exit(2);
}

Options optionsOf(int argc, char **argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    auto is = [&](const char *name) { return !strcmp(argv[i], name) && i + 1 < argc; };
    if (is("--seed"))
      options.seed = strtoull(argv[++i], nullptr, 10);
    else if (is("--producer"))
      options.producer = argv[++i];
    else if (is("--consumer"))
      options.consumer = argv[++i];
    else if (!strcmp(argv[i], "--all"))
      options.all = true;
    else if (!strcmp(argv[i], "--print"))
      options.print = true;
    else
      usage(argv[i]);
  }
  return options;
}

/// Pairs in one program: what compiles faster.
constexpr size_t kTogether = 24;
/// Draws for a case without infinities, and for any.
constexpr int kDraws = 8, kMostDraws = 64;

bool isTame(const NoisyEvaluation &expected) {
  auto finite = [](auto &values) {
    return std::all_of(values.begin(), values.end(), [](auto &each) {
      return std::all_of(each.second.value.data.begin(), each.second.value.data.end(),
                         [](double value) { return std::isfinite(value); });
    });
  };
  return expected.undecided.empty() && finite(expected.outputs) && finite(expected.assigned);
}

/// A case whose choices rounding leaves alone, and if there is one, without infinities.
std::optional<FlowCase> drawTame(const Pair &pair, uint64_t seed, const std::string &prefix) {
  std::optional<FlowCase> best;
  for (int draw = 0; draw < (best ? kDraws : kMostDraws); ++draw) {
    auto one = drawPair(pair, seed * 1000003 + draw, prefix);
    if (!one)
      continue;
    auto expected = mlir::succeeded(mlir::verify(*one->module))
                        ? evaluateWithNoise(one->entry, one->bindings, seed)
                        : std::nullopt;
    if (!expected || !expected->undecided.empty())
      continue;
    best = std::move(one);
    if (isTame(*expected))
      break;
  }
  return best;
}

/// What is wrong with a program; empty where nothing is.
std::string problemOf(FlowCase &one, const std::string &target, uint64_t seed) {
  auto expected = evaluateWithNoise(one.entry, one.bindings, seed);
  if (!expected)
    return "the evaluator does not know it";
  // Compiling takes a module apart, and the entry may be evaluated again.
  mlir::OwningOpRef<mlir::ModuleOp> copy(one.module->clone());
  auto found = runCompiled(*copy, "main", one.bindings, {target, 2, true});
  if (!found)
    return "not compiled or not run";
  return disagreement(one.entry, one.bindings, seed, *expected, *found);
}

} // namespace

int main(int argc, char **argv) {
  const Options options = optionsOf(argc, argv);
  std::string without;
  std::vector<Pair> pairs = allPairs(without);
  if (!without.empty()) {
    fprintf(stderr, "error: expected random cases of every op, found none of%s\n", without.c_str());
    return 1;
  }
  size_t turn = options.seed;
  llvm::erase_if(pairs, [&](const Pair &pair) {
    ++turn; // a pair's forms stand one after the other
    return (!options.producer.empty() && pair.producer != options.producer) ||
           (!options.consumer.empty() && pair.consumer != options.consumer) ||
           (!options.all && options.producer.empty() && options.consumer.empty() && turn % 7 != 0);
  });
  const std::vector<std::string> targets = testTargets();
  unsigned long wrong = 0, undrawn = 0, checked = 0;
  for (size_t from = 0; from < pairs.size(); from += kTogether) {
    std::vector<FlowCase> cases;
    std::vector<const Pair *> of;
    for (size_t i = from; i < std::min(pairs.size(), from + kTogether); ++i) {
      reportCrashesOf("pair-test --producer " + pairs[i].producer + " --consumer " + pairs[i].consumer);
      auto one = drawTame(pairs[i], options.seed * 7919 + i, "p" + std::to_string(i) + ".");
      if (!one) {
        ++undrawn;
        fprintf(stderr, "%s: no case was found\n", pairs[i].name().c_str());
        continue;
      }
      of.push_back(&pairs[i]);
      cases.push_back(std::move(*one));
    }
    std::vector<const FlowCase *> list;
    for (const FlowCase &one : cases)
      list.push_back(&one);
    const std::string &target = targets[from / kTogether % targets.size()];
    checked += cases.size();
    if (!list.empty()) {
      FlowCase all = joined(list);
      reportCrashesOf("pair-test: one of the pairs from " + of[0]->name() + " to " + of.back()->name());
      if (options.print)
        printf("%s\n", all.text().c_str());
      if (std::string problem = problemOf(all, target, options.seed); problem.empty())
        continue;
      else
        fprintf(stderr, "together (%s to %s): %s\n", of[0]->name().c_str(), of.back()->name().c_str(),
                problem.c_str());
    }
    bool any = false;
    for (size_t i = 0; i < cases.size(); ++i) {
      FlowCase alone = joined({list[i]});
      std::string text = alone.text();
      reportCrashesOf("pair-test: " + of[i]->name());
      if (std::string problem = problemOf(alone, target, options.seed); !problem.empty()) {
        any = true;
        ++wrong;
        fprintf(stderr, "%s (%s): %s\n%s\n", of[i]->name().c_str(), target.c_str(), problem.c_str(),
                text.c_str());
      }
    }
    wrong += !any && !cases.empty(); // wrong together, right alone
  }
  printf("%lu pairs, %lu wrong, %lu not drawn, in %.0f s\n", checked, wrong, undrawn,
         double(clock()) / CLOCKS_PER_SEC);
  return wrong || undrawn ? 1 : 0;
}
