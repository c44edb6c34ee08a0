// Reads IDX files of unsigned bytes (the format of MNIST and its siblings), plain or gzip, told apart by
// content. A plain file is mapped, so that opening 47 MB of images costs no reading; a compressed one is
// unpacked into memory. The header of a file decides nothing before it is checked against the bytes that are
// really there.
#pragma once

#include "runtime/base/Result.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace moert {

struct IdxFile {
  std::string path;
  std::vector<uint32_t> shape;   // 1 to 4 axes, row-major
  std::span<const uint8_t> data; // product of shape, kept alive by `storage`
  std::shared_ptr<const void> storage;

  /// invalid_input: missing, not IDX, not unsigned bytes, shorter or longer than its header says, damaged
  /// gzip.
  static Result<IdxFile> open(const std::string &path);
};

} // namespace moert
