#include "runtime/base/Files.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <new>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

namespace moert {
namespace {

Status failure(const std::string &path, const char *what) {
  int code = errno;
  bool reading = std::strcmp(what, "open") == 0 || std::strcmp(what, "read") == 0;
  const char *hint = reading                            ? ""
                     : code == ENOSPC || code == EDQUOT ? "; free some space or write elsewhere"
                     : code == EACCES || code == EROFS  ? "; give a folder that can be written"
                     : code == ENOENT && std::strcmp(what, "create") == 0 ? "; create its folder first"
                                                                          : "";
  return invalidInput(path, ": cannot ", what, ": ", std::strerror(code), hint);
}

// A call that a signal interrupted is made again; not for ever, since a broken file system may never do it.
template <typename Call> auto uninterrupted(Call call) {
  decltype(call()) result;
  int left = 100;
  do
    result = call();
  while (result < 0 && errno == EINTR && --left);
  return result;
}

int openUninterrupted(const std::string &path, int flags, mode_t mode = 0) {
  return uninterrupted([&] { return ::open(path.c_str(), flags, mode); });
}

const char *kindOf(mode_t mode) {
  return S_ISDIR(mode)    ? "a folder"
         : S_ISFIFO(mode) ? "a pipe"
         : S_ISCHR(mode)  ? "a device or terminal"
         : S_ISBLK(mode)  ? "a block device"
         : S_ISSOCK(mode) ? "a socket"
                          : "something else";
}

// What to do about one that a file was to be read from.
const char *instead(mode_t mode) {
  return S_ISFIFO(mode)  ? "; write what comes through it to a file, and give that"
         : S_ISCHR(mode) ? "; write what comes from it to a file, and give that"
                         : "";
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0)
      ::close(fd);
  }
};

// Opening a pipe that nobody reads fails with ENXIO instead of waiting for a reader; from then on writes wait
// for the reader, as they do for a disk.
int openToWrite(const std::string &path, int flags) {
  int fd = openUninterrupted(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags, 0666);
  if (fd >= 0)
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  return fd;
}

// What failed to open: pipes without a reader, sockets, and devices that nothing is behind are named.
Status cannotWrite(const std::string &path, const char *what) {
  int code = errno;
  struct stat info;
  if (code == ENXIO && ::stat(path.c_str(), &info) == 0)
    return invalidInput(path, ": expected a file to write, found ", kindOf(info.st_mode),
                        S_ISFIFO(info.st_mode) ? " that nobody reads" : "");
  errno = code;
  return failure(path, what);
}

