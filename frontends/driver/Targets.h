// Checks of the targets that a command line names, before anything is compiled for them.
#pragma once
#include "runtime/base/Status.h"
#include <string>
#include <vector>

namespace moe {

/// Fails if a target is unknown or named twice, and if code is to be finished for one for which this machine lacks a
/// tool: the message says which, and how it is installed.
moert::Status checkTargets(const std::vector<std::string> &targets, bool finished = true);

} // namespace moe
