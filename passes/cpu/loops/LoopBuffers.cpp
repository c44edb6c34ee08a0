// Decides where the values of a loop group's kernel are stored: operands, results, partial results of a split
// reduction, and scratch for values that one nest passes to another; and which results may be written to an
// operand's buffer. See LoopKernel.h.
#include "passes/cpu/loops/LoopKernel.h"

using namespace mlir;

namespace moe::cpu {

Storage LoopKernel::tensorStorage(Value pointer, Value value, Layout layout) {
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
void LoopKernel::bindPartials(GroupCode &code) {
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
        if (unsigned c = a.classOf(stage.value, axis);
            c != LoopAnalysis::none && c == a.dims[d].classes.back())
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

void LoopKernel::bindBuffers(GroupCode &code) {
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
  if (part != partial) {
    for (unsigned i = 0; i < group.getNumResults(); ++i) {
      Value value = yielded(i);
      Value pointer = k.buffer(plan::Access::write, plan::elementOf(value.getType()), {BufferRef::result, i},
                               plan::elementsOf(value.getType()));
      Storage storage = tensorStorage(pointer, value, layouts.result(i));
      storage.scratch = true;
      targets[value] = storage;
    }
  }
  if (part != whole)
    bindPartials(code);
  // Stages that are no results are in the thread's scratch, with the vectorised dimension innermost.
  for (const LoopStage &stage : a.stages) {
    if (targets.count(stage.value) || part == partial)
      continue;
    SmallVector<unsigned> own;
    for (unsigned d : stage.dims)
      if (!llvm::is_contained(a.units, d) || isVectorChunk(d))
        own.push_back(d);
    if (own.empty())
      continue;
    auto length = [&](unsigned d) { return isVectorChunk(d) ? a.chunk : *a.dims[d].extent.constantValue(); };
    int64_t elements = 1;
    for (unsigned d : own)
      elements *= length(d);
    auto type = cast<RankedTensorType>(stage.value.getType());
    Storage storage;
    storage.pointer = k.scratch(elements, flow::elementTypesOf(type).storage);
    storage.element = type.getElementType();
    storage.strides.assign(type.getRank(), k.i64(0));
    storage.scratch = true;
    if (auto *found = llvm::find(own, unsigned(a.nests[stage.nest].vector)); found != own.end())
      std::rotate(found, found + 1, own.end());
    int64_t stride = 1;
    for (unsigned d : llvm::reverse(own)) {
      for (int64_t axis = 0; axis < type.getRank(); ++axis)
        if (a.classOf(stage.value, axis) != LoopAnalysis::none &&
            a.classOf(stage.value, axis) == a.dims[d].classes.back())
          storage.strides[axis] = k.i64(stride);
      if (isVectorChunk(d))
        chunkStride[stage.value] = stride;
      stride *= length(d);
    }
    targets[stage.value] = storage;
  }
}

// Whether a result may be written to an operand's buffer. Every load of the operand must be either at the
// same point as the store of the result, or in an earlier nest and at the unit's own index along all
// dimensions that are split among units. Then each element is overwritten only by the unit that reads it, and
// after it is read.
bool LoopKernel::mayOverwrite(unsigned result, unsigned operand) {
  Value stored = yielded(result);
  BlockArgument argument = group.getBody().getArgument(operand);
  if (argument.getType() != stored.getType() || layouts.operand(operand) != layouts.result(result))
    return false;
  auto isUnit = [&](unsigned axis) {
    unsigned c = a.classOf(stored, axis);
    unsigned d = c == LoopAnalysis::none ? LoopAnalysis::none : a.dimOfClass[c];
    return d != LoopAnalysis::none && llvm::is_contained(a.units, d);
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

} // namespace moe::cpu
