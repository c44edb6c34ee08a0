// Unites axes by what every op says of its operands' and its result's axes, and numbers what is left; see
// LoopClasses.h.
#include "passes/cpu/LoopAnalysis.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moe::cpu {

unsigned LoopClasses::classOf(Value value, unsigned axis) const {
  auto found = valueBase.find(value);
  return found == valueBase.end() ? none : classOfAxis[found->second + axis];
}

unsigned LoopClasses::classOf(Operation *user, unsigned operand, unsigned axis) const {
  if (inside(user->getOperand(operand)))
    return classOf(user->getOperand(operand), axis);
  auto found = useBase.find({user, operand});
  return found == useBase.end() ? none : classOfAxis[found->second + axis];
}

/// Builds the classes: a forest of axes, whose roots are the classes.
class LoopClassFinder {
public:
  LoopClassFinder(ArrayRef<Operation *> ops, LoopClasses &found, std::string &why)
      : ops(ops), found(found), why(why) {}

  LogicalResult run() {
    for (Operation *op : ops)
      found.members.insert(op);
    numberAxes();
    for (Operation *op : ops)
      if (failed(relateAxes(op)))
        return failure();
    if (mismatch)
      return fail("an axis would carry two extents");
    compactClasses();
    // A value with one class on two axes would need two indices for one loop.
    auto distinct = [&](unsigned base, int64_t rank) {
      llvm::SmallDenseSet<unsigned> seen;
      for (int64_t i = 0; i < rank; ++i)
        if (unsigned c = found.classOfAxis[base + i]; c != LoopClasses::none && !seen.insert(c).second)
          return false;
      return true;
    };
    for (Operation *op : ops)
      for (Value result : op->getResults())
        if (!distinct(found.valueBase[result], rank(result)))
          return fail("one index would run along two axes of a value");
    return success();
  }

private:
  LogicalResult fail(const Twine &message) {
    why = message.str();
    return failure();
  }
  static int64_t rank(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }

  unsigned axisId(Operation *user, unsigned operand, unsigned axis) {
    Value value = user->getOperand(operand);
    return (found.inside(value) ? found.valueBase[value] : found.useBase[{user, operand}]) + axis;
  }
  unsigned find(unsigned id) {
    while (parent[id] != id)
      id = parent[id] = parent[parent[id]];
    return id;
  }
  void unite(unsigned x, unsigned y) {
    x = find(x), y = find(y);
    if (x == y)
      return;
    if (extents[x] != extents[y])
      mismatch = true;
    parent[std::max(x, y)] = std::min(x, y);
    pinned[std::min(x, y)] |= pinned[std::max(x, y)];
    irregular[std::min(x, y)] |= irregular[std::max(x, y)];
  }
  void addAxes(Value value) {
    for (flow::Extent extent : flow::extentsOf(value)) {
      parent.push_back(parent.size());
      extents.push_back(extent);
      pinned.push_back(false);
      irregular.push_back(false);
    }
  }
  // The axis is read at another index than its own loop's: what is stored along it may not be split among
  // units, and the class does not collapse.
  void markIrregular(Operation *user, unsigned operand, unsigned axis) {
    unsigned id = find(axisId(user, operand, axis));
    pinned[id] = true;
    if (found.inside(user->getOperand(operand)))
      irregular[id] = true;
  }
  void pin(unsigned id) { pinned[find(id)] = true; }

