// How GPUs multiply in contractions and convolutions. In f32, each product of two numbers is exact before it is added.
// In tf32, both numbers are first rounded to 11 binary digits, to nearest and ties away from zero, as tensor cores need
// them; their products are exact again, and sums are f32 as before. So a product is wrong by at most 2^-10 of itself,
// where no number is too small for f32's full precision. A program records its choice in its `config`, as `precision`. It
// concerns targets for GPUs only: CPUs compute in f32.
#pragma once
#include "dialects/flow/Flow.h"

namespace flow {

enum class Precision { f32, tf32 };

/// The key of a program's `config`.
constexpr llvm::StringLiteral precisionKey = "precision";
/// The most that a product of two numbers is wrong by in tf32, of itself.
constexpr double tf32ProductError = 0x1p-10;

/// The precision of this name, or nothing.
std::optional<Precision> precisionNamed(llvm::StringRef name);
/// "'f32' or 'tf32'", for help and errors.
std::string precisionNames();
/// The precision of the program that an op is in; f32 outside of all programs, and where none is recorded.
Precision precisionOf(mlir::Operation *op);

} // namespace flow
