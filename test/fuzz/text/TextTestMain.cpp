// text-test [--seed N] [--cases N] [--from N] [--print]: the models of examples/ and test/, as they are and
// after random edits (TextMutation.h), through the reader, the verifier and elaboration; TextCheck.h says
// what must hold. A case that fails, or takes the process down, prints the arguments that run it alone, and
// --print its text.
#include "dialects/moe/MoeDialect.h"
#include "frontends/driver/Context.h"
#include "mlir/IR/OperationSupport.h"
#include "test/fuzz/text/TextCheck.h"
#include "test/fuzz/text/TextMutation.h"
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

using namespace moe::test;
namespace fs = std::filesystem;

namespace {

char current[256]; // what reproduces the case that runs

void report(int signal) {
  char text[64];
  snprintf(text, sizeof text, ": signal %d\n", signal);
  (void)!write(2, current, strlen(current));
  (void)!write(2, text, strlen(text));
  _exit(1);
}

/// The texts below a folder, in the order of their names; a test of several texts is several.
void collect(const fs::path &folder, std::vector<std::string> &texts) {
  std::vector<fs::path> files;
  for (const fs::directory_entry &entry : fs::recursive_directory_iterator(folder))
    if (entry.path().extension() == ".mlir")
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path &file : files) {
    std::stringstream content;
    content << std::ifstream(file).rdbuf();
    std::string text = content.str();
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(text.find("// -----", at), text.size());
      if (std::string part = text.substr(at, end - at); part.find("moe.") != std::string::npos)
        texts.push_back(part);
      at = end + strlen("// -----");
    }
  }
}

std::vector<std::string> wordsOf(const std::vector<std::string> &texts) {
  std::vector<std::string> words;
  for (const std::string &text : texts)
    for (std::string &token : tokensOf(text))
      if (!isspace(uint8_t(token[0])) && token.compare(0, 2, "//") != 0)
        words.push_back(std::move(token));
  std::unique_ptr<mlir::MLIRContext> context = moe::makeContext();
  context->getOrLoadDialect<moe::MoeDialect>();
  for (mlir::RegisteredOperationName op : context->getRegisteredOperations())
    if (op.getDialectNamespace() == "moe")
      words.push_back(op.stripDialect().str());
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return words;
}

} // namespace

int main(int argc, char **argv) {
  uint64_t seed = 1, cases = 1000, from = 0;
  bool print = false;
  for (int i = 1; i < argc; ++i) {
    auto number = [&](const char *name, uint64_t &value) {
      bool is = !strcmp(argv[i], name) && i + 1 < argc;
      if (is)
        value = strtoull(argv[++i], nullptr, 10);
      return is;
    };
    if (number("--seed", seed) || number("--cases", cases) || number("--from", from))
      continue;
    if (strcmp(argv[i], "--print") != 0) {
      fprintf(stderr, "error: expected [--seed N] [--cases N] [--from N] [--print], found '%s'\n", argv[i]);
      return 2;
    }
    print = true;
  }
  // On a stack of its own, since what takes the process down may be the end of the stack.
  static char room[1 << 16];
  stack_t stack{};
  stack.ss_sp = room;
  stack.ss_size = sizeof room;
  sigaltstack(&stack, nullptr);
  struct sigaction action{};
  action.sa_handler = report;
  action.sa_flags = SA_ONSTACK;
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM})
    sigaction(signal, &action, nullptr);
  std::vector<std::string> texts;
  for (const char *folder : {"/examples", "/test"})
    collect(std::string(MOE_SOURCE_DIR) + folder, texts);
  const std::vector<std::string> words = wordsOf(texts);
  std::unique_ptr<mlir::MLIRContext> context;
  // Most tests of errors have errors that hide others: texts that elaborate are edited as often as all the
  // rest.
  std::vector<std::string> good;
  context = moe::makeContext();
  for (const std::string &text : texts)
    if (checkText(text, *context).elaborated)
      good.push_back(text);
  size_t parsed = 0, elaborated = 0, wrong = 0;
  double slowest = 0;
  uint64_t slow = 0;
  for (uint64_t i = 0; i < cases; ++i) {
    if (i % 200 == 199) // what a context has seen stays in it
      context = moe::makeContext();
    uint64_t number = from + i;
    snprintf(current, sizeof current, "text-test --seed %llu --from %llu --cases 1", (unsigned long long)seed,
             (unsigned long long)number);
    Random random(seed * 0x100000001b3 + number);
    std::string changed;
    if (number < texts.size()) // the texts come first as they are
      changed = texts[number];
    else {
      const std::vector<std::string> &from = random.below(2) ? good : texts;
      changed = mutated(from[random.below(from.size())], words, random);
    }
    if (print)
      printf("%s\n", changed.c_str()), fflush(stdout);
    alarm(60);
    auto start = std::chrono::steady_clock::now();
    TextResult result = checkText(changed, *context);
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (seconds > slowest)
      slowest = seconds, slow = number;
    parsed += result.parsed;
    elaborated += result.elaborated;
    if (result.fault.empty())
      continue;
    printf("%s: %s\n", current, result.fault.c_str());
    if (++wrong == 20)
      break;
  }
  printf("%llu cases of seed %llu: %zu read, %zu elaborated, %zu wrong; the slowest took %.2f s (%llu)\n",
         (unsigned long long)cases, (unsigned long long)seed, parsed, elaborated, wrong, slowest,
         (unsigned long long)slow);
  return wrong != 0;
}
