// Files that must be whole or absent: written under another name, flushed to the disk, then renamed. Every
// failure names the path and the system's reason, and leaves what was there before as it was; where only the
// disk's word for the last rename is missing, it says that the new one stands.
#pragma once

#include "runtime/base/Result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moert {

/// A descriptor, which the caller closes, to write a file from its start; it is made where there is none.
/// invalid_input: among others a pipe that nobody reads, whose reader would be waited for.
Result<int> openToWrite(const std::string &path);
/// "a folder", "a pipe", "a device or terminal" and the like; empty for a regular file and where nothing is.
std::string kindOfFile(const std::string &path);

/// Writes all pieces to a new file (or over an old one) and waits until the disk has them.
Status writeDurably(const std::string &path, std::span<const std::span<const std::byte>> pieces);
Status writeDurably(const std::string &path, std::string_view text);

/// The same as `path`.tmp, renamed when it is whole: a failure leaves neither a part nor the loss of what was
/// there. What is no plain file (a pipe, /dev/null, a link) is written in place.
Status replaceFile(const std::string &path, std::span<const std::span<const std::byte>> pieces);
Status replaceFile(const std::string &path, std::string_view text);

/// Adds a line to a file, which is made where there is none. After a failure a part of the line may stand
/// there, or all of it.
Status appendLine(const std::string &path, std::string_view line);
/// Waits until the disk has all that was written to a file.
Status flushFile(const std::string &path);
/// Waits until the disk has the name of a file or folder.
Status flushParent(const std::string &path);

/// Puts the finished folder `fresh` in the place of `target`, at one instant: a reader, or a run after a
/// crash, finds the old or the new. Where the file system cannot exchange names, the old one is kept as
/// `target`.previous meanwhile. Returns where the old one is now, or nothing where there was none: the caller
/// calls flushParent, since a power failure may still undo it, and then removes the old one. After a failure
/// `target` is as it was, or, where it could not get its name back, `target`.previous is.
Result<std::string> placeFolder(const std::string &fresh, const std::string &target);
std::string previousFolder(const std::string &target);
/// Removes what a replacement that failed or was killed has left beside `target`, once the disk has the names
/// as they are now. A `target`.previous without a `target` is no leftover.
Status removeLeftovers(const std::string &fresh, const std::string &target);

/// A file or folder held open: it stays what it is while others rename, replace or remove what has its name.
/// Opening never waits: what is neither a file nor a folder (a pipe, a terminal) is refused when it is read.
class OpenFile {
public:
  static Result<OpenFile> open(const std::string &path);
  OpenFile(OpenFile &&other) noexcept;
  OpenFile &operator=(OpenFile &&other) noexcept;
  ~OpenFile();

  /// The file of that name in this folder, which may have lost its own name by now; none: no such file.
  Result<std::optional<OpenFile>> inside(const std::string &name) const;
  Result<bool> isFolder() const;
  /// Whether the path it was opened by still leads to it.
  Result<bool> hasItsName() const;
  /// The size of a regular file. invalid_input, with what was `expected` and what it is: anything else.
  Result<uint64_t> size(std::string_view expected = "a regular file") const;
  /// Fills `out` with the bytes from `from` on; from any thread. invalid_input: there are fewer by now, or
  /// the disk failed.
  Status read(uint64_t from, std::span<std::byte> out) const;
  /// The content; at most `limit` bytes, and no more than the machine has memory for.
  Result<std::string> text(size_t limit) const;
  const std::string &path() const { return path_; }
  int descriptor() const { return fd_; }

private:
  OpenFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::string path_;
};

/// A whole file, as OpenFile::text.
Result<std::string> readText(const std::string &path, size_t limit = size_t(1) << 30);

/// Fails where the machine has less memory than that, whatever of it is free.
Status fitsMemory(const std::string &path, uint64_t bytes);
/// What to say of a file that memory has no room for.
Status noMemoryFor(const std::string &path, uint64_t bytes);

Status makeFolders(const std::string &path);
bool exists(const std::string &path);
/// Whether the system says that there is none; what cannot be looked at neither exists nor is absent.
bool isAbsent(const std::string &path);
/// Fails where a file to be written is one of those that are read, or another of those to be written, under
/// whatever name. Devices and pipes take anything.
Status notOver(std::span<const std::string> outputs, std::span<const std::string> inputs);
/// As much of it as can be removed.
void removeFolder(const std::string &path);

} // namespace moert
