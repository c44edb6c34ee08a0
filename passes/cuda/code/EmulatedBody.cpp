// The body of a kernel, for the host. A prologue loads the arguments, and what the body asks of its thread. Then
// each op that only a GPU has is replaced: registers by loads from the context; barriers, shuffles, atomics,
// asynchronous copies and matrix products by calls through the context's table of services; shared memory by
// the block's, at fixed offsets. At last address spaces vanish: all pointers are the host's.
//
// Arithmetic stays as it is. It is IEEE 754's on both sides: the PTX has no approximations, and the host's
// code is compiled without any either.
#include "passes/cuda/code/EmulatedBody.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/Interfaces/DataLayoutInterfaces.h"
#include "runtime/emulator/KernelAbi.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"
#include <array>
#include <cstddef>
#include <optional>

using namespace mlir;

namespace moe::cuda {
namespace {

using emu::Services;
using emu::ThreadContext;

constexpr unsigned sharedSpace = unsigned(NVVM::NVVMMemorySpace::Shared);

class EmulatedBody {
public:
  EmulatedBody(LLVM::LLVMFuncOp function, StringRef name, const SharedLayout &shared, bool isChecked,
               SiteTable &sites)
      : function(function), name(name), shared(shared), isChecked(isChecked), sites(sites),
        context(function.getContext()), prologue(context), b(context),
        pointer(LLVM::LLVMPointerType::get(context)), sizes(function->getParentOfType<ModuleOp>()) {}

  LogicalResult run() {
    std::vector<Operation *> ops;
    function.walk([&](Operation *op) {
      if (op != function)
        ops.push_back(op);
    });
    enter();
    for (Operation *op : ops)
      if (failed(replace(op)))
        return failure();
    dropAddressSpaces();
    return success();
  }

private:
  // The function's interface.

  /// Replaces the kernel's parameters by loads from the packed arguments, each at its natural alignment.
  void enter() {
    Block &entry = function.getBody().front();
    SmallVector<Value> parameters(entry.getArguments());
    function.setFunctionType(
        LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), {pointer, pointer}));
    for (StringRef attribute : {"gpu.kernel", "nvvm.kernel", "nvvm.maxntid", "nvvm.reqntid", "nvvm.minctasm",
                                "gpu.known_block_size", "gpu.known_grid_size", "arg_attrs", "res_attrs"})
      function->removeAttr(attribute);
    function.setCConv(LLVM::CConv::C);
    const Location location = function.getLoc();
    contextPointer = entry.insertArgument(0u, pointer, location);
    Value arguments = entry.insertArgument(1u, pointer, location);
    // The prologue grows in front of this constant, which stays whatever becomes of the body's first op.
    prologue.setInsertionPointToStart(&entry);
    prologue.setInsertionPoint(number(prologue, 0).getDefiningOp());
    uint64_t offset = 0;
    for (Value parameter : parameters) {
      Type type = parameter.getType();
      const uint64_t bytes = isa<LLVM::LLVMPointerType>(type) ? 8 : sizes.getTypeSize(type);
      offset = llvm::alignTo(offset, bytes);
      Value loaded = LLVM::LoadOp::create(prologue, location, type, at(prologue, arguments, offset));
      parameter.replaceAllUsesWith(loaded);
      offset += bytes;
    }
    entry.eraseArguments(2, parameters.size());
  }

  Value at(OpBuilder &builder, Value base, uint64_t offset) {
    return LLVM::GEPOp::create(builder, function.getLoc(), pointer, builder.getI8Type(), base,
                               ArrayRef<LLVM::GEPArg>{int32_t(offset)});
  }
  Value number(OpBuilder &builder, uint32_t value) {
    return LLVM::ConstantOp::create(builder, function.getLoc(), builder.getI32IntegerAttr(int32_t(value)));
  }
  Value number(uint32_t value) { return number(b, value); }

  /// A field of the context that a thread does not change: loaded once.
  Value field(uint64_t offset, Type type) {
    Value &known = fields[offset];
    if (!known)
      known = LLVM::LoadOp::create(prologue, function.getLoc(), type, at(prologue, contextPointer, offset));
    return known;
  }
  Value field(uint64_t offset) { return field(offset, prologue.getI32Type()); }

