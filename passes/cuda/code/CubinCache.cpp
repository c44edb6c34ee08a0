// A file is: the magic bytes; the SHA-256 of all that follows; the key, so that a file under a wrong name is not
// taken; the kernel's resources, five numbers of 32 bits; the cubin.
#include "passes/cuda/code/CubinCache.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

namespace fs = llvm::sys::fs;

namespace moe::cuda {
namespace {

constexpr llvm::StringLiteral magic = "MOECUBI1", suffix = ".cubin", unfinished = ".tmp";
constexpr size_t digestBytes = 32, keyBytes = 2 * digestBytes, numbers = 5;

std::string digest(llvm::StringRef bytes) {
  llvm::SHA256 hash;
  hash.update(bytes);
  auto made = hash.final();
  return std::string(reinterpret_cast<const char *>(made.data()), made.size());
}

} // namespace

CubinCache::CubinCache() : limit(defaultLimit) {
  llvm::SmallString<128> path;
  if (!llvm::sys::path::cache_directory(path) || !llvm::sys::path::is_absolute(path))
    return; // relative folders are to be ignored, as the XDG Base Directory Specification says
  llvm::sys::path::append(path, "moe", "cubins");
  if (!fs::create_directories(path))
    folder = std::string(path);
}

CubinCache::CubinCache(llvm::StringRef folder, uint64_t limit) : folder(folder), limit(limit) {
  if (fs::create_directories(folder))
    this->folder.clear();
}

std::string CubinCache::key(llvm::StringRef ptx, const Architecture &architecture,
                            llvm::StringRef assembler) {
  llvm::SHA256 hash;
  for (llvm::StringRef part : {llvm::StringRef(magic), architecture.name, assembler, Assembler::options()}) {
    hash.update(part);
    hash.update(llvm::StringRef("\0", 1));
  }
  hash.update(ptx);
  return llvm::toHex(hash.final(), /*LowerCase=*/true);
}

std::optional<Cubin> CubinCache::find(llvm::StringRef key) const {
  if (folder.empty())
    return std::nullopt;
  const std::string path = folder + "/" + key.str() + suffix.str();
  // Whatever else has the name is no file of the cache; opening a pipe would wait for its writer.
  if (!fs::is_regular_file(path))
    return std::nullopt;
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return std::nullopt;
  llvm::StringRef rest = (*buffer)->getBuffer();
  if (!rest.consume_front(magic) || rest.size() < digestBytes + keyBytes + 4 * numbers)
    return std::nullopt;
  llvm::StringRef stated = rest.take_front(digestBytes);
  rest = rest.drop_front(digestBytes);
  if (digest(rest) != stated || !rest.consume_front(key))
    return std::nullopt;
  uint32_t values[numbers];
  for (uint32_t &value : values) {
    value = llvm::support::endian::read32le(rest.data());
    rest = rest.drop_front(4);
  }
  // Files that are used are the last ones to be removed.
  if (auto file = fs::openNativeFileForWrite(path, fs::CD_OpenExisting, fs::OF_None)) {
    (void)fs::setLastAccessAndModificationTime(*file, std::chrono::system_clock::now());
    fs::closeFile(*file);
  } else {
    llvm::consumeError(file.takeError());
  }
  return Cubin{rest.str(), {values[0], values[1], values[2], values[3], values[4]}};
}

void CubinCache::store(llvm::StringRef key, const Cubin &cubin) const {
  if (folder.empty())
    return;
  const KernelResources &of = cubin.resources;
  std::string rest = key.str();
  for (uint32_t value :
       {of.registers, of.sharedBytes, of.stackBytes, of.spillStoreBytes, of.spillLoadBytes}) {
    char bytes[4];
    llvm::support::endian::write32le(bytes, value);
    rest.append(bytes, 4);
  }
  rest += cubin.bytes;
  int descriptor = -1;
  llvm::SmallString<128> temporary;
  // Each '%' of a model of names would be replaced, also in the folder's own name.
  static std::atomic<unsigned> next = 0;
  (folder + "/" + key + "-" + std::to_string(llvm::sys::Process::getProcessId()) + "-" +
   std::to_string(next++) + unfinished)
      .toVector(temporary);
  if (fs::openFileForWrite(temporary, descriptor, fs::CD_CreateNew))
    return;
  llvm::raw_fd_ostream stream(descriptor, /*shouldClose=*/true);
  stream << magic << digest(rest) << rest;
  stream.close();
  const bool isWritten = !stream.has_error();
  stream.clear_error();
  if (!isWritten || fs::rename(temporary, folder + "/" + key + suffix))
    fs::remove(temporary);
}

void CubinCache::shrink() const {
  if (folder.empty())
    return;
  struct File {
    std::string path;
    llvm::sys::TimePoint<> used;
    uint64_t bytes;
  };
  std::vector<File> files;
  uint64_t total = 0;
  const auto now = std::chrono::system_clock::now();
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; it != end && !error; it.increment(error)) {
    auto status = it->status();
    if (!status || status->type() != fs::file_type::regular_file)
      continue;
    llvm::StringRef path = it->path();
    if (path.ends_with(unfinished)) {
      if (now - status->getLastModificationTime() > std::chrono::hours(1))
        fs::remove(path);
    } else if (path.ends_with(suffix)) {
      files.push_back({path.str(), status->getLastModificationTime(), status->getSize()});
      total += status->getSize();
    }
  }
  if (total <= limit)
    return;
  // A quarter more than needed, so that this is not done each time.
  std::sort(files.begin(), files.end(), [](const File &a, const File &b) { return a.used < b.used; });
  for (const File &file : files) {
    if (total <= limit - limit / 4)
      break;
    if (!fs::remove(file.path))
      total -= file.bytes;
  }
}

} // namespace moe::cuda
