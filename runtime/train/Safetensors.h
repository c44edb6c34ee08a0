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
  /// Types that a program cannot hold, by name ("F16"); their tensors are left out of tensors().
  const std::map<std::string, std::string> &foreign() const { return foreign_; }

private:
  Status parse(const std::string &table, uint64_t data);
  std::vector<NamedTensor> tensors_;     // in the order of the table; once loaded, views of content_
  std::vector<uint64_t> begins_, sizes_; // of their bytes, behind start_ in the file
  std::vector<size_t> byName_;           // the tensors, sorted
  uint64_t start_ = 0;                   // of the data in the file
  std::vector<std::byte> content_;
  std::map<std::string, std::string> foreign_;
};

} // namespace moert
