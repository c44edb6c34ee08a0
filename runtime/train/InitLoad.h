// Pretrained weights into the states of a program, by a plan made from the file's table. Values come from a
// map of the file and are converted on their way, a piece at a time, so that a load needs no memory for the
// file beside the states.
#pragma once

#include "runtime/base/MappedFile.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/InitPlan.h"

#include <optional>
#include <string>

namespace moert {

/// A file that is open, with its table and what of it goes where.
class InitFile {
public:
  /// `path` names a safetensors file, a checkpoint, or a folder with a model.safetensors. invalid_input: no
  /// such file, one that is damaged, and what planInit refuses.
  static Result<InitFile> open(const std::string &path, const Program &program, const Recipe &recipe);

  /// Overwrites the parameters and buffers that the plan has a source for, some of them also where it fails.
  /// invalid_input: the file was cut short meanwhile, or it belongs to a checkpoint and is not the one that
  /// was written.
  struct Loaded {
    InitNote note;
    std::string notFinite; // what a user is told of values that are NaN or infinite; empty: all are finite
  };
  Result<Loaded> load(States &states) const;
  /// What goes where, for people.
  std::string describe(const Program &program) const;
  const InitPlan &plan() const { return plan_; }

private:
  InitFile(std::string name, OpenFile file, Safetensors table, InitPlan plan,
           std::optional<uint64_t> checksum)
      : name_(std::move(name)), file_(std::move(file)), table_(std::move(table)), plan_(std::move(plan)),
        checksum_(checksum) {}
  Status fill(const MappedFile &map, const Filling &filling, Tensor tensor) const;
  std::string name_;
  OpenFile file_;
  Safetensors table_;
  InitPlan plan_;
  std::optional<uint64_t> checksum_; // of the values, where a checkpoint has it
};

/// The f32 values of a tensor's bytes of a type that isFloatType accepts.
void toFloats(std::string_view type, std::span<const std::byte> bytes, float *out);

} // namespace moert
