// --moe-rematerialize: chooses which values of the forward part stay in memory for the backward part, and
// makes the backward part compute the others again (rematerialisation, or gradient checkpointing; as in Chen
// et al., "Training Deep Nets with Sublinear Memory Cost", 2016, but with the choice made by a minimum cut).
// The forward part is what the entry's results need (flow/Purpose.h); the rest is the backward part and the
// update.
//   1. Each forward value becomes an edge whose capacity is the value's bytes at the planned batch. A value
//      is recomputable when computing it costs about as much as reading its operands and writing it:
//      elementwise ops, views, constants and the like, and contractions and convolutions of few products per
//      element, such as a first layer's. Gathers of long rows are read where they are: by loops, and by grouped
//      contractions, if those of all targets load rows by an index. Other contractions and convolutions, gathers, reductions
//      and random numbers are not recomputable. Of dropout that leaves the mask, which takes a byte for each element.
//   2. A minimum cut between what is not recomputable and what the backward part reads gives the cheapest set
//      of values to keep.
//   3. If this choice makes a value expensive after all, that value is declared not recomputable, and step 2
//      is repeated. A value is expensive when all its recomputations together take too many operations, or
//      when one of them would read too many kept values (so one sum every few blocks of a residual network is
//      kept).
//   4. The backward ops, in program order, read clones of the values that are not kept. The clones read the
//      kept values through barriers, so that CSE does not merge the clones with their originals.
// Clones are shared within one backward segment only: the ops between two contractions or convolutions. A
// clone that lived longer would take memory as a kept value does. Values below 64 KiB at the planned batch
// are always kept and count as free. The entry's attribute `flow.saved` lists what is kept, and why.
//
//     %y = flow.conv ...                              %y = flow.conv ...
//     %s = flow.sigmoid %y                            %s = flow.sigmoid %y
//     %n = flow.mul %y, %s                            %n = flow.mul %y, %s
//     ...                                     ==>     ...
//     %dw = flow.conv_weight_grad %n, %dz             %k = flow.barrier %y 1
//                                                     %t = flow.sigmoid %k
//                                                     %m = flow.mul %k, %t
//                                                     %dw = flow.conv_weight_grad %m, %dz
#include "dialects/flow/BatchHint.h"
#include "dialects/flow/Flow.h"
#include "dialects/flow/Purpose.h"
#include "dialects/flow/Recomputed.h"
#include "dialects/plan/FromFlow.h"
#include "mlir/IR/Builders.h"
#include "passes/kernels/Backend.h"
#include "passes/training/MinimumCut.h"
#include "passes/training/Training.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace flow;
using moe::MinimumCut;

namespace {

constexpr int64_t smallBytes = 1 << 16;
// The operations that a core performs in the time in which it stores one element to memory, at 100 to 200
// GFLOP/s and 10 GB/s. All recomputations of a contraction or convolution in one step together may take this
// many operations per element.
constexpr int64_t cheapOperations = 64;

// The most kept values that a recomputation may read. In a chain of two-layer residual blocks, each block
// adds two.
constexpr size_t maxReads = 8;

// Whether a value is available during the whole step at no cost: the session's inputs and states, and
// constants.
bool isAvailable(Operation *op) { return op->hasTrait<Boundary>() || isa<ConstantOp, ExtentOp>(op); }

// The fewest elements of a row that a loop reads by an index as fast as others.
constexpr int64_t longRow = 16;

class Rematerialization {
public:
  /// `loadsRows`: whether products read rows where they are, on all targets.
  Rematerialization(EntryOp entry, bool loadsRows)
      : entry(entry), block(entry.getBody().front()), forward(forwardOps(block)), batch(plannedBatch(entry)),
        loadsRows(loadsRows) {}

  void run() {
    // What a recomputation costs follows from what is kept, so the choice is repeated until nothing is too
    // expensive.
    for (bool more = true; more;) {
      if (!chooseKept())
        return;
      const bool expensive = findExpensive(), manyReads = findManyReads();
      more = expensive || manyReads;
    }
    readClones();
    report();
  }

private:
  int64_t plannedBytes(Value value) const {
    return bytesOf(value.getType()).evaluate(batch).value_or(MinimumCut::unlimited);
  }

