// Builds axis classes with a union-find over all axes, and numbers the classes; see LoopClasses.h.
#include "passes/kernels/LoopClasses.h"

using namespace mlir;

namespace moe::kernels {

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

/// Builds the classes by union-find: each tree of the forest of axes becomes a class.
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
    compactClasses();
    // A class that occurs in two dimensions of one op would need two indices in one loop.
    for (Operation *op : ops) {
      llvm::SmallDenseSet<unsigned> seen;
      for (unsigned dim = 0, end = dimsOf(op); dim < end; ++dim)
        if (unsigned c = found.classOfDim(op, dim); c != LoopClasses::none && !seen.insert(c).second)
          return fail("one index would run along two axes of a value, or along an axis that is reduced");
    }
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
    assert(extents[x] == extents[y] && "axes of one class have one size");
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
  // The axis is read at another index than its loop's. A value that is stored along it must not be split
  // among work units, since a unit may read another unit's part, and the class must not be merged with a
  // neighbour.
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
        SmallVector<flow::Extent> space = compute.iterationSpace();
        for (flow::Extent extent : ArrayRef(space).drop_front(rank(op->getResult(0))))
          addAxis(extent);
        reducedDims[op] = parent.size() - found.reducedBase[op];
      }
    }
  }

  unsigned dimsOf(Operation *op) const { return rank(op->getResult(0)) + reducedDims.lookup(op); }
  // The number of the axis of a dimension of an op's iteration space: an axis of the result, or a reduced
  // one.
  unsigned dimId(Operation *op, unsigned dim) {
    unsigned results = rank(op->getResult(0));
    return dim < results ? found.valueBase[op->getResult(0)] + dim : found.reducedBase[op] + dim - results;
  }
  // For each access of the op: an operand's axis that is read at a dimension's own index is united with that
  // dimension. If it is read at another index, the axis is irregular, and the dimensions that the index is
  // computed from are pinned. Dimensions that occur in a condition, or whose index is itself a value (iota),
  // are pinned too.
  LogicalResult relateAxes(Operation *op) {
    if (isa<flow::NumberInterface>(op))
      return success();
    auto compute = dyn_cast<flow::ComputeInterface>(op);
    if (!compute || compute.computeKind() == flow::ComputeKind::emitter)
      return fail("'" + op->getName().getStringRef() + "' has an emitter of its own");
    if (compute.computeKind() == flow::ComputeKind::composite)
      return fail("'" + op->getName().getStringRef() + "' is for --moe-decompose to replace");
    SmallVector<flow::Access> accesses = compute.accesses();
    if (std::string wrong = flow::faultOf(op, accesses); !wrong.empty())
      return fail("'" + op->getName().getStringRef() + "' " + wrong);
    for (unsigned dim : compute.indexDims())
      pin(dimId(op, dim));
    for (Value result : llvm::drop_begin(op->getResults()))
      for (int64_t axis = 0; axis < rank(result); ++axis)
        unite(found.valueBase[result] + axis, dimId(op, axis));
    for (auto [operand, access] : llvm::enumerate(accesses)) {
      if (access.within)
        pin(dimId(op, access.within->dim));
      if (IntegerSet valid = access.valid)
        for (AffineExpr condition : valid.getConstraints())
          pinDims(op, condition);
      for (auto [axis, index] : llvm::enumerate(access.map.getResults()))
        relate(op, operand, axis, index, access.lookup && access.lookup->axis == axis);
    }
    return success();
  }
  void pinDims(Operation *op, AffineExpr expression) {
    expression.walk([&](AffineExpr part) {
      if (auto dim = dyn_cast<AffineDimExpr>(part))
        pin(dimId(op, dim.getPosition()));
    });
  }
  void relate(Operation *op, unsigned operand, unsigned axis, AffineExpr index, bool lookedUp) {
    unsigned id = axisId(op, operand, axis);
    if (auto dim = dyn_cast<AffineDimExpr>(index))
      if (unsigned to = dimId(op, dim.getPosition()); extents[to] == extents[id])
        return unite(id, to);
    if (lookedUp || !extents[id].isConstant(1))
      markIrregular(op, operand, axis);
    pinDims(op, index);
  }

  // Numbers the classes from 0 on; axes of extent 1 get no class.
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
  DenseMap<Operation *, unsigned> reducedDims; // how many
  // By axis: its parent in the forest, and, for a tree's root, the fields of LoopClass.
  SmallVector<unsigned> parent;
  SmallVector<flow::Extent> extents;
  SmallVector<bool> pinned, irregular;
};

LogicalResult LoopClasses::find(ArrayRef<Operation *> ops, std::string &why) {
  return LoopClassFinder(ops, *this, why).run();
}

} // namespace moe::kernels
