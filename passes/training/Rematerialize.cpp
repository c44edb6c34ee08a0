// Chooses which values of the forward part are kept for the backward part, and computes the others again.
// Forward is what the entry's outputs need; the rest is backward.
//   1. Every forward value is a node; keeping it costs its bytes at the planned batch. What can be computed
//      again at the price of reading its operands and writing it (elementwise ops, views, generators, and
//      contractions and convolutions of few products an element, such as a first layer's, all stages that
//      would compute it together) follows from its operands; other convolutions and contractions, reductions
//      and gathered rows never are computed again, nor what would read many kept values (every few blocks of
//      a residual network one sum is kept). A minimum cut between those and what the backward part
//      reads is the cheapest set of kept values (as in Chen et al., "Training Deep Nets with Sublinear Memory
//      Cost", 2016, the cheap ops are recomputed, here with the boundary chosen exactly).
//   2. Backward ops in program order read clones of what is not kept. Clones read kept values through
//      barriers, so that common subexpressions do not merge them with their originals. They are shared only
//      between two contractions or convolutions: a clone that lived longer would be a kept value again.
// Values below 64 KiB at the planned batch are kept as they are, and so cost nothing. `flow.saved` on
// the entry tells what is kept, and why.
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
#include "dialects/flow/Mark.h"
#include "dialects/flow/Purpose.h"
#include "dialects/plan/FromFlow.h"
#include "mlir/IR/Builders.h"
#include "passes/training/MinimumCut.h"
#include "passes/training/Training.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace flow;
using moe::MinimumCut;

namespace {

constexpr int64_t smallBytes = 1 << 16;
// Operations an element that a core does while it stores one to memory: at 100 to 200 GFLOP/s and 10 GB/s.
// They are all that computing a contraction or convolution again may take, in a whole step.
constexpr int64_t cheapOperations = 64;

// Kept values that computing one again may read. A row of two-layer residual blocks reads two more a block.
constexpr size_t mostRead = 8;

// At hand at any time, at no cost: what the session holds during the whole step, and splats.
bool isAtHand(Operation *op) { return op->hasTrait<Boundary>() || isa<ConstantOp, ExtentOp>(op); }

class Rematerialization {
public:
  explicit Rematerialization(EntryOp entry)
      : entry(entry), block(entry.getBody().front()), forward(forwardOps(block)), batch(plannedBatch(entry)) {
  }

  void run() {
    // How often something is computed again follows from what is kept: what turns out dear is kept as well.
    for (bool more = true; more;) {
      if (!chooseKept())
        return;
      const bool dear = findDear(), far = findFar();
      more = dear || far;
    }
    readClones();
    report();
  }

private:
  int64_t plannedBytes(Value value) const {
    return bytesOf(value.getType()).evaluate(batch).value_or(MinimumCut::unlimited);
  }

