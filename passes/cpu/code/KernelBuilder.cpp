// Builds kernels and stores equal ones once. A kernel's name is a digest of its text, so equal code has an
// equal name, whatever it was made from. Pointers, launch scalars and constants are loaded in front of the
// body, so that all of the body's code can use them.
#include "passes/cpu/code/KernelBuilder.h"
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;

namespace moe::cpu {

KernelModule::KernelModule(MLIRContext *context, const CpuTarget &target) : cpuTarget(target) {
  context->loadDialect<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect,
                       scf::SCFDialect, vector::VectorDialect, plan::PlanDialect>();
  owned = ModuleOp::create(UnknownLoc::get(context));
}

KernelBuilder::KernelBuilder(KernelModule &module, llvm::StringRef kind, Location location)
    : module(module), location(location), entry(location.getContext()), body(location.getContext()) {
  kernel.kind = kind.str();
  MLIRContext *context = location.getContext();
  Type pointer = LLVM::LLVMPointerType::get(context), i64Type = body.getI64Type();
  body.setInsertionPointToEnd(module.module().getBody());
  auto type = FunctionType::get(context, {pointer, pointer, i64Type, i64Type, pointer}, {});
  auto func = func::FuncOp::create(body, location, "kernel", type);
  function = func;
  Block *block = func.addEntryBlock();
  buffersPointer = block->getArgument(0);
  scalarsPointer = block->getArgument(1);
  unitBegin = block->getArgument(2);
  unitEnd = block->getArgument(3);
  scratchPointer = block->getArgument(4);
  body.setInsertionPointToEnd(block);
  // `entry` inserts before this constant, `body` after it.
  Value zero = arith::ConstantOp::create(body, location, body.getI64IntegerAttr(0));
  entry.setInsertionPoint(zero.getDefiningOp());
  auto end = func::ReturnOp::create(body, location);
  body.setInsertionPoint(end);
}

const CpuTarget &KernelBuilder::target() const { return module.target(); }

Value KernelBuilder::i64(int64_t value) {
  Value &known = constants[value];
  if (!known)
    known = arith::ConstantOp::create(entry, location, entry.getI64IntegerAttr(value));
  return known;
}

Value KernelBuilder::buffer(plan::Access access, plan::Element element, BufferRef bound,
                            plan::ExprAttr extent) {
  Type pointer = LLVM::LLVMPointerType::get(body.getContext());
  Value slot = LLVM::GEPOp::create(entry, location, pointer, pointer, buffersPointer,
                                   ArrayRef<LLVM::GEPArg>{int32_t(kernel.params.size())});
  kernel.params.push_back({access, element});
  launch.buffers.push_back(bound);
  launch.extents.push_back(extent);
  return LLVM::LoadOp::create(entry, location, pointer, slot, /*alignment=*/8);
}

Value KernelBuilder::floats(plan::Access access, BufferRef bound, const flow::Extent &elements) {
  return buffer(access, plan::Element::f32, bound, plan::fromExtent(elements));
}

Value KernelBuilder::scalar(plan::ArgAttr arg, Type type) {
  Value &known = scalarValues[arg];
  if (known)
    return known;
  Value slot = LLVM::GEPOp::create(entry, location, scalarsPointer.getType(), entry.getI64Type(),
                                   scalarsPointer, ArrayRef<LLVM::GEPArg>{int32_t(launch.scalars.size())});
  launch.scalars.push_back(arg);
  return known = LLVM::LoadOp::create(entry, location, type, slot, /*alignment=*/8);
}

Value KernelBuilder::integer(plan::ArgAttr arg) { return scalar(arg, body.getI64Type()); }
Value KernelBuilder::number(plan::ArgAttr arg) { return scalar(arg, body.getF32Type()); }

Value KernelBuilder::extent(plan::ExprAttr extent) {
  if (std::optional<int64_t> value = plan::constantValue(extent))
    return i64(*value);
  return integer(plan::ArgAttr::get(body.getContext(), plan::ArgKind::extent, extent));
}

Value KernelBuilder::numberConstant(float value) {
  return number(
      plan::ArgAttr::get(body.getContext(), plan::ArgKind::constant_f32, body.getF32FloatAttr(value)));
}

Value KernelBuilder::floatScratch(int64_t elements) { return scratch(elements, body.getF32Type()); }

Value KernelBuilder::scratch(int64_t elements, Type element) {
  const uint64_t bytes = uint64_t(elements) * (element.getIntOrFloatBitWidth() / 8);
  Value offset = i64(int64_t(kernel.scratch)); // an index in the op itself has 29 bits
  kernel.scratch += (bytes + 63) / 64 * 64;
  return LLVM::GEPOp::create(entry, location, scratchPointer.getType(), entry.getI8Type(), scratchPointer,
                             ArrayRef<LLVM::GEPArg>{offset});
}

Value KernelBuilder::at(Value pointer, Type element, Value index) {
  return LLVM::GEPOp::create(body, location, pointer.getType(), element, pointer,
                             ArrayRef<LLVM::GEPArg>{index});
}

static unsigned alignmentOf(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return std::max(1u, (vector ? vector.getElementType() : type).getIntOrFloatBitWidth() / 8);
}

Value KernelBuilder::load(Type type, Value pointer, Type element, Value index) {
  return LLVM::LoadOp::create(body, location, type, at(pointer, element, index), alignmentOf(type));
}

void KernelBuilder::store(Value value, Value pointer, Type element, Value index) {
  LLVM::StoreOp::create(body, location, value, at(pointer, element, index), alignmentOf(value.getType()));
}

Value KernelBuilder::loadMasked(VectorType type, Value pointer, Value index, Value mask, Value otherwise) {
  Value from = at(pointer, type.getElementType(), index);
  return LLVM::MaskedLoadOp::create(body, location, type, from, mask, otherwise, alignmentOf(type));
}

void KernelBuilder::storeMasked(Value value, Value pointer, Value index, Value mask) {
  Type element = cast<VectorType>(value.getType()).getElementType();
  LLVM::MaskedStoreOp::create(body, location, value, at(pointer, element, index), mask,
                              alignmentOf(value.getType()));
}

LaunchSpec KernelBuilder::finish() {
  auto func = cast<func::FuncOp>(function);
  kernel.scalars.assign(launch.scalars.size(), plan::ScalarParam::value);
  std::string text;
  llvm::raw_string_ostream stream(text);
  func.print(stream, OpPrintingFlags().useLocalScope().assumeVerified());
  // The kernel's interface is part of the digest too.
  for (auto [access, element] : kernel.params)
    stream << int(access) << "," << int(element) << ";";
  stream << kernel.scratch;
  llvm::XXH128_hash_t hash =
      llvm::xxh3_128bits(llvm::ArrayRef(reinterpret_cast<const uint8_t *>(text.data()), text.size()));
  kernel.symbol =
      kernel.kind + "_" + llvm::utohexstr(hash.high64, true, 16) + llvm::utohexstr(hash.low64, true, 16);
  launch.symbol = kernel.symbol;
  auto [slot, fresh] = module.bySymbol.try_emplace(kernel.symbol, module.all.size());
  if (fresh) {
    func.setName(kernel.symbol);
    module.all.push_back(kernel);
  } else {
    func.erase();
  }
  return launch;
}

LaunchSpec KernelBuilder::finish(llvm::StringRef op, const flow::Extent &units, const flow::Extent &flops,
                                 const flow::Extent &bytes, uint32_t grain) {
  LaunchSpec spec = finish();
  spec.work = plan::CpuWorkAttr::get(body.getContext(), plan::fromExtent(units), grain);
  spec.flops = plan::fromExtent(flops);
  spec.bytes = plan::fromExtent(bytes);
  spec.op = op.str();
  return spec;
}

} // namespace moe::cpu