  /// Whether an op gathers long rows, and none of the ops that read them is a product, which has its operands in memory.
  /// A loop reads the rows where they are instead.
  static bool isRowGather(Operation *op) {
    auto gather = dyn_cast<GatherOp>(op);
    if (!gather)
      return false;
    auto type = cast<RankedTensorType>(gather.getTable().getType());
    int64_t row = 1;
    for (int64_t size : type.getShape().drop_front())
      row *= ShapedType::isDynamic(size) ? longRow : size;
    SmallVector<Operation *> readers(op->user_begin(), op->user_end());
    for (size_t i = 0; i < readers.size(); ++i) {
      if (isProduct(readers[i]))
        return false;
      if (isa<ReshapeOp, TransposeOp, BarrierOp>(readers[i]))
        readers.append(readers[i]->user_begin(), readers[i]->user_end());
    }
    return row >= longRow;
  }

  /// Whether computing an op again, `times` times in a step, is cheaper than keeping its result.
  bool isCheap(Operation *op, int64_t times = 1) const {
    if (isa<BarrierOp>(op))
      return false;
    if (isProduct(op)) {
      std::optional<int64_t> flops = cast<CostInterface>(op).cost().flops.evaluate(batch);
      return flops &&
             *flops <= cheapOperations *
                           (plannedBytes(op->getResult(0)) / storageBytes(op->getResult(0).getType())) /
                           times;
    }
    auto compute = dyn_cast<ComputeInterface>(op);
    if (!compute)
      return false;
    switch (compute.computeKind()) {
    case ComputeKind::elementwise:
      return true;
    case ComputeKind::generator:
      // But not random numbers: a mask of them is a byte an element, and they are ten rounds.
      return compute.effort() < Effort::transcendental;
    case ComputeKind::view:
      // But not what has to be looked up element by element.
      return compute.effort() < Effort::slow || (isRowLoad(op) ? loadsRows : isRowGather(op));
    default:
      return false;
    }
  }

  StringRef reason(Operation *op) const {
    if (isa<AttentionOp>(op))
      return "attention's result, or the sums of its rows";
    if (isProduct(op))
      return "a contraction's or convolution's result";
    if (isCheap(op))
      return "the rest is computed again from it";
    return "a reduction's or lookup's result";
  }

  bool isRead(Value value) const {
    return llvm::any_of(value.getUsers(), [&](Operation *user) { return !forward.contains(user); });
  }

  // Fills `kept` by a minimum cut; false where the backward part reads no large forward value. A value is an
  // edge from its first node to its second one, which has the next number: a cut through the edge keeps the
  // value.
  bool chooseKept() {
    MinimumCut cut;
    unsigned source = cut.addNode(), sink = cut.addNode();
    llvm::MapVector<Value, unsigned> node; // the first of a value's two nodes
    DenseSet<Value> needsProduct; // values whose recomputation may include a contraction or convolution
    bool large = false;
    kept.clear();
    for (Operation &op : block) {
      if (!forward.contains(&op) || op.getNumResults() != 1 || isAvailable(&op))
        continue;
      Value value = op.getResult(0);
      if (plannedBytes(value) < smallBytes)
        continue;
      unsigned first = cut.addNode(), second = cut.addNode();
      node[value] = first;
      // Of gathered rows and a table as large, the table is in memory anyway.
      cut.addEdge(first, second, plannedBytes(value) + isa<GatherOp>(op));
      // A recomputation includes at most one contraction or convolution: with more of them, each segment of
      // the backward part would compute a chain of layers again from its first layer.
      bool product = llvm::any_of(op.getOperands(), [&](Value x) { return needsProduct.contains(x); });
      if (!isCheap(&op) || notRecomputable.contains(&op) || (isProduct(&op) && product)) {
        cut.addEdge(source, first, MinimumCut::unlimited);
      } else {
        if (isProduct(&op) || product)
          needsProduct.insert(value);
        for (Value operand : op.getOperands())
          if (auto known = node.find(operand); known != node.end())
            cut.addEdge(known->second + 1, first, MinimumCut::unlimited);
      }
      if (isRead(value)) {
        cut.addEdge(second, sink, MinimumCut::unlimited);
        large = true;
      }
    }
    if (!large)
      return false;
    std::vector<bool> sinkSide = cut.sinkSide(source, sink);
    for (auto [value, first] : node)
      if (!sinkSide[first] && sinkSide[first + 1])
        kept.insert(value);
    return true;
  }