  /// Calls a service: the result, if it has one.
  Value call(Location location, uint64_t offset, Type result, ArrayRef<Value> arguments) {
    Value &service = services[offset];
    if (!service) {
      Value table = field(offsetof(ThreadContext, services), pointer);
      service = LLVM::LoadOp::create(prologue, function.getLoc(), pointer, at(prologue, table, offset));
    }
    SmallVector<Value> operands{service, contextPointer};
    SmallVector<Type> types{pointer};
    for (Value argument : arguments) {
      operands.push_back(argument);
      types.push_back(generic(argument.getType()));
    }
    auto made = LLVM::CallOp::create(b, location, LLVM::LLVMFunctionType::get(result, types), operands);
    return made.getNumResults() ? made.getResult() : Value();
  }
  void call(Location location, uint64_t offset, ArrayRef<Value> arguments) {
    call(location, offset, LLVM::LLVMVoidType::get(context), arguments);
  }
  Type generic(Type type) { return isa<LLVM::LLVMPointerType>(type) ? Type(pointer) : type; }
  Value site(Operation *op) { return number(sites.indexOf(op->getLoc())); }

  // Ops of a GPU.

  LogicalResult refuse(Operation *op, const Twine &what) {
    return op->emitError("expected an op that the emulator supports in kernel '")
           << name << "', found " << what;
  }
  LogicalResult refuse(Operation *op) { return refuse(op, "'" + op->getName().getStringRef() + "'"); }

  LogicalResult with(Operation *op, Value value) {
    op->getResult(0).replaceAllUsesWith(value);
    op->erase();
    return success();
  }
  LogicalResult gone(Operation *op) {
    op->erase();
    return success();
  }

  /// The offset of a special register's field in the context.
  static std::optional<uint64_t> registerOffset(Operation *op) {
    return llvm::TypeSwitch<Operation *, std::optional<uint64_t>>(op)
        .Case<NVVM::ThreadIdXOp>([](auto) { return offsetof(ThreadContext, tid); })
        .Case<NVVM::ThreadIdYOp>([](auto) { return offsetof(ThreadContext, tid) + 4; })
        .Case<NVVM::ThreadIdZOp>([](auto) { return offsetof(ThreadContext, tid) + 8; })
        .Case<NVVM::BlockIdXOp>([](auto) { return offsetof(ThreadContext, ctaid); })
        .Case<NVVM::BlockIdYOp>([](auto) { return offsetof(ThreadContext, ctaid) + 4; })
        .Case<NVVM::BlockIdZOp>([](auto) { return offsetof(ThreadContext, ctaid) + 8; })
        .Case<NVVM::BlockDimXOp>([](auto) { return offsetof(ThreadContext, ntid); })
        .Case<NVVM::BlockDimYOp>([](auto) { return offsetof(ThreadContext, ntid) + 4; })
        .Case<NVVM::BlockDimZOp>([](auto) { return offsetof(ThreadContext, ntid) + 8; })
        .Case<NVVM::GridDimXOp>([](auto) { return offsetof(ThreadContext, nctaid); })
        .Case<NVVM::GridDimYOp>([](auto) { return offsetof(ThreadContext, nctaid) + 4; })
        .Case<NVVM::GridDimZOp>([](auto) { return offsetof(ThreadContext, nctaid) + 8; })
        .Case<NVVM::LaneIdOp>([](auto) { return offsetof(ThreadContext, lane); })
        .Case<NVVM::WarpIdOp>([](auto) { return offsetof(ThreadContext, warp); })
        .Default([](Operation *) { return std::nullopt; });
  }

