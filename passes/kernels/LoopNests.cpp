// Finds the loop nests of a set of ops; see LoopNests.h. The steps:
//   1. LoopClasses.cpp finds the axis classes: axes that always have the same index.
//   2. findStages chooses the values that are stored: outputs, reductions, and intermediate values that are
//      cheaper to store than to compute again.
//   3. findDims orders the classes as the largest tensor has them in memory, and merges adjacent ones into
//      dimensions.
//   4. findNests puts stages of equal dimensions into one nest, each nest after those that it reads.
#include "passes/kernels/LoopNests.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace moe::kernels {

SmallVector<int64_t> axisOrder(const Layout &layout, int64_t rank) {
  if (!layout.empty())
    return SmallVector<int64_t>(layout.begin(), layout.end());
  return llvm::to_vector(llvm::seq<int64_t>(0, rank));
}

static int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }

SmallVector<unsigned> LoopNests::classesOf(Value value) const {
  SmallVector<unsigned> found;
  for (int64_t i = 0; i < rankOf(value); ++i)
    if (unsigned c = classOf(value, i); c != none)
      found.push_back(c);
  return found;
}

bool isLoopOp(Operation *op) {
  auto compute = dyn_cast<flow::ComputeInterface>(op);
  return isa<flow::NumberInterface>(op) || (compute && compute.computeKind() != flow::ComputeKind::emitter &&
                                            compute.computeKind() != flow::ComputeKind::composite);
}

static flow::Effort effortOf(Operation *op) {
  auto compute = dyn_cast<flow::ComputeInterface>(op);
  return compute ? compute.effort() : flow::Effort::free;
}
static bool isSlowest(Operation *op) { return effortOf(op) == flow::Effort::transcendental; }

// Whether evaluating an op costs more than loading its value: because of its own work, or because of the
// divisions in an operand's index.
static bool isMoreThanALoad(Operation *op) {
  if (effortOf(op) >= flow::Effort::slow)
    return true;
  auto compute = dyn_cast<flow::ComputeInterface>(op);
  if (!compute || compute.computeKind() != flow::ComputeKind::view)
    return false;
  bool divides = false;
  for (const flow::Access &access : compute.accesses())
    access.map.walkExprs([&](AffineExpr part) {
      divides |= part.getKind() == AffineExprKind::FloorDiv || part.getKind() == AffineExprKind::Mod;
    });
  return divides;
}

static bool reducesByItself(Operation *op) { return isa<flow::ReductionInterface>(op); }

class LoopNestFinder {
public:
  explicit LoopNestFinder(const LoopSource &source) : source(source) {}

  std::optional<LoopNests> run(std::string *reason) {
    if (succeeded(a.classes.find(source.ops, why)) && succeeded(findStages())) {
      findDims();
      findNests();
      return std::move(a);
    }
    if (reason)
      *reason = why;
    return std::nullopt;
  }

private:
  LogicalResult fail(const Twine &message) {
    why = message.str();
    return failure();
  }
  bool isStage(Value value) const { return a.stageIndex.count(value); }

