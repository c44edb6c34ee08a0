// Loops, indices and buffers of a loop group's kernel; see LoopCode.h.
#include "passes/kernels/loops/LoopCode.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace moe::kernels {

LoopRange LoopCode::rangeOf(unsigned dim) {
  if (dim == chunkDim)
    return {k.i64(0), extent(chunkCount), chunkCount.constantValue()};
  if (auto found = chunks.find(dim); found != chunks.end())
    return found->second;
  return {k.i64(0), extent(a.dims[dim].extent), a.dims[dim].extent.constantValue()};
}

void LoopCode::enter(unsigned dim, Value i) {
  if (dim == chunkDim)
    chunkIndex = i;
  else
    at[dim] = Index{i};
}

Values LoopCode::loop(Value low, Value high, int64_t step, Values carried,
                      llvm::function_ref<Values(Value, Values)> body) {
  auto lowNumber = constantOf(low), highNumber = constantOf(high);
  if (lowNumber && highNumber) {
    if (*lowNumber >= *highNumber)
      return carried;
    if (*lowNumber + step >= *highNumber)
      return body(low, carried);
  }
  auto op = scf::ForOp::create(b(), loc(), low, high, k.i64(step), carried);
  OpBuilder::InsertionGuard guard(b());
  Block *block = op.getBody();
  if (block->empty() || !block->back().hasTrait<OpTrait::IsTerminator>()) {
    b().setInsertionPointToEnd(block);
    Values results =
        body(op.getInductionVar(), Values(op.getRegionIterArgs().begin(), op.getRegionIterArgs().end()));
    scf::YieldOp::create(b(), loc(), results);
  } else {
    b().setInsertionPoint(block->getTerminator());
    body(op.getInductionVar(), {});
  }
  return Values(op.getResults().begin(), op.getResults().end());
}

Values LoopCode::loops(ArrayRef<unsigned> dims, Values carried, bool unroll,
                       llvm::function_ref<Values(Values)> body) {
  if (dims.empty())
    return body(carried);
  LoopRange range = rangeOf(dims.front());
  if (unroll && range.size) {
    for (int64_t i = 0; i < *range.size; ++i) {
      enter(dims.front(), m.add(range.low, k.i64(i)));
      carried = loops(dims.drop_front(), carried, unroll, body);
    }
    return carried;
  }
  return loop(range.low, range.high, 1, carried, [&](Value i, Values inner) {
    enter(dims.front(), i);
    return loops(dims.drop_front(), inner, unroll, body);
  });
}

Index LoopCode::indexAlong(unsigned axisClass) {
  unsigned d = axisClass == LoopNests::none ? LoopNests::none : a.dimOfClass[axisClass];
  bool carries = d != LoopNests::none && a.dims[d].classes.back() == axisClass;
  return carries ? at[d] : m.constant(0);
}

SmallVector<Index> LoopCode::indexOf(Value value) {
  SmallVector<Index> index;
  for (int64_t axis = 0; axis < cast<RankedTensorType>(value.getType()).getRank(); ++axis)
    index.push_back(indexAlong(a.classOf(value, axis)));
  return index;
}

Storage LoopCode::tensorStorage(Value pointer, Value value, Layout layout) {
  auto type = cast<RankedTensorType>(value.getType());
  Storage storage;
  storage.pointer = pointer;
  storage.element = type.getElementType();
  storage.strides.assign(type.getRank(), Value());
  storage.rowMajor = layout.empty() || llvm::equal(layout, llvm::seq<int64_t>(0, type.getRank()));
  Value stride = k.i64(1);
  for (int64_t i = type.getRank(); i--;) {
    int64_t axis = layout.empty() ? i : layout[i];
    storage.strides[axis] = stride;
    if (i)
      stride = m.mul(stride, extent(flow::Extent::of(type, axis)));
  }
  return storage;
}

