// What the emulator found wrong: the error that CUDA's driver would return, and a text for people that says what happened where.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/device/cuda/DriverApi.h"

#include <optional>
#include <string>

namespace moe::emu {

using namespace moert::cuda;
using moert::concat;

struct Finding {
  CUresult code = CUDA_SUCCESS;
  std::string text;
};

/// Nothing where all is well.
using Findings = std::optional<Finding>;

} // namespace moe::emu
