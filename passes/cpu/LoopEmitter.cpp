// A loop group becomes one kernel, or two where a reduction is cut into chunks. The kernel's frame:
//   for every work unit, its index along the unit dimensions (and for every row of its chunk):
//     for every nest: loops over the nest's own dimensions, lanes along its vector dimension;
//       the stages' values at that point, then their stores.
// Reductions keep their accumulators in registers: vectors of neighbouring results where lanes run along a
// result's axis, else several partial vectors that a fixed tree combines. Nothing depends on how units are
// split among threads.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/cpu/BindGuards.h"
#include "passes/cpu/LoopAnalysis.h"
#include "passes/cpu/LoopValues.h"

using namespace mlir;

namespace moe::cpu {
namespace {

using Values = SmallVector<Value>;

// How a reduction combines: its accumulators' start, and two sets of accumulators into one.
struct Combiner {
  Operation *op;
  /// Values that it carries: the extreme and its index, or one.
  size_t count() const { return isa<flow::ArgmaxOp>(op) ? 2 : 1; }
  Values start(LoopValues &values) const {
    Type element = cast<RankedTensorType>(op->getResult(0).getType()).getElementType();
    if (auto reduce = dyn_cast<flow::ReduceOp>(op))
      return {values.constant(element, reduce.identity())};
    if (isa<flow::ArgmaxOp>(op)) {
      Type f32 = Float32Type::get(op->getContext());
      return {values.constant(f32, -std::numeric_limits<double>::infinity()),
              values.constant(element, 2147483647)};
    }
    return {values.constant(element, 0)};
  }
  Values combine(OpBuilder &b, Location loc, ValueRange x, ValueRange y) const {
    if (auto reduce = dyn_cast<flow::ReduceOp>(op))
      return {reduce.buildScalar(b, loc, ValueRange{x[0], y[0]})};
    if (!isa<flow::ArgmaxOp>(op))
      return {arith::AddFOp::create(b, loc, x[0], y[0])};
    // y wins where it is larger (NaN is the largest of all), or where they tie and it comes first.
    using P = arith::CmpFPredicate;
    Value xNan = arith::CmpFOp::create(b, loc, P::UNO, x[0], x[0]),
          yNan = arith::CmpFOp::create(b, loc, P::UNO, y[0], y[0]);
    Value larger = arith::CmpFOp::create(b, loc, P::OGT, y[0], x[0]),
          same = arith::CmpFOp::create(b, loc, P::OEQ, y[0], x[0]);
    Value yes =
        arith::ConstantOp::create(b, loc, DenseElementsAttr::get(cast<VectorType>(xNan.getType()), true));
    Value onlyY = arith::AndIOp::create(b, loc, yNan, arith::XOrIOp::create(b, loc, xNan, yes));
    Value bothNan = arith::AndIOp::create(b, loc, xNan, yNan);
    Value first = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, y[1], x[1]);
    Value tie = arith::AndIOp::create(b, loc, arith::OrIOp::create(b, loc, same, bothNan), first);
    Value wins = arith::OrIOp::create(b, loc, arith::OrIOp::create(b, loc, larger, onlyY), tie);
    return {arith::SelectOp::create(b, loc, wins, y[0], x[0]),
            arith::SelectOp::create(b, loc, wins, y[1], x[1])};
  }
  // All lanes into every lane, by halves.
  Values acrossLanes(OpBuilder &b, Location loc, Values acc, int64_t width) const {
    for (int64_t half = width / 2; half; half /= 2) {
      SmallVector<int64_t> swap;
      for (int64_t i = 0; i < width; ++i)
        swap.push_back(i ^ half);
      Values other;
      for (Value v : acc)
        other.push_back(vector::ShuffleOp::create(b, loc, v, v, swap));
      acc = combine(b, loc, acc, other);
    }
    return acc;
  }
};

struct Range {
  Value low, high;             // i64
  std::optional<int64_t> size; // where it is known
};

class LoopKernel {
public:
  enum Part { whole, partial, combine };

  LoopKernel(flow::GroupOp group, const GroupLayouts &layouts, const LoopAnalysis &analysis,
             KernelModule &module, Part part, const CpuTarget &target)
      : group(group), layouts(layouts), a(analysis), width(target.lanes()), registers(target.registers),
        part(part), k(module.begin("loop", group.getLoc())), m(k, width), values(k, m, width) {}

