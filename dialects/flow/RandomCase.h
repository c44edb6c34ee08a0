// The builder of random cases: programs of one op, for tests of gradients, of access facts and of compiled
// code.
#pragma once
#include "dialects/flow/Build.h"
#include <functional>
#include <map>
#include <optional>
#include <random>

namespace flow {

/// A test program under construction: one op, with inputs whose values are not close to the op's kinks, and
/// its result as the output "y". The values are f32 numbers, so that compiled code can be given the same.
struct RandomCase {
  mlir::OpBuilder &builder;
  mlir::Location location;
  std::mt19937_64 &random;
  Symbols symbols;
  std::map<std::string, Array> inputs;
  /// If not empty, extents are drawn from these only, so that in many cases operands and results have the
  /// same type.
  llvm::SmallVector<Extent> few;
  /// If set, the first call of `extents` returns this instead of drawing: the extents of an operand or a
  /// result, whichever the op draws first.
  std::optional<llvm::SmallVector<Extent>> wanted;

  /// A whole number in [low, high].
  int64_t number(int64_t low, int64_t high) { return low + int64_t(random() % uint64_t(high - low + 1)); }
  double uniform(double low, double high) { return low + (high - low) * (double(random() >> 11) * 0x1p-53); }
  bool coin() { return random() & 1; }
  /// In (-2, 2), but at least `gap` away from 0.
  double awayFromZero(double gap) { return (coin() ? 1 : -1) * uniform(gap, 2); }

  Extent constant(int64_t value) { return Extent::constant(builder.getContext(), value); }
  /// A constant of at most `most`, or D, N or B.
  Extent extent(int64_t most = 5);
  llvm::SmallVector<Extent> extents(unsigned lowRank, unsigned highRank);
  int64_t valueOf(Extent extent) { return *extent.evaluate(symbols); }

  /// A new input, whose elements are drawn in row-major order.
  mlir::Value input(llvm::ArrayRef<Extent> extents, mlir::Type element, std::function<double()> draw);
  /// f32 in (-2, 2), at least `gap` away from 0.
  mlir::Value values(llvm::ArrayRef<Extent> extents, double gap = 0);
  mlir::Value between(llvm::ArrayRef<Extent> extents, double low, double high);
  /// f32, pairwise at least 0.05 apart: no ties.
  mlir::Value distinct(llvm::ArrayRef<Extent> extents);
  mlir::Value mask(llvm::ArrayRef<Extent> extents);
  /// i32 in [0, limit).
  mlir::Value indices(llvm::ArrayRef<Extent> extents, int64_t limit);
  /// Of any element type, mostly f32.
  mlir::Value any(llvm::ArrayRef<Extent> extents);
  /// The values of an input of this case.
  const Array &valuesOf(mlir::Value input);
  /// The output that a result of the op is: "y", and "y1", "y2" and so on for more.
  static std::string resultName(unsigned result) { return result ? "y" + std::to_string(result) : "y"; }
  void results(mlir::ValueRange values);
  void result(mlir::Value value) { results(value); }
};

} // namespace flow
