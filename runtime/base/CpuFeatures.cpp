// The system's own list of them, the same for all cores.
#include "runtime/base/CpuFeatures.h"

#include <fstream>
#include <sstream>

namespace moert {

std::vector<std::string> cpuFeatures() {
  std::ifstream info("/proc/cpuinfo");
  std::vector<std::string> features;
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("flags"))
      continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;)
      features.push_back(word);
    break;
  }
  return features;
}

} // namespace moert
