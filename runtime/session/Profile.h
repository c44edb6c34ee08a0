// What launches took: one row a launch of the step, summed over the runs since the last reset. `moert bench
// --profile` sums them by kernel, op, layer or part of the step (ProfileTable.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moert {

struct LaunchProfile {
  std::string kernel; // symbol
  std::string kind;   // "matmul", "conv", "loop", "pack"
  std::string op, path;
  std::string part; // of a training step: "forward", "backward", "update"; empty in inference
  uint64_t runs = 0;
  double seconds = 0;
  std::optional<double>
      idle; // of these seconds, the mean in which a thread of the device did nothing; nothing where that
            // is not measured
  double flops = 0; // of one run
  double bytes = 0;
};

struct Profile {
  std::vector<LaunchProfile> launches; // in launch order, prepare's first
  uint64_t runs = 0;
};

} // namespace moert