  LaunchSpec emit(GroupCode &code);

private:
  OpBuilder &b() { return k.builder(); }
  Location loc() { return k.loc(); }
  Value extent(flow::Extent e) { return k.extent(plan::fromExtent(e)); }
  Value yielded(unsigned i) { return group.getBody().front().getTerminator()->getOperand(i); }
  bool mayOverwrite(unsigned result, unsigned operand);

  void bindBuffers(GroupCode &code);
  Storage tensorStorage(Value pointer, Value value, Layout layout);
  Storage temporaryOf(Value value, GroupCode &code);
  void emitUnits();
  void emitNests();
  void emitNest(const LoopNest &nest);
  void emitParallel(const LoopNest &nest, ArrayRef<unsigned> loops);
  void emitColumns(const LoopNest &nest, ArrayRef<unsigned> loops);
  void emitRows(const LoopNest &nest, ArrayRef<unsigned> loops);
  Values combineTree(const LoopNest &nest, Values sums, unsigned count);

  Range rangeOf(unsigned dim);
  // for i in [low, high) by step, with values carried through.
  Values loop(Value low, Value high, int64_t step, Values carried,
              llvm::function_ref<Values(Value, Values)> body);
  void loop(Value low, Value high, int64_t step, llvm::function_ref<void(Value)> body) {
    loop(low, high, step, {}, [&](Value i, Values) {
      body(i);
      return Values();
    });
  }
  // Nested loops over dimensions; the innermost body.
  Values loops(ArrayRef<unsigned> dims, Values carried, bool unroll, llvm::function_ref<Values(Values)> body);
  Values sumOfSums(const LoopNest &nest, ArrayRef<unsigned> dims, const Values &start,
                   llvm::function_ref<Values(Values)> body);
  // Vectors along a range: whole ones, then a masked rest.
  Values vectors(Range range, unsigned count, Values carried,
                 llvm::function_ref<Values(Value, unsigned, Mask, Values)> body);
  Mask firstLanes(Value count);

  SmallVector<Index> indexOf(Value value);
  // The elements that one point adds to a reduction.
  Values elements(const LoopStage &stage, Mask mask);
  void finish(const LoopStage &stage, Values accumulators, Mask mask);
  bool isVectorChunk(unsigned dim) const { return a.vectorChunk && dim == a.units.back(); }

