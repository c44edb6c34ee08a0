#include "runtime/train/Safetensors.h"
#include "runtime/base/Printable.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <nlohmann/json.hpp>
#include <utility>

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

template <typename T> std::vector<size_t> orderByName(const std::vector<T> &rows) {
  std::vector<size_t> order(rows.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rows[a].name < rows[b].name; });
  return order;
}

template <typename T>
const T *findByName(const std::vector<T> &rows, const std::vector<size_t> &order, std::string_view name) {
  auto found = std::lower_bound(order.begin(), order.end(), name,
                                [&](size_t i, std::string_view key) { return rows[i].name < key; });
  return found != order.end() && rows[*found].name == name ? &rows[*found] : nullptr;
}

// Takes the table as it is parsed, without a tree of it: a file may have a million tensors, and a table of
// 100 MB would make a tree of gigabytes. Stops at the first fault.
class TableReader : public nlohmann::json_sax<Json> {
public:
  struct Row {
    std::string name, type;
    std::vector<uint64_t> shape, offsets;
    bool hasType = false, hasShape = false, hasOffsets = false;
  };
  std::vector<Row> rows;
  Status fault; // where parsing stopped for another reason than JSON's

  bool null() override { return scalar(); }
  bool boolean(bool) override { return scalar(); }
  bool number_integer(number_integer_t) override { return scalar(); }
  bool number_float(number_float_t, const string_t &) override { return scalar(); }
  bool binary(binary_t &) override { return scalar(); }
  bool number_unsigned(number_unsigned_t value) override {
    if (!list_)
      return scalar();
    list_->push_back(value);
    return true;
  }
  bool string(string_t &value) override {
    if (skipped_ || depth_ != 2 || field_ != "dtype")
      return scalar();
    rows.back().type = std::move(value);
    return once(rows.back().hasType);
  }
  bool start_object(std::size_t) override {
    if (depth_ == 1 && !skipped_)
      inRow_ = true;
    else if (depth_ > 0 && !scalar())
      return false;
    return open();
  }
  bool end_object() override {
    close();
    return depth_ != 1 || !inRow_ || endRow();
  }
  bool start_array(std::size_t) override {
    if (depth_ == 0)
      return tableFault();
    if (depth_ == 2 && !skipped_ && (field_ == "shape" || field_ == "data_offsets")) {
      Row &row = rows.back();
      bool shape = field_ == "shape";
      list_ = shape ? &row.shape : &row.offsets;
      if (!once(shape ? row.hasShape : row.hasOffsets))
        return false;
    } else if (!scalar()) {
      return false;
    }
    return open();
  }
  bool end_array() override {
    list_ = nullptr;
    close();
    return true;
  }
  bool key(string_t &name) override {
    if (depth_ == 1) {
      skipped_ = name == "__metadata__";
      if (!skipped_)
        rows.emplace_back().name = std::move(name);
    } else if (depth_ == 2) {
      field_ = std::move(name);
    }
    return true;
  }
  bool parse_error(std::size_t position, const std::string &, const nlohmann::detail::exception &) override {
    fault = invalidInput("expected JSON as the table of a safetensors file, found a fault at byte ", position,
                         " of the table");
    return false;
  }

private:
  bool tableFault() {
    fault = invalidInput("expected a JSON object as the table of a safetensors file, found something else");
    return false;
  }
  bool rowFault(const char *expected) {
    fault = invalidInput("tensor '", shownName(rows.back().name), "': expected ", expected);
    return false;
  }
  bool once(bool &seen) { return !std::exchange(seen, true) || rowFault("each of its fields once"); }
  /// A value that is none of those that are taken: what else a file says of a tensor is passed over.
  bool scalar() {
    if (depth_ == 0)
      return tableFault();
    if (skipped_ || depth_ > 3)
      return true;
    if (depth_ == 1)
      return rowFault("an object with dtype, shape and data_offsets");
    if (list_ || (depth_ == 2 && (field_ == "shape" || field_ == "data_offsets")))
      return rowFault("a shape and two data_offsets, as lists of integers from 0 up");
    return depth_ == 3 || field_ != "dtype" || rowFault("a text as dtype");
  }
  bool open() { return ++depth_, true; }
  void close() {
    if (--depth_ == 1)
      skipped_ = false;
  }
  bool endRow() {
    inRow_ = false;
    const Row &row = rows.back();
    if (!row.hasType || !row.hasShape || !row.hasOffsets || row.offsets.size() != 2)
      return rowFault("an object with dtype, shape and two data_offsets");
    return true;
  }

