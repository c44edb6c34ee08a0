// `moert bench`: what one step of an entry takes.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/session/ProfileTable.h"

#include <cstdint>
#include <string>

namespace moert {

struct BenchCommandOptions {
  std::string program, entry = "train", batch = "1x64"; // DOMAINSxROWS, or ROWS
  std::string parameters; // a checkpoint or safetensors file; empty: those of the seed
  std::string against,
      againstParameters; // a program that is timed in turn with the first; empty parameters: the first one's
  DeviceOptions device;
  int steps = 20;
  ProfileTableOptions table;
  uint64_t seed = 0;
  bool profile = false, json = false, poison = false, trapNan = false;
};
Status benchCommand(const BenchCommandOptions &options);

} // namespace moert
