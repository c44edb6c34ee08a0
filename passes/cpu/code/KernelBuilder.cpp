// Builds kernels and stores equal ones once. A kernel's name is a digest of its text, so equal code has an
// equal name, whatever it was made from. Pointers and launch scalars are loaded in front of the body, so that all
// of the body's code can use them.
#include "passes/cpu/code/KernelBuilder.h"
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace moe::cpu {

KernelModule::KernelModule(MLIRContext *context, const CpuTarget &target) : cpuTarget(target) {
  context->loadDialect<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect,
                       scf::SCFDialect, vector::VectorDialect, plan::PlanDialect>();
  owned = ModuleOp::create(UnknownLoc::get(context));
}

KernelBuilder::KernelBuilder(KernelModule &module, llvm::StringRef kind, Location location)
    : KernelCode(location), module(module) {
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

Value KernelBuilder::newScalar(plan::ArgAttr arg, Type type) {
  Value slot = LLVM::GEPOp::create(entry, location, scalarsPointer.getType(), entry.getI64Type(),
                                   scalarsPointer, ArrayRef<LLVM::GEPArg>{int32_t(launch.scalars.size())});
  launch.scalars.push_back(arg);
  return LLVM::LoadOp::create(entry, location, type, slot, /*alignment=*/8);
}

Value KernelBuilder::floatScratch(int64_t elements) { return scratch(elements, body.getF32Type()); }

Value KernelBuilder::scratch(int64_t elements, Type element) {
  const uint64_t bytes = uint64_t(elements) * (element.getIntOrFloatBitWidth() / 8);
  Value offset = i64(int64_t(kernel.scratch)); // an index in the op itself has 29 bits
  kernel.scratch += (bytes + 63) / 64 * 64;
  return LLVM::GEPOp::create(entry, location, scratchPointer.getType(), entry.getI8Type(), scratchPointer,
                             ArrayRef<LLVM::GEPArg>{offset});
}

LaunchSpec KernelBuilder::finish() {
  auto func = cast<func::FuncOp>(function);
  kernel.scalars.assign(launch.scalars.size(), plan::ScalarParam::value);
  kernel.symbol = nameOf(func);
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
