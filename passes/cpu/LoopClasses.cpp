// Unites axes by what every op says of its operands' and its result's axes, and numbers what is left; see
// LoopClasses.h.
#include "passes/cpu/LoopClasses.h"

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

unsigned LoopClasses::classOfDim(Operation *op, unsigned dim) const {
  unsigned results = cast<RankedTensorType>(op->getResult(0).getType()).getRank();
  return dim < results ? classOf(op->getResult(0), dim) : classOfAxis[reducedBase.lookup(op) + dim - results];
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
  void addAxis(flow::Extent extent) {
    parent.push_back(parent.size());
    extents.push_back(extent);
    pinned.push_back(false);
    irregular.push_back(false);
  }
  void addAxes(Value value) {
    for (flow::Extent extent : flow::extentsOf(value))
      addAxis(extent);
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
      if (auto compute = dyn_cast<flow::ComputeInterface>(op);
          compute && compute.computeKind() == flow::ComputeKind::reduction) {
        found.reducedBase[op] = parent.size();
        for (flow::Extent extent : ArrayRef(compute.iterationSpace()).drop_front(rank(op->getResult(0))))
          addAxis(extent);
      }
    }
  }

  // A dimension of an op's iteration space: an axis of the result, or a reduced one.
  unsigned dimId(Operation *op, unsigned dim) {
    unsigned results = rank(op->getResult(0));
    return dim < results ? found.valueBase[op->getResult(0)] + dim : found.reducedBase[op] + dim - results;
  }
  // An axis that is read at a dimension's own index goes with it. What is read at another index is skewed, and
  // the dimensions that the index is made of do not collapse, as those do not whose index is itself a number.
  LogicalResult relateAxes(Operation *op) {
    if (isa<flow::ScalarOp>(op))
      return success();
    auto compute = dyn_cast<flow::ComputeInterface>(op);
    if (!compute || compute.computeKind() == flow::ComputeKind::emitter)
      return fail("'" + op->getName().getStringRef() + "' has an emitter of its own");
    for (unsigned dim : compute.indexDims())
      pin(dimId(op, dim));
    for (auto [operand, access] : llvm::enumerate(compute.accesses())) {
      if (access.match)
        pin(dimId(op, access.match->dim));
      for (auto [axis, index] : llvm::enumerate(access.map.getResults()))
        relate(op, operand, axis, index, access.lookup && access.lookup->axis == axis);
    }
    return success();
  }
  void relate(Operation *op, unsigned operand, unsigned axis, AffineExpr index, bool lookedUp) {
    unsigned id = axisId(op, operand, axis);
    if (auto dim = dyn_cast<AffineDimExpr>(index)) {
      if (unsigned to = dimId(op, dim.getPosition()); extents[to] == extents[id])
        return unite(id, to);
    } else if (!lookedUp && extents[id].isConstant(1)) {
      return;
    }
    markIrregular(op, operand, axis);
    index.walk([&](AffineExpr part) {
      if (auto dim = dyn_cast<AffineDimExpr>(part))
        pin(dimId(op, dim.getPosition()));
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