  /// To be computed again so often.
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
    case ComputeKind::generator:
      return true;
    case ComputeKind::view: // but for what has to be looked up
      return compute.effort() < Effort::slow;
    default:
      return false;
    }
  }

  StringRef reason(Operation *op) const {
    if (isProduct(op))
      return "a contraction's or convolution's result";
    if (isCheap(op))
      return "the rest is computed again from it";
    return "a reduction's or lookup's result";
  }

  bool isRead(Value value) const {
    return llvm::any_of(value.getUsers(), [&](Operation *user) { return !forward.contains(user); });
  }

  // Fills `kept`; false where nothing large crosses.
  bool chooseKept() {
    MinimumCut cut;
    unsigned source = cut.addNode(), sink = cut.addNode();
    llvm::MapVector<Value, unsigned> node; // the node before the cut of a value; the one behind follows it
    DenseSet<Value> behindEmitter;         // what computing again may include a contraction or convolution
    bool large = false;
    kept.clear();
    for (Operation &op : block) {
      if (!forward.contains(&op) || op.getNumResults() != 1 || isAtHand(&op))
        continue;
      Value value = op.getResult(0);
      if (plannedBytes(value) < smallBytes)
        continue;
      unsigned before = cut.addNode(), behind = cut.addNode();
      node[value] = before;
      cut.addEdge(before, behind, plannedBytes(value));
      // One of them at most: each stage would compute a row of layers again from the first on.
      bool far = llvm::any_of(op.getOperands(), [&](Value x) { return behindEmitter.contains(x); });
      if (!isCheap(&op) || dear.contains(&op) || (isProduct(&op) && far)) {
        cut.addEdge(source, before, MinimumCut::unlimited);
      } else {
        if (isProduct(&op) || far)
          behindEmitter.insert(value);
        for (Value operand : op.getOperands())
          if (auto known = node.find(operand); known != node.end())
            cut.addEdge(known->second + 1, before, MinimumCut::unlimited);
      }
      if (isRead(value)) {
        cut.addEdge(behind, sink, MinimumCut::unlimited);
        large = true;
      }
    }
    if (!large)
      return false;
    std::vector<bool> late = cut.sinkSide(source, sink);
    for (auto [value, before] : node)
      if (!late[before] && late[before + 1])
        kept.insert(value);
    return true;
  }

  // Contractions and convolutions that are dropped and that the backward part's stages would compute again
  // for more operations, all together, than the one trip to memory that keeping costs. True where there are
  // new ones.
  bool findDear() {
    DenseMap<Operation *, int64_t> times;
    DenseSet<Value> present; // in this stage
    for (Operation &op : block) {
      if (forward.contains(&op))
        continue;
      SmallVector<Value> open(op.getOperands());
      while (!open.empty()) {
        Value value = open.pop_back_val();
        if (!isDropped(value) || !present.insert(value).second)
          continue;
        Operation *again = value.getDefiningOp();
        times[again] += isProduct(again);
        llvm::append_range(open, again->getOperands());
      }
      if (isProduct(&op))
        present.clear();
    }
    bool more = false;
    for (auto [op, count] : times)
      if (isProduct(op) && !isCheap(op, count))
        more |= dear.insert(op).second;
    return more;
  }

  // Values that would be computed again from more kept ones than `mostRead`: in a row of residual blocks each
  // would begin at the first, and a step's work would grow with the square of the row. True where there are
  // new ones. The first such value in program order ends the row, and the next one begins with it.
  bool findFar() {
    DenseMap<Value, SmallVector<Value>> read; // by dropped values
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
      if (from.size() > mostRead) {
        more |= dear.insert(&op).second;
        from.clear();
        from.insert(op.getResult(0));
      }
      read[op.getResult(0)] = from.takeVector();
    }
    return more;
  }

  // A large forward value that the cut leaves out; results of an op that has several are always kept.
  bool isDropped(Value value) const {
    Operation *op = value.getDefiningOp();
    return forward.contains(op) && op->getNumResults() == 1 && !isAtHand(op) &&
           plannedBytes(value) >= smallBytes && !kept.contains(value);
  }

  void readClones() {
    SmallVector<Operation *> backward;
    for (Operation &op : block)
      if (!forward.contains(&op))
        backward.push_back(&op);
    int64_t stage = 1;
    DenseMap<Value, Value> clones;
    for (Operation *op : backward) {
      for (OpOperand &operand : op->getOpOperands())
        if (isDropped(operand.get()))
          operand.set(clone(operand.get(), op, stage, clones));
      // Where a clone must not live on: the large kernels, between which the backward part's stages lie.
      if (isProduct(op)) {
        ++stage;
        clones.clear();
      }
    }
  }

  // The value computed again before `user`, from clones of this stage and kept values behind this stage's
  // barriers.
  Value clone(Value value, Operation *user, int64_t stage, DenseMap<Value, Value> &clones) {
    if (Value known = clones.lookup(value))
      return known;
    OpBuilder builder(user);
    llvm::SetVector<Operation *> again;
    SmallVector<Value> open = {value};
    while (!open.empty()) {
      Operation *op = open.pop_back_val().getDefiningOp();
      if (!again.insert(op))
        continue;
      for (Value operand : op->getOperands())
        if (isDropped(operand) && !clones.count(operand))
          open.push_back(operand);
    }
    SmallVector<Operation *> order = again.takeVector();
    llvm::sort(order, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
    for (Operation *op : order) {
      IRMapping mapping;
      for (Value operand : op->getOperands()) {
        if (operand.getDefiningOp<ConstantOp>())
          continue;
        Value &copy = clones[operand];
        if (!copy)
          copy = BarrierOp::create(builder, op->getLoc(), operand.getType(), operand, uint64_t(stage));
        mapping.map(operand, copy);
      }
      Operation *copy = builder.clone(*op, mapping);
      // No barrier keeps a generator's clone apart: the attribute does. A convolution's clone, it says, ends
      // no stage.
      if (op->getNumOperands() == 0 || isProduct(op))
        copy->setAttr(markName, builder.getI64IntegerAttr(stage));
      clones[op->getResult(0)] = copy->getResult(0);
    }
    return clones[value];
  }

  void report() {
    Builder builder(entry.getContext());
    SmallVector<Attribute> saved;
    for (Operation &op : block) {
      if (!forward.contains(&op) || op.getNumResults() != 1 || isAtHand(&op) || !isRead(op.getResult(0)) ||
          plannedBytes(op.getResult(0)) < smallBytes)
        continue;
      NamedAttrList about;
      about.set("op", builder.getStringAttr(op.getName().getStringRef()));
      about.set("bytes", ExtentAttr::get(entry.getContext(), bytesOf(op.getResult(0).getType())));
      about.set("why", builder.getStringAttr(reason(&op)));
      if (std::string path = plan::originOf(op.getLoc()).path; !path.empty())
        about.set("path", builder.getStringAttr(path));
      saved.push_back(about.getDictionary(entry.getContext()));
    }
    entry->setAttr("flow.saved", builder.getArrayAttr(saved));
  }

  EntryOp entry;
  Block &block;
  const DenseSet<Operation *> forward;
  const Symbols batch;
  DenseSet<Value> kept;
  DenseSet<Operation *> dear;
};

struct Rematerialize : PassWrapper<Rematerialize, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(Rematerialize)
  StringRef getArgument() const final { return "moe-rematerialize"; }
  StringRef getDescription() const final {
    return "choose what is kept for the backward part, and recompute the rest";
  }

  void runOnOperation() final {
    getOperation().walk([](EntryOp entry) { Rematerialization(entry).run(); });
  }
};
PassRegistration<Rematerialize> registration;

} // namespace

std::unique_ptr<Pass> moe::createRematerialize() { return std::make_unique<Rematerialize>(); }
