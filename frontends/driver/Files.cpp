#include "frontends/driver/Files.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/ConvertUTF.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"
#include <unistd.h>

namespace moe {

moert::Result<std::unique_ptr<llvm::MemoryBuffer>> readText(const std::string &path) {
  if (path != "-" && llvm::sys::fs::is_directory(path))
    return moert::invalidInput(path, ": expected a file with a model's text, found a folder");
  auto file = llvm::MemoryBuffer::getFileOrSTDIN(path, /*IsText=*/false);
  if (!file)
    return moert::invalidInput(path, ": cannot be read: ", file.getError().message());
  llvm::StringRef text = (*file)->getBuffer();
  if (text.trim().empty())
    return moert::invalidInput(path, ": expected a model's text, found an empty file");
  if (text.starts_with("\x89MOE"))
    return moert::invalidInput(
        path, ": expected a model's text, found a compiled program; 'moec disassemble' shows it");
  if (text.starts_with("ML\xefR"))
    return std::move(*file); // MLIR's bytecode
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
  return std::move(*file);
}

moert::Status writeWhole(const std::string &path, llvm::ArrayRef<char> bytes) {
  if (path == "-") {
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
  std::error_code code;
  {
    llvm::raw_fd_ostream out(target, code);
    if (code)
      return failed(code);
    out.SetUnbuffered();
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