  // The classes that an op reduces over.
  SmallVector<unsigned> reducedClasses(Operation *op) {
    SmallVector<unsigned> found;
    auto compute = cast<flow::ComputeInterface>(op);
    for (unsigned dim = rankOf(op->getResult(0)), end = compute.iterationSpace().size(); dim < end; ++dim)
      if (unsigned c = a.classes.classOfDim(op, dim); c != LoopNests::none)
        found.push_back(c);
    return found;
  }
  void addStage(Value value) {
    if (!a.stageIndex.try_emplace(value, a.stages.size()).second)
      return;
    LoopStage stage;
    stage.value = value;
    stage.reduces = reducesByItself(value.getDefiningOp());
    stage.output = llvm::is_contained(source.outputs, value);
    a.stages.push_back(stage);
  }
  // The ops of the stages whose expressions contain a value: its own, or those that use it.
  llvm::SmallSetVector<Operation *, 8> consumers(Value value) {
    llvm::SmallSetVector<Operation *, 8> found;
    llvm::SetVector<Value> reached;
    reached.insert(value);
    for (size_t i = 0; i < reached.size(); ++i) {
      if (isStage(reached[i])) {
        found.insert(reached[i].getDefiningOp());
        continue;
      }
      for (Operation *user : reached[i].getUsers())
        if (a.inside(user))
          reached.insert(user->result_begin(), user->result_end());
    }
    return found;
  }
  // Whether computing a value that is not stored takes more than loads and a few additions.
  bool isWorthKeeping(Value value, unsigned depth = 0) {
    Operation *op = value.getDefiningOp();
    if (!op || !a.inside(value) || isStage(value))
      return false;
    if (isMoreThanALoad(op))
      return true;
    if (op->getNumOperands() == 0)
      return false;
    if (depth > 8)
      return true;
    return llvm::any_of(op->getOperands(), [&](Value operand) { return isWorthKeeping(operand, depth + 1); });
  }
  LogicalResult findStages() {
    if (source.outputs.empty())
      return fail("the group has no output");
    for (Value output : source.outputs)
      if (!a.inside(output))
        return fail("an output is computed outside the group");
    for (Operation *op : source.ops)
      for (Value result : op->getResults())
        if (reducesByItself(op) || llvm::is_contained(source.outputs, result))
          addStage(result);
    // The classes common to all stages so far. Work units run over these, so a further stage has to have them
    // too; the memory that it needs is counted without them.
    a.shared = sharedClasses();
    auto own = [&](ArrayRef<unsigned> all) {
      SmallVector<unsigned> rest;
      for (unsigned c : all)
        if (!a.shared.contains(c))
          rest.push_back(c);
      return rest;
    };
    auto bytes = [&](Value value, ArrayRef<unsigned> all) {
      int64_t product = flow::storageBytes(value.getType());
      for (unsigned c : all) {
        std::optional<int64_t> extent = a.classes.all()[c].extent.constantValue();
        if (!extent || *extent > source.savedBytes)
          return source.savedBytes + 1;
        product *= *extent;
        if (product > source.savedBytes)
          return product;
      }
      return product;
    };
    // First, values that are broadcast, so that many elements read them.
    SmallVector<Value> kept;
    for (Operation *op : source.ops) {
      if (flow::axesOfView(op)) {
        Value x = op->getOperand(0);
        if (!a.inside(x) || isStage(x) || !isWorthKeeping(x))
          continue;
        SmallVector<unsigned> few = own(a.classesOf(x)), many = own(a.classesOf(op->getResult(0)));
        if (few.empty() || few.size() >= many.size() || bytes(x, few) > source.savedBytes)
          continue;
        // A value that several work units share would be stored by each of them, which costs more than
        // computing it.
        if (llvm::any_of(a.shared, [&](unsigned c) { return !llvm::is_contained(a.classesOf(x), c); }))
          continue;
        kept.push_back(x);
      }
    }
    for (Value value : kept)
      addStage(value);
    // Then, values that are slow to compute and that several nests read.
    for (Operation *op : source.ops) {
      if (!isSlowest(op) || isStage(op->getResult(0)))
        continue;
      llvm::SmallDenseSet<uint64_t> signatures;
      for (Operation *user : consumers(op->getResult(0)))
        signatures.insert(signatureOf(user->getResult(0)));
      SmallVector<unsigned> rest = own(a.classesOf(op->getResult(0)));
      if (signatures.size() > 1 && !rest.empty() && bytes(op->getResult(0), rest) <= source.savedBytes &&
          llvm::all_of(a.shared,
                       [&](unsigned c) { return llvm::is_contained(a.classesOf(op->getResult(0)), c); }))
        addStage(op->getResult(0));
    }
    // In program order, so that every stage follows the stages that it reads.
    DenseMap<Operation *, unsigned> order;
    for (auto [i, op] : llvm::enumerate(source.ops))
      order[op] = i;
    auto placeOf = [&](const LoopStage &stage) {
      auto value = cast<OpResult>(stage.value);
      return std::pair(order[value.getOwner()], value.getResultNumber());
    };
    llvm::sort(a.stages, [&](const LoopStage &x, const LoopStage &y) { return placeOf(x) < placeOf(y); });
    for (auto [i, stage] : llvm::enumerate(a.stages))
      a.stageIndex[stage.value] = i;
    a.shared = sharedClasses();
    a.values = valuesToCompute();
    return success();
  }
  // Computes LoopNests::values: each value counts once for each index that it is read at. Elementwise ops
  // read their operands at their own index, every other use at a new one. So the number of indices can double
  // with each op that reads its operand through two views, and counting stops at maxValues.
  size_t valuesToCompute() {
    // Indices are numbered. A stage has one of its own; `made` has the index that a use makes of its op's
    // index.
    llvm::DenseMap<std::pair<unsigned, OpOperand *>, unsigned> made;
    llvm::DenseMap<Value, llvm::SmallSetVector<unsigned, 4>> indices;
    unsigned count = 0;
    size_t values = 0;
    for (Operation *op : llvm::reverse(source.ops)) {
      Value value = op->getResult(0);
      llvm::SmallSetVector<unsigned, 4> own;
      if (isStage(value))
        own.insert(count++);
      else
        own = std::move(indices[value]);
      if ((values += own.size()) > LoopNests::maxValues)
        return values;
      for (OpOperand &use : op->getOpOperands()) {
        if (!a.inside(use.get()) || isStage(use.get()))
          continue;
        auto &read = indices[use.get()];
        for (unsigned index : own) {
          if (!op->hasTrait<flow::Elementwise>()) {
            auto [found, fresh] = made.try_emplace({index, &use}, count);
            count += fresh;
            index = found->second;
          }
          read.insert(index);
        }
      }
    }
    return values;
  }
  uint64_t signatureOf(Value value) {
    SmallVector<unsigned> parallel = a.classesOf(value), reduced;
    if (reducesByItself(value.getDefiningOp()))
      reduced = reducedClasses(value.getDefiningOp());
    llvm::sort(parallel);
    llvm::sort(reduced);
    return llvm::hash_combine(llvm::hash_combine_range(parallel), llvm::hash_combine_range(reduced));
  }
  llvm::SmallDenseSet<unsigned> sharedClasses() {
    llvm::SmallDenseSet<unsigned> common;
    bool first = true;
    for (LoopStage &stage : a.stages) {
      SmallVector<unsigned> own = a.classesOf(stage.value);
      if (first)
        common.insert(own.begin(), own.end());
      else
        for (unsigned c : SmallVector<unsigned>(common.begin(), common.end()))
          if (!llvm::is_contained(own, c))
            common.erase(c);
      first = false;
    }
    for (unsigned c : SmallVector<unsigned>(common.begin(), common.end()))
      if (a.classes.all()[c].irregular)
        common.erase(c);
    return common;
  }

