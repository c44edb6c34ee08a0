// safetensors (huggingface/safetensors, the format's specification in its README): a length, a JSON table of
// names, types, shapes and byte ranges, then the bytes. The reader trusts nothing of the table before it is
// checked.
#pragma once

#include "runtime/base/Files.h"
#include "runtime/session/States.h"

#include <map>
#include <span>
#include <string>
#include <vector>

namespace moert {

struct NamedTensor {
  std::string name;
  fb::ElementType type;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

/// "[6, 1536, 384]"; at most as many sizes as a program's tensors can have.
std::string shapeText(const std::vector<int64_t> &shape);
/// What the format calls a type: "F32".
const char *storedTypeName(fb::ElementType type);

/// A row of the table: what a file holds, of any type of the format, and where.
struct StoredTensor {
  std::string name;
  std::string_view type; // as the format spells it: "F16"
  std::vector<int64_t> shape;
  uint64_t begin = 0, bytes = 0; // within the file
};

/// Writes the tensors in the order given and waits for the disk. invalid_input: a name that JSON cannot
/// hold, or that is not of one line.
Status writeSafetensors(const std::string &path, std::span<const NamedTensor> tensors);

class Safetensors {
public:
  /// The table alone: names, types and shapes. The tensors have no bytes before `load`, so that a file of
  /// another model is refused without taking memory for it. invalid_input: not such a file, cut short, a
  /// range outside the data, overlapping or leaving holes, a name twice, a shape that does not fit its range.
  static Result<Safetensors> open(const OpenFile &file);
  /// The bytes of all tensors; `file` is the one that it was opened from.
  Status load(const OpenFile &file);
  /// Both at once.
  static Result<Safetensors> read(const std::string &path);
  static Result<Safetensors> read(const OpenFile &file);
  const std::vector<NamedTensor> &tensors() const { return tensors_; }
  const NamedTensor *find(std::string_view name) const;
  /// All of the file in the order of the table, also what a program cannot hold: for who reads the bytes
  /// himself.
  const std::vector<StoredTensor> &stored() const { return stored_; }
  /// The row of that name; nullptr: none.
  const StoredTensor *findStored(std::string_view name) const;
  /// Types that a program cannot hold, by name ("F16"); their tensors are left out of tensors().
  const std::map<std::string, std::string> &foreign() const { return foreign_; }

private:
  Status parse(const std::string &table, uint64_t data);
  std::vector<StoredTensor> stored_;
  std::vector<NamedTensor> tensors_;          // of stored_, in its order; once loaded, views of content_
  std::vector<size_t> places_;                // theirs in stored_
  std::vector<size_t> byName_, storedByName_; // both, sorted
  uint64_t start_ = 0;                        // of the data in the file
  std::vector<std::byte> content_;
  std::map<std::string, std::string> foreign_;
};

} // namespace moert
