// Builds kernels and stores equal ones once; see KernelBuilder.h. A kernel's name is a digest of its text. Its
// function gets its parameters one after another as the body is written. Shared memory is one global a kernel,
// which grows with each request.
#include "passes/cuda/kernel/KernelBuilder.h"
#include "dialects/plan/FromFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/kernels/loops/LoopIndex.h"

using namespace mlir;

namespace moe::cuda {

static constexpr unsigned kGlobalSpace = unsigned(NVVM::NVVMMemorySpace::Global);
static constexpr unsigned kSharedSpace = unsigned(NVVM::NVVMMemorySpace::Shared);
/// The name of a kernel's shared memory until its own name is known.
static constexpr llvm::StringLiteral sharedName = "shared";
/// The largest vector that one thread reads or writes at once.
static constexpr int64_t kVectorBytes = 16;

KernelModule::KernelModule(MLIRContext *context) {
  context->loadDialect<arith::ArithDialect, gpu::GPUDialect, LLVM::LLVMDialect, math::MathDialect,
                       NVVM::NVVMDialect, scf::SCFDialect, vector::VectorDialect, plan::PlanDialect>();
  owned = ModuleOp::create(UnknownLoc::get(context));
  owned.get()->setAttr(gpu::GPUDialect::getContainerModuleAttrName(), UnitAttr::get(context));
  OpBuilder builder = OpBuilder::atBlockEnd(owned->getBody());
  functions = gpu::GPUModuleOp::create(builder, owned->getLoc(), "kernels");
}

KernelBuilder::KernelBuilder(KernelModule &module, StringRef kind, int64_t threads, Location location)
    : KernelCode(location), module(module), blockThreads(threads) {
  kernel.kind = kind.str();
  MLIRContext *context = location.getContext();
  body.setInsertionPointToEnd(module.functions.getBody());
  function = gpu::GPUFuncOp::create(body, location, "kernel", FunctionType::get(context, {}, {}));
  function->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), UnitAttr::get(context));
  function.setKnownBlockSizeAttr(body.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  Block *block = &function.getBody().front();
  body.setInsertionPointToEnd(block);
  // `entry` inserts before this constant, `body` after it.
  Value zero = arith::ConstantOp::create(body, location, body.getI64IntegerAttr(0));
  entry.setInsertionPoint(zero.getDefiningOp());
  auto end = gpu::ReturnOp::create(body, location);
  body.setInsertionPoint(end);
  if (!module.updates)
    return;
  Value held = integer(plan::ArgAttr::get(context, plan::ArgKind::held_i64, Attribute()));
  Value free = arith::CmpIOp::create(body, location, arith::CmpIPredicate::eq, held, i64(0));
  auto branch = scf::IfOp::create(body, location, free, /*withElseRegion=*/false);
  body.setInsertionPointToStart(branch.thenBlock());
}

Value KernelBuilder::buffer(plan::Access access, plan::Element element, BufferRef bound,
                            plan::ExprAttr extent) {
  // Pointers come in front of the scalars.
  Block &block = function.getBody().front();
  auto pointer = LLVM::LLVMPointerType::get(body.getContext(), kGlobalSpace);
  Value argument = block.insertArgument(unsigned(kernel.params.size()), pointer, location);
  kernel.params.push_back({access, element});
  launch.buffers.push_back(bound);
  launch.extents.push_back(extent);
  return argument;
}

Value KernelBuilder::cell(plan::ArgAttr arg) {
  launch.scalars.push_back(arg);
  kernel.scalars.push_back(plan::ScalarParam::cell);
  auto pointer = LLVM::LLVMPointerType::get(body.getContext(), kGlobalSpace);
  return function.getBody().front().addArgument(pointer, location);
}

