// What launches took: one row a launch of the step, summed over the runs since the last reset. `moert bench
// --profile` prints them by kernel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moert {

struct LaunchProfile {
  std::string kernel; // symbol
  std::string kind;   // "matmul", "conv", "loop", "pack"
  std::string op, path;
  uint64_t runs = 0;
  double seconds = 0;
  double flops = 0; // of one run
  double bytes = 0;
};

struct Profile {
  std::vector<LaunchProfile> launches; // in launch order, prepare's first
  uint64_t runs = 0;
};

} // namespace moert
