#include "frontends/driver/Files.h"
#include "passes/language/CheckText.h"
#include "runtime/base/Files.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/ConvertUTF.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace moe {

// What the shell has opened for this process: standard input, or the pipe of `<(command)`.
static bool isOpened(llvm::StringRef path) {
  return path == "-" || path == "/dev/stdin" || path.starts_with("/dev/fd/") ||
         path.starts_with("/proc/self/fd/");
}

// A pipe that nobody writes to would be waited for, and a device may have no end.
static moert::Result<std::unique_ptr<llvm::MemoryBuffer>> readBytes(const std::string &path) {
  std::string kind = moert::kindOfFile(path);
  if (kind == "a folder")
    return moert::invalidInput(path, ": expected a file with a model's text, found a folder");
  if (!isOpened(path)) {
    if (!kind.empty())
      return moert::invalidInput(path, ": expected a regular file with a model's text, found ", kind,
                                 kind == "a pipe" ? "; '-' reads standard input" : "");
    uint64_t size = 0;
    if (!llvm::sys::fs::file_size(path, size) && size > longestModel)
      return moert::invalidInput(path, ": expected a model's text of at most ", longestModel,
                                 " bytes, found ", size);
    auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/false);
    if (!file)
      return moert::invalidInput(path, ": cannot be read: ", file.getError().message());
    return std::move(*file);
  }
  int fd = 0; // standard input
  bool opened = path != "-" && path != "/dev/stdin";
  if (opened && (fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC)) < 0)
    return moert::invalidInput(path, ": cannot be read: ", std::strerror(errno));
  llvm::scope_exit close([&] {
    if (opened)
      ::close(fd);
  });
  std::string bytes;
  std::array<char, 1 << 16> part;
  for (;;) {
    ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return moert::invalidInput(path, ": cannot be read: ", std::strerror(errno));
    if (got == 0)
      break;
    bytes.append(part.data(), size_t(got));
    if (bytes.size() > longestModel)
      return moert::invalidInput(path, ": expected a model's text of at most ", longestModel,
                                 " bytes, found more");
  }
  return llvm::MemoryBuffer::getMemBufferCopy(bytes, path == "-" ? "<stdin>" : path);
}

moert::Result<std::unique_ptr<llvm::MemoryBuffer>> readText(const std::string &path) {
  MOERT_ASSIGN(std::unique_ptr<llvm::MemoryBuffer> file, readBytes(path));
  llvm::StringRef text = file->getBuffer();
  // A byte order mark, which some editors write before the first line, says nothing of a text in UTF-8.
  if (text.starts_with("\xef\xbb\xbf")) {
    file = llvm::MemoryBuffer::getMemBufferCopy(text.drop_front(3), file->getBufferIdentifier());
    text = file->getBuffer();
  }
  if (text.trim().empty())
    return moert::invalidInput(path, ": expected a model's text, found an empty file");
  if (text.starts_with("\x89MOE"))
    return moert::invalidInput(
        path, ": expected a model's text, found a compiled program; 'moec disassemble' shows it");
  if (text.starts_with("ML\xefR"))
    return file; // MLIR's bytecode
  const auto *begin = reinterpret_cast<const llvm::UTF8 *>(text.begin());
  const auto *end = reinterpret_cast<const llvm::UTF8 *>(text.end());
  const llvm::UTF8 *stop = begin;
  bool utf8 = llvm::isLegalUTF8String(&stop, end);
  size_t zero = text.find('\0');
  if (!utf8 || zero != llvm::StringRef::npos) {
    size_t at = std::min<size_t>(zero, utf8 ? text.size() : stop - begin);
    return moert::invalidInput(path, ": expected a model's text in UTF-8, found a binary file (byte ", at,
                               ")");
  }
  return file;
}

moert::Status writeWhole(const std::string &path, llvm::ArrayRef<char> bytes, bool text) {
  if (path == "-") {
    if (!text && isatty(STDOUT_FILENO))
      return moert::usageError("expected a file or a pipe to write a program to, found a terminal");
    llvm::outs().write(bytes.data(), bytes.size());
    llvm::outs().flush();
    return llvm::outs().has_error() ? moert::invalidInput("standard output cannot be written")
                                    : moert::okStatus();
  }
  if (llvm::sys::fs::is_directory(path))
    return moert::invalidInput(path, ": expected a file to write, found a folder; add a name to it");
  // What is no plain file (a pipe, /dev/null) cannot be replaced by a rename.
  llvm::sys::fs::file_status status;
  bool replace = llvm::sys::fs::status(path, status) || llvm::sys::fs::is_regular_file(status);
  std::string target = replace ? path + ".tmp" + std::to_string(getpid()) : path;
  // A signal in the middle takes the temporary with it; so does the end that main knows for lost memory.
  if (replace)
    llvm::sys::RemoveFileOnSignal(target);
  llvm::scope_exit done([&] {
    if (replace)
      llvm::sys::DontRemoveFileOnSignal(target);
  });
  auto failed = [&](std::error_code code) {
    if (replace)
      llvm::sys::fs::remove(target);
    return moert::invalidInput(path, ": cannot be written: ", code.message(),
                               code == std::errc::no_such_file_or_directory ? "; create its folder first"
                                                                            : "");
  };
  int file = -1;
  if (!replace) {
    MOERT_ASSIGN(file, moert::openToWrite(path));
  } else if (std::error_code code = llvm::sys::fs::openFileForWrite(target, file)) {
    return failed(code);
  }
  {
    llvm::raw_fd_ostream out(file, /*shouldClose=*/true, /*unbuffered=*/true);
    out.write(bytes.data(), bytes.size());
    out.close();
    if (std::error_code error = out.error()) {
      out.clear_error();
      return failed(error);
    }
  }
  if (replace)
    if (std::error_code error = llvm::sys::fs::rename(target, path))
      return failed(error);
  return moert::okStatus();
}

} // namespace moe