  LogicalResult replace(Operation *op) {
    b.setInsertionPoint(op);
    if (std::optional<uint64_t> offset = registerOffset(op))
      return with(op, field(*offset));
    return llvm::TypeSwitch<Operation *, LogicalResult>(op)
        .Case<NVVM::WarpSizeOp>([&](auto) { return with(op, number(32)); })
        .Case<NVVM::Barrier0Op>([&](auto) { return barrier(op); })
        .Case<NVVM::BarrierOp>([&](NVVM::BarrierOp barrierOp) {
          if (barrierOp.getNumberOfThreads() || barrierOp.getReductionOp() ||
              (barrierOp.getBarrierId() && !matchPattern(barrierOp.getBarrierId(), m_Zero())))
            return refuse(op, "a barrier of a part of the block, or with a reduction");
          return barrier(op);
        })
        .Case<NVVM::SyncWarpOp>([&](NVVM::SyncWarpOp sync) {
          call(op->getLoc(), offsetof(Services, warpBarrier), {sync.getMask(), site(op)});
          return gone(op);
        })
        .Case<NVVM::ShflOp>([&](NVVM::ShflOp shuffleOp) { return shuffle(shuffleOp); })
        .Case<NVVM::VoteSyncOp>([&](NVVM::VoteSyncOp voteOp) { return vote(voteOp); })
        .Case<NVVM::CpAsyncOp>([&](NVVM::CpAsyncOp copy) {
          if (copy.getCpSize())
            return refuse(op, "an asynchronous copy of fewer bytes than it writes");
          call(op->getLoc(), offsetof(Services, copyAsync),
               {copy.getDst(), copy.getSrc(), number(copy.getSize()), site(op)});
          return gone(op);
        })
        .Case<NVVM::CpAsyncCommitGroupOp>([&](auto) {
          call(op->getLoc(), offsetof(Services, copyCommit), {});
          return gone(op);
        })
        .Case<NVVM::CpAsyncWaitGroupOp>([&](NVVM::CpAsyncWaitGroupOp wait) {
          call(op->getLoc(), offsetof(Services, copyWait), {number(wait.getN())});
          return gone(op);
        })
        .Case<NVVM::MmaOp>([&](NVVM::MmaOp product) { return matrixProduct(product); })
        .Case<NVVM::ConvertFloatToTF32Op>(
            [&](NVVM::ConvertFloatToTF32Op convert) { return roundToTf32(convert); })
        .Case<NVVM::MembarOp>([&](auto) {
          LLVM::FenceOp::create(b, op->getLoc(), LLVM::AtomicOrdering::seq_cst, StringRef());
          return gone(op);
        })
        .Case<NVVM::PrefetchOp>([&](auto) { return gone(op); })
        .Case<LLVM::AddressOfOp>([&](LLVM::AddressOfOp address) {
          Value base = field(offsetof(ThreadContext, shared), pointer);
          Value place = at(b, base, shared.offsets.lookup(address.getGlobalNameAttr().getAttr()));
          // It stays a pointer to shared memory for those who ask what they access.
          return with(op, LLVM::AddrSpaceCastOp::create(b, op->getLoc(), address.getType(), place));
        })
        .Case<LLVM::AtomicRMWOp>([&](LLVM::AtomicRMWOp atomic) {
          if (atomic.getBinOp() != LLVM::AtomicBinOp::add || !atomic.getType().isInteger(32))
            return refuse(op, "an atomic op that is no sum of i32");
          return with(op, call(op->getLoc(), offsetof(Services, atomicAdd), b.getI32Type(),
                               {atomic.getPtr(), atomic.getVal(), site(op)}));
        })
        .Case<LLVM::LoadOp>([&](LLVM::LoadOp load) {
          access(op, load.getAddr(), load.getType(), load.getAlignment(), 0);
          load.setAlignment(elementBytes(load.getType()));
          return success();
        })
        .Case<LLVM::StoreOp>([&](LLVM::StoreOp store) {
          access(op, store.getAddr(), store.getValue().getType(), store.getAlignment(), emu::kWrite);
          store.setAlignment(elementBytes(store.getValue().getType()));
          return success();
        })
        .Case<LLVM::MaskedLoadOp>([&](LLVM::MaskedLoadOp load) {
          accessMasked(op, load.getData(), load.getMask(), cast<VectorType>(load.getType()), 0);
          load.setAlignment(elementBytes(load.getType()));
          return success();
        })
        .Case<LLVM::MaskedStoreOp>([&](LLVM::MaskedStoreOp store) {
          accessMasked(op, store.getData(), store.getMask(), cast<VectorType>(store.getValue().getType()),
                       emu::kWrite);
          store.setAlignment(elementBytes(store.getValue().getType()));
          return success();
        })
        .Case<LLVM::CallOp, LLVM::InvokeOp, LLVM::InlineAsmOp, LLVM::CallIntrinsicOp, LLVM::MemcpyOp,
              LLVM::MemcpyInlineOp, LLVM::MemmoveOp, LLVM::MemsetOp, LLVM::AtomicCmpXchgOp,
              LLVM::masked_gather, LLVM::masked_scatter, LLVM::masked_expandload, LLVM::masked_compressstore>(
            [&](auto) { return refuse(op); })
        .Default(
            [&](Operation *) { return isa<NVVM::NVVMDialect>(op->getDialect()) ? refuse(op) : success(); });
  }

