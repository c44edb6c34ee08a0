// moert: trains, evaluates and serves a compiled program. This file knows how the command line is spelt and
// how a process ends: 0 done, 1 wrong input, 2 wrong usage, 3 a fault of ours; a run stopped by a signal
// (Ctrl-C, SIGTERM, or a terminal that goes away) saves and then ends by that signal.
#include "runtime/base/Failure.h"
#include "runtime/base/Process.h"
#include "runtime/base/Version.h"
#include "runtime/cli/BenchCommand.h"
#include "runtime/cli/Commands.h"
#include "runtime/cli/Usage.h"
#include "runtime/train/Recipe.h"
#include "runtime/train/Trainer.h"

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>

#include <csignal>
#include <cstdio>

namespace {

using namespace moert;

std::atomic<bool> stopRequested{false};
volatile std::sig_atomic_t stopSignal = 0;

// The second signal of a kind ends the process at once.
void requestStop(int signal) {
  stopSignal = signal;
  stopRequested.store(true, std::memory_order_relaxed);
  std::signal(signal, SIG_DFL);
}

int report(const Status &result) {
  Status status = result;
  // Results that nobody got are a failure.
  if ((fflush(stdout) || ferror(stdout)) && status.ok())
    status = invalidInput("standard output cannot be written: ", strerror(errno));
  if (!status.ok())
    printFailure("moert", status);
  return status.exitCode();
}

// From the first step on a signal waits for the end of the step and a checkpoint. Before that, while program,
// recipe and data are read, it ends the process at once as it does any other: nothing would be lost.
void catchSignals() {
  std::signal(SIGINT, requestStop);
  std::signal(SIGTERM, requestStop);
  if (std::signal(SIGHUP, requestStop) == SIG_IGN) // nohup
    std::signal(SIGHUP, SIG_IGN);
}

int runTraining(TrainOptions options) {
  options.stop = &stopRequested;
  options.beforeSteps = catchSignals;
  std::signal(SIGPIPE, SIG_IGN); // whoever read our lines went away: the run goes on
  auto end = train(options);
  if (!end.ok())
    return report(end.status());
  if (*end == TrainEnd::stopped && stopSignal) {
    fflush(nullptr);
    std::signal(stopSignal, SIG_DFL);
    std::raise(stopSignal);
  }
  return 0;
}

void addDevice(CLI::App &command, DeviceOptions &device) {
  command.add_option("--threads", device.threads, "0: every core, the default")->check(wholeNumber(0, 1024));
  command
      .add_option("--device", device.name,
                  withDefault("cpu, cuda, or emulator; isolated is for tests", device.name))
      ->envname("MOERT_DEVICE");
  command.add_flag("--wait-launches", device.waitLaunches,
                   "wait for each launch, so that an error of the device names it");
  command.add_flag("--separate-buffers", device.separateBuffers,
                   "a block of memory for each buffer, so that the emulator notices what leaves one");
}

} // namespace