// Adds a temporary for each accumulator of a split reduction: [chunks, parallel dimensions].
void LoopCode::bindPartials(GroupCode &code) {
  unsigned index = 0;
  for (const LoopStage &stage : a.stages) {
    Operation *op = stage.value.getDefiningOp();
    if (stage.nest != 0 || partials.count(op))
      continue;
    const int64_t rank = cast<RankedTensorType>(stage.value.getType()).getRank();
    flow::Extent each = flow::Extent::constant(group.getContext(), 1);
    for (unsigned d : stage.dims)
      each = each * a.dims[d].extent;
    plan::ExprAttr size = plan::fromExtent(each * chunkCount);
    // The strides of the value's axes, and as the last one the stride of the chunk's number.
    SmallVector<Value> strides(rank + 1, k.i64(0));
    Value stride = k.i64(1);
    for (unsigned d : llvm::reverse(stage.dims)) {
      for (int64_t axis = 0; axis < rank; ++axis)
        if (unsigned c = a.classOf(stage.value, axis); c != LoopNests::none && c == a.dims[d].classes.back())
          strides[axis] = stride;
      stride = m.mul(stride, extent(a.dims[d].extent));
    }
    strides[rank] = stride;
    for (const flow::Accumulator &accumulator : cast<flow::ReductionInterface>(op).accumulators()) {
      plan::Element element = plan::elementOf(accumulator.element);
      if (index == code.temporaries.size())
        code.temporaries.push_back({element, size, "partial"});
      Storage storage;
      storage.pointer = k.buffer(part == partial ? plan::Access::write : plan::Access::read, element,
                                 {BufferRef::temporary, index++}, size);
      storage.element = accumulator.element;
      storage.strides.assign(strides.begin(), strides.end());
      partials[op].push_back(storage);
    }
  }
}

void LoopCode::bindOperands() {
  // The operands that this kernel's nests read, also through values that are not stored.
  llvm::SmallSetVector<Value, 8> reads;
  llvm::DenseSet<Value> seen;
  std::function<void(Value)> visit = [&](Value value) {
    if (!seen.insert(value).second)
      return;
    if (!a.inside(value)) {
      reads.insert(value);
      return;
    }
    if (const LoopStage *stage = a.stageOf(value); stage && part == combine && stage->nest == 0)
      return;
    for (Value operand : value.getDefiningOp()->getOperands())
      visit(operand);
  };
  for (const LoopStage &stage : a.stages)
    if (part == whole || (part == partial) == (stage.nest == 0))
      visit(stage.value);
  for (BlockArgument argument : group.getBody().getArguments()) {
    if (!reads.contains(argument))
      continue;
    unsigned i = argument.getArgNumber();
    Value pointer = k.buffer(plan::Access::read, plan::elementOf(argument.getType()), {BufferRef::operand, i},
                             plan::elementsOf(argument.getType()));
    Storage storage = tensorStorage(pointer, argument, layouts.operand(i));
    storage.input = i;
    values.stored[argument] = storage;
  }
}

void LoopCode::bindResults() {
  if (part == partial)
    return;
  for (unsigned i = 0; i < group.getNumResults(); ++i) {
    Value value = yielded(i);
    Value pointer = k.buffer(plan::Access::write, plan::elementOf(value.getType()), {BufferRef::result, i},
                             plan::elementsOf(value.getType()));
    Storage storage = tensorStorage(pointer, value, layouts.result(i));
    storage.scratch = true;
    targets[value] = storage;
  }
}

// Whether a result may be written to an operand's buffer. Every load of the operand must be either at the
// same point as the store of the result, or in an earlier nest and at the unit's own index along all
// dimensions that are split among units. Then each element is overwritten only by the unit that reads it, and
// after it is read.
bool LoopCode::mayOverwrite(unsigned result, unsigned operand) {
  Value stored = yielded(result);
  BlockArgument argument = group.getBody().getArgument(operand);
  if (argument.getType() != stored.getType() || layouts.operand(operand) != layouts.result(result))
    return false;
  auto isUnit = [&](unsigned axis) {
    unsigned c = a.classOf(stored, axis);
    unsigned d = c == LoopNests::none ? LoopNests::none : a.dimOfClass[c];
    return d != LoopNests::none && llvm::is_contained(units, d);
  };
  auto precedes = [&](const Place &load, const Place &store) {
    if (load == store)
      return true;
    if (load.nest >= store.nest || load.index.size() != store.index.size())
      return false;
    for (unsigned axis = 0; axis < load.index.size(); ++axis)
      if (isUnit(axis) && load.index[axis] != store.index[axis])
        return false;
    return true;
  };
  bool read = false;
  for (const LoadRecord &load : values.loads) {
    if (load.input != int(operand))
      continue;
    read = true;
    if (!load.place || llvm::none_of(stores, [&](auto &store) {
          return store.first == result && store.second && precedes(*load.place, *store.second);
        }))
      return false;
  }
  return read;
}

SmallVector<std::pair<unsigned, unsigned>> LoopCode::resultsInPlace() {
  SmallVector<std::pair<unsigned, unsigned>> found;
  for (unsigned i = 0; i < group.getNumResults(); ++i)
    for (unsigned j = 0; j < group.getNumOperands(); ++j)
      if (mayOverwrite(i, j))
        found.push_back({i, j});
  return found;
}

} // namespace moe::kernels