  LogicalResult barrier(Operation *op) {
    call(op->getLoc(), offsetof(Services, barrier), {site(op)});
    return gone(op);
  }

  LogicalResult shuffle(NVVM::ShflOp op) {
    const Location location = op.getLoc();
    const bool isReal = op.getVal().getType().isF32();
    Value bits = op.getVal();
    if (isReal)
      bits = LLVM::BitcastOp::create(b, location, b.getI32Type(), bits);
    Value both = call(location, offsetof(Services, shuffle), b.getI64Type(),
                      {op.getThreadMask(), bits, op.getOffset(), op.getMaskAndClamp(),
                       number(uint32_t(modeOf(op.getKind()))), site(op)});
    Value value = LLVM::TruncOp::create(b, location, b.getI32Type(), both);
    if (isReal)
      value = LLVM::BitcastOp::create(b, location, b.getF32Type(), value);
    auto pair = dyn_cast<LLVM::LLVMStructType>(op.getType());
    if (!pair)
      return with(op, value);
    Value shift = LLVM::ConstantOp::create(b, location, b.getI64IntegerAttr(32));
    Value isValid =
        LLVM::TruncOp::create(b, location, b.getI1Type(), LLVM::LShrOp::create(b, location, both, shift));
    Value result = LLVM::PoisonOp::create(b, location, pair);
    result = LLVM::InsertValueOp::create(b, location, result, value, ArrayRef<int64_t>{0});
    return with(op, LLVM::InsertValueOp::create(b, location, result, isValid, ArrayRef<int64_t>{1}));
  }

  static emu::Shuffle modeOf(NVVM::ShflKind kind) {
    switch (kind) {
    case NVVM::ShflKind::bfly:
      return emu::Shuffle::bfly;
    case NVVM::ShflKind::up:
      return emu::Shuffle::up;
    case NVVM::ShflKind::down:
      return emu::Shuffle::down;
    case NVVM::ShflKind::idx:
      return emu::Shuffle::idx;
    }
    llvm_unreachable("a kind of shuffle that does not exist");
  }

  /// Votes follow from which threads say yes.
  LogicalResult vote(NVVM::VoteSyncOp op) {
    const Location location = op.getLoc();
    auto ballot = [&](Value says) {
      Value word = LLVM::ZExtOp::create(b, location, b.getI32Type(), says);
      return call(location, offsetof(Services, ballot), b.getI32Type(), {op.getMask(), word, site(op)});
    };
    auto no = [&] {
      Value one = LLVM::ConstantOp::create(b, location, b.getBoolAttr(true));
      return Value(LLVM::XOrOp::create(b, location, op.getPred(), one));
    };
    auto compare = [&](LLVM::ICmpPredicate predicate, Value x) {
      return Value(LLVM::ICmpOp::create(b, location, predicate, x, number(0)));
    };
    switch (op.getKind()) {
    case NVVM::VoteSyncKind::ballot:
      return with(op, ballot(op.getPred()));
    case NVVM::VoteSyncKind::any:
      return with(op, compare(LLVM::ICmpPredicate::ne, ballot(op.getPred())));
    case NVVM::VoteSyncKind::all:
      return with(op, compare(LLVM::ICmpPredicate::eq, ballot(no())));
    default:
      return refuse(op, "a vote whether all threads say the same");
    }
  }