int main(int argc, char **argv) {
  auto started = std::chrono::steady_clock::now();
  startProcess("moert", "use a smaller batch, or close other programs");

  CLI::App app("Trains, evaluates and serves a compiled mixture of experts.", "moert");
  app.set_version_flag("--version", std::string("moert ") + version());
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);

  TrainOptions training;
  training.started = started;
  CLI::App *train = app.add_subcommand("train", "train a program by a recipe");
  train->add_option("program", training.program, "the compiled program (.moe)")->required();
  train->add_option("--out", training.out, "folder of the run")->required();
  train->add_option("--recipe", training.recipe, "TOML file; docs/recipe.md lists its keys");
  train->add_option("--set", training.settings, "a recipe key: --set optimizer.lr=1e-4")
      ->allow_extra_args(false);
  train->add_option("--seed", training.seed, "same as --set train.seed=N")
      ->check(wholeNumber(0, Recipe::kMaxInteger));
  train->add_option("--steps", training.steps, "same as --set train.steps=N")
      ->check(wholeNumber(0, Recipe::kMaxSteps));
  train->add_option("--init", training.init,
                    "pretrained weights: a safetensors file, or a checkpoint; same as --set init.file=FILE");
  addDevice(*train, training.device);
  train->add_flag("--resume", training.resume, "continue the run in --out, bit for bit");
  train->add_flag("--trap-nan", training.trapNan, "stop at the first launch that writes NaN");
  train->add_flag("--poison", training.poison, "fill temporaries with NaN before and after use");

  EvalOptions evaluation;
  CLI::App *eval = app.add_subcommand("eval", "accuracy by entry, domain and split");
  eval->add_option("program", evaluation.program, "the compiled program (.moe)")->required();
  eval->add_option("--checkpoint", evaluation.checkpoint, "folder, such as runs/hmoe/best")->required();
  eval->add_option("--recipe", evaluation.recipe, "data and splits; default: the checkpoint's own");
  eval->add_option("--set", evaluation.settings, "a recipe key: --set eval.images=500")
      ->allow_extra_args(false);
  eval->add_option("--entry", evaluation.entries, "default: every entry with class scores")
      ->allow_extra_args(false);
  addDevice(*eval, evaluation.device);
  eval->add_flag("--json", evaluation.json, "print JSON");

  InferOptions inference;
  CLI::App *infer = app.add_subcommand("infer", "run an entry on images or tensors");
  infer->add_option("program", inference.program, "the compiled program (.moe)")->required();
  auto *source = infer->add_option_group("parameters");
  source->add_option("--checkpoint", inference.checkpoint, "folder, such as runs/hmoe/best");
  source->add_option("--params", inference.parameters,
                     "a safetensors file, or a folder with model.safetensors");
  source->require_option(1);
  infer->add_option("--input", inference.inputs, "name=@file.png or name=@file.npy")->allow_extra_args(false);
  infer->add_option("--output", inference.outputs, "name=@file.npy")->allow_extra_args(false);
  infer->add_option("--output-folder", inference.outputFolder,
                    "every output as <name>.npy; made where it is missing");
  infer->add_option("--progress", inference.progress, "step / total steps, where an entry depends on it")
      ->check(partOfTraining());
  CLI::Option *entry = infer->add_option("--entry", inference.entry, "default: the first inference entry");
  infer
      ->add_option("--routing", inference.routing,
                   withDefault("as-trained, which drops rows beyond a capacity, or dropless", "dropless"))
      ->check(oneOf({"as-trained", "dropless"}))
      ->excludes(entry);
  infer->add_option("--top", inference.top, withDefault("how many classes to print", inference.top))
      ->check(wholeNumber(1, 1000));
  addDevice(*infer, inference.device);

  BenchCommandOptions timing;
  CLI::App *bench = app.add_subcommand("bench", "time a step on made-up inputs");
  bench->add_option("program", timing.program, "the compiled program (.moe)")->required();
  bench->add_option("--entry", timing.entry, "default: train");
  bench->add_option("--batch", timing.batch, withDefault("DOMAINSxROWS (5x64) or ROWS", timing.batch));
  bench->add_option("--steps", timing.steps, withDefault("timed steps", timing.steps))
      ->check(wholeNumber(1, 1000000000));
  addDevice(*bench, timing.device);
  bench->add_option("--seed", timing.seed, "of parameters and inputs");
  bench->add_option(
      "--params", timing.parameters,
      "a safetensors file, or a folder with model.safetensors; default: parameters of the seed");
  CLI::Option *against =
      bench->add_option("--against", timing.against,
                        "another program (.moe), timed in turn with the first, a step of each; prints the "
                        "ratio of their times, first over second");
  bench
      ->add_option("--against-params", timing.againstParameters,
                   "parameters of the other program; default: those of the first")
      ->needs(against);
  CLI::Option *profile = bench->add_flag("--profile", timing.profile, "time of launches, summed by kernel");
  profile->excludes(against);
  const std::vector<std::string> sums = {"kernel", "launch", "op", "layer",
                                         "part"}; // in the order of ProfileBy
  std::string by = sums[0];
  bench
      ->add_option("--by", by,
                   withDefault("what --profile sums times by; part is forward, backward or update", by))
      ->needs(profile)
      ->check(oneOf(sums));
  bench
      ->add_option("--depth", timing.table.depth, "names of a path that --by=layer tells apart; default: all")
      ->needs(profile)
      ->check(wholeNumber(1, 1000));
  bench
      ->add_flag("--alike", timing.table.alike,
                 "sum layers whose paths differ in numbers only, with --by=layer")
      ->needs(profile);
  bench
      ->add_option("--top", timing.table.top,
                   withDefault("rows that --profile prints, the slowest", timing.table.top))
      ->needs(profile)
      ->check(wholeNumber(1, 1000000000));
  bench->add_flag("--json", timing.json, "print JSON");
  bench->add_flag("--poison", timing.poison, "fill temporaries with NaN before and after use");
  bench->add_flag("--trap-nan", timing.trapNan, "stop at the first launch that writes NaN");

  nameCommands(app);

  try {
    refuseEmptyValues(argc, argv);
    app.parse(argc, argv);
  } catch (const CLI::Success &done) {
    app.exit(done);
    return report(okStatus());
  } catch (const CLI::ParseError &error) {
    return report(usageError(wrongUsage(app, error, argc, argv)));
  }
  if (*train)
    return runTraining(training);
  if (*eval)
    return report(evalCommand(evaluation));
  timing.table.by = ProfileBy(std::find(sums.begin(), sums.end(), by) - sums.begin());
  if (*bench)
    return report(benchCommand(timing));
  return report(inferCommand(inference));
}