// A rename is on the disk when its folder is.
Status syncFolder(const std::string &path) {
  Descriptor folder{openUninterrupted(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (folder.fd < 0)
    return failure(path, "open");
  if (uninterrupted([&] { return ::fsync(folder.fd); }) != 0 && errno != EINVAL)
    return failure(path, "flush");
  return okStatus();
}

std::string parentOf(const std::string &path) {
  std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

Status writePiece(int fd, const std::string &shown, std::span<const std::byte> piece) {
  while (!piece.empty()) {
    ssize_t written = uninterrupted([&] { return ::write(fd, piece.data(), piece.size()); });
    if (written < 0)
      return failure(shown, "write");
    piece = piece.subspan(size_t(written));
  }
  return okStatus();
}

// What a disk refuses late, it may say here. EINTR: the file is closed all the same.
Status close(Descriptor &file, const std::string &shown) {
  int fd = std::exchange(file.fd, -1);
  return ::close(fd) == 0 || errno == EINTR ? okStatus() : failure(shown, "close");
}

// Messages say `shown`, which is what the user knows of the file.
Status write(const std::string &path, const std::string &shown,
             std::span<const std::span<const std::byte>> pieces) {
  Descriptor file{openToWrite(path, O_TRUNC)};
  if (file.fd < 0)
    return cannotWrite(shown, "create");
  for (std::span<const std::byte> piece : pieces)
    MOERT_TRY(writePiece(file.fd, shown, piece));
  if (uninterrupted([&] { return ::fsync(file.fd); }) != 0 &&
      errno != EINVAL) // EINVAL: a pipe or a device, which has no disk
    return failure(shown, "flush");
  return close(file, shown);
}

Status removeAll(const std::string &path) {
  std::error_code code;
  std::filesystem::remove_all(path, code);
  if (!code)
    return okStatus();
  errno = code.value();
  return failure(path, "remove");
}

} // namespace

Result<int> openToWrite(const std::string &path) {
  int fd = openToWrite(path, O_TRUNC);
  return fd < 0 ? Result<int>(cannotWrite(path, "create")) : fd;
}

std::string kindOfFile(const std::string &path) {
  struct stat info;
  return ::stat(path.c_str(), &info) != 0 || S_ISREG(info.st_mode) ? "" : kindOf(info.st_mode);
}

Status writeDurably(const std::string &path, std::span<const std::span<const std::byte>> pieces) {
  return write(path, path, pieces);
}

Status writeDurably(const std::string &path, std::string_view text) {
  std::span<const std::byte> piece(reinterpret_cast<const std::byte *>(text.data()), text.size());
  return writeDurably(path, std::span(&piece, 1));
}

Status replaceFile(const std::string &path, std::span<const std::span<const std::byte>> pieces) {
  struct stat info;
  if (::lstat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    return writeDurably(path, pieces);
  std::string fresh = path + ".tmp";
  Status status = write(fresh, path, pieces);
  if (status.ok() && ::rename(fresh.c_str(), path.c_str()) != 0)
    status = failure(path, "rename");
  if (!status.ok()) {
    ::unlink(fresh.c_str());
    return status;
  }
  if (Status flushed = flushParent(path); !flushed.ok())
    return {flushed.code(),
            concat(flushed.message(), "; ", path, " is the new one, unless a power failure undoes it")};
  return okStatus();
}

Status replaceFile(const std::string &path, std::string_view text) {
  std::span<const std::byte> piece(reinterpret_cast<const std::byte *>(text.data()), text.size());
  return replaceFile(path, std::span(&piece, 1));
}

Status appendLine(const std::string &path, std::string_view line) {
  Descriptor file{openToWrite(path, O_APPEND)};
  if (file.fd < 0)
    return cannotWrite(path, "open");
  std::string text = concat(line, "\n");
  MOERT_TRY(writePiece(file.fd, path, std::as_bytes(std::span(text))));
  return close(file, path);
}

Status flushFile(const std::string &path) {
  Descriptor file{openUninterrupted(path, O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0)
    return failure(path, "open");
  if (uninterrupted([&] { return ::fsync(file.fd); }) != 0 && errno != EINVAL)
    return failure(path, "flush");
  return okStatus();
}

Status flushParent(const std::string &path) { return syncFolder(parentOf(path)); }

std::string previousFolder(const std::string &target) { return target + ".previous"; }

Status removeLeftovers(const std::string &fresh, const std::string &target) {
  std::string previous = previousFolder(target);
  bool stands = exists(target);
  if (!exists(fresh) && !(stands && exists(previous)))
    return okStatus();
  MOERT_TRY(flushParent(target));
  MOERT_TRY(removeAll(fresh));
  return stands ? removeAll(previous) : okStatus();
}

Result<std::string> placeFolder(const std::string &fresh, const std::string &target) {
  MOERT_TRY(syncFolder(fresh));
  std::string previous = previousFolder(target);
  if (::rename(fresh.c_str(), target.c_str()) == 0) // there was none, or an empty one
    return exists(previous) ? previous : std::string();
  if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
    return failure(target, "rename");
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0)
    return fresh;
  MOERT_TRY(removeAll(previous));
  if (::rename(target.c_str(), previous.c_str()) != 0)
    return failure(target, "rename");
  if (::rename(fresh.c_str(), target.c_str()) != 0) {
    Status status = failure(fresh, "rename");
    ::rename(previous.c_str(), target.c_str());
    return status;
  }
  return previous;
}

namespace {

// Opening a named pipe without this would wait until somebody writes to it. Regular files and folders do not
// heed it.
constexpr int kToRead = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

Status cannotOpen(const std::string &path) {
  int code = errno;
  struct stat info;
  if (code == ENXIO && ::stat(path.c_str(), &info) == 0) // sockets, and devices that nothing is behind
    return invalidInput(path, ": expected a regular file, found ", kindOf(info.st_mode),
                        instead(info.st_mode));
  errno = code;
  return failure(path, "open");
}

} // namespace

Result<OpenFile> OpenFile::open(const std::string &path) {
  int fd = ::open(path.c_str(), kToRead);
  if (fd < 0)
    return cannotOpen(path);
  return OpenFile(fd, path);
}

OpenFile::OpenFile(OpenFile &&other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

OpenFile &OpenFile::operator=(OpenFile &&other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  return *this;
}

OpenFile::~OpenFile() {
  if (fd_ >= 0)
    ::close(fd_);
}

Result<std::optional<OpenFile>> OpenFile::inside(const std::string &name) const {
  std::string path = path_ + "/" + name;
  int fd = ::openat(fd_, name.c_str(), kToRead);
  if (fd >= 0)
    return std::optional<OpenFile>(OpenFile(fd, path));
  if (errno == ENOENT)
    return std::optional<OpenFile>();
  return cannotOpen(path);
}

Result<bool> OpenFile::isFolder() const {
  struct stat info;
  if (uninterrupted([&] { return ::fstat(fd_, &info); }) != 0)
    return failure(path_, "look at");
  return S_ISDIR(info.st_mode);
}

Result<bool> OpenFile::hasItsName() const {
  struct stat held, there;
  if (uninterrupted([&] { return ::fstat(fd_, &held); }) != 0)
    return failure(path_, "look at");
  if (uninterrupted([&] { return ::stat(path_.c_str(), &there); }) != 0)
    return errno == ENOENT || errno == ENOTDIR ? Result<bool>(false) : failure(path_, "look at");
  return held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

Result<std::string> readText(const std::string &path, size_t limit) {
  MOERT_ASSIGN(OpenFile file, OpenFile::open(path));
  return file.text(limit);
}

Result<uint64_t> OpenFile::size(std::string_view expected) const {
  struct stat info;
  if (::fstat(fd_, &info) != 0)
    return failure(path_, "read");
  if (!S_ISREG(info.st_mode))
    return invalidInput(path_, ": expected ", expected, ", found ", kindOf(info.st_mode),
                        instead(info.st_mode));
  return uint64_t(info.st_size);
}

Status OpenFile::read(uint64_t from, std::span<std::byte> out) const {
  for (size_t done = 0; done < out.size();) {
    ssize_t got = ::pread(fd_, out.data() + done, out.size() - done, off_t(from + done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return failure(path_, "read");
    if (got == 0) {
      MOERT_ASSIGN(uint64_t left, size());
      return invalidInput(path_, ": expected at least ", from + out.size(),
                          " bytes as when it was opened, found ", left, ": the file was cut short meanwhile");
    }
    done += size_t(got);
  }
  return okStatus();
}

Result<std::string> OpenFile::text(size_t limit) const {
  MOERT_ASSIGN(uint64_t bytes, size());
  if (bytes > limit)
    return invalidInput(path_, ": expected at most ", limit, " bytes, found ", bytes);
  MOERT_TRY(fitsMemory(path_, bytes));
  std::string text;
  try {
    text.resize(size_t(bytes));
  } catch (const std::bad_alloc &) {
    return noMemoryFor(path_, bytes);
  }
  MOERT_TRY(read(0, std::as_writable_bytes(std::span(text))));
  return text;
}

Status fitsMemory(const std::string &path, uint64_t bytes) {
  uint64_t machine = uint64_t(sysconf(_SC_PHYS_PAGES)) * uint64_t(sysconf(_SC_PAGESIZE));
  return bytes > machine ? noMemoryFor(path, bytes) : okStatus();
}

Status noMemoryFor(const std::string &path, uint64_t bytes) {
  return invalidInput(path, ": expected a file that fits in this machine's memory, found one that needs ",
                      bytes >> 20, " MiB");
}

Status makeFolders(const std::string &path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) {
    errno = code.value();
    return failure(path, "create the folder");
  }
  return okStatus();
}

bool exists(const std::string &path) { return ::access(path.c_str(), F_OK) == 0; }

bool isAbsent(const std::string &path) {
  return ::access(path.c_str(), F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

void removeFolder(const std::string &path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

Status notOver(std::span<const std::string> outputs, std::span<const std::string> inputs) {
  namespace fs = std::filesystem;
  std::map<fs::path, std::string> taken; // what is written, as it was named, by where it lies
  for (const std::string &output : outputs) {
    std::error_code none, ignored;
    bool file = fs::is_regular_file(output, ignored);
    for (const std::string &input : inputs)
      if (file && fs::equivalent(output, input, ignored) && !ignored)
        return invalidInput(output,
                            ": expected another file to write, found the one that is read; give the output ",
                            "a name of its own");
    if (!file && fs::exists(output, ignored))
      continue;
    fs::path place = fs::weakly_canonical(fs::absolute(output, ignored), none);
    if (auto [other, fresh] = taken.emplace(none ? fs::path(output) : place, output); !fresh)
      return invalidInput(output, ": expected a file for each output, found the one of another, ",
                          other->second, "; give each output a name of its own");
  }
  return okStatus();
}

} // namespace moert
