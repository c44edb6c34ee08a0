// Launch scalars, constants and memory of kernels; see KernelCode.h. Launch scalars and constants are placed in
// front of the body, so that all of the body's code can use them.
#include "passes/kernels/code/KernelCode.h"
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;

namespace moe::kernels {

Value KernelCode::i64(int64_t value) {
  Value &known = constants[value];
  if (!known)
    known = arith::ConstantOp::create(entry, location, entry.getI64IntegerAttr(value));
  return known;
}

Value KernelCode::floats(plan::Access access, BufferRef bound, const flow::Extent &elements) {
  return buffer(access, plan::Element::f32, bound, plan::fromExtent(elements));
}

Value KernelCode::scalar(plan::ArgAttr arg, Type type) {
  Value &known = scalarValues[arg];
  if (!known)
    known = newScalar(arg, type);
  return known;
}

Value KernelCode::integer(plan::ArgAttr arg) { return scalar(arg, body.getI64Type()); }
Value KernelCode::number(plan::ArgAttr arg) { return scalar(arg, body.getF32Type()); }

Value KernelCode::extent(plan::ExprAttr extent) {
  if (std::optional<int64_t> value = plan::constantValue(extent))
    return i64(*value);
  return integer(plan::ArgAttr::get(body.getContext(), plan::ArgKind::extent, extent));
}

Value KernelCode::numberConstant(float value) {
  return number(
      plan::ArgAttr::get(body.getContext(), plan::ArgKind::constant_f32, body.getF32FloatAttr(value)));
}

Value KernelCode::at(Value pointer, Type element, Value index) {
  return LLVM::GEPOp::create(body, location, pointer.getType(), element, pointer,
                             ArrayRef<LLVM::GEPArg>{index});
}

unsigned KernelCode::alignmentOf(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return std::max(1u, (vector ? vector.getElementType() : type).getIntOrFloatBitWidth() / 8);
}

Value KernelCode::load(Type type, Value pointer, Type element, Value index) {
  return LLVM::LoadOp::create(body, location, type, at(pointer, element, index), alignmentOf(type));
}

void KernelCode::store(Value value, Value pointer, Type element, Value index) {
  LLVM::StoreOp::create(body, location, value, at(pointer, element, index), alignmentOf(value.getType()));
}

Value KernelCode::loadMasked(VectorType type, Value pointer, Value index, Value mask, Value otherwise) {
  Value from = at(pointer, type.getElementType(), index);
  return LLVM::MaskedLoadOp::create(body, location, type, from, mask, otherwise, alignmentOf(type));
}

void KernelCode::storeMasked(Value value, Value pointer, Value index, Value mask) {
  Type element = cast<VectorType>(value.getType()).getElementType();
  LLVM::MaskedStoreOp::create(body, location, value, at(pointer, element, index), mask,
                              alignmentOf(value.getType()));
}

Value KernelCode::addresses(Value pointer, Type element, Value lanes) {
  auto type = VectorType::get(cast<VectorType>(lanes.getType()).getShape(), pointer.getType());
  return LLVM::GEPOp::create(body, location, type, element, pointer, ArrayRef<LLVM::GEPArg>{lanes});
}

/// The mask, or one that holds in all lanes where none is given.
static Value maskOr(OpBuilder &b, Location loc, VectorType type, Value mask) {
  if (mask)
    return mask;
  auto bits = VectorType::get(type.getShape(), b.getI1Type());
  return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(bits, true));
}

Value KernelCode::gather(VectorType type, Value addresses, Value mask) {
  mask = maskOr(body, location, type, mask);
  Value zero = arith::ConstantOp::create(body, location, body.getZeroAttr(type));
  return LLVM::masked_gather::create(body, location, type, addresses, mask, ValueRange{zero},
                                     body.getI32IntegerAttr(alignmentOf(type)));
}

void KernelCode::scatter(Value value, Value addresses, Value mask) {
  auto type = cast<VectorType>(value.getType());
  mask = maskOr(body, location, type, mask);
  LLVM::masked_scatter::create(body, location, value, addresses, mask,
                               body.getI32IntegerAttr(alignmentOf(type)));
}

std::string KernelCode::nameOf(Operation *function) const {
  std::string text;
  llvm::raw_string_ostream stream(text);
  function->print(stream, OpPrintingFlags().useLocalScope().assumeVerified());
  // The kernel's interface is part of the digest too.
  for (auto [access, element] : kernel.params)
    stream << int(access) << "," << int(element) << ";";
  stream << kernel.scratch;
  llvm::XXH128_hash_t hash =
      llvm::xxh3_128bits(llvm::ArrayRef(reinterpret_cast<const uint8_t *>(text.data()), text.size()));
  return kernel.kind + "_" + llvm::utohexstr(hash.high64, true, 16) + llvm::utohexstr(hash.low64, true, 16);
}

} // namespace moe::kernels
