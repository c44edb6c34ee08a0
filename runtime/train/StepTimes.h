// What a step takes, as metrics and the progress line report it. Each step is timed by itself, so saves and
// evaluations between steps do not count. Nor does the step behind such a pause, which wakes the threads and fills caches
// again, unless a line of metrics has no other steps. The first step of a process, which also waits for the first batch, never
// counts: until the second one there is no speed to report.
#pragma once

#include <cstdint>
#include <optional>

namespace moert {

class StepTimes {
public:
  /// The steps of a process in their order.
  void add(double seconds) {
    if (begun_) {
      Sum &sum = paused_ ? behindPauses_ : steady_;
      sum.seconds += seconds;
      ++sum.steps;
    }
    begun_ = true;
    paused_ = false;
  }
  /// Something else than a step took place: a save or an evaluation.
  void pause() { paused_ = true; }
  /// The mean of the steps since the last line of metrics; none: no step has been timed since.
  std::optional<double> mean() const {
    const Sum &sum = steady_.steps ? steady_ : behindPauses_;
    return sum.steps ? std::optional(sum.seconds / double(sum.steps)) : std::nullopt;
  }
  /// A line of metrics was written: the next mean begins here.
  void restart() { steady_ = behindPauses_ = {}; }

private:
  struct Sum {
    double seconds = 0;
    uint64_t steps = 0;
  };
  bool begun_ = false, paused_ = false;
  Sum steady_, behindPauses_;
};

} // namespace moert