  void numberAxes() {
    for (Operation *op : ops) {
      for (Value result : op->getResults()) {
        found.valueBase[result] = parent.size();
        addAxes(result);
      }
      for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
        if (found.inside(operand))
          continue;
        found.useBase[{op, i}] = parent.size();
        addAxes(operand);
      }
    }
  }

  // What an op says about its axes: one index runs along two of them (same), an operand is read at another
  // index than the result's (skew), or an axis is not to collapse with its neighbours (pin).
  unsigned resultId(Operation *op, unsigned axis) { return found.valueBase[op->getResult(0)] + axis; }
  void same(Operation *op, unsigned operand, unsigned axis, unsigned to) {
    unite(axisId(op, operand, axis), resultId(op, to));
  }
  void skew(Operation *op, unsigned operand, unsigned axis) {
    markIrregular(op, operand, axis);
    pin(resultId(op, axis));
  }
  void sameOrSkew(bool isSame, Operation *op, unsigned operand, unsigned axis) {
    isSame ? same(op, operand, axis, axis) : skew(op, operand, axis);
  }
  void allSame(Operation *op) {
    for (unsigned operand = 0; operand < op->getNumOperands(); ++operand)
      for (int64_t i = 0; i < rank(op->getOperand(operand)); ++i)
        same(op, operand, i, i);
  }
  void relate(flow::BroadcastOp op) {
    for (auto [i, to] : llvm::enumerate(op.getDims()))
      if (flow::Extent::of(op.getX(), i) == flow::Extent::of(op.getY(), to))
        same(op, 0, i, to);
  }
  void relate(flow::TransposeOp op) {
    for (auto [i, from] : llvm::enumerate(op.getPerm()))
      same(op, 0, from, i);
  }
  void relate(flow::ReshapeOp op) {
    for (ReshapeSegment s : reshapeSegments(op.getX().getType(), op.getY().getType())) {
      // Axes of extent 1 carry no index; what else is left of the segment decides.
      SmallVector<unsigned> from, to;
      for (unsigned i = s.fromFirst; i < s.fromLast; ++i)
        if (!extents[axisId(op, 0, i)].isConstant(1))
          from.push_back(i);
      for (unsigned i = s.toFirst; i < s.toLast; ++i)
        if (!extents[resultId(op, i)].isConstant(1))
          to.push_back(i);
      if (from.size() == 1 && to.size() == 1) {
        same(op, 0, from[0], to[0]);
        continue;
      }
      for (unsigned i : from)
        markIrregular(op, 0, i);
      for (unsigned i : to)
        pin(resultId(op, i));
    }
  }
  void relate(flow::SliceOp op) {
    for (int64_t i = 0; i < rank(op.getX()); ++i) {
      bool whole = op.getStarts()[i] == 0 && op.getStrides()[i] == 1;
      sameOrSkew(whole && extents[axisId(op, 0, i)] == extents[resultId(op, i)], op, 0, i);
    }
  }
  void relate(flow::PadOp op) {
    for (int64_t i = 0; i < rank(op.getX()); ++i) {
      bool whole = op.getLow()[i] == 0 && op.getInterior()[i] == 0;
      sameOrSkew(whole && extents[axisId(op, 0, i)] == extents[resultId(op, i)], op, 0, i);
    }
  }
  void relate(flow::ConcatOp op) {
    for (unsigned operand = 0; operand < op->getNumOperands(); ++operand)
      for (int64_t i = 0; i < rank(op->getOperand(operand)); ++i)
        sameOrSkew(i != int64_t(op.getAxis()), op, operand, i);
  }
  void relate(flow::ReduceOp op) {
    unsigned to = 0;
    for (int64_t i = 0; i < rank(op.getX()); ++i)
      if (!llvm::is_contained(op.getAxes(), i))
        same(op, 0, i, to++);
  }
  void relate(flow::ArgmaxOp op) {
    unsigned to = 0;
    for (int64_t i = 0; i < rank(op.getX()); ++i)
      i == int64_t(op.getAxis()) ? pin(axisId(op, 0, i)) : same(op, 0, i, to++);
  }
  void relate(flow::GatherOp op) {
    int64_t leading = rank(op.getIndex());
    for (int64_t i = 0; i < leading; ++i)
      same(op, 1, i, i);
    markIrregular(op, 0, 0);
    for (int64_t i = 1; i < rank(op.getTable()); ++i)
      same(op, 0, i, leading + i - 1);
  }
  void relate(flow::ScatterAddOp op) {
    int64_t leading = rank(op.getIndex());
    for (int64_t i = 0; i < leading; ++i)
      unite(axisId(op, 0, i), axisId(op, 1, i));
    pin(resultId(op, 0));
    for (int64_t i = leading; i < rank(op.getRows()); ++i)
      same(op, 1, i, i - leading + 1);
  }
  // Images and channels, then rows and pixels, then a window's own.
  void relate(flow::WindowOp op) {
    for (unsigned i : {0, 1, 2, 3})
      sameOrSkew(i < 2, op, 0, i);
    for (unsigned i : {4, 5})
      pin(resultId(op, i));
  }
  void relate(flow::WindowSumOp op) {
    for (unsigned i : {0, 1, 2, 3})
      sameOrSkew(i < 2, op, 0, i);
    for (unsigned i : {4, 5})
      pin(axisId(op, 0, i));
  }
  void relate(flow::RandomOp op) {
    for (int64_t i = 0; i < rank(op.getY()); ++i)
      op.getIndex() ? same(op, 0, i, i) : pin(resultId(op, i));
  }
  void relate(flow::IotaOp op) { pin(resultId(op, op.getAxis())); }
  LogicalResult relateAxes(Operation *op) {
    return llvm::TypeSwitch<Operation *, LogicalResult>(op)
        .Case<flow::BroadcastOp, flow::TransposeOp, flow::ReshapeOp, flow::SliceOp, flow::PadOp,
              flow::ConcatOp, flow::ReduceOp, flow::ArgmaxOp, flow::GatherOp, flow::ScatterAddOp,
              flow::WindowOp, flow::WindowSumOp, flow::RandomOp, flow::IotaOp>([&](auto known) {
          relate(known);
          return success();
        })
        .Default([&](Operation *other) {
          if (auto reverse = dyn_cast<flow::ReverseGradientOp>(other))
            for (int64_t i = 0; i < rank(reverse.getX()); ++i)
              same(other, 0, i, i);
          else if (other->hasTrait<flow::Elementwise>())
            allSame(other);
          else if (!isLoopOp(other))
            return fail("'" + other->getName().getStringRef() + "' has an emitter of its own");
          return success();
        });
  }

  // Compact numbers, none for extents of 1.
  void compactClasses() {
    DenseMap<unsigned, unsigned> numbers;
    found.classOfAxis.resize(parent.size());
    for (unsigned id = 0; id < parent.size(); ++id) {
      unsigned root = find(id);
      if (extents[id].isConstant(1)) {
        found.classOfAxis[id] = LoopClasses::none;
        continue;
      }
      auto [slot, fresh] = numbers.try_emplace(root, numbers.size());
      if (fresh)
        found.classes.push_back({extents[root], pinned[root], irregular[root]});
      found.classOfAxis[id] = slot->second;
    }
  }

  ArrayRef<Operation *> ops;
  LoopClasses &found;
  std::string &why;
  bool mismatch = false; // two axes of one class have different extents
  // By axis: its parent in the forest, and at roots what LoopClass says.
  SmallVector<unsigned> parent;
  SmallVector<flow::Extent> extents;
  SmallVector<bool> pinned, irregular;
};

LogicalResult LoopClasses::find(ArrayRef<Operation *> ops, std::string &why) {
  return LoopClassFinder(ops, *this, why).run();
}

} // namespace moe::cpu
