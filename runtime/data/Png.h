// Reads PNG files for `moert infer`.
#pragma once

#include "runtime/base/Result.h"

#include <cstdint>
#include <string>
#include <vector>

namespace moert {

struct PngImage {
  int channels = 0; // 1 grey, 3 colour
  int height = 0, width = 0;
  std::vector<uint8_t> pixels; // [row][column][channel]
};

/// invalid_input: missing, no PNG, damaged, larger than 16384 a side, or with transparency.
Result<PngImage> readPng(const std::string &path);

} // namespace moert
