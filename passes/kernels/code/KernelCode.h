// One kernel under construction, for any target. What writes the values of loops, products and epilogues works
// through this interface: buffers, launch scalars, constants, and loads and stores through plain pointers.
// Each target's ABI says how a buffer and a launch scalar reach the kernel, and a target may override how a
// vector of memory is accessed. Emitters pass numbers such as rates, streams and eps as launch scalars, so that
// kernels which differ only in numbers are equal.
#pragma once
#include "dialects/plan/Expr.h"
#include "mlir/IR/Builders.h"
#include "passes/kernels/GroupCode.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"

namespace moe::kernels {

class KernelCode {
public:
  virtual ~KernelCode() = default;
  mlir::OpBuilder &builder() { return body; }
  mlir::Location loc() { return location; }

  /// Adds a buffer parameter; returns its pointer.
  virtual mlir::Value buffer(plan::Access access, plan::Element element, BufferRef bound,
                             plan::ExprAttr extent) = 0;
  /// The same for f32.
  mlir::Value floats(plan::Access access, BufferRef bound, const flow::Extent &elements);
  /// Launch scalars; each distinct one is passed once. A constant extent becomes a constant in the code.
  mlir::Value integer(plan::ArgAttr arg); ///< i64: constant_i64, extent, step_i64, seed_i64
  mlir::Value number(plan::ArgAttr arg);  ///< f32: constant_f32, scalar_f32
  mlir::Value extent(plan::ExprAttr extent);
  mlir::Value numberConstant(float value); ///< a launch scalar, so that kernels with other values are equal
  mlir::Value i64(int64_t value);

  /// Whether another unit may be writing the memory where a load of this one would be, if its value is not used.
  virtual bool isConcurrent() const { return false; }
  // Memory through pointers; the index is in elements, i64.
  mlir::Value at(mlir::Value pointer, mlir::Type element, mlir::Value index);
  /// A scalar or a vector.
  virtual mlir::Value load(mlir::Type type, mlir::Value pointer, mlir::Type element, mlir::Value index);
  virtual void store(mlir::Value value, mlir::Value pointer, mlir::Type element, mlir::Value index);
  /// Lanes where the mask does not hold access no memory; a load gives `otherwise` there.
  virtual mlir::Value loadMasked(mlir::VectorType type, mlir::Value pointer, mlir::Value index,
                                 mlir::Value mask, mlir::Value otherwise);
  virtual void storeMasked(mlir::Value value, mlir::Value pointer, mlir::Value index, mlir::Value mask);
  /// The address of each lane at indices of their own (a vector of i32), from the pointer on.
  mlir::Value addresses(mlir::Value pointer, mlir::Type element, mlir::Value lanes);
  /// Lanes at addresses of their own. A null mask stands for all lanes; a load gives 0 in the others.
  virtual mlir::Value gather(mlir::VectorType type, mlir::Value addresses, mlir::Value mask);
  virtual void scatter(mlir::Value value, mlir::Value addresses, mlir::Value mask);

protected:
  explicit KernelCode(mlir::Location location)
      : location(location), entry(location.getContext()), body(location.getContext()) {}

  /// Loads a launch scalar that the kernel has not used yet, and adds it to the launch's scalars.
  virtual mlir::Value newScalar(plan::ArgAttr arg, mlir::Type type) = 0;
  /// The alignment of an access to elements of a type, which may be a vector.
  static unsigned alignmentOf(mlir::Type type);
  /// A name of the kernel's kind and a digest of its function's text and its interface: equal kernels have
  /// equal names.
  std::string nameOf(mlir::Operation *function) const;

  Kernel kernel;
  LaunchSpec launch;
  mlir::Location location;
  mlir::OpBuilder entry, body; ///< entry: in front of the body's code, for loads of pointers and scalars

private:
  mlir::Value scalar(plan::ArgAttr arg, mlir::Type type);
  llvm::MapVector<plan::ArgAttr, mlir::Value> scalarValues;
  llvm::DenseMap<int64_t, mlir::Value> constants;
};

} // namespace moe::kernels