  /// m16n8k8 of tf32: the fragments go through memory.
  LogicalResult matrixProduct(NVVM::MmaOp op) {
    NVVM::MMAShapeAttr shape = op.getShape();
    const bool isTf32 = op.getMultiplicandAPtxType() == NVVM::MMATypes::tf32 &&
                        op.getMultiplicandBPtxType() == NVVM::MMATypes::tf32 && shape.getM() == 16 &&
                        shape.getN() == 8 && shape.getK() == 8;
    auto result = dyn_cast<LLVM::LLVMStructType>(op.getType());
    if (!isTf32 || !result || !llvm::all_of(result.getBody(), [](Type type) { return type.isF32(); }))
      return refuse(op, "a matrix product that is not m16n8k8 of tf32");
    const Location location = op.getLoc();
    auto element = [&](Value fragment, size_t i, Type type) {
      return LLVM::GEPOp::create(b, location, pointer, type, fragment, ArrayRef<LLVM::GEPArg>{int32_t(i)});
    };
    auto fill = [&](Value fragment, OperandRange values) {
      for (auto [i, value] : llvm::enumerate(values))
        LLVM::StoreOp::create(b, location, value, element(fragment, i, value.getType()));
    };
    if (!fragments[0])
      for (auto [i, elements] : llvm::enumerate(std::array<uint32_t, 4>{4, 2, 4, 4}))
        fragments[i] = LLVM::AllocaOp::create(prologue, function.getLoc(), pointer, b.getF32Type(),
                                              number(prologue, elements));
    fill(fragments[0], op.getOperandA());
    fill(fragments[1], op.getOperandB());
    fill(fragments[2], op.getOperandC());
    call(location, offsetof(Services, mmaTf32),
         {fragments[0], fragments[1], fragments[2], fragments[3], site(op)});
    Value all = LLVM::PoisonOp::create(b, location, result);
    for (size_t i = 0; i < result.getBody().size(); ++i) {
      Value sum = LLVM::LoadOp::create(b, location, b.getF32Type(), element(fragments[3], i, b.getF32Type()));
      all = LLVM::InsertValueOp::create(b, location, all, sum, ArrayRef<int64_t>{int64_t(i)});
    }
    return with(op, all);
  }

  /// Rounds to the nearest number of 11 digits, a tie away from zero. Infinity stays, and NaN is the GPU's one.
  LogicalResult roundToTf32(NVVM::ConvertFloatToTF32Op op) {
    if (op.getRnd() != NVVM::FPRoundingMode::RNA || op.getSat() != NVVM::SaturationMode::NONE || op.getRelu())
      return refuse(op, "a conversion to tf32 that does not round to nearest, ties away from zero");
    const Location location = op.getLoc();
    Value bits = LLVM::BitcastOp::create(b, location, b.getI32Type(), op.getSrc());
    Value sum = LLVM::AddOp::create(b, location, bits, number(0x1000));
    Value rounded = LLVM::AndOp::create(b, location, sum, number(0xffffe000));
    Value isNan = LLVM::FCmpOp::create(b, location, LLVM::FCmpPredicate::uno, op.getSrc(), op.getSrc());
    return with(op, LLVM::SelectOp::create(b, location, isNan, number(0x7fffffff), rounded));
  }

  // Accesses to memory.

  uint64_t elementBytes(Type type) {
    auto vector = dyn_cast<VectorType>(type);
    type = vector ? vector.getElementType() : type;
    return isa<LLVM::LLVMPointerType>(type) ? 8 : llvm::divideCeil(type.getIntOrFloatBitWidth(), 8);
  }

  /// Memory of a thread alone cannot be wrong: what an alloca gave, whose uses this compiler makes.
  static bool isPrivate(Value address) {
    while (Operation *op = address.getDefiningOp()) {
      if (isa<LLVM::AllocaOp>(op))
        return true;
      if (!isa<LLVM::GEPOp, LLVM::AddrSpaceCastOp>(op))
        return false;
      address = op->getOperand(0);
    }
    return false;
  }
  uint32_t flagsOf(Value address, uint32_t flags) {
    const unsigned space = cast<LLVM::LLVMPointerType>(address.getType()).getAddressSpace();
    return flags | (space == sharedSpace ? emu::kSharedMemory : 0);
  }
  void report(Operation *op, Value address, uint64_t offset, uint64_t bytes, uint32_t flags) {
    Value place = address;
    if (offset)
      place = LLVM::GEPOp::create(b, op->getLoc(), address.getType(), b.getI8Type(), address,
                                  ArrayRef<LLVM::GEPArg>{int32_t(offset)});
    call(op->getLoc(), offsetof(Services, access), {place, number(bytes), number(flags), site(op)});
  }