  size_t depth_ = 0;                      // of objects and lists that are open
  bool skipped_ = false;                  // within __metadata__
  bool inRow_ = false;                    // within a tensor's object
  std::string field_;                     // of it
  std::vector<uint64_t> *list_ = nullptr; // that integers go to
};

// What people have in place of a safetensors file, by its first bytes.
std::string whatItIs(uint64_t first) {
  std::string_view bytes(reinterpret_cast<const char *>(&first), sizeof first);
  const char *convert = "; load it with torch.load(..., weights_only=True), and write its tensors with "
                        "safetensors.torch.save_file";
  if (bytes.starts_with("PK\x03\x04"))
    return concat("; it is a zip archive, as torch.save writes them", convert);
  if (bytes.starts_with("\x80\x02"))
    return concat("; it is a pickle, as torch.save once wrote them", convert);
  if (bytes.starts_with("version "))
    return "; it may be what Git LFS leaves in the place of a file: fetch the file itself";
  return "";
}

} // namespace

const char *storedTypeName(fb::ElementType type) {
  for (const TypeName &row : kTypes)
    if (row.type == int(type))
      return row.name;
  return "";
}

std::string shapeText(const std::vector<int64_t> &shape) {
  constexpr size_t kShown = 8; // all that a program can have
  std::string text = "[";
  for (size_t i = 0; i < std::min(shape.size(), kShown); ++i)
    text += concat(i ? ", " : "", shape[i]);
  return text + (shape.size() > kShown ? ", ...]" : "]");
}

