// A size as an expression over symbols: D domains of N rows (B = D * N), and any others by name, for which
// each back end substitutes numbers of its own, so that one program serves all targets. An extent is always
// in normal form: a sum of products in a fixed order, with quotients as opaque factors. So two extents are
// equal exactly when they are the same object. All arithmetic on sizes is here, and only `visit` shows an
// extent's structure to others. Extents are stored as MLIR's uniqued affine expressions, whose own
// simplification is not a normal form for products of symbols.
#pragma once
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/StringMap.h"
#include <optional>

namespace mlir {
class AsmParser;
}

namespace flow {

/// The batch's symbols, numbered as in the schema of program files.
enum class Symbol : unsigned { D = 0, N = 1 };

/// The values of these symbols when a batch is bound. Every other symbol is 1 until a back end binds it.
struct Symbols {
  int64_t D = 1, N = 1;
};

class Extent {
public:
  Extent() = default;
  static Extent constant(mlir::MLIRContext *context, int64_t value);
  static Extent symbol(mlir::MLIRContext *context, Symbol symbol);
  /// A symbol by its name, a letter and then letters, digits and underscores; "D" and "N" are the batch's.
  static Extent symbol(mlir::MLIRContext *context, llvm::StringRef name);
  static Extent batch(mlir::MLIRContext *context);

  /// The extent along an axis of a ranked tensor, or of a value of such a type.
  static Extent of(mlir::Type type, unsigned axis);
  static Extent of(mlir::Value value, unsigned axis) { return of(value.getType(), axis); }

  explicit operator bool() const { return bool(expr); }
  bool operator==(Extent other) const { return expr == other.expr; }
  bool operator!=(Extent other) const { return expr != other.expr; }
  Extent operator+(Extent other) const;
  Extent operator-(Extent other) const;
  Extent operator*(Extent other) const;
  Extent operator+(int64_t other) const;
  Extent operator-(int64_t other) const;
  Extent operator*(int64_t other) const;
  /// Rounded down, and up. An exact quotient of a sum whose every term divides is a sum again.
  Extent floordiv(Extent other) const;
  Extent ceildiv(Extent other) const;
  Extent floordiv(int64_t other) const;
  Extent ceildiv(int64_t other) const;
  /// The quotient where every term divides (by a constant, or by a product of symbols), else nothing.
  std::optional<Extent> exactQuotient(Extent other) const;

  std::optional<int64_t> constantValue() const;
  bool isConstant(int64_t value) const { return constantValue() == value; }
  /// The value for given symbols; nothing where 64 bits overflow or something is divided by zero.
  std::optional<int64_t> evaluate(const Symbols &symbols) const;

  /// The symbols other than D and N that the value depends on, by name.
  llvm::SmallVector<llvm::StringRef> openSymbols() const;
  /// The extent with numbers, each at least 1, substituted for symbols.
  Extent bind(const llvm::StringMap<int64_t> &values) const;

  /// `B * 197`, `D * N * 2 + 3`, `floor(B, 4)`, `ceil(N + 1, 2)`.
  void print(llvm::raw_ostream &stream) const;
  std::string str() const;
  /// Fails with a diagnostic where the text is no size.
  static mlir::FailureOr<Extent> parse(mlir::AsmParser &parser);

  /// The extent as a postfix program: what the schema stores. It has no open symbol any more.
  enum class Code { constant, symbol, add, sub, mul, floordiv, ceildiv };
  struct Step {
    Code code;
    int64_t value;
  };
  llvm::SmallVector<Step> postfix() const;

  mlir::MLIRContext *getContext() const { return expr.getContext(); }
  mlir::AffineExpr affine() const { return expr; }
  /// Any affine expression over the symbols, brought into normal form.
  static Extent fromAffine(mlir::AffineExpr expression);
  friend llvm::hash_code hash_value(Extent extent) { return mlir::hash_value(extent.expr); }

private:
  explicit Extent(mlir::AffineExpr expr) : expr(expr) {}
  mlir::AffineExpr expr;
};

/// The extents of a ranked tensor, or of a value of such a type.
llvm::SmallVector<Extent> extentsOf(mlir::Type type);
inline llvm::SmallVector<Extent> extentsOf(mlir::Value value) { return extentsOf(value.getType()); }

/// The tensor of these extents: constants are static in the shape, the others in the encoding.
mlir::RankedTensorType tensorType(llvm::ArrayRef<Extent> extents, mlir::Type element);

/// The same shape with another element type.
mlir::RankedTensorType withElement(mlir::Type type, mlir::Type element);

/// The types of a tensor's element: in memory, in registers, and of an accumulator for sums of it. A mask is
/// a byte in memory.
struct ElementTypes {
  mlir::Type storage, compute, accumulator;
};
/// Of an element type or a tensor type.
ElementTypes elementTypesOf(mlir::Type type);
/// An element's bytes in memory.
int64_t storageBytes(mlir::Type type);

/// The number of elements; of some axes; `context` serves the empty product.
Extent productOf(llvm::ArrayRef<Extent> extents, mlir::MLIRContext *context);
inline Extent elementsOf(mlir::Type type) { return productOf(extentsOf(type), type.getContext()); }
/// A tensor's bytes in memory.
inline Extent bytesOf(mlir::Type type) { return elementsOf(type) * storageBytes(type); }

} // namespace flow
