// Reads PNG files for `moert infer`.
#pragma once

#include "runtime/base/Result.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace moert {

struct PngImage {
  int channels = 0; // 1 grey, 3 colour
  int height = 0, width = 0;
  int white = 255;              // the largest sample: 65535 in files of 16 bits
  std::vector<uint16_t> pixels; // [row][column][channel], from 0 to `white`
};

/// The samples as the file has them: whatever it says of gamma and colour spaces is left out, as Pillow does,
/// since training takes stored values. Grey of 1, 2 and 4 bits is spread over 0 to 255, palettes give their
/// colours. invalid_input: missing, no PNG, damaged, larger than 16384 a side, or with transparency. `check`
/// sees all but the pixels, before memory is taken for them: a small file may announce many.
Result<PngImage> readPng(const std::string &path, const std::function<Status(const PngImage &)> &check = {});

} // namespace moert
