// A compiled program in memory. The only ways to get one are `load` and `verify`, which check every byte that
// anything behind them relies on: digest, structure, then meaning (Verify.cpp has the numbered rules). So
// whoever holds a Program may follow any index in it. Whether this machine can run its code is asked when a
// session opens; inspecting a program for another CPU is fine. A Program never changes and may be shared
// between threads.
#pragma once

#include "runtime/base/Result.h"
#include "runtime/program/CodeImage.h"
#include "runtime/program/Header.h"
#include "runtime/program/program_generated.h"

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moert {

namespace fb = moe::fb;

/// Bytes of one element.
size_t elementBytes(fb::ElementType type);
/// The kind of section that has the code of a kind of target.
SectionKind sectionOf(fb::TargetKind kind);
/// "f32", for messages.
const char *elementName(fb::ElementType type);

/// The values of a program's symbols: D domains of N rows.
struct Binding {
  int64_t domains = 1;
  int64_t rows = 1;
};

/// The value of a symbol by its name; nothing where a batch says nothing of it.
std::optional<int64_t> valueOf(std::string_view symbol, Binding binding);

/// The value of a verified expression; a failure where it overflows, divides by zero, or is negative.
Result<int64_t> evaluateExpr(const fb::Program &program, const fb::Expr &expr, Binding binding);
/// The same where it may be negative; nothing where 64 bits overflow or something is divided by zero.
std::optional<int64_t> calculate(const fb::Program &program, const fb::Expr &expr, Binding binding);

class Program {
public:
  /// Reads and verifies a file. Messages name the path and what to do.
  static Result<std::shared_ptr<const Program>> load(const std::string &path);
  /// Verifies a file's bytes; `name` stands for the path in messages.
  static Result<std::shared_ptr<const Program>> verify(std::span<const uint8_t> bytes, std::string name);

  /// The FlatBuffer. Every index in it is in range.
  const fb::Program &table() const { return *table_; }
  /// The path that it came from.
  const std::string &path() const { return path_; }
  /// The model's name.
  std::string_view name() const;
  /// The digest as 64 hex digits: what a checkpoint records.
  const std::string &digest() const { return digest_; }
  uint64_t fileBytes() const { return bytes_.size; }
  /// The bytes of a section (0 is the FlatBuffer itself).
  std::span<const uint8_t> section(uint32_t index) const { return sections_[index].bytes; }

  /// The entry of that name; the failure lists those that exist.
  Result<const fb::Entry *> entry(std::string_view name) const;
  /// The value of a compile-time choice ("classes"), if the program records it.
  std::optional<std::string_view> config(std::string_view key) const;
  /// Index of a state by its path, or none.
  std::optional<uint32_t> state(std::string_view path) const;
  /// Index of a scalar by its key, or none.
  std::optional<uint32_t> scalar(std::string_view key) const;
  /// The plan of an entry in a target (verified to exist for every entry of every target).
  const fb::Plan &plan(const fb::Target &target, const fb::Entry &entry) const;

  /// The value of an expression; a failure where it overflows, divides by zero, or is negative.
  Result<int64_t> evaluate(uint32_t expr, Binding binding) const;
  /// A port's shape at a binding.
  Result<std::vector<int64_t>> shape(const fb::Port &port, Binding binding) const;

  /// B11: that every expert of the entry's routings takes a row of the batch. The failure says which does not, and the
  /// smallest factor with which it does.
  Status checkCapacities(const fb::Entry &entry, Binding binding) const;

  /// The checked ELF image of the kernels of a target for the CPU.
  const CodeImage &code(uint32_t target) const { return *codes_[target]; }

private:
  struct Free {
    void operator()(uint8_t *data) const { free(data); }
  };
  struct Bytes { // page-aligned, so that sections keep their alignment in memory
    std::unique_ptr<uint8_t, Free> data;
    size_t size = 0;
  };
  Program() = default;
  Program(const Program &) = delete;
  static Result<Bytes> allocate(size_t size, const std::string &name);
  static Result<std::shared_ptr<const Program>> verifyBytes(Bytes bytes, std::string name);

  Bytes bytes_;
  std::string path_;
  std::string digest_;
  const fb::Program *table_ = nullptr;
  std::vector<Section> sections_;
  std::vector<std::unique_ptr<CodeImage>> codes_; // one a target; null where it is not for the CPU
};

} // namespace moert