  // Counts how often each dropped contraction or convolution would be computed again: once for each backward
  // segment that needs it. Adds those to `notRecomputable` whose recomputations together take longer than
  // keeping the result, which is one store to memory. True where it has added any.
  bool findExpensive() {
    DenseMap<Operation *, int64_t> times;
    DenseSet<Value> present; // dropped values that this segment has computed again so far
    for (Operation &op : block) {
      if (forward.contains(&op))
        continue;
      SmallVector<Value> open(op.getOperands());
      while (!open.empty()) {
        Value value = open.pop_back_val();
        if (!isDropped(value) || !present.insert(value).second)
          continue;
        Operation *recomputed = value.getDefiningOp();
        times[recomputed] += isProduct(recomputed);
        llvm::append_range(open, recomputed->getOperands());
      }
      if (isProduct(&op))
        present.clear();
    }
    bool more = false;
    for (auto [op, count] : times)
      if (isProduct(op) && !isCheap(op, count))
        more |= notRecomputable.insert(op).second;
    return more;
  }

  // Adds the dropped values to `notRecomputable` whose recomputation would read more than `maxReads` kept
  // values. Without this limit, each block of a residual network would be computed again from the first block
  // on, and a step's work would grow with the square of the number of blocks. Once a value is over the limit,
  // counting begins again with that value as the only kept one. True where it has added any.
  bool findManyReads() {
    DenseMap<Value, SmallVector<Value>> read; // the kept values that each dropped value's recomputation reads
    bool more = false;
    for (Operation &op : block) {
      if (!forward.contains(&op) || op.getNumResults() != 1 || !isDropped(op.getResult(0)))
        continue;
      llvm::SmallSetVector<Value, 16> from;
      for (Value operand : op.getOperands()) {
        if (auto known = read.find(operand); known != read.end())
          from.insert(known->second.begin(), known->second.end());
        else if (kept.contains(operand))
          from.insert(operand);
      }
      if (from.size() > maxReads) {
        more |= notRecomputable.insert(&op).second;
        from.clear();
        from.insert(op.getResult(0));
      }
      read[op.getResult(0)] = from.takeVector();
    }
    return more;
  }

  // Whether a value is a large forward value that is not kept. The results of an op with several are always
  // kept.
  bool isDropped(Value value) const {
    Operation *op = value.getDefiningOp();
    return forward.contains(op) && op->getNumResults() == 1 && !isAvailable(op) &&
           plannedBytes(value) >= smallBytes && !kept.contains(value);
  }

  // Makes each backward op read clones in the place of dropped values.
  void readClones() {
    SmallVector<Operation *> backward;
    for (Operation &op : block)
      if (!forward.contains(&op))
        backward.push_back(&op);
    int64_t segment = 1;
    DenseMap<Value, Value> clones;
    for (Operation *op : backward) {
      for (OpOperand &operand : op->getOpOperands())
        if (isDropped(operand.get()))
          operand.set(clone(operand.get(), op, segment, clones));
      // A contraction or convolution ends the segment, and no clone lives beyond it.
      if (isProduct(op)) {
        ++segment;
        clones.clear();
      }
    }
  }