  struct Tensor {
    SmallVector<unsigned> classes; // in the order of memory
    double elements;
    bool lookup = false; // a table whose rows are looked up, or the index of the rows
  };
  // The inputs and outputs of the set.
  std::vector<Tensor> boundaryTensors() {
    std::vector<Tensor> tensors;
    auto add = [&](Value value, bool lookup, llvm::function_ref<unsigned(int64_t)> classOf) {
      Tensor tensor{{}, flow::estimateElements(value.getType(), source.batch), lookup};
      for (int64_t axis : axisOrder(source.layout(value), rankOf(value)))
        if (unsigned c = classOf(axis); c != LoopNests::none)
          tensor.classes.push_back(c);
      tensors.push_back(tensor);
    };
    for (Value output : source.outputs)
      add(output, /*lookup=*/false, [&](int64_t axis) { return a.classOf(output, axis); });
    for (Operation *op : source.ops) {
      auto compute = dyn_cast<flow::ComputeInterface>(op);
      const bool lookup = compute && llvm::any_of(compute.accesses(), [](const flow::Access &access) {
                            return access.lookup.has_value();
                          });
      for (unsigned i = 0; i < op->getNumOperands(); ++i)
        if (!a.inside(op->getOperand(i)))
          add(op->getOperand(i), lookup, [&](int64_t axis) { return a.classOf(op, i, axis); });
    }
    return tensors;
  }

