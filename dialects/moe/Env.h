// Parameters of a layer or model while its body is interpreted: sizes, numbers and layers with their own
// arguments. Arithmetic on sizes is checked: it is exact or it is an error at the author's line.
#pragma once
#include "dialects/moe/MoeDialect.h"
#include "dialects/moe/Record.h"
#include "llvm/ADT/StringMap.h"
#include <cmath>
#include <limits>
#include <memory>
#include <variant>
#include <vector>

namespace moe {
struct Closure;

/// The shortest text that reads back as the same number: 1.5.
std::string numberText(double number);

/// Whether 32-bit floating point, which programs compute in, holds the number.
inline bool holdsInFloat(double number) { return std::abs(number) <= std::numeric_limits<float>::max(); }

/// A list of numbers, one for each channel of an image, or one for all.
using Numbers = std::vector<double>;

/// A parameter's value. A layer keeps the arguments that it was given where it was named.
struct Binding {
  std::variant<int64_t, double, std::shared_ptr<Closure>, Numbers> is;
  std::string str() const; // of a layer, its name alone; of a list, as it is written
};
struct Closure {
  LayerOp layer;
  std::vector<std::pair<std::string, Binding>> args; // positional ones have no name
};

class Env {
public:
  llvm::StringMap<Binding> names;
  /// Where the names of layers are looked up.
  mlir::Operation *scope = nullptr;
  /// Knows the sizes of values, in the body that is being interpreted; null elsewhere.
  Expander *body = nullptr;

  // Each reports at `at` and says what was expected for `what`.
  mlir::FailureOr<int64_t> size(mlir::Operation *at, ExprAttr e) const;
  mlir::FailureOr<int64_t> positive(mlir::Operation *at, ExprAttr e, llvm::StringRef what,
                                    std::optional<mlir::Location> place = std::nullopt) const;
  mlir::FailureOr<double> number(mlir::Operation *at, ExprAttr e) const;
  /// Of a list, a parameter that is one, or a number, which is a list of one.
  mlir::FailureOr<Numbers> numbers(mlir::Operation *at, ExprAttr e) const;
  mlir::FailureOr<std::shared_ptr<Closure>> layer(mlir::Operation *at, ExprAttr e) const;
  mlir::FailureOr<Binding> binding(mlir::Operation *at, ExprAttr e) const;

  /// A parameter's value from an expression of its kind.
  mlir::FailureOr<Binding> bind(mlir::Operation *at, ParamAttr param, ExprAttr e) const;
};

/// The environment of a layer's body: arguments, sizes that the patterns of its values bind, then defaults.
mlir::FailureOr<Env> enter(mlir::Operation *at, const Closure &closure, llvm::ArrayRef<Record> inputs);
} // namespace moe