  // Computes a dropped value again before `user`, from this segment's clones and from kept values, which it
  // reads through this segment's barriers.
  Value clone(Value value, Operation *user, int64_t segment, DenseMap<Value, Value> &clones) {
    if (Value known = clones.lookup(value))
      return known;
    OpBuilder builder(user);
    llvm::SetVector<Operation *> recomputed;
    SmallVector<Value> open = {value};
    while (!open.empty()) {
      Operation *op = open.pop_back_val().getDefiningOp();
      if (!recomputed.insert(op))
        continue;
      for (Value operand : op->getOperands())
        if (isDropped(operand) && !clones.count(operand))
          open.push_back(operand);
    }
    SmallVector<Operation *> order = recomputed.takeVector();
    llvm::sort(order, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
    for (Operation *op : order) {
      IRMapping mapping;
      for (Value operand : op->getOperands()) {
        if (operand.getDefiningOp<ConstantOp>())
          continue;
        Value &copy = clones[operand];
        if (!copy)
          copy = BarrierOp::create(builder, op->getLoc(), operand.getType(), operand, uint64_t(segment));
        mapping.map(operand, copy);
      }
      Operation *copy = builder.clone(*op, mapping);
      // A generator has no operand that could pass through a barrier, so this attribute keeps CSE from
      // merging its clone with the original. On a clone of a contraction or convolution, it means that the
      // clone ends no segment.
      if (op->getNumOperands() == 0 || isProduct(op))
        copy->setAttr(recomputedName, builder.getI64IntegerAttr(segment));
      clones[op->getResult(0)] = copy->getResult(0);
    }
    return clones[value];
  }

  // Writes `flow.saved`: the large forward values that the backward part still reads.
  void report() {
    Builder builder(entry.getContext());
    SmallVector<Attribute> saved;
    for (Operation &op : block) {
      if (!forward.contains(&op) || isAvailable(&op))
        continue;
      for (Value value : op.getResults()) {
        if (!isRead(value) || plannedBytes(value) < smallBytes)
          continue;
        NamedAttrList about;
        about.set("op", builder.getStringAttr(op.getName().getStringRef()));
        about.set("bytes", ExtentAttr::get(entry.getContext(), bytesOf(value.getType())));
        about.set("why", builder.getStringAttr(reason(&op)));
        if (std::string path = plan::originOf(op.getLoc()).path; !path.empty())
          about.set("path", builder.getStringAttr(path));
        saved.push_back(about.getDictionary(entry.getContext()));
      }
    }
    entry->setAttr("flow.saved", builder.getArrayAttr(saved));
  }

  EntryOp entry;
  Block &block;
  const DenseSet<Operation *> forward;
  const Symbols batch;
  const bool loadsRows;
  DenseSet<Value> kept;
  DenseSet<Operation *> notRecomputable; // beside those that isCheap refuses
};

struct Rematerialize : PassWrapper<Rematerialize, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(Rematerialize)
  Rematerialize() = default;
  Rematerialize(const Rematerialize &other) : PassWrapper(other) {}
  explicit Rematerialize(ArrayRef<std::string> names) { targets = names; }
  StringRef getArgument() const final { return "moe-rematerialize"; }
  StringRef getDescription() const final {
    return "choose what is kept for the backward part, and recompute the rest";
  }

  void runOnOperation() final {
    bool loadsRows = true;
    std::vector<std::string> names(targets.begin(), targets.end());
    if (names.empty())
      names.push_back(moe::kernels::defaultTarget.str());
    for (const std::string &name : names) {
      std::string error;
      std::unique_ptr<moe::kernels::Target> target = moe::kernels::parseTarget(name, error);
      if (!target) {
        getOperation().emitError() << error;
        return signalPassFailure();
      }
      loadsRows &= target->loadsRows();
    }
    getOperation().walk([&](EntryOp entry) { Rematerialization(entry, loadsRows).run(); });
  }

  ListOption<std::string> targets{*this, "target",
                                  llvm::cl::desc("what the program is for: cpu, cpu:x86-64-v3, ...")};
};
PassRegistration<Rematerialize> registration;

} // namespace

std::unique_ptr<Pass> moe::createRematerialize(ArrayRef<std::string> targets) {
  return std::make_unique<Rematerialize>(targets);
}