  // The classes of a stage's loops.
  struct Space {
    SmallVector<unsigned> parallel, reduced;
  };
  std::vector<Space> spacesOfStages() {
    std::vector<Space> spaces;
    for (LoopStage &stage : a.stages) {
      Space space{a.classesOf(stage.value), {}};
      if (stage.reduces)
        space.reduced = reducedClasses(stage.value.getDefiningOp());
      spaces.push_back(space);
    }
    return spaces;
  }

  // The classes that need a loop, each in the order of the largest tensor that has it. A table whose rows are looked up has no
  // loop over its rows, so where no other tensor has a class, the order of the stages decides.
  SmallVector<unsigned> orderOfLoops(std::vector<Tensor> &tensors, ArrayRef<Space> spaces) {
    llvm::SmallSetVector<unsigned, 8> loops;
    for (const Space &space : spaces) {
      loops.insert_range(space.parallel);
      loops.insert_range(space.reduced);
    }
    std::vector<Tensor *> bySize;
    for (Tensor &tensor : tensors)
      bySize.push_back(&tensor);
    llvm::sort(bySize, [](Tensor *x, Tensor *y) {
      return x->elements != y->elements ? x->elements > y->elements : x < y;
    });
    SmallVector<unsigned> order;
    auto place = [&](ArrayRef<unsigned> list) {
      // A new class goes behind the one before it in this tensor; if it is the tensor's first, before the
      // first known one; and if none is known, to the end.
      size_t at = order.size();
      for (unsigned c : list)
        if (auto found = llvm::find(order, c); found != order.end()) {
          at = found - order.begin();
          break;
        }
      for (unsigned c : list) {
        if (!loops.contains(c))
          continue;
        auto found = llvm::find(order, c);
        if (found != order.end()) {
          at = found - order.begin() + 1;
          continue;
        }
        order.insert(order.begin() + at, c);
        ++at;
      }
    };
    for (Tensor *tensor : bySize)
      if (!tensor->lookup)
        place(tensor->classes);
    for (const Space &space : spaces)
      place(space.parallel), place(space.reduced);
    return order;
  }

  // Whether two neighbouring classes can be one loop: every tensor has both, adjacent in memory, or neither,
  // and every stage has both as parallel, both as reduced, or neither.
  bool collapse(unsigned x, unsigned y, ArrayRef<Tensor> tensors, ArrayRef<Space> spaces) {
    if (a.classes.all()[x].pinned || a.classes.all()[y].pinned)
      return false;
    if (a.shared.contains(x) != a.shared.contains(y))
      return false;
    for (const Tensor &tensor : tensors) {
      auto ix = llvm::find(tensor.classes, x), iy = llvm::find(tensor.classes, y);
      if ((ix == tensor.classes.end()) != (iy == tensor.classes.end()))
        return false;
      if (ix != tensor.classes.end() && ix + 1 != iy)
        return false;
    }
    return llvm::all_of(spaces, [&](const Space &space) {
      return llvm::is_contained(space.parallel, x) == llvm::is_contained(space.parallel, y) &&
             llvm::is_contained(space.reduced, x) == llvm::is_contained(space.reduced, y);
    });
  }

  void findDims() {
    std::vector<Tensor> tensors = boundaryTensors();
    const std::vector<Space> spaces = spacesOfStages();
    a.dimOfClass.assign(a.classes.all().size(), LoopNests::none);
    for (unsigned c : orderOfLoops(tensors, spaces)) {
      const flow::Extent &extent = a.classes.all()[c].extent;
      if (!a.dims.empty() && collapse(a.dims.back().classes.back(), c, tensors, spaces)) {
        a.dims.back().classes.push_back(c);
        a.dims.back().extent = a.dims.back().extent * extent;
      } else {
        a.dims.push_back({{c}, extent});
      }
      a.dimOfClass[c] = a.dims.size() - 1;
    }
    auto dimsOf = [&](ArrayRef<unsigned> list) {
      SmallVector<unsigned> found;
      for (unsigned c : list)
        if (!llvm::is_contained(found, a.dimOfClass[c]))
          found.push_back(a.dimOfClass[c]);
      llvm::sort(found);
      return found;
    };
    for (auto [stage, space] : llvm::zip(a.stages, spaces)) {
      stage.dims = dimsOf(space.parallel);
      stage.reduced = dimsOf(space.reduced);
      if (stage.reduces)
        findSegments(stage);
    }
  }

