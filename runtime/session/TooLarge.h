// The words for what does not fit a device's memory: sizes as people read them, and the largest of the buffers that take
// them. Sessions say so of their temporaries and ports, and states of themselves.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace moert {

/// "12 MiB", rounded up.
std::string mebibytes(uint64_t bytes);
/// The largest three of buffers with names: "'x' with 12 MiB, 'y' with 3 MiB".
std::string largestOf(std::vector<std::pair<uint64_t, std::string>> buffers);

} // namespace moert