Value KernelBuilder::newScalar(plan::ArgAttr arg, Type type) {
  const plan::ArgKind kind = arg.getKind();
  if (kind == plan::ArgKind::step_i64 || kind == plan::ArgKind::seed_i64 || kind == plan::ArgKind::held_i64 ||
      kind == plan::ArgKind::scalar_f32)
    return LLVM::LoadOp::create(entry, location, type, cell(arg), /*alignment=*/8);
  launch.scalars.push_back(arg);
  kernel.scalars.push_back(plan::ScalarParam::value);
  Value bits = function.getBody().front().addArgument(entry.getI64Type(), location);
  if (!type.isF32())
    return bits;
  Value low = arith::TruncIOp::create(entry, location, entry.getI32Type(), bits);
  return arith::BitcastOp::create(entry, location, type, low);
}

void KernelBuilder::requireBlocks(int64_t blocks) {
  function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), body.getI32IntegerAttr(int32_t(blocks)));
}

Value KernelBuilder::thread() {
  if (!threadNumber) {
    Value id = gpu::ThreadIdOp::create(entry, location, gpu::Dimension::x);
    threadNumber = arith::IndexCastUIOp::create(entry, location, entry.getI64Type(), id);
  }
  return threadNumber;
}

Value KernelBuilder::block(gpu::Dimension axis) {
  Value &number = blockNumber[unsigned(axis)];
  if (!number) {
    Value id = gpu::BlockIdOp::create(entry, location, axis);
    number = arith::IndexCastUIOp::create(entry, location, entry.getI64Type(), id);
  }
  return number;
}

Value KernelBuilder::shared(int64_t elements, Type element) {
  const int64_t bytes = elements * (element.getIntOrFloatBitWidth() / 8);
  auto pointer = LLVM::LLVMPointerType::get(body.getContext(), kSharedSpace);
  if (!sharedBase)
    sharedBase = LLVM::AddressOfOp::create(entry, location, pointer, sharedName);
  Value offset = i64(sharedBytes);
  sharedBytes += llvm::divideCeil(bytes, kVectorBytes) * kVectorBytes;
  return LLVM::GEPOp::create(entry, location, pointer, entry.getI8Type(), sharedBase,
                             ArrayRef<LLVM::GEPArg>{offset});
}

void KernelBuilder::barrier() { gpu::BarrierOp::create(body, location); }

void KernelBuilder::warpBarrier() {
  Value all = arith::ConstantOp::create(body, location, body.getI32IntegerAttr(-1));
  NVVM::SyncWarpOp::create(body, location, all);
}

Value KernelBuilder::exchange(Value value, int64_t offset) {
  auto shuffle =
      gpu::ShuffleOp::create(body, location, value, int32_t(offset), int32_t(kWarp), gpu::ShuffleMode::XOR);
  return shuffle.getShuffleResult();
}

/// The alignment of a vector of `type` at an index: of the whole vector where the index is known to be a multiple
/// of its length.
static unsigned alignmentAt(Type type, Value index, unsigned ofElement) {
  auto vector = dyn_cast<VectorType>(type);
  if (!vector || !isMultiple(index, vector.getNumElements()))
    return ofElement;
  return std::min<int64_t>(kVectorBytes, ofElement * vector.getNumElements());
}

Value KernelBuilder::load(Type type, Value pointer, Type element, Value index) {
  const unsigned alignment = alignmentAt(type, index, alignmentOf(type));
  auto vector = dyn_cast<VectorType>(type);
  if (!vector || alignment == alignmentOf(type) * vector.getNumElements())
    return LLVM::LoadOp::create(body, location, type, at(pointer, element, index), alignment);
  Value first = at(pointer, element, index);
  return lanes(vector, {}, {}, [&](int64_t lane) -> Value {
    return LLVM::LoadOp::create(body, location, element, at(first, element, i64(lane)), alignment);
  });
}

void KernelBuilder::store(Value value, Value pointer, Type element, Value index) {
  const unsigned alignment = alignmentAt(value.getType(), index, alignmentOf(value.getType()));
  auto vector = dyn_cast<VectorType>(value.getType());
  if (!vector || alignment == alignmentOf(vector) * vector.getNumElements()) {
    LLVM::StoreOp::create(body, location, value, at(pointer, element, index), alignment);
    return;
  }
  Value first = at(pointer, element, index);
  eachLane(value, {}, [&](int64_t lane, Value one) {
    LLVM::StoreOp::create(body, location, one, at(first, element, i64(lane)), alignment);
  });
}