Status writeSafetensors(const std::string &path, std::span<const NamedTensor> tensors) {
  Json table;
  table["__metadata__"] = {{"format", "pt"}};
  uint64_t offset = 0;
  std::vector<std::span<const std::byte>> pieces(2);
  for (const NamedTensor &tensor : tensors) {
    if (!isPlain(tensor.name))
      return invalidInput(path, ": expected names of tensors in UTF-8 without control characters, found '",
                          printable(tensor.name, /*line=*/true), "'");
    table[tensor.name] = {{"dtype", storedTypeName(tensor.type)},
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
  MOERT_ASSIGN(Safetensors file, open(from));
  MOERT_TRY(file.load(from));
  return file;
}

Result<Safetensors> Safetensors::open(const OpenFile &from) {
  MOERT_ASSIGN(uint64_t size, from.size());
  uint64_t length = 0;
  if (size >= sizeof length)
    MOERT_TRY(from.read(0, std::as_writable_bytes(std::span(&length, 1))));
  if (size < 10 || length > kLargestTable || length > size - sizeof length)
    return invalidInput(from.path(), ": expected a safetensors file, found ", size,
                        " bytes whose first eight announce no table that fits", whatItIs(length));
  Safetensors file;
  try { // a table may announce more than fits
    std::string table(length, ' ');
    MOERT_TRY(from.read(sizeof length, std::as_writable_bytes(std::span(table))));
    file.start_ = sizeof length + length;
    if (Status status = file.parse(table, size - file.start_); !status.ok())
      return std::move(status).in(from.path());
  } catch (const std::bad_alloc &) {
    return noMemoryFor(from.path(), length);
  }
  return file;
}

Status Safetensors::parse(const std::string &table, uint64_t data) {
  TableReader reader;
  if (!Json::sax_parse(table, &reader))
    return reader.fault;
  std::vector<std::pair<uint64_t, size_t>> ranges; // begins of the bytes
  std::vector<size_t> order(reader.rows.size());   // by name, and of one name in the order of the file
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return reader.rows[a].name < reader.rows[b].name; });
  for (size_t i = 1; i < order.size(); ++i)
    if (const std::string &name = reader.rows[order[i]].name; name == reader.rows[order[i - 1]].name)
      return invalidInput("expected each name once in the table, found '", shownName(name), "' twice");
  for (size_t i = 0; i < reader.rows.size(); ++i) {
    TableReader::Row &row = reader.rows[i];
    auto fault = [&](const auto &...parts) {
      return invalidInput("tensor '", shownName(row.name), "': ", parts...);
    };
    auto known =
        std::find_if(std::begin(kTypes), std::end(kTypes), [&](auto &t) { return row.type == t.name; });
    if (known == std::end(kTypes))
      return fault("unknown dtype '", shownName(row.type), "'");
    uint64_t bytes = known->bytes;
    for (uint64_t size : row.shape)
      if (__builtin_mul_overflow(bytes, size, &bytes) || size > uint64_t(INT64_MAX))
        return fault("expected a shape of sizes that fit 64 bits");
    uint64_t from = row.offsets[0], to = row.offsets[1];
    if (from > to || to > data)
      return fault("expected bytes inside the ", data, " of the file, found ", from, " to ", to,
                   ": the file is cut short or damaged");
    if (to - from != bytes)
      return fault("expected ", bytes, " bytes by its shape, found ", to - from);
    ranges.push_back({from, i});
    stored_.push_back({row.name, known->name, std::vector<int64_t>(row.shape.begin(), row.shape.end()),
                       start_ + from, bytes});
    if (known->type < 0) {
      foreign_[row.name] = row.type;
      continue;
    }
    tensors_.push_back({row.name, fb::ElementType(known->type), stored_.back().shape, {}});
    places_.push_back(stored_.size() - 1);
  }
  // Empty tensors may share the place of the one behind them.
  std::sort(ranges.begin(), ranges.end(), [&](auto &a, auto &b) {
    return std::pair(a.first, reader.rows[a.second].offsets[1]) <
           std::pair(b.first, reader.rows[b.second].offsets[1]);
  });
  uint64_t end = 0;
  for (auto [begin, i] : ranges) {
    if (begin != end)
      return invalidInput("tensor '", shownName(reader.rows[i].name), "': expected its bytes to start at ",
                          end, ", found ", begin);
    end = reader.rows[i].offsets[1];
  }
  if (end != data)
    return invalidInput("expected ", end, " bytes of data by its table, found ", data);
  byName_ = orderByName(tensors_);
  storedByName_ = orderByName(stored_);
  return okStatus();
}

Status Safetensors::load(const OpenFile &from) {
  auto begin = [&](size_t i) { return stored_[places_[i]].begin; };
  auto size = [&](size_t i) { return stored_[places_[i]].bytes; };
  uint64_t total = 0;
  for (size_t i = 0; i < tensors_.size(); ++i)
    total += size(i);
  MOERT_TRY(fitsMemory(from.path(), total));
  try {
    content_.resize(total);
  } catch (const std::bad_alloc &) {
    return noMemoryFor(from.path(), total);
  }
  std::span<std::byte> room = content_;
  for (size_t i = 0, next; i < tensors_.size(); i = next) { // neighbours in the file are read at once
    uint64_t bytes = 0;
    for (next = i; next < tensors_.size() && begin(next) == begin(i) + bytes; ++next) {
      tensors_[next].bytes = room.subspan(bytes, size(next));
      bytes += size(next);
    }
    MOERT_TRY(from.read(begin(i), room.first(bytes)));
    room = room.subspan(bytes);
  }
  return okStatus();
}

const NamedTensor *Safetensors::find(std::string_view name) const {
  return findByName(tensors_, byName_, name);
}

const StoredTensor *Safetensors::findStored(std::string_view name) const {
  return findByName(stored_, storedByName_, name);
}

} // namespace moert
