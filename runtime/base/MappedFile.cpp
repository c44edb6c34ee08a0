#include "runtime/base/MappedFile.h"

#include <algorithm>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace moert {
namespace {

// Where the thread goes on when the system finds no byte behind an address of the map.
thread_local sigjmp_buf *wayOut = nullptr;

void leave(int signal) {
  if (wayOut)
    siglongjmp(*wayOut, 1);
  std::signal(signal,
              SIG_DFL); // not of a look at a file: the instruction is tried again, and ends the process
}

// Catches the signal while any thread looks at a file.
class Guard {
public:
  Guard() {
    std::lock_guard lock(mutex_);
    if (users_++ == 0) {
      struct sigaction action{};
      action.sa_handler = leave;
      action.sa_flags = SA_NODEFER;
      sigemptyset(&action.sa_mask);
      sigaction(SIGBUS, &action, &before_);
    }
  }
  ~Guard() {
    std::lock_guard lock(mutex_);
    if (--users_ == 0)
      sigaction(SIGBUS, &before_, nullptr);
  }
  Guard(const Guard &) = delete;

private:
  static inline std::mutex mutex_;
  static inline int users_ = 0;
  static inline struct sigaction before_{};
};

// Nothing in this function needs a destructor, so that leaving it by a jump is defined.
bool lookAt(std::span<const std::byte> piece, const std::function<void(std::span<const std::byte>)> &look) {
  sigjmp_buf here;
  if (sigsetjmp(here, 0) != 0) {
    wayOut = nullptr;
    return false;
  }
  wayOut = &here;
  look(piece);
  wayOut = nullptr;
  return true;
}

} // namespace

Result<MappedFile> MappedFile::map(const OpenFile &file) {
  MOERT_ASSIGN(uint64_t size, file.size());
  if (size == 0)
    return MappedFile(nullptr, 0, file.path());
  void *data = ::mmap(nullptr, size_t(size), PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (data == MAP_FAILED)
    return invalidInput(file.path(), ": cannot map: ", strerror(errno));
  ::madvise(data, size_t(size), MADV_SEQUENTIAL); // advice only
  return MappedFile(static_cast<const std::byte *>(data), size, file.path());
}

MappedFile::MappedFile(MappedFile &&other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_)
    ::munmap(const_cast<std::byte *>(data_), size_t(size_));
}

Status MappedFile::pieces(uint64_t from, uint64_t bytes,
                          const std::function<void(std::span<const std::byte>)> &look) const {
  constexpr uint64_t kPiece = uint64_t(4) << 20;
  if (from > size_ || bytes > size_ - from)
    return internalError(path_, ": bytes behind the end of a map were asked for");
  const uint64_t page = uint64_t(sysconf(_SC_PAGESIZE));
  Guard guard;
  for (uint64_t at = from, end = from + bytes; at < end;) {
    const uint64_t length = std::min(kPiece, end - at);
    if (!lookAt({data_ + at, size_t(length)}, look))
      return invalidInput(path_, ": expected ", size_,
                          " bytes, as it had when it was opened, found fewer by now, or a disk that fails");
    // The page that the next piece begins in stays.
    const uint64_t first = at / page * page, last = (at + length) / page * page;
    if (last > first)
      ::madvise(const_cast<std::byte *>(data_ + first), size_t(last - first), MADV_DONTNEED);
    at += length;
  }
  return okStatus();
}

} // namespace moert
