// A file whose bytes are looked at where the system keeps them, without a copy: for files that are as large
// as a model. The file may be cut short by somebody else while it is looked at; the system then sends a
// signal, which ends a process. Here it ends the look alone, as a failure like that of a read.
#pragma once

#include "runtime/base/Files.h"

#include <cstddef>
#include <functional>
#include <span>
#include <string>

namespace moert {

class MappedFile {
public:
  /// All bytes that a regular file has now.
  static Result<MappedFile> map(const OpenFile &file);
  MappedFile(MappedFile &&other) noexcept;
  MappedFile &operator=(MappedFile &&other) noexcept;
  ~MappedFile();

  uint64_t size() const { return size_; }
  /// Calls `look` with so many bytes from `from` on, in pieces in the order of the file that each are a
  /// multiple of 64 bytes, but for the last one. Memory that the system has filled from the file is given
  /// back piece by piece. `look` must not own anything when it reads, since a file that was cut short ends it
  /// in the middle. invalid_input: it was.
  Status pieces(uint64_t from, uint64_t bytes,
                const std::function<void(std::span<const std::byte>)> &look) const;

private:
  MappedFile(const std::byte *data, uint64_t size, std::string path)
      : data_(data), size_(size), path_(std::move(path)) {}
  const std::byte *data_; // nullptr: an empty file, or moved from
  uint64_t size_;
  std::string path_;
};

} // namespace moert
