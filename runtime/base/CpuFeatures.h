// What the CPU of this machine can do.
#pragma once

#include <string>
#include <vector>

namespace moert {

/// As the flags line of /proc/cpuinfo spells it.
std::vector<std::string> cpuFeatures();

} // namespace moert
