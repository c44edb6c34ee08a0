// What a step takes, as metrics and the progress line report it. Each step is timed by itself, so saves and
// evaluations between steps do not count. Nor does the first step of a process, which also fills caches and
// waits for the first batch: until the second one there is no speed to report.
#pragma once

#include <cstdint>
#include <optional>

namespace moert {

class StepTimes {
public:
  /// The steps of a process in their order.
  void add(double seconds) {
    if (warm_) {
      seconds_ += seconds;
      ++steps_;
    }
    warm_ = true;
  }
  /// The mean of the steps since the last line of metrics; none: no step has been timed since.
  std::optional<double> mean() const {
    return steps_ ? std::optional(seconds_ / double(steps_)) : std::nullopt;
  }
  /// A line of metrics was written: the next mean begins here.
  void restart() {
    seconds_ = 0;
    steps_ = 0;
  }

private:
  bool warm_ = false;
  double seconds_ = 0;
  uint64_t steps_ = 0;
};

} // namespace moert