Value KernelBuilder::lanes(VectorType type, Value mask, Value otherwise,
                           llvm::function_ref<Value(int64_t)> read) {
  Value result =
      otherwise ? otherwise : Value(arith::ConstantOp::create(body, location, body.getZeroAttr(type)));
  for (int64_t lane = 0; lane < type.getNumElements(); ++lane) {
    Value one;
    if (mask) {
      Value holds = vector::ExtractOp::create(body, location, mask, lane);
      Value before = vector::ExtractOp::create(body, location, result, lane);
      auto branch = scf::IfOp::create(body, location, TypeRange(type.getElementType()), holds, true);
      OpBuilder::InsertionGuard guard(body);
      body.setInsertionPointToStart(branch.thenBlock());
      scf::YieldOp::create(body, location, read(lane));
      body.setInsertionPointToStart(branch.elseBlock());
      scf::YieldOp::create(body, location, before);
      one = branch.getResult(0);
    } else {
      one = read(lane);
    }
    result = vector::InsertOp::create(body, location, one, result, lane);
  }
  return result;
}

void KernelBuilder::eachLane(Value value, Value mask, llvm::function_ref<void(int64_t, Value)> write) {
  const int64_t count = cast<VectorType>(value.getType()).getNumElements();
  for (int64_t lane = 0; lane < count; ++lane) {
    Value one = vector::ExtractOp::create(body, location, value, lane);
    OpBuilder::InsertionGuard guard(body);
    if (mask) {
      Value holds = vector::ExtractOp::create(body, location, mask, lane);
      auto branch = scf::IfOp::create(body, location, holds, /*withElseRegion=*/false);
      body.setInsertionPointToStart(branch.thenBlock());
    }
    write(lane, one);
  }
}

Value KernelBuilder::loadMasked(VectorType type, Value pointer, Value index, Value mask, Value otherwise) {
  Type element = type.getElementType();
  Value first = at(pointer, element, index);
  return lanes(type, mask, otherwise, [&](int64_t lane) -> Value {
    return LLVM::LoadOp::create(body, location, element, at(first, element, i64(lane)), alignmentOf(element));
  });
}

void KernelBuilder::storeMasked(Value value, Value pointer, Value index, Value mask) {
  Type element = cast<VectorType>(value.getType()).getElementType();
  Value first = at(pointer, element, index);
  eachLane(value, mask, [&](int64_t lane, Value one) {
    LLVM::StoreOp::create(body, location, one, at(first, element, i64(lane)), alignmentOf(element));
  });
}

Value KernelBuilder::gather(VectorType type, Value addresses, Value mask) {
  Type element = type.getElementType();
  return lanes(type, mask, {}, [&](int64_t lane) -> Value {
    Value number = arith::ConstantOp::create(body, location, body.getI32IntegerAttr(lane));
    Value from = LLVM::ExtractElementOp::create(body, location, addresses, number);
    return LLVM::LoadOp::create(body, location, element, from, alignmentOf(element));
  });
}

void KernelBuilder::scatter(Value value, Value addresses, Value mask) {
  Type element = cast<VectorType>(value.getType()).getElementType();
  eachLane(value, mask, [&](int64_t lane, Value one) {
    Value number = arith::ConstantOp::create(body, location, body.getI32IntegerAttr(lane));
    Value to = LLVM::ExtractElementOp::create(body, location, addresses, number);
    LLVM::StoreOp::create(body, location, one, to, alignmentOf(element));
  });
}

