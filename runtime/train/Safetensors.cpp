#include "runtime/train/Safetensors.h"
#include "runtime/base/Printable.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <nlohmann/json.hpp>
#include <set>

namespace moert {
namespace {

using Json = nlohmann::ordered_json;
constexpr uint64_t kLargestTable = 100'000'000; // the specification's own limit

struct TypeName {
  const char *name;
  size_t bytes;
  int type; // fb::ElementType, or -1 for what programs do not have
};
constexpr TypeName kTypes[] = {
    {"F32", 4, int(fb::ElementType::f32)},
    {"F64", 8, int(fb::ElementType::f64)},
    {"I32", 4, int(fb::ElementType::i32)},
    {"I64", 8, int(fb::ElementType::i64)},
    {"U8", 1, int(fb::ElementType::u8)},
    {"BF16", 2, int(fb::ElementType::bf16)},
    {"F16", 2, -1},
    {"I16", 2, -1},
    {"I8", 1, -1},
    {"BOOL", 1, -1},
    {"U16", 2, -1},
    {"U32", 4, -1},
    {"U64", 8, -1},
    {"F8_E4M3", 1, -1},
    {"F8_E5M2", 1, -1},
};

const char *nameOf(fb::ElementType type) {
  for (const TypeName &row : kTypes)
    if (row.type == int(type))
      return row.name;
  return "";
}

struct Range {
  uint64_t begin, end;
  std::string name;
};

} // namespace

Status writeSafetensors(const std::string &path, std::span<const NamedTensor> tensors) {
  Json table;
  table["__metadata__"] = {{"format", "pt"}};
  uint64_t offset = 0;
  std::vector<std::span<const std::byte>> pieces(2);
  for (const NamedTensor &tensor : tensors) {
    if (!isPlain(tensor.name))
      return invalidInput(path, ": expected names of tensors in UTF-8 without control characters, found '",
                          printable(tensor.name, /*line=*/true), "'");
    table[tensor.name] = {{"dtype", nameOf(tensor.type)},
                          {"shape", tensor.shape},
                          {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    offset += tensor.bytes.size();
    pieces.push_back(tensor.bytes);
  }
  std::string text = table.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  uint64_t length = text.size();
  pieces[0] = std::as_bytes(std::span(&length, 1));
  pieces[1] = std::as_bytes(std::span(text));
  return writeDurably(path, pieces);
}

Result<Safetensors> Safetensors::read(const std::string &path) {
  MOERT_ASSIGN(OpenFile from, OpenFile::open(path));
  return read(from);
}

Result<Safetensors> Safetensors::read(const OpenFile &from) {
  Safetensors file;
  MOERT_ASSIGN(file.content_, from.text(size_t(1) << 40));
  try { // a table may announce more than fits
    if (Status status = file.parse(); !status.ok())
      return std::move(status).in(from.path());
  } catch (const std::bad_alloc &) {
    return noMemoryFor(from.path(), file.content_.size());
  }
  return file;
}

Status Safetensors::parse() {
  uint64_t length = 0;
  if (content_.size() >= 8)
    std::memcpy(&length, content_.data(), 8);
  if (content_.size() < 10 || length > kLargestTable || length > content_.size() - 8)
    return invalidInput("expected a safetensors file, found ", content_.size(),
                        " bytes whose first eight announce no table that fits");
  // A name given twice would hide the first from the checks below.
  std::set<std::string> seen;
  bool twice = false;
  auto watch = [&](int depth, Json::parse_event_t event, Json &value) {
    if (depth == 1 && event == Json::parse_event_t::key)
      twice |= !seen.insert(value.get<std::string>()).second;
    return depth <= 8;
  };
  const char *begin = content_.data() + 8;
  Json table = Json::parse(begin, begin + length, watch, false);
  if (table.is_discarded() || !table.is_object())
    return invalidInput("expected a JSON object as the table of a safetensors file, found something else");
  if (twice)
    return invalidInput("expected each name once in the table, found one twice");
  std::span<const std::byte> data = std::as_bytes(std::span(content_)).subspan(8 + length);
  std::vector<Range> ranges;
  for (auto &[name, row] : table.items()) {
    if (name == "__metadata__")
      continue;
    auto bad = [&](const char *what) { return invalidInput("tensor '", name, "': expected ", what); };
    if (!row.is_object() || !row.contains("dtype") || !row["dtype"].is_string())
      return bad("an object with dtype, shape and data_offsets");
    const Json &shape = row.contains("shape") ? row["shape"] : Json();
    const Json &offsets = row.contains("data_offsets") ? row["data_offsets"] : Json();
    if (!shape.is_array() || !offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned())
      return bad("a shape and two data_offsets");
    std::string type = row["dtype"].get<std::string>();
    auto known = std::find_if(std::begin(kTypes), std::end(kTypes), [&](auto &t) { return type == t.name; });
    if (known == std::end(kTypes))
      return invalidInput("tensor '", name, "': unknown dtype '", type, "'");
    NamedTensor tensor{name, fb::ElementType(std::max(known->type, 0)), {}, {}};
    uint64_t bytes = known->bytes;
    for (const Json &size : shape) {
      if (!size.is_number_unsigned() || __builtin_mul_overflow(bytes, size.get<uint64_t>(), &bytes) ||
          size.get<uint64_t>() > uint64_t(INT64_MAX))
        return bad("a shape of sizes that fit 64 bits");
      tensor.shape.push_back(size.get<int64_t>());
    }
    uint64_t from = offsets[0].get<uint64_t>(), to = offsets[1].get<uint64_t>();
    if (from > to || to > data.size())
      return invalidInput("tensor '", name, "': expected bytes inside the ", data.size(),
                          " of the file, found ", from, " to ", to, ": the file is cut short or damaged");
    if (to - from != bytes)
      return invalidInput("tensor '", name, "': expected ", bytes, " bytes by its shape, found ", to - from);
    ranges.push_back({from, to, name});
    if (known->type < 0) {
      foreign_[name] = type;
      continue;
    }
    tensor.bytes = data.subspan(from, bytes);
    tensors_.push_back(std::move(tensor));
  }
  std::sort(ranges.begin(), ranges.end(), [](const Range &a, const Range &b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t end = 0;
  for (const Range &range : ranges) {
    if (range.begin != end)
      return invalidInput("tensor '", range.name, "': expected its bytes to start at ", end, ", found ",
                          range.begin);
    end = range.end;
  }
  if (end != data.size())
    return invalidInput("expected ", end, " bytes of data by its table, found ", data.size());
  return okStatus();
}

const NamedTensor *Safetensors::find(std::string_view name) const {
  for (const NamedTensor &tensor : tensors_)
    if (tensor.name == name)
      return &tensor;
  return nullptr;
}

} // namespace moert
