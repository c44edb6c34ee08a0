#include "runtime/data/Idx.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <unistd.h>
#include <utility>
#include <zlib.h>

namespace moert {

namespace {

constexpr uint64_t kLargest = uint64_t(1) << 32; // bytes; MNIST's largest file has 47 MB
constexpr size_t kAxes = 4;

uint32_t bigEndian(const uint8_t *p) { return uint32_t(p[0]) << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

// Null: IDX has no such type.
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
    return nullptr;
  }
}

// The first four bytes: 0, 0, type, number of axes.
Status checkMagic(const uint8_t *magic) {
  if (magic[0] || magic[1] || !typeName(magic[2]))
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

Status openPlain(uint64_t size, IdxFile &file) {
  uint8_t head[4 + 4 * kAxes];
  if (size < 4)
    return invalidInput("expected an IDX file, found only ", size, " bytes");
  MOERT_TRY(file.disk->read(0, std::as_writable_bytes(std::span(head, 4))));
  MOERT_TRY(checkMagic(head));
  size_t axes = head[3];
  file.start = 4 + 4 * axes;
  if (size < file.start)
    return invalidInput("expected a header of ", file.start, " bytes, found only ", size, " bytes");
  MOERT_TRY(file.disk->read(4, std::as_writable_bytes(std::span(head + 4, 4 * axes))));
  MOERT_ASSIGN(file.bytes, readShape(head + 4, axes, file.shape));
  if (size != file.start + file.bytes)
    return invalidInput("expected ", file.start + file.bytes, " bytes as its header says, found ", size,
                        size < file.start + file.bytes ? ": the file is cut short"
                                                       : ": the file has bytes after its end");
  return okStatus();
}

struct GzipReader {
  gzFile file;
  explicit GzipReader(gzFile file) : file(file) {}
  GzipReader(GzipReader &&other) noexcept : file(std::exchange(other.file, nullptr)) {}
  ~GzipReader() {
    if (file)
      ::gzclose_r(file);
  }
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

// A stream of zlib's has a descriptor of its own, but shares the place in the file.
Result<GzipReader> gzipReader(int descriptor) {
  ::lseek(descriptor, 0, SEEK_SET);
  int fd = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  gzFile stream = fd < 0 ? nullptr : ::gzdopen(fd, "rb");
  if (stream)
    return GzipReader(stream);
  if (fd >= 0)
    ::close(fd);
  return invalidInput("cannot open the gzip stream: ", std::strerror(errno));
}

// The header and what it announces; the rest waits for unpack.
Status openGzip(uint64_t size, IdxFile &file) {
  MOERT_ASSIGN(GzipReader reader, gzipReader(file.disk->descriptor()));
  uint8_t head[4 + 4 * kAxes];
  MOERT_TRY(reader.read(head, 4));
  MOERT_TRY(checkMagic(head));
  MOERT_TRY(reader.read(head + 4, 4 * size_t(head[3])));
  MOERT_ASSIGN(file.bytes, readShape(head + 4, head[3], file.shape));
  file.start = 4 + 4 * size_t(head[3]);
  constexpr uint64_t kMostPerByte = 1032; // of the deflate format, whatever the data is
  if (file.bytes / kMostPerByte > size)
    return invalidInput("expected a file that can hold the ", file.bytes,
                        " bytes that its header announces, found ", size,
                        " bytes of gzip: the file is cut short");
  file.packed = true;
  return okStatus();
}

Status openAny(IdxFile &file) {
  MOERT_ASSIGN(uint64_t size, file.disk->size());
  uint8_t magic[2] = {};
  if (size < 2)
    return invalidInput(file.path, ": expected an IDX file, found ", size, " bytes");
  MOERT_TRY(file.disk->read(0, std::as_writable_bytes(std::span(magic))));
  bool gzip = magic[0] == 0x1f && magic[1] == 0x8b;
  return (gzip ? openGzip(size, file) : openPlain(size, file)).in(file.path);
}

} // namespace

Result<IdxFile> IdxFile::open(const std::string &path) {
  IdxFile file;
  file.path = path;
  MOERT_ASSIGN(OpenFile disk, OpenFile::open(path));
  file.disk = std::make_shared<const OpenFile>(std::move(disk));
  MOERT_TRY(openAny(file));
  return file;
}

Status IdxFile::unpack() {
  if (!packed || unpacked)
    return okStatus();
  MOERT_TRY(fitsMemory(path, bytes));
  auto fill = [&]() -> Status {
    MOERT_ASSIGN(GzipReader reader, gzipReader(disk->descriptor()));
    uint8_t head[4 + 4 * kAxes];
    MOERT_TRY(reader.read(head, start));
    // The system gives a page when it is written to: what a stream that ends early announced takes no memory.
    auto buffer = std::make_shared_for_overwrite<uint8_t[]>(size_t(bytes));
    MOERT_TRY(reader.read(buffer.get(), bytes));
    uint8_t extra; // reading past the end makes zlib check the stream's CRC
    int got = ::gzread(reader.file, &extra, 1);
    if (got > 0)
      return invalidInput("expected ", bytes, " bytes of data as its header says, found more");
    int code = Z_OK; // a missing trailer shows here alone
    ::gzerror(reader.file, &code);
    if (got < 0 || code != Z_OK)
      return reader.failure();
    unpacked = std::move(buffer);
    return okStatus();
  };
  try {
    return fill().in(path);
  } catch (const std::bad_alloc &) {
    return noMemoryFor(path, bytes);
  }
}

Status IdxFile::read(uint64_t from, std::span<uint8_t> out) const {
  if (!packed)
    return disk->read(start + from, std::as_writable_bytes(out));
  if (!unpacked)
    return internalError(path, ": read before it was unpacked");
  if (!out.empty()) // of which neither has to have an address
    std::memcpy(out.data(), unpacked.get() + from, out.size());
  return okStatus();
}

} // namespace moert
