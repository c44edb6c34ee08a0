// The verbs of moert, each a plain function over what the command line said. main.cpp alone knows how options
// are spelt.
#pragma once

#include "runtime/device/Device.h"

#include <string>
#include <vector>

namespace moert {

struct EvalOptions {
  std::string program, checkpoint, recipe;    // recipe empty: the one in the checkpoint
  std::vector<std::string> settings, entries; // entries empty: every inference entry
  DeviceOptions device;
  bool json = false;
};
Status evalCommand(const EvalOptions &options);

struct InferOptions {
  std::string program, checkpoint, parameters; // one of the last two
  std::string entry,
      routing; // at most one: an entry's name, or "as-trained" or "dropless"; none: the first inference entry
  std::vector<std::string> inputs, outputs; // name=@file
  std::string outputFolder;                 // every output as <name>.npy; empty: none
  double progress = 0;                      // step / total steps, for entries that depend on it
  int top = 5;
  DeviceOptions device;
};
Status inferCommand(const InferOptions &options);

} // namespace moert
