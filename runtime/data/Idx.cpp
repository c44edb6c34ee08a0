#include "runtime/data/Idx.h"

#include "runtime/base/Files.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

namespace moert {

struct IdxFile::Disk {
  int fd;
  uint64_t start; // of the data
  ~Disk() { ::close(fd); }
};

namespace {

constexpr uint64_t kLargest = uint64_t(1) << 32; // bytes; MNIST's largest file has 47 MB
constexpr size_t kAxes = 4;

uint32_t bigEndian(const uint8_t *p) { return uint32_t(p[0]) << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

const char *typeName(uint8_t type) {
  switch (type) {
  case 0x08:
    return "unsigned bytes";
  case 0x09:
    return "signed bytes";
  case 0x0b:
    return "16-bit integers";
  case 0x0c:
    return "32-bit integers";
  case 0x0d:
    return "32-bit floats";
  case 0x0e:
    return "64-bit floats";
  default:
    return "an unknown type";
  }
}

// The first four bytes: 0, 0, type, number of axes.
Status checkMagic(const uint8_t *magic) {
  if (magic[0] || magic[1] || typeName(magic[2]) == typeName(0))
    return invalidInput("expected an IDX file (first bytes 00 00 08), found another format");
  if (magic[2] != 0x08)
    return invalidInput("expected an IDX file of unsigned bytes, found one of ", typeName(magic[2]));
  if (magic[3] < 1 || magic[3] > kAxes)
    return invalidInput("expected an IDX file of 1 to 4 axes, found ", int(magic[3]));
  return okStatus();
}

// Fills `shape` from the sizes after the magic and returns how many bytes of data they announce.
Result<uint64_t> readShape(const uint8_t *sizes, size_t axes, std::vector<uint32_t> &shape) {
  uint64_t total = 1;
  for (size_t i = 0; i < axes; ++i) {
    shape.push_back(bigEndian(sizes + 4 * i));
    if (__builtin_mul_overflow(total, uint64_t(shape.back()), &total) || total > kLargest)
      return invalidInput("expected at most ", kLargest, " bytes, found a header that announces more");
  }
  return total;
}

Status openPlain(std::shared_ptr<IdxFile::Disk> disk, uint64_t size, IdxFile &file) {
  int fd = disk->fd;
  uint8_t head[4 + 4 * kAxes];
  if (::pread(fd, head, 4, 0) != 4)
    return invalidInput("expected an IDX file, found only ", size, " bytes");
  MOERT_TRY(checkMagic(head));
  size_t axes = head[3];
  if (::pread(fd, head + 4, 4 * axes, 4) != ssize_t(4 * axes))
    return invalidInput("expected a header of ", 4 + 4 * axes, " bytes, found only ", size, " bytes");
  MOERT_ASSIGN(file.bytes, readShape(head + 4, axes, file.shape));
  uint64_t start = 4 + 4 * axes;
  if (size != start + file.bytes)
    return invalidInput("expected ", start + file.bytes, " bytes as its header says, found ", size,
                        size < start + file.bytes ? ": the file is cut short"
                                                  : ": the file has bytes after its end");
  disk->start = start;
  file.disk = std::move(disk);
  return okStatus();
}

struct GzipReader {
  gzFile file;
  ~GzipReader() { ::gzclose_r(file); }
  // Fewer bytes than asked for is a failure that says whether the stream is damaged or merely ends.
  Status read(uint8_t *out, uint64_t bytes) {
    while (bytes) {
      int got = ::gzread(file, out, unsigned(bytes < (1u << 30) ? bytes : 1u << 30));
      if (got <= 0)
        return failure();
      out += got;
      bytes -= unsigned(got);
    }
    return okStatus();
  }
  Status failure() {
    int code = Z_OK;
    const char *text = ::gzerror(file, &code);
    if (code == Z_OK || code == Z_BUF_ERROR)
      return invalidInput("expected more data, found the end: the file is cut short");
    return invalidInput("damaged gzip data: ", text);
  }
};

Status openGzip(int fd, IdxFile &file) {
  gzFile stream = ::gzdopen(::dup(fd), "rb");
  if (!stream)
    return invalidInput("cannot open the gzip stream: ", std::strerror(errno));
  GzipReader reader{stream};
  uint8_t head[4 + 4 * kAxes];
  MOERT_TRY(reader.read(head, 4));
  MOERT_TRY(checkMagic(head));
  MOERT_TRY(reader.read(head + 4, 4 * size_t(head[3])));
  MOERT_ASSIGN(file.bytes, readShape(head + 4, head[3], file.shape));
  // Grown as data arrives: a small file must not make us reserve what its header claims.
  auto buffer = std::make_shared<std::vector<uint8_t>>();
  for (uint64_t done = 0; done < file.bytes;) {
    uint64_t piece = std::min<uint64_t>(file.bytes - done, std::max<uint64_t>(done, 1 << 20));
    buffer->resize(done + piece);
    MOERT_TRY(reader.read(buffer->data() + done, piece));
    done += piece;
  }
  uint8_t extra; // reading past the end makes zlib check the stream's CRC
  int got = ::gzread(stream, &extra, 1);
  if (got > 0)
    return invalidInput("expected ", file.bytes, " bytes of data as its header says, found more");
  int code = Z_OK; // a missing trailer shows here alone
  ::gzerror(stream, &code);
  if (got < 0 || code != Z_OK)
    return reader.failure();
  file.unpacked = std::move(buffer);
  return okStatus();
}

Status openAny(const std::string &path, IdxFile &file) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return invalidInput("cannot open it: ", std::strerror(errno));
  auto disk = std::make_shared<IdxFile::Disk>(fd, 0);
  struct stat info;
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
    return invalidInput("expected a regular file");
  uint8_t magic[2] = {};
  if (::pread(fd, magic, 2, 0) != 2)
    return invalidInput("expected an IDX file, found ", info.st_size, " bytes");
  bool gzip = magic[0] == 0x1f && magic[1] == 0x8b;
  return gzip ? openGzip(fd, file) : openPlain(std::move(disk), uint64_t(info.st_size), file);
}

} // namespace

Result<IdxFile> IdxFile::open(const std::string &path) {
  IdxFile file;
  file.path = path;
  try {
    if (Status status = openAny(path, file); !status.ok())
      return std::move(status).in(path);
  } catch (const std::bad_alloc &) { // a small compressed file may hold much
    return noMemoryFor(path, file.bytes);
  }
  return file;
}

Status IdxFile::read(uint64_t from, std::span<uint8_t> out) const {
  if (unpacked) {
    std::memcpy(out.data(), unpacked->data() + from, out.size());
    return okStatus();
  }
  for (size_t done = 0; done < out.size();) {
    ssize_t got = ::pread(disk->fd, out.data() + done, out.size() - done, off_t(disk->start + from + done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return invalidInput(path, ": cannot read: ", std::strerror(errno));
    if (got == 0)
      return invalidInput(path, ": expected ", disk->start + bytes, " bytes as when it was opened, found ",
                          "the end at ", disk->start + from + done, ": the file was cut short meanwhile");
    done += size_t(got);
  }
  return okStatus();
}

} // namespace moert