  flow::GroupOp group;
  const GroupLayouts &layouts;
  const LoopAnalysis &a;
  int64_t width, registers;
  Part part;
  KernelBuilder k;
  IndexMath m;
  LoopValues values;
  DenseMap<Value, Storage> targets;            // where stages are stored
  llvm::MapVector<Value, int64_t> chunkStride; // of stages in scratch that hold a unit's chunk alone
  SmallVector<Index> at;                       // the present index along each dimension
  DenseMap<unsigned, Range> chunks;            // dimensions that a unit has only a part of
  // Results and the places where they are stored; nothing for a reduction's result.
  std::vector<std::pair<unsigned, std::optional<Place>>> stores;
  Value chunkIndex; // of the split dimension
  flow::Extent chunkCount;

public:
  // Filled by emit: results that may lie in an operand's buffer.
  SmallVector<std::pair<unsigned, unsigned>> inPlace;
};

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

// Partial results of a split reduction: [chunks, parallel dimensions].
Storage LoopKernel::temporaryOf(Value value, GroupCode &code) {
  const LoopStage &stage = *a.stageOf(value);
  unsigned index = 0;
  for (const LoopStage &other : a.stages) {
    if (&other == &stage)
      break;
    if (other.nest == 0)
      ++index;
  }
  flow::Extent each = flow::Extent::constant(group.getContext(), 1);
  for (unsigned d : stage.dims)
    each = each * a.dims[d].extent;
  plan::ExprAttr size = plan::fromExtent(each * chunkCount);
  plan::Element element = plan::elementOf(value.getType());
  if (index == code.temporaries.size())
    code.temporaries.push_back({element, size, "partial"});
  Storage storage;
  storage.pointer = k.buffer(part == partial ? plan::Access::write : plan::Access::read, element,
                             {BufferRef::temporary, index}, size);
  storage.element = cast<RankedTensorType>(value.getType()).getElementType();
  // Strides by axis of the value; the chunk's place is added to the pointer's index by an axis of its own,
  // the last.
  auto type = cast<RankedTensorType>(value.getType());
  storage.strides.assign(type.getRank() + 1, k.i64(0));
  Value stride = k.i64(1);
  for (unsigned d : llvm::reverse(stage.dims)) {
    for (int64_t axis = 0; axis < type.getRank(); ++axis)
      if (a.classOf(value, axis) != LoopAnalysis::none && a.classOf(value, axis) == a.dims[d].classes.back())
        storage.strides[axis] = stride;
    stride = m.mul(stride, extent(a.dims[d].extent));
  }
  storage.strides[type.getRank()] = stride;
  return storage;
}

void LoopKernel::bindBuffers(GroupCode &code) {
  // Operands that this part's nests read, through whatever is computed in place.
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
  if (part != whole) {
    for (const LoopStage &stage : a.stages) {
      if (stage.nest != 0)
        continue;
      Storage storage = temporaryOf(stage.value, code);
      if (part == partial)
        targets[stage.value] = storage;
      else
        values.stored[stage.value] = storage; // read by the second kernel's first nest
    }
  }
  // Interior stages in the thread's scratch, lanes last.
  for (const LoopStage &stage : a.stages) {
    if (targets.count(stage.value) || (part == partial && stage.nest != 0))
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
    bool mask = type.getElementType().isInteger(1);
    Storage storage;
    storage.pointer = k.scratch(elements * (mask ? 1 : 4));
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

Range LoopKernel::rangeOf(unsigned dim) {
  if (auto found = chunks.find(dim); found != chunks.end())
    return found->second;
  return {k.i64(0), extent(a.dims[dim].extent), a.dims[dim].extent.constantValue()};
}

Values LoopKernel::loop(Value low, Value high, int64_t step, Values carried,
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

Values LoopKernel::loops(ArrayRef<unsigned> dims, Values carried, bool unroll,
                         llvm::function_ref<Values(Values)> body) {
  if (dims.empty())
    return body(carried);
  Range range = rangeOf(dims.front());
  if (unroll && range.size) {
    for (int64_t i = 0; i < *range.size; ++i) {
      at[dims.front()] = Index{m.add(range.low, k.i64(i))};
      carried = loops(dims.drop_front(), carried, unroll, body);
    }
    return carried;
  }
  return loop(range.low, range.high, 1, carried, [&](Value i, Values inner) {
    at[dims.front()] = Index{i};
    return loops(dims.drop_front(), inner, unroll, body);
  });
}

Mask LoopKernel::firstLanes(Value count) {
  if (auto known = constantOf(count)) {
    SmallVector<bool> lanes;
    for (int64_t i = 0; i < width; ++i)
      lanes.push_back(i < *known);
    return {{},
            arith::ConstantOp::create(
                b(), loc(), DenseElementsAttr::get(m.type(b().getI1Type()), ArrayRef<bool>(lanes)))};
  }
  Value narrow = m.splat(arith::TruncIOp::create(b(), loc(), b().getI32Type(), count));
  return {{}, arith::CmpIOp::create(b(), loc(), arith::CmpIPredicate::slt, m.iota(), narrow)};
}

// `count` vectors a turn as long as whole ones last, then one at a time, then the rest under a mask. The body
// gets the first element, the number of vectors, and the mask of the last one.
Values LoopKernel::vectors(Range range, unsigned count, Values carried,
                           llvm::function_ref<Values(Value, unsigned, Mask, Values)> body) {
  auto run = [&](Value low, Value high, unsigned many) {
    carried = loop(low, high, many * width, carried,
                   [&](Value i, Values inner) { return body(i, many, {}, inner); });
  };
  if (range.size) {
    int64_t blocks = *range.size / (width * count) * (width * count), whole = *range.size / width * width;
    Value blocksEnd = m.add(range.low, k.i64(blocks)), wholeEnd = m.add(range.low, k.i64(whole));
    run(range.low, blocksEnd, count);
    // What is left of a block, with the masked rest as its last vector.
    unsigned left = (whole - blocks) / width;
    Mask mask = *range.size == whole ? Mask() : firstLanes(k.i64(*range.size - whole));
    if (left && !mask)
      carried = body(blocksEnd, left, {}, carried);
    else if (left)
      carried = body(blocksEnd, left + 1, mask, carried);
    else if (mask)
      carried = body(wholeEnd, 1, mask, carried);
    return carried;
  }
  Value length = m.sub(range.high, range.low);
  auto roundDown = [&](int64_t to) { return m.add(range.low, m.mul(m.div(length, k.i64(to)), k.i64(to))); };
  Value wholeEnd = roundDown(width);
  if (count > 1) {
    Value blocksEnd = roundDown(width * count);
    run(range.low, blocksEnd, count);
    run(blocksEnd, wholeEnd, 1);
  } else {
    run(range.low, wholeEnd, 1);
  }
  Value rest = m.sub(range.high, wholeEnd);
  Value some = arith::CmpIOp::create(b(), loc(), arith::CmpIPredicate::sgt, rest, k.i64(0));
  SmallVector<Type> types;
  for (Value v : carried)
    types.push_back(v.getType());
  auto op = scf::IfOp::create(b(), loc(), types, some, /*withElseRegion=*/!types.empty());
  OpBuilder::InsertionGuard guard(b());
  b().setInsertionPointToStart(&op.getThenRegion().front());
  Values results = body(wholeEnd, 1, firstLanes(rest), carried);
  if (types.empty())
    return {};
  b().setInsertionPointToEnd(&op.getThenRegion().front());
  scf::YieldOp::create(b(), loc(), results);
  b().setInsertionPointToStart(&op.getElseRegion().front());
  scf::YieldOp::create(b(), loc(), carried);
  return Values(op.getResults().begin(), op.getResults().end());
}

SmallVector<Index> LoopKernel::indexOf(Value value) {
  SmallVector<Index> index;
  for (int64_t axis = 0; axis < cast<RankedTensorType>(value.getType()).getRank(); ++axis) {
    unsigned c = a.classOf(value, axis);
    unsigned d = c == LoopAnalysis::none ? LoopAnalysis::none : a.dimOfClass[c];
    bool carries = d != LoopAnalysis::none && a.dims[d].classes.back() == c;
    index.push_back(carries ? at[d] : m.constant(0));
  }
  return index;
}

Values LoopKernel::elements(const LoopStage &stage, Mask mask) {
  Operation *op = stage.value.getDefiningOp();
  if (part == combine && stage.nest == 0) {
    SmallVector<Index> index = indexOf(stage.value);
    index.push_back(Index{chunkIndex});
    return {values.load(values.stored[stage.value], index, mask)};
  }
  // The operand's axes: those that the result keeps, and those that loops reduce.
  auto operandIndex = [&](unsigned operand) {
    SmallVector<Index> index;
    for (int64_t axis = 0; axis < cast<RankedTensorType>(op->getOperand(operand).getType()).getRank();
         ++axis) {
      unsigned c = a.classOf(op, operand, axis);
      unsigned d = c == LoopAnalysis::none ? LoopAnalysis::none : a.dimOfClass[c];
      bool carries = d != LoopAnalysis::none && a.dims[d].classes.back() == c;
      index.push_back(carries ? at[d] : m.constant(0));
    }
    return index;
  };
  Combiner combiner{op};
  Values start = combiner.start(values);
  if (isa<flow::ReduceOp>(op)) {
    Value x = values.get(op->getOperand(0), operandIndex(0), mask);
    return {m.select(mask, x, start[0])};
  }
  if (auto argmax = dyn_cast<flow::ArgmaxOp>(op)) {
    SmallVector<Index> index = operandIndex(0);
    Value x = values.get(op->getOperand(0), index, mask), where = m.vector(index[argmax.getAxis()]);
    return {m.select(mask, x, start[0]), m.select(mask, where, start[1])};
  }
  if (auto sum = dyn_cast<flow::WindowSumOp>(op)) {
    SmallVector<Index> index = operandIndex(0), result = indexOf(stage.value);
    Mask inside = mask;
    for (unsigned i : {0, 1}) {
      // Which window has this element as its own k-th.
      Index place = m.add(m.add(result[2 + i], sum.getPads()[i]), m.mul(index[4 + i], k.i64(-1)));
      int64_t stride = sum.getStrides()[i];
      Value count = extent(flow::Extent::of(sum.getX(), 2 + i));
      inside = m.both(inside, m.within(place, m.mul(count, k.i64(stride))));
      if (stride != 1) {
        auto [quotient, remainder] = m.divide(place, k.i64(stride));
        inside = m.both(inside, m.equals(remainder, k.i64(0)));
        place = quotient;
      }
      index[2 + i] = place;
    }
    return {m.select(inside, values.get(sum.getX(), index, inside), start[0])};
  }
  auto scatter = cast<flow::ScatterAddOp>(op);
  Value row = values.get(scatter.getIndex(), operandIndex(0), mask);
  Index wanted = indexOf(stage.value)[0];
  Mask own = {{}, arith::CmpIOp::create(b(), loc(), arith::CmpIPredicate::eq, row, m.vector(wanted))};
  Value x = values.get(scatter.getRows(), operandIndex(1), mask);
  return {m.select(m.both(mask, own), x, start[0])};
}

// Stores a reduction's result, or keeps it in a register where it has no axis of its own.
void LoopKernel::finish(const LoopStage &stage, Values accumulators, Mask mask) {
  Value result = accumulators.back();
  auto found = targets.find(stage.value);
  if (found == targets.end()) {
    values.uniform[stage.value] = result;
    return;
  }
  SmallVector<Index> index = indexOf(stage.value);
  if (part == partial)
    index.push_back(Index{chunkIndex});
  values.store(result, found->second, index, mask);
  for (unsigned i = 0; part != partial && i < group.getNumResults(); ++i)
    if (yielded(i) == stage.value)
      stores.push_back({i, std::nullopt});
}

void LoopKernel::emitParallel(const LoopNest &nest, ArrayRef<unsigned> outer) {
  auto point = [&](Mask mask) {
    values.newPoint();
    SmallVector<std::pair<const LoopStage *, Value>> results;
    for (unsigned s : nest.stages) {
      const LoopStage &stage = a.stages[s];
      SmallVector<Index> index = indexOf(stage.value);
      // Through `get`, so that another stage of this point finds it.
      results.push_back({&stage, values.get(stage.value, index, mask)});
    }
    for (auto [stage, value] : results) {
      auto found = targets.find(stage->value);
      if (found == targets.end()) {
        values.uniform[stage->value] = value;
        continue;
      }
      SmallVector<Index> index = indexOf(stage->value);
      values.store(value, found->second, index, mask);
      for (unsigned i = 0; i < group.getNumResults(); ++i)
        if (yielded(i) == stage->value)
          stores.push_back({i, values.placeOf(index)});
    }
  };
  loops(outer, {}, false, [&](Values) {
    if (nest.vector < 0 || (llvm::is_contained(a.units, unsigned(nest.vector)) && !a.vectorChunk)) {
      point({});
    } else {
      unsigned d = nest.vector;
      vectors(rangeOf(d), 1, {}, [&](Value i, unsigned, Mask mask, Values) {
        at[d] = Index{i, 1};
        point(mask);
        return Values();
      });
    }
    return Values();
  });
}

// Reduces runs of the last dimension each from the start value, and combines what they give: a sum of sums,
// whose rounding error grows with the runs' length and number instead of their product.
Values LoopKernel::sumOfSums(const LoopNest &nest, ArrayRef<unsigned> dims, const Values &start,
                             llvm::function_ref<Values(Values)> body) {
  constexpr int64_t run = 32;
  auto combineAll = [&](const Values &x, const Values &y) {
    Values all;
    while (all.size() < x.size())
      for (unsigned s : nest.stages) {
        Combiner combiner{a.stages[s].value.getDefiningOp()};
        size_t own = combiner.count(), taken = all.size();
        all.append(
            combiner.combine(b(), loc(), ValueRange(x).slice(taken, own), ValueRange(y).slice(taken, own)));
      }
    return all;
  };
  unsigned last = dims.back();
  return loops(dims.drop_back(), start, false, [&](Values outer) {
    Range range = rangeOf(last);
    auto reduceRun = [&](Value low, Value high) {
      return loop(low, high, 1, start, [&](Value i, Values inner) {
        at[last] = Index{i};
        return body(inner);
      });
    };
    if (range.size && *range.size <= 2 * run)
      return combineAll(outer, reduceRun(range.low, range.high));
    return loop(range.low, range.high, run, outer, [&](Value i, Values sums) {
      Value high = arith::MinSIOp::create(b(), loc(), m.add(i, k.i64(run)), range.high);
      return combineAll(sums, reduceRun(i, high));
    });
  });
}

// Lanes run along the results: blocks of neighbouring results stay in registers while the loops reduce.
void LoopKernel::emitColumns(const LoopNest &nest, ArrayRef<unsigned> outer) {
  SmallVector<unsigned> reduced(nest.reduced);
  int64_t turns = 1;
  for (unsigned d : reduced) {
    std::optional<int64_t> size = rangeOf(d).size;
    turns = size && turns <= 16 ? turns * *size : 1000;
  }
  bool split = part == combine && &nest == &a.nests.front();
  unsigned d = nest.vector;
  unsigned count = std::clamp<unsigned>(registers / 8 / nest.stages.size(), 1, 4);
  loops(outer, {}, false, [&](Values) {
    vectors(rangeOf(d), count, {}, [&](Value first, unsigned many, Mask last, Values) {
      Values start;
      for (unsigned u = 0; u < many; ++u)
        for (unsigned s : nest.stages)
          start.append(Combiner{a.stages[s].value.getDefiningOp()}.start(values));
      auto body = [&](Values accumulators) {
        values.newPoint();
        Values next;
        unsigned taken = 0;
        for (unsigned u = 0; u < many; ++u) {
          at[d] = Index{m.add(first, k.i64(u * width)), 1};
          Mask mask = u + 1 == many ? last : Mask();
          for (unsigned s : nest.stages) {
            Combiner combiner{a.stages[s].value.getDefiningOp()};
            Values elements = this->elements(a.stages[s], mask);
            ValueRange own = ValueRange(accumulators).slice(taken, elements.size());
            next.append(combiner.combine(b(), loc(), own, elements));
            taken += elements.size();
          }
        }
        return next;
      };
      Values sums = split         ? loop(k.i64(0), extent(chunkCount), 1, start,
                                         [&](Value i, Values inner) {
                                   chunkIndex = i;
                                   return body(inner);
                                         })
                    : turns <= 16 ? loops(reduced, start, true, body)
                                  : sumOfSums(nest, reduced, start, body);
      unsigned taken = 0;
      for (unsigned u = 0; u < many; ++u) {
        at[d] = Index{m.add(first, k.i64(u * width)), 1};
        for (unsigned s : nest.stages) {
          size_t own = Combiner{a.stages[s].value.getDefiningOp()}.count();
          finish(a.stages[s], Values(sums.begin() + taken, sums.begin() + taken + own),
                 u + 1 == many ? last : Mask());
          taken += own;
        }
      }
      return Values();
    });
    return Values();
  });
}

// Combines `count` partial vectors of each stage's reduction by a tree; the totals come first.
Values LoopKernel::combineTree(const LoopNest &nest, Values sums, unsigned count) {
  size_t each = sums.size() / count;
  for (unsigned half = count; half > 1;) {
    unsigned upper = half / 2, lower = half - upper;
    for (unsigned u = 0; u < upper; ++u) {
      size_t taken = 0;
      for (unsigned s : nest.stages) {
        Combiner combiner{a.stages[s].value.getDefiningOp()};
        ValueRange all(sums);
        Values combined = combiner.combine(b(), loc(), all.slice(u * each + taken, combiner.count()),
                                           all.slice((lower + u) * each + taken, combiner.count()));
        for (Value value : combined)
          sums[u * each + taken++] = value;
      }
    }
    half = lower;
  }
  return sums;
}

// Lanes run along what is reduced: several partial vectors, combined by a tree, then across lanes.
void LoopKernel::emitRows(const LoopNest &nest, ArrayRef<unsigned> outer) {
  bool split = part == combine && &nest == &a.nests.front();
  if (nest.vector < 0) {
    // Over axes of extent 1 alone: one element.
    values.newPoint();
    for (unsigned s : nest.stages) {
      Combiner combiner{a.stages[s].value.getDefiningOp()};
      finish(a.stages[s], combiner.combine(b(), loc(), combiner.start(values), elements(a.stages[s], {})),
             {});
    }
    return;
  }
  unsigned d = nest.vector;
  SmallVector<unsigned> around;
  for (unsigned r : nest.reduced)
    if (r != d)
      around.push_back(r);
  Range range = split ? Range{k.i64(0), extent(chunkCount), chunkCount.constantValue()} : rangeOf(d);
  unsigned count =
      range.size && *range.size < 8 * width ? 1 : std::clamp<unsigned>(8 / nest.stages.size(), 1, 4);
  if (split)
    count = 1;
  loops(outer, {}, false, [&](Values) {
    Values start;
    for (unsigned u = 0; u < count; ++u)
      for (unsigned s : nest.stages)
        start.append(Combiner{a.stages[s].value.getDefiningOp()}.start(values));
    auto body = [&](Value first, unsigned many, Mask last, Values accumulators) {
      values.newPoint();
      Values next = accumulators;
      unsigned taken = 0;
      for (unsigned u = 0; u < many; ++u) {
        if (split)
          chunkIndex = first;
        else
          at[d] = Index{m.add(first, k.i64(u * width)), 1};
        Mask mask = u + 1 == many ? last : Mask();
        for (unsigned s : nest.stages) {
          Combiner combiner{a.stages[s].value.getDefiningOp()};
          Values elements = this->elements(a.stages[s], mask);
          Values combined =
              combiner.combine(b(), loc(), ValueRange(accumulators).slice(taken, elements.size()), elements);
          for (auto [i, value] : llvm::enumerate(combined))
            next[taken + i] = value;
          taken += elements.size();
        }
      }
      return next;
    };
    Values sums;
    if (split) {
      // Partial results are few: one after another, the same in every lane.
      sums =
          loop(range.low, range.high, 1, start, [&](Value i, Values inner) { return body(i, 1, {}, inner); });
    } else {
      sums = loops(around, start, false, [&](Values inner) { return vectors(range, count, inner, body); });
    }
    sums = combineTree(nest, sums, count);
    size_t taken = 0;
    for (unsigned s : nest.stages) {
      Combiner combiner{a.stages[s].value.getDefiningOp()};
      Values result(sums.begin() + taken, sums.begin() + taken + combiner.count());
      taken += combiner.count();
      if (!split)
        result = combiner.acrossLanes(b(), loc(), result, width);
      finish(a.stages[s], result, {});
    }
    return Values();
  });
}

void LoopKernel::emitNest(const LoopNest &nest) {
  SmallVector<unsigned> outer;
  for (unsigned d : nest.dims)
    if (!llvm::is_contained(a.units, d) && int(d) != nest.vector)
      outer.push_back(d);
  values.nestBlock = b().getInsertionBlock();
  values.nest = &nest - a.nests.data();
  if (!nest.reduces)
    emitParallel(nest, outer);
  else if (nest.vector >= 0 && llvm::is_contained(nest.dims, unsigned(nest.vector)))
    emitColumns(nest, outer);
  else
    emitRows(nest, outer);
  for (unsigned s : nest.stages)
    if (auto found = targets.find(a.stages[s].value); found != targets.end())
      values.stored[a.stages[s].value] = found->second;
}

void LoopKernel::emitNests() {
  for (auto [i, nest] : llvm::enumerate(a.nests))
    if (part != partial || i == 0)
      emitNest(nest);
}

void LoopKernel::emitUnits() {
  at.assign(a.dims.size(), m.constant(0));
  loop(k.begin(), k.end(), 1, [&](Value unit) {
    if (part == partial) {
      chunkIndex = unit;
      Value low = m.mul(unit, k.i64(a.splitChunk)),
            high = m.min(m.add(low, k.i64(a.splitChunk)), extent(a.dims[a.splitDim].extent));
      chunks[a.splitDim] = {low, high, std::nullopt};
      emitNests();
      return;
    }
    if (part == combine || a.units.empty()) {
      emitNests();
      return;
    }
    // The last unit dimension varies fastest, in chunks.
    Value rest = unit;
    for (unsigned d : llvm::reverse(a.units)) {
      flow::Extent size = a.dims[d].extent;
      bool last = d == a.units.back();
      Value count = extent(last ? size.ceildiv(a.chunk) : size);
      Value index = d == a.units.front() ? rest : m.rem(rest, count);
      if (d != a.units.front())
        rest = m.div(rest, count);
      if (!last || a.chunk == 1) {
        at[d] = Index{index};
        continue;
      }
      Value low = m.mul(index, k.i64(a.chunk)), high = m.min(m.add(low, k.i64(a.chunk)), extent(size));
      std::optional<int64_t> known = size.constantValue();
      std::optional<int64_t> whole =
          known && *known % a.chunk == 0 ? std::optional<int64_t>(a.chunk) : std::nullopt;
      if (known && *known <= a.chunk)
        whole = *known;
      chunks[d] = {low, high, whole};
    }
    unsigned d = a.units.back();
    // Scratch has the chunk's elements, found by the whole dimension's index.
    for (auto [value, stride] : chunkStride) {
      Storage &storage = targets[value];
      Type memory = storage.element.isInteger(1) ? Type(b().getI8Type()) : storage.element;
      storage.pointer = k.at(storage.pointer, memory, m.mul(chunks[d].low, k.i64(-stride)));
    }
    if (a.chunk == 1 || a.vectorChunk) {
      emitNests();
      return;
    }
    Range range = chunks[d];
    loop(range.low, range.high, 1, [&](Value row) {
      at[d] = Index{row};
      values.uniform.clear();
      emitNests();
    });
  });
}

// Whether a result may lie in an operand's buffer. Each load of the operand has to be made either in the very
// point that stores the result there, or in a nest before the storing one and at the unit's own index along
// all dimensions that units share out: such an element is overwritten by this unit alone, once it is read.
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

LaunchSpec LoopKernel::emit(GroupCode &code) {
  MLIRContext *context = group.getContext();
  if (a.split) {
    chunkCount = a.dims[a.splitDim].extent.ceildiv(a.splitChunk);
  }
  bindBuffers(code);
  emitUnits();
  if (part != combine) // a launch of the group is enough
    guardElements(group, k);
  LaunchSpec launch = k.finish();
  flow::Extent units = flow::Extent::constant(context, 1);
  if (part == partial)
    units = chunkCount;
  else if (part == whole)
    for (unsigned d : a.units)
      units = units * (d == a.units.back() ? a.dims[d].extent.ceildiv(a.chunk) : a.dims[d].extent);
  launch.units = plan::fromExtent(units);
  if (part != whole)
    return launch;
  for (unsigned i = 0; i < group.getNumResults(); ++i)
    for (unsigned j = 0; j < group.getNumOperands(); ++j)
      if (mayOverwrite(i, j))
        inPlace.push_back({i, j});
  return launch;
}

} // namespace

FailureOr<GroupCode> emitLoopGroup(flow::GroupOp group, const GroupLayouts &layouts, KernelModule &module) {
  if (failed(checkConstantSizes(group)))
    return failure();
  Block &body = group.getBody().front();
  LoopSource source;
  for (Operation &op : body.without_terminator())
    source.ops.push_back(&op);
  for (Value value : body.getTerminator()->getOperands())
    if (!llvm::is_contained(source.outputs, value))
      source.outputs.push_back(value);
  auto layoutOf = [&](Value value) -> Layout {
    if (auto argument = dyn_cast<BlockArgument>(value))
      return layouts.operand(argument.getArgNumber());
    for (auto [i, yielded] : llvm::enumerate(body.getTerminator()->getOperands()))
      if (yielded == value)
        return layouts.result(i);
    return {};
  };
  source.layout = layoutOf;
  if (source.outputs.size() != body.getTerminator()->getNumOperands())
    return group.emitError(
        "expected every result of a loop group to be a value of its own, found one that leaves twice");
  std::string reason;
  std::optional<LoopAnalysis> analysis = LoopAnalysis::run(source, module.target(), &reason);
  if (!analysis)
    return group.emitError("expected a group that one kernel can run: ") << reason;

  GroupCode code;
  flow::Extent flops = flow::Extent::constant(group.getContext(), 0), bytes = flops;
  for (Operation &op : body.without_terminator())
    if (auto cost = dyn_cast<flow::CostInterface>(op))
      flops = flops + cost.cost().flops;
  auto moved = [&](Value value) {
    auto type = cast<RankedTensorType>(value.getType());
    bytes = bytes + flow::elementsOf(type) * (type.getElementType().isInteger(1) ? 1 : 4);
  };
  for (Value value : group.getInputs())
    moved(value);
  for (Value value : group.getOutputs())
    moved(value);
  std::string name = "elementwise";
  for (Operation &op : body.without_terminator())
    if (isa<flow::ReduceOp, flow::ArgmaxOp, flow::WindowSumOp, flow::ScatterAddOp>(op))
      name = "reduce";

  auto emit = [&](LoopKernel::Part part) {
    LoopKernel kernel(group, layouts, *analysis, module, part, module.target());
    LaunchSpec launch = kernel.emit(code);
    launch.op = name;
    bool main = part != LoopKernel::combine;
    flow::Extent zero = flow::Extent::constant(group.getContext(), 0);
    launch.flops = plan::fromExtent(main ? flops : zero);
    launch.bytes = plan::fromExtent(main ? bytes : zero);
    code.launches.push_back(std::move(launch));
    code.inPlace.append(kernel.inPlace);
  };
  if (analysis->split) {
    emit(LoopKernel::partial);
    emit(LoopKernel::combine);
  } else {
    emit(LoopKernel::whole);
  }
  return code;
}

} // namespace moe::cpu
