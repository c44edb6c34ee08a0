// Reads IDX files of unsigned bytes (the format of MNIST and its siblings), plain or gzip, told apart by
// content. A plain file stays on the disk and is read where it is asked for, so that opening 47 MB of images
// costs no reading, and a file that is cut short meanwhile is an error and no signal, as it would be of a
// mapping. A compressed one is unpacked into memory, and not before its owner asks: the header is known
// first, so that files which do not belong together, or not to a program, are refused without taking memory
// for them. The header of a file decides nothing before it is checked against the bytes that are really
// there.
#pragma once

#include "runtime/base/Files.h"

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

  /// invalid_input: missing, no regular file, not IDX, not unsigned bytes, shorter or longer than its header
  /// says; of gzip, too small for what its header says.
  static Result<IdxFile> open(const std::string &path);
  /// Has to come before the first read; costs nothing but for gzip. invalid_input: damaged gzip, or one that
  /// holds more or less than its header says.
  Status unpack();
  /// Copies the bytes from `from` on, from any thread. invalid_input: the file was cut short since it was
  /// opened, or the disk failed.
  Status read(uint64_t from, std::span<uint8_t> out) const;

  std::shared_ptr<const OpenFile> disk;
  uint64_t start = 0;                        // of the data, in the plain file
  bool packed = false;                       // by gzip
  std::shared_ptr<const uint8_t[]> unpacked; // then, the data
};

} // namespace moert
