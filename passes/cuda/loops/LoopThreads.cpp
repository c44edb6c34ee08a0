// What concerns the threads of a loop group's kernel: units, how a team shares points, and where values are stored;
// see LoopKernel.h.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "passes/cuda/loops/LoopKernel.h"

using namespace mlir;

namespace moe::cuda {

// Stages that are no results and have a dimension inside the unit are in shared memory, with the vectorised dimension
// innermost. Teams of one block have their parts one after another.
void LoopKernel::bindShared() {
  const int64_t teams = shape.block / shape.team;
  for (const LoopStage &stage : a.stages) {
    if (targets.count(stage.value) || part == partial)
      continue;
    SmallVector<unsigned> own = inside(stage.dims);
    if (own.empty())
      continue;
    auto type = cast<RankedTensorType>(stage.value.getType());
    Storage storage;
    storage.element = type.getElementType();
    storage.strides.assign(type.getRank(), k.i64(0));
    storage.scratch = true;
    if (auto *found = llvm::find(own, unsigned(shape.vectors[stage.nest])); found != own.end())
      std::rotate(found, found + 1, own.end());
    int64_t stride = 1;
    for (unsigned d : llvm::reverse(own)) {
      for (int64_t axis = 0; axis < type.getRank(); ++axis)
        if (unsigned c = a.classOf(stage.value, axis); c != LoopNests::none && c == a.dims[d].classes.back())
          storage.strides[axis] = k.i64(stride);
      stride *= *a.dims[d].extent.constantValue();
    }
    Type memory = flow::elementTypesOf(type).storage;
    const int64_t elementBytes = flow::storageBytes(type);
    const int64_t elements = sharedBytes(stride * elementBytes) / elementBytes;
    storage.pointer = kernel.shared(elements * teams, memory);
    if (teams > 1)
      storage.pointer = k.at(storage.pointer, memory, m.mul(warp, k.i64(elements)));
    targets[stage.value] = storage;
  }
}

flow::Extent LoopKernel::unitsAlong(unsigned dim) const {
  const flow::Extent &extent = a.dims[dim].extent;
  const bool vector = shape.vectorUnits && dim == shape.units.back();
  return vector ? extent.ceildiv(shape.width) : extent;
}

std::pair<Value, Value> LoopKernel::divide(Value x, Value y) {
  auto known = constantOf(y);
  if (known == 1)
    return {x, k.i64(0)};
  Type i32 = b().getI32Type(), i64 = b().getI64Type();
  Value narrow = arith::TruncIOp::create(b(), loc(), i32, x),
        by = arith::TruncIOp::create(b(), loc(), i32, y);
  Value quotient = arith::DivUIOp::create(b(), loc(), narrow, by);
  Value rest = arith::SubIOp::create(b(), loc(), narrow, arith::MulIOp::create(b(), loc(), quotient, by));
  return {arith::ExtUIOp::create(b(), loc(), i64, quotient), arith::ExtUIOp::create(b(), loc(), i64, rest)};
}

void LoopKernel::emitUnits(llvm::function_ref<void()> body) {
  at.assign(a.dims.size(), m.constant(0));
  flow::Extent count = flow::Extent::constant(group.getContext(), 1);
  for (unsigned d : shape.units)
    count = count * unitsAlong(d);
  if (part == partial)
    count = count * chunkCount;
  Value unit = kernel.block();
  if (shape.team == 1)
    unit = m.add(m.mul(unit, k.i64(shape.block)), kernel.thread());
  else if (shape.team < shape.block)
    unit = m.add(m.mul(unit, k.i64(shape.block / shape.team)), warp);
  OpBuilder::InsertionGuard guard(b());
  if (shape.team < shape.block) {
    Value some = arith::CmpIOp::create(b(), loc(), arith::CmpIPredicate::slt, unit, extent(count));
    auto branch = scf::IfOp::create(b(), loc(), some, /*withElseRegion=*/false);
    b().setInsertionPointToStart(branch.thenBlock());
  }
  // Loads stay behind what decides whether there is anything to do: units that exist, updates that are not held back.
  values.unitBlock = b().getInsertionBlock();
  Value rest = unit;
  for (unsigned d : llvm::reverse(shape.units)) {
    Value index = rest;
    if (d != shape.units.front() || part == partial)
      std::tie(rest, index) = divide(rest, extent(unitsAlong(d)));
    const bool vector = shape.vectorUnits && d == shape.units.back() && width > 1;
    at[d] = vector ? Index{m.mul(index, k.i64(width)), 1} : Index{index};
  }
  if (part == partial) {
    chunkIndex = rest;
    Value low = m.mul(chunkIndex, k.i64(schedule.splitChunk));
    Value high = m.min(m.add(low, k.i64(schedule.splitChunk)), extent(a.dims[schedule.splitDim].extent));
    chunks[schedule.splitDim] = {low, high, std::nullopt};
  }
  body();
}

void LoopKernel::sync() {
  if (shape.team == kWarp)
    kernel.warpBarrier();
  else if (shape.team > 1)
    kernel.barrier();
}

void LoopKernel::once(Value number, llvm::function_ref<void()> body) {
  if (!number)
    return body();
  Value first = arith::CmpIOp::create(b(), loc(), arith::CmpIPredicate::eq, number, k.i64(0));
  auto branch = scf::IfOp::create(b(), loc(), first, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b());
  b().setInsertionPointToStart(branch.thenBlock());
  body();
}

SmallVector<unsigned> LoopKernel::inside(ArrayRef<unsigned> dims) const {
  SmallVector<unsigned> own;
  for (unsigned d : dims)
    if (!llvm::is_contained(shape.units, d))
      own.push_back(d);
  return own;
}

LoopKernel::Shared LoopKernel::sharedLoop(ArrayRef<unsigned> dims, int vector) {
  Shared loop;
  for (unsigned d : dims)
    if (int(d) != vector)
      loop.dims.push_back(d);
  if (loop.dims.size() < dims.size())
    loop.dims.push_back(unsigned(vector));
  loop.total = k.i64(1);
  loop.known = 1;
  for (unsigned d : loop.dims) {
    LoopRange range = rangeOf(d);
    const int64_t each = int(d) == vector ? width : 1;
    Value count = range.size ? k.i64(*range.size / each) : m.div(m.sub(range.high, range.low), k.i64(each));
    loop.known = loop.known && range.size ? std::optional(*loop.known * (*range.size / each)) : std::nullopt;
    loop.ranges.push_back(range);
    loop.counts.push_back(count);
    loop.total = m.mul(loop.total, count);
  }
  return loop;
}

void LoopKernel::enterShared(const Shared &loop, int vector, Value i) {
  Value rest = i;
  for (size_t n = loop.dims.size(); n--;) {
    const unsigned d = loop.dims[n];
    Value index = rest;
    if (n)
      std::tie(rest, index) = divide(rest, loop.counts[n]);
    const bool wide = int(d) == vector && width > 1;
    enter(d, m.add(loop.ranges[n].low, wide ? m.mul(index, k.i64(width)) : index));
    if (wide)
      at[d].step = 1;
  }
}

Values LoopKernel::share(ArrayRef<unsigned> dims, int vector, Value first, int64_t count, Values carried,
                         llvm::function_ref<Values(Values)> body) {
  if (dims.empty())
    return body(carried);
  Shared shared = sharedLoop(dims, vector);
  return loop(first, shared.total, count, carried, [&](Value i, Values inner) {
    enterShared(shared, vector, i);
    return body(inner);
  });
}

Values LoopKernel::shareInRuns(const LoopNest &nest, ArrayRef<unsigned> dims, int vector, Value first,
                               int64_t count, const Values &start, llvm::function_ref<Values(Values)> body) {
  Shared shared = sharedLoop(dims, vector);
  auto turn = [&](Value i, Values inner) {
    enterShared(shared, vector, i);
    return body(inner);
  };
  if (shared.known && *shared.known <= runLength * count)
    return loop(first, shared.total, count, start, turn);
  const int64_t run = runLength * count;
  Values state = loop(first, shared.total, run, beginRuns(nest, start), [&](Value i, Values sums) {
    Value end = m.min(m.add(i, k.i64(run)), shared.total);
    return addRun(nest, sums, loop(i, end, count, start, turn));
  });
  return endRuns(nest, state, start.size());
}

} // namespace moe::cuda