LaunchSpec KernelBuilder::finish(flow::Extent gridX, flow::Extent gridY, flow::Extent gridZ) {
  Block &block = function.getBody().front();
  function.setFunctionType(FunctionType::get(body.getContext(), block.getArgumentTypes(), {}));
  kernel.threads = blockThreads;
  // The size of shared memory is a part of the digest.
  if (sharedBytes)
    function->setAttr("moe.shared", body.getI64IntegerAttr(sharedBytes));
  kernel.symbol = nameOf(function);
  launch.symbol = kernel.symbol;
  auto constant = [&](int64_t value) { return plan::constant(body.getContext(), value); };
  auto sizeOf = [&](flow::Extent size) { return size ? plan::fromExtent(size) : constant(1); };
  launch.work = plan::GpuWorkAttr::get(body.getContext(), {sizeOf(gridX), sizeOf(gridY), sizeOf(gridZ)},
                                       {constant(blockThreads), constant(1), constant(1)}, constant(0));
  auto [slot, fresh] = module.bySymbol.try_emplace(kernel.symbol, module.all.size());
  if (!fresh) {
    function.erase();
    return launch;
  }
  function->removeAttr("moe.shared");
  function.setName(kernel.symbol);
  if (sharedBytes) {
    std::string name = (kernel.symbol + "_" + sharedName).str();
    sharedBase.getDefiningOp<LLVM::AddressOfOp>().setGlobalName(name);
    OpBuilder globals(function);
    auto type = LLVM::LLVMArrayType::get(globals.getI8Type(), sharedBytes);
    LLVM::GlobalOp::create(globals, location, type, /*isConstant=*/false, LLVM::Linkage::Internal, name,
                           Attribute(), /*alignment=*/kVectorBytes, kSharedSpace);
  }
  module.all.push_back(kernel);
  return launch;
}

FailureOr<GroupCode> KernelModule::emitUpdate(flow::GroupOp group, const GroupLayouts &layouts) {
  updates = true;
  FailureOr<GroupCode> code = emit(group, layouts);
  updates = false;
  return code;
}

LaunchSpec KernelModule::emitHold(MLIRContext *context, unsigned predicates) {
  KernelBuilder k = begin("hold", kWarp, UnknownLoc::get(context));
  OpBuilder &b = k.builder();
  const Location at = k.loc();
  const Type number = b.getF32Type();
  Value isFirst = arith::CmpIOp::create(b, at, arith::CmpIPredicate::eq, k.thread(), k.i64(0));
  auto first = scf::IfOp::create(b, at, isFirst, /*withElseRegion=*/false);
  b.setInsertionPointToStart(first.thenBlock());
  Value zero = arith::ConstantOp::create(b, at, b.getF32FloatAttr(0)), holds;
  for (unsigned i = 0; i < predicates; ++i) {
    Value predicate =
        k.buffer(plan::Access::read, plan::Element::f32, {BufferRef::operand, i}, plan::constant(context, 1));
    Value is = arith::CmpFOp::create(b, at, arith::CmpFPredicate::OEQ,
                                     k.load(number, predicate, number, k.i64(0)), zero);
    holds = holds ? Value(arith::OrIOp::create(b, at, holds, is)) : is;
  }
  auto branch = scf::IfOp::create(b, at, holds, /*withElseRegion=*/false);
  b.setInsertionPointToStart(branch.thenBlock());
  Value word = k.cell(plan::ArgAttr::get(context, plan::ArgKind::held_i64, Attribute()));
  k.store(k.i64(1), word, b.getI64Type(), k.i64(0));
  LaunchSpec launch = k.finish(flow::Extent::constant(context, 1));
  launch.op = "hold";
  launch.flops = plan::constant(context, 0);
  launch.bytes = plan::constant(context, flow::storageBytes(number) * int64_t(predicates));
  return launch;
}

FailureOr<GroupCode> KernelModule::emit(flow::GroupOp group, const GroupLayouts &layouts) {
  Operation *root = group.getRoot();
  if (!root)
    return emitLoopGroup(group, layouts, *this);
  if (isa<flow::CountingSortOp>(root))
    return emitSortGroup(group, *this);
  if (isa<flow::AttentionOp, flow::AttentionGradOp>(root))
    return emitAttentionGroup(group, *this);
  if (isa<flow::ContractOp, flow::GroupedContractOp>(root))
    return emitContractGroup(group, layouts, *this);
  if (isa<flow::ConvOp, flow::ConvInputGradOp, flow::ConvWeightGradOp>(root))
    return emitConvGroup(group, layouts, *this);
  return root->emitError("expected an op that GPUs have an emitter for, found '") << root->getName() << "'";
}

} // namespace moe::cuda
