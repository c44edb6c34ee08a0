// Reads IDX files of unsigned bytes (the format of MNIST and its siblings), plain or gzip, told apart by
// content. A plain file stays on the disk and is read where it is asked for, so that opening 47 MB of images
// costs no reading, and a file that is cut short meanwhile is an error and no signal, as it would be of a
// mapping. A compressed one is unpacked into memory. The header of a file decides nothing before it is
// checked against the bytes that are really there.
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
  std::vector<uint32_t> shape; // 1 to 4 axes, row-major
  uint64_t bytes = 0;          // product of shape

  /// Copies the bytes from `from` on, from any thread. invalid_input: the file was cut short since it was
  /// opened, or the disk failed.
  Status read(uint64_t from, std::span<uint8_t> out) const;

  /// invalid_input: missing, not IDX, not unsigned bytes, shorter or longer than its header says, damaged
  /// gzip.
  static Result<IdxFile> open(const std::string &path);

  struct Disk; // an open plain file
  std::shared_ptr<const Disk> disk;
  std::shared_ptr<const std::vector<uint8_t>> unpacked; // of a compressed one
};

} // namespace moert