  void findSegments(LoopStage &stage) {
    Operation *op = stage.value.getDefiningOp();
    SmallVector<flow::Access> accesses = cast<flow::ComputeInterface>(op).accesses();
    auto dimOf = [&](unsigned dim) {
      unsigned c = a.classes.classOfDim(op, dim);
      return c == LoopNests::none ? LoopNests::none : a.dimOfClass[c];
    };
    for (const flow::Access &access : accesses) {
      if (!access.within)
        continue;
      LoopSegments segments{op->getOperand(access.within->operand), dimOf(access.within->dim), {}};
      for (AffineExpr index : accesses[access.within->operand].map.getResults())
        index.walk([&](AffineExpr part) {
          if (auto dim = dyn_cast<AffineDimExpr>(part))
            if (unsigned d = dimOf(dim.getPosition()); d != LoopNests::none)
              segments.at.push_back(d);
        });
      stage.segments.push_back(segments);
    }
  }

  void collect(Value value, bool straight, StageReads &reads,
               llvm::DenseSet<std::pair<Value, unsigned>> &seen) {
    if (!seen.insert({value, straight}).second)
      return;
    Operation *op = value.getDefiningOp();
    bool elementwise = op->hasTrait<flow::Elementwise>();
    for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
      if (!a.inside(operand)) {
        reads.leaves.push_back({op, i});
        continue;
      }
      if (isStage(operand)) {
        auto [slot, fresh] = reads.stages.try_emplace(operand, straight && elementwise);
        if (!fresh)
          slot->second &= straight && elementwise;
      } else {
        collect(operand, straight && elementwise, reads, seen);
      }
    }
  }
  void findNests() {
    for (auto [i, stage] : llvm::enumerate(a.stages)) {
      StageReads reads;
      llvm::DenseSet<std::pair<Value, unsigned>> seen;
      collect(stage.value, true, reads, seen);
      size_t earliest = 0;
      for (auto [value, straight] : reads.stages) {
        const LoopStage &need = a.stages[a.stageIndex[value]];
        bool sameNest = straight && !need.reduces && !stage.reduces && need.dims == stage.dims;
        earliest = std::max<size_t>(earliest, need.nest + (sameNest ? 0 : 1));
      }
      size_t nest = earliest;
      auto fits = [&](const LoopNest &n) {
        return n.dims == stage.dims && n.reduced == stage.reduced && n.reduces == stage.reduces &&
               n.segments == stage.segments;
      };
      while (nest < a.nests.size() && !fits(a.nests[nest]))
        ++nest;
      if (nest == a.nests.size()) {
        a.nests.emplace_back();
        a.nests.back().dims = stage.dims;
        a.nests.back().reduced = stage.reduced;
        a.nests.back().reduces = stage.reduces;
        a.nests.back().segments = stage.segments;
      }
      stage.nest = nest;
      auto isSibling = [&](unsigned s) {
        return a.stages[s].value.getDefiningOp() == stage.value.getDefiningOp();
      };
      if (stage.reduces && llvm::none_of(a.nests[nest].stages, isSibling))
        a.nests[nest].reductions.push_back(i);
      a.nests[nest].stages.push_back(i);
      a.reads.push_back(std::move(reads));
    }
  }

  const LoopSource &source;
  LoopNests a;
  std::string why;
};

std::optional<LoopNests> LoopNests::find(const LoopSource &source, std::string *reason) {
  return LoopNestFinder(source).run(reason);
}

} // namespace moe::kernels
