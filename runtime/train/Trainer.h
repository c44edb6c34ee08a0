// A training run: the loop from a program and a recipe to checkpoints, metrics and a table of accuracies. A
// run lives in a folder: recipe.toml (all effective values), metrics.jsonl (a line an evaluation, DomainBed's
// keys), the checkpoints `last` and `best`, and `done` at the end. A run that is stopped at any point and
// resumed ends with the same bytes.
#pragma once

#include "runtime/device/Device.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace moert {

struct TrainOptions {
  std::string program, recipe, out;
  std::string init;                  // the recipe's init.file; empty: as the recipe says
  std::vector<std::string> settings; // key=value
  std::optional<int64_t> seed, steps;
  DeviceOptions device;
  bool resume = false;
  bool poison = false, trapNan = false;
  const std::atomic<bool> *stop = nullptr; // raised by a signal: finish the step, save, return
  // Called when the steps begin. Until then `stop` is not looked at: there is nothing to save, so that a
  // signal may end the process at once.
  std::function<void()> beforeSteps;
  std::chrono::steady_clock::time_point started{}; // of the process
};

enum class TrainEnd { finished, stopped };

/// Runs to the last step, or until `stop` is raised. invalid_input: whatever the user can mend, a loss that
/// is not finite among it; the run's folder then holds the last good checkpoint.
Result<TrainEnd> train(const TrainOptions &options);

} // namespace moert
