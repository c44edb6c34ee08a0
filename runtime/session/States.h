// Everything of a program that outlives a step: parameters, buffers, optimizer state. One block of memory
// holds them in the order of the program's table, and every session of the program works on it in place. The
// first values follow the program's rules and depend on the seed and the path alone.
#pragma once

#include "runtime/cpu/Memory.h"
#include "runtime/program/Program.h"

#include <span>

namespace moert {

/// A view of an array: element type, row-major shape, and its bytes.
struct Tensor {
  fb::ElementType type = fb::ElementType::f32;
  std::vector<int64_t> shape;
  std::span<std::byte> bytes;

  int64_t elements() const { return int64_t(bytes.size() / elementBytes(type)); }
  template <typename T> std::span<T> as() const {
    return {reinterpret_cast<T *>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

class States {
public:
  /// Allocates every state and fills it with its initial value.
  static Result<std::shared_ptr<States>> create(std::shared_ptr<const Program> program, uint64_t seed);

  const Program &program() const { return *program_; }
  size_t size() const { return offsets_.size(); }
  /// The program's row for state i: path, kind, initial value, and for optimizer state whose it is.
  const fb::State &row(size_t i) const { return *program_->table().states()->Get(unsigned(i)); }
  std::string_view path(size_t i) const { return row(i).path()->string_view(); }
  /// State i's values, to read or to overwrite. After a write call `touch`.
  Tensor tensor(size_t i) const;
  /// All values as one block.
  std::span<std::byte> block() const { return {memory_.data(), bytes_}; }
  /// Fills everything with its initial value again.
  void initialize(uint64_t seed);

  /// Says that values changed: sessions then prepare anew (pack weights) before their next run. A run of a
  /// training entry does it itself.
  void touch() { ++version_; }
  uint64_t version() const { return version_; }
  size_t bytes() const { return bytes_; }

private:
  States() = default;
  std::shared_ptr<const Program> program_;
  std::vector<size_t> offsets_;
  Memory memory_;
  size_t bytes_ = 0;
  uint64_t version_ = 1;
};

/// Fills `values` by a rule of the program, as States does.
void fillInitial(const fb::Init &init, fb::ElementType type, uint64_t seed, std::span<std::byte> values);

} // namespace moert