  /// Reports an access in the pieces that the GPU makes of it: a vector is accessed at once if the op states its
  /// alignment, otherwise in parts of the alignment that it states.
  void access(Operation *op, Value address, Type type, std::optional<uint64_t> alignment, uint32_t flags) {
    if (!isChecked || isPrivate(address))
      return;
    auto vector = dyn_cast<VectorType>(type);
    const uint64_t bytes = elementBytes(type) * (vector ? vector.getNumElements() : 1);
    const uint64_t piece = alignment.value_or(0) ? std::min(bytes, *alignment) : bytes;
    for (uint64_t offset = 0; offset < bytes; offset += piece)
      report(op, address, offset, std::min(piece, bytes - offset), flagsOf(address, flags));
  }

  /// Reports the elements whose mask is set.
  void accessMasked(Operation *op, Value address, Value mask, VectorType type, uint32_t flags) {
    if (!isChecked || isPrivate(address))
      return;
    const uint64_t bytes = elementBytes(type);
    for (int64_t lane = 0; lane < type.getNumElements(); ++lane) {
      Value isSet = LLVM::ExtractElementOp::create(b, op->getLoc(), mask, number(lane));
      Block *before = op->getBlock();
      Block *after = before->splitBlock(op);
      Block *reported = b.createBlock(after);
      b.setInsertionPointToEnd(before);
      LLVM::CondBrOp::create(b, op->getLoc(), isSet, reported, after);
      b.setInsertionPointToEnd(reported);
      report(op, address, lane * bytes, bytes, flagsOf(address, flags));
      LLVM::BrOp::create(b, op->getLoc(), after);
      b.setInsertionPoint(op);
    }
  }

  void dropAddressSpaces() {
    AttrTypeReplacer replacer;
    replacer.addReplacement([&](LLVM::LLVMPointerType) { return Type(pointer); });
    replacer.recursivelyReplaceElementsIn(function, /*replaceAttrs=*/true, /*replaceLocs=*/false,
                                          /*replaceTypes=*/true);
    function.walk([](LLVM::AddrSpaceCastOp cast) {
      cast.getResult().replaceAllUsesWith(cast.getArg());
      cast.erase();
    });
  }

  LLVM::LLVMFuncOp function;
  StringRef name;
  const SharedLayout &shared;
  const bool isChecked;
  SiteTable &sites;
  MLIRContext *context;
  OpBuilder prologue, b; // prologue: at the function's beginning, behind the arguments
  LLVM::LLVMPointerType pointer;
  DataLayout sizes;
  Value contextPointer, fragments[4];
  llvm::DenseMap<uint64_t, Value> fields, services;
};

/// The op's name and path, and the author's line. Of what was made from several ops the first counts.
std::pair<StringRef, FileLineColLoc> resolve(Location location) {
  StringRef op;
  FileLineColLoc place;
  location->walk([&](Location part) {
    if (auto named = dyn_cast<NameLoc>(part); named && op.empty())
      op = named.getName();
    if (auto file = dyn_cast<FileLineColLoc>(part); file && !place)
      place = file;
    return place ? WalkResult::interrupt() : WalkResult::advance();
  });
  return {op, place};
}

} // namespace

uint32_t SiteTable::indexOf(Location location) {
  auto [op, place] = resolve(location);
  MLIRContext *context = location.getContext();
  auto key = std::make_tuple(StringAttr::get(context, op),
                             place ? place.getFilename() : StringAttr::get(context, ""),
                             place ? place.getLine() : 0u);
  return rows.insert({key, uint32_t(rows.size())}).first->second;
}

std::vector<EmulatedSite> SiteTable::take() {
  std::vector<EmulatedSite> all;
  for (auto &[key, index] : rows)
    all.push_back({std::get<0>(key).str(), std::get<1>(key).str(), std::get<2>(key)});
  rows.clear();
  return all;
}

LogicalResult emulateBody(LLVM::LLVMFuncOp function, StringRef name, const SharedLayout &shared,
                          bool isChecked, SiteTable &sites) {
  return EmulatedBody(function, name, shared, isChecked, sites).run();
}

} // namespace moe::cuda
