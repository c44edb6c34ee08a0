#include "runtime/data/Npy.h"

#include "runtime/base/Files.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>
#include <optional>

namespace moert {
namespace {

constexpr char kMagic[] = "\x93NUMPY";
constexpr uint64_t kLongestHeader = 1 << 16; // numpy itself refuses to read more than 10000 unasked

struct TypeName {
  const char *name;
  fb::ElementType type;
};
constexpr TypeName kTypes[] = {{"<f4", fb::ElementType::f32},
                               {"<f8", fb::ElementType::f64},
                               {"<i4", fb::ElementType::i32},
                               {"<i8", fb::ElementType::i64},
                               {"|u1", fb::ElementType::u8}};

// The text after "'key':" in the header, a Python dictionary of known form.
std::optional<std::string_view> field(std::string_view header, std::string_view key) {
  size_t at = header.find(concat("'", key, "'"));
  if (at == std::string_view::npos)
    return std::nullopt;
  at = header.find(':', at);
  if (at == std::string_view::npos)
    return std::nullopt;
  ++at;
  while (at < header.size() && header[at] == ' ')
    ++at;
  return header.substr(at);
}

// Where the header lies in a file of so many bytes: its begin and length, by the file's first bytes.
Result<std::pair<uint64_t, uint64_t>> headerOf(std::span<const char> first, uint64_t size) {
  size_t lengthBytes = first.size() > 6 && first[6] == 1 ? 2 : 4, start = 8 + lengthBytes;
  if (first.size() < start || std::memcmp(first.data(), kMagic, 6) != 0 || first[6] < 1 || first[6] > 3)
    return invalidInput("expected a .npy file of format 1 to 3, found another format");
  uint64_t length = 0;
  for (size_t i = 0; i < lengthBytes; ++i)
    length |= uint64_t(uint8_t(first[8 + i])) << (8 * i);
  if (length > size - start)
    return invalidInput("expected a header of ", length, " bytes, found the end of the file");
  if (length > kLongestHeader)
    return invalidInput("expected a header of at most ", kLongestHeader, " bytes, found one of ", length);
  return std::pair(uint64_t(start), length);
}

// All but the data, of which the file has `found` bytes.
Result<NpyArray> parse(std::string_view header, uint64_t found, std::optional<fb::ElementType> wanted) {
  auto descr = field(header, "descr"), order = field(header, "fortran_order"), shape = field(header, "shape");
  if (!descr || !order || !shape || descr->size() < 2 || descr->front() != '\'' || shape->empty() ||
      shape->front() != '(')
    return invalidInput("expected a header with descr, fortran_order and shape");
  std::string_view type = descr->substr(1, descr->find('\'', 1) - 1);
  NpyArray array;
  bool known = false;
  for (const TypeName &row : kTypes)
    if (type == row.name) {
      array.type = row.type;
      known = true;
    }
  if (!known && wanted)
    return invalidInput("expected ", elementName(*wanted), ", found '", type, "'", asWanted(*wanted));
  if (!known)
    return invalidInput("expected one of <f4, <f8, <i4, <i8, |u1, found '", type, "'");
  if (!order->starts_with("False"))
    return invalidInput(
        "expected an array in C order, found fortran_order; save numpy.ascontiguousarray of it");
  uint64_t bytes = elementBytes(array.type);
  const char *at = shape->data() + 1, *end = shape->data() + shape->size();
  for (;;) {
    while (at < end && (*at == ' ' || *at == ','))
      ++at;
    if (at == end || *at == ')')
      break;
    int64_t size = 0;
    auto [next, error] = std::from_chars(at, end, size);
    if (error != std::errc() || size < 0 || array.shape.size() == 8 ||
        __builtin_mul_overflow(bytes, uint64_t(size), &bytes))
      return invalidInput("expected a shape of at most 8 sizes from 0 up that fits in memory, found ",
                          shape->substr(0, std::min<size_t>(shape->find(')'), 60)), ")");
    array.shape.push_back(size);
    at = next;
  }
  if (at == end)
    return invalidInput("expected a closed shape in the header");
  if (bytes != found)
    return invalidInput("expected ", bytes, " bytes of data by its shape, found ", found);
  return array;
}

} // namespace

std::string asWanted(fb::ElementType wanted) {
  return wanted == fb::ElementType::f32   ? "; save it with .astype(np.float32)"
         : wanted == fb::ElementType::i32 ? "; save it with .astype(np.int32)"
                                          : "";
}

Result<NpyArray> readNpy(const std::string &path, std::optional<fb::ElementType> wanted,
                         const std::function<Status(NpyArray &)> &check) {
  MOERT_ASSIGN(OpenFile file, OpenFile::open(path));
  MOERT_ASSIGN(uint64_t size, file.size());
  std::vector<char> first(std::min<uint64_t>(size, 12));
  MOERT_TRY(file.read(0, std::as_writable_bytes(std::span(first))));
  auto place = headerOf(first, size);
  if (!place.ok())
    return std::move(place).status().in(path);
  auto [start, length] = *place;
  std::string header(length, ' ');
  MOERT_TRY(file.read(start, std::as_writable_bytes(std::span(header))));
  auto array = parse(header, size - start - length, wanted);
  if (!array.ok())
    return std::move(array).status().in(path);
  if (check)
    MOERT_TRY(check(*array));
  MOERT_TRY(fitsMemory(path, size));
  try {
    array->bytes.resize(size - start - length);
  } catch (const std::bad_alloc &) {
    return noMemoryFor(path, size);
  }
  MOERT_TRY(file.read(start + length, array->bytes));
  return array;
}

Result<std::string> npyFileIn(const std::string &folder, std::string_view name) {
  if (name.find('/') != std::string_view::npos)
    return usageError("expected names of outputs without '/' beside --output-folder, found '", name,
                      "'; give --output NAME=@file.npy for each output instead");
  return concat(folder, "/", name, ".npy");
}

Status writeNpy(const std::string &path, fb::ElementType type, std::span<const int64_t> shape,
                std::span<const std::byte> bytes) {
  const char *name = nullptr;
  for (const TypeName &row : kTypes)
    if (row.type == type)
      name = row.name;
  if (!name)
    return invalidInput(path, ": numpy has no type for ", elementName(type));
  std::string header = concat("{'descr': '", name, "', 'fortran_order': False, 'shape': (");
  for (int64_t size : shape)
    header += concat(size, ",");
  header += "), }";
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string head(kMagic, 6);
  head += {1, 0, char(header.size() & 0xff), char(header.size() >> 8)};
  head += header;
  std::span<const std::byte> pieces[] = {std::as_bytes(std::span(head)), bytes};
  return replaceFile(path, pieces);
}

} // namespace moert
