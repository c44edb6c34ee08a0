// moec: compiles models to programs and shows what is in them. Here is only the command line; the commands are
// functions of Tool.h. Exit codes: 0 done, 1 wrong input, 2 wrong usage, 3 a fault of the compiler's own. An
// option that names what the model or the compiler does not have is wrong usage too.
#include "dialects/flow/BatchHint.h"
#include "dialects/flow/Precision.h"
#include "frontends/check/CheckOps.h"
#include "frontends/driver/Plugins.h"
#include "frontends/moec/Tool.h"
#include "passes/kernels/Backend.h"
#include "runtime/base/Failure.h"
#include "runtime/base/Files.h"
#include "runtime/base/Process.h"
#include "runtime/base/Version.h"
#include "runtime/cli/Usage.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"
#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <unistd.h>

namespace {

// LLVM's own way to end would ask for a bug report and dump its stack, also where the system gives no memory
// or no thread. An exception would not do: LLVM's threads abort over one. What is half written goes first.
[[noreturn]] void outOfMemory() {
  llvm::sys::RunInterruptHandlers();
  moert::outOfMemory();
}

void reportFatalErrors() {
  std::set_new_handler(outOfMemory);
  llvm::install_bad_alloc_error_handler([](void *, const char *, bool) { outOfMemory(); });
  llvm::install_fatal_error_handler([](void *, const char *reason, bool) {
    llvm::sys::RunInterruptHandlers();
    llvm::StringRef why(reason);
    bool internal = false;
    const char *format = "moec: internal error: %s\n";
    if (why.starts_with("pthread_create failed"))
      format = "moec: error: expected room for another thread, found none (%s); raise the limit (ulimit -u, "
               "ulimit -v, a container's), or free memory\n";
    else if (why.starts_with("object code: ") || why.starts_with("IO failure on output stream"))
      format = "moec: error: expected room for the kernels' object code in memory, found none (%s); raise "
               "the limit (ulimit -f, ulimit -n, a container's), or free memory\n";
    else
      internal = true;
    fprintf(stderr, format, reason);
    _exit(moert::Status(internal ? moert::Code::internal : moert::Code::invalid_input, "").exitCode());
  });
}

} // namespace

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  moert::startProcess("moec", "close other programs, or compile where there is more");
  reportFatalErrors();
  CLI::App app("Compiles mixture-of-experts models to native programs for moert.", "moec");
  app.set_version_flag("--version", std::string("moec ") + moert::version());
  app.require_subcommand(1);
  app.fallthrough(false);
  moe::PipelineOptions options;
  moe::EvaluateOptions evaluation;
  moe::CheckOpsOptions checks;
  std::vector<std::string> inputs, defines, plugins;
  std::string input, output, to = "emit", batch = "5x64";
  bool json = false, kernels = false;
  int threads = 2;

  auto *compile = app.add_subcommand("compile", "compile texts to a program");
  auto *evaluate = app.add_subcommand("evaluate", "run an entry of a model in f64, as the reference");
  for (auto *command : {compile, evaluate}) {
    command->add_option("model", inputs, "the model's text; several files are linked")->required();
    command->add_option("-D", defines, "set a parameter of the model: -Dclasses=10")->allow_extra_args(false);
    command->add_option("--objective", options.objective,
                        moert::withDefault("what training minimises", options.objective));
    command->add_option("--optimizer", options.optimizer,
                        moert::withDefault("adam, adamw or sgd", options.optimizer));
    command->add_flag("--gradients", options.gradients, "add an entry that gives the gradients of the loss");
  }
  compile->add_option("-o,--output", output,
                      "the program to write, which has to be given; with --to, the text to write; default: "
                      "standard output");
  compile
      ->add_option("--target", options.targets,
                   moe::kernels::targetNames() + ", or a plugin's; 'cpu' is this host; default: cpu")
      ->allow_extra_args(false);
  compile->add_option("--batch-hint", options.batchHint,
                      moert::withDefault("the batches to plan for, domains x rows of each; any batch runs",
                                         flow::BatchHint().str()));
  compile->add_option(
      "--precision", options.precision,
      "how GPUs multiply in products and convolutions, f32 or tf32; CPUs always compute in f32; "
      "default: f32");
  compile->add_option("--to", to, "stop behind a phase and print: " + moe::phaseNames());
  compile->add_flag("--timing", options.timing, "show what each pass took");
  compile->add_flag("--verify-by-evaluation", options.verifyByEvaluation,
                    "check every pass by evaluating (slow)");
  compile->add_option("--reproducer", options.reproducer, "where a failing pass leaves its input");

  evaluate->add_option("--entry", evaluation.entry, moert::withDefault("which entry", evaluation.entry));
  evaluate
      ->add_option("--params", evaluation.parameters,
                   "parameters, a safetensors file such as runs/hmoe/best/model.safetensors")
      ->required();
  evaluate->add_option("--input", evaluation.inputs, "name=@file.npy")->allow_extra_args(false);
  evaluate->add_option("--output", evaluation.outputs, "name=@file.npy")->allow_extra_args(false);
  evaluate->add_option("--output-folder", evaluation.outputFolder, "where every output goes as <name>.npy");
  evaluate
      ->add_option("--domains", evaluation.domains,
                   moert::withDefault("into which the rows are split", evaluation.domains))
      ->check(moert::wholeNumber(1, int64_t(1) << 31));
  evaluate
      ->add_option("--progress", evaluation.progress,
                   moert::withDefault("step / total steps", evaluation.progress))
      ->check(moert::partOfTraining());
  evaluate
      ->add_option("--step", evaluation.step,
                   moert::withDefault("the step, for random numbers", evaluation.step))
      ->check(moert::wholeNumber(0, UINT32_MAX));
  evaluate->add_option("--seed", evaluation.seed, moert::withDefault("of random numbers", evaluation.seed))
      ->check(moert::wholeNumber(0, INT64_MAX));

  auto *inspect = app.add_subcommand("inspect", "show entries, parameters, costs and memory");
  inspect->add_option("program", input, "a compiled program")->required();
  inspect->add_option("--batch", batch, moert::withDefault("domains x rows of each", batch));
  inspect->add_option("--threads", threads, moert::withDefault("for the memory that threads need", threads))
      ->check(moert::wholeNumber(1, 4096));
  inspect->add_flag("--kernels", kernels, "registers, shared memory and occupancy of kernels for GPUs");
  inspect->add_flag("--json", json, "as JSON");
  auto *disassemble = app.add_subcommand("disassemble", "print a program's plan");
  auto *assemble = app.add_subcommand("assemble", "make a program from a plan's text");
  for (auto *command : {disassemble, assemble}) {
    command->add_option("input", input, "the file to read")->required();
  }
  disassemble->add_option("-o,--output", output, "the text to write; default: standard output");
  assemble->add_option("-o,--output", output, "the program to write")->required();
  auto *check =
      app.add_subcommand("check-ops", "hold the facts of ops against their evaluators on random cases");
  check
      ->add_option("--dialect", checks.dialects,
                   "whose ops: flow, or a plugin's; those of all plugins unless given")
      ->allow_extra_args(false);
  check->add_option("--op", checks.ops, "only this op of them, by its whole name: flow.contract")
      ->allow_extra_args(false);
  check
      ->add_option("--cases", checks.cases,
                   moert::withDefault("of each op; what takes long is done for a part of them", checks.cases))
      ->check(moert::wholeNumber(1, 1000000));
  check
      ->add_option("--seed", checks.seed,
                   moert::withDefault("of the first case; the next has the next number", checks.seed))
      ->check(moert::wholeNumber(0, INT64_MAX));
  check->add_option(
      "--write", checks.write,
      "a folder to write the cases to, for machines without a compiler, instead of checking them");
  check->add_option("--target", checks.targets, "what --write compiles the cases for, as compile's --target")
      ->allow_extra_args(false);
  for (auto *command : {compile, evaluate, disassemble, assemble, check})
    command->add_option("--load", plugins, "load a plugin: more ops, passes and targets")
        ->allow_extra_args(false);
  moert::nameCommands(app);
  auto usage = [](const std::string &message) {
    moert::printFailure("moec", moert::usageError(message));
    return 2;
  };
  try {
    moert::refuseEmptyValues(argc, argv);
    app.parse(argc, argv);
  } catch (const CLI::Success &done) {
    app.exit(done);
    if (!fflush(stdout) && !ferror(stdout))
      return 0;
    fprintf(stderr, "moec: error: standard output cannot be written: %s\n", strerror(errno));
    return 1;
  } catch (const CLI::ParseError &error) {
    return usage(moert::wrongUsage(app, error, argc, argv));
  }

  moert::Status status = moe::loadPlugins(plugins);
  if (!status.ok()) {
    moert::printFailure("moec", status);
    return status.exitCode();
  }
  options.plugins = plugins;
  options.placed = moe::placedPasses();
  for (const std::string &define : defines) {
    size_t equal = define.find('=');
    if (equal == 0 || equal == std::string::npos)
      return usage("expected -Dname=value, found '-D" + define + "'");
    std::string name = define.substr(0, equal), value = define.substr(equal + 1);
    for (auto &[before, chosen] : options.defines)
      if (before == name && chosen != value)
        return usage("expected one value of '" + name + "', found -D" + name + "=" + chosen + " and -D" +
                     define);
    options.defines.emplace_back(name, value);
  }
  if (compile->count("--batch-hint")) {
    std::string error;
    std::optional<flow::BatchHint> hint = flow::BatchHint::parse(options.batchHint, error);
    if (!hint)
      return usage(error);
    options.batchHint = hint->str();
  }
  if (compile->count("--precision") && !flow::precisionNamed(options.precision))
    return usage("expected a precision of " + flow::precisionNames() + " after --precision, found '" +
                 options.precision + "'");
  if (*compile) {
    std::optional<moe::Phase> phase = moe::phaseNamed(to);
    if (!phase)
      return usage("expected a phase after --to, one of " + moe::phaseNames() + ", found '" + to + "'");
    options.to = *phase;
    if (output.empty() && *phase == moe::Phase::emit)
      return usage("expected -o and the program to write, found none");
    status = moert::notOver(std::array{output}, inputs);
    if (status.ok())
      status = moe::compileFiles(options, inputs, output.empty() ? "-" : output);
  } else if (*evaluate) {
    options.to = moe::Phase::differentiate;
    status = moe::evaluateFiles(options, inputs, evaluation);
  } else if (*check) {
    if (checks.write.empty() && check->count("--write"))
      return usage("expected a folder after --write, found ''");
    if (checks.write.empty() && !checks.targets.empty())
      return usage("expected --write and a folder beside --target, found none; without it, the cases run on "
                   "every target of this machine");
    status = moe::checkOps(checks);
  } else if (*inspect) {
    status = moe::inspectFile(input, batch, threads, kernels, json);
  } else if (*disassemble) {
    status = moert::notOver(std::array{output}, std::array{input});
    if (status.ok())
      status = moe::disassembleFile(input, output.empty() ? "-" : output);
  } else {
    status = moert::notOver(std::array{output}, std::array{input});
    if (status.ok())
      status = moe::assembleFile(input, output);
  }
  // Left alone, LLVM would end the process over it.
  llvm::outs().flush();
  if (llvm::outs().has_error()) {
    std::string reason = llvm::outs().error().message();
    llvm::outs().clear_error();
    if (status.ok())
      status = moert::invalidInput("standard output cannot be written: ", reason);
  }
  if (!status.ok() && !status.message().empty())
    moert::printFailure("moec", status);
  return status.exitCode();
}
