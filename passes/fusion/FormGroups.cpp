// --moe-form-groups: partitions each entry into groups that one kernel runs. Memory traffic is what costs, so
// a value that never leaves its group is the gain. The steps:
//   1. Identities are dropped: they have done their work, barriers when groups are formed.
//   2. Free ops (constants, broadcasts, views) cost nothing where they are used: each group takes its own
//      copy. Only one that a contraction, an output or an assignment needs in memory is a group's result, and
//      a view that is broadcast to much more than it is itself.
//   3. In program order each op joins the groups that make its operands: a contraction's or convolution's
//      takes elementwise ops of the result's shape as its epilogue; a loop's takes what LoopAnalysis says
//      that one kernel can run with the parallelism that the parts had. A merge never closes a cycle: groups
//      keep the set of those before. Ops that lead to assignments alone stay among themselves.
//   4. Loops that read the same value side by side are merged likewise.
//   5. Groups are laid out in an order that respects their needs, and otherwise that of the program.
// Program order is what Rematerialize decided about memory: what stands between two contractions or
// convolutions is a stage, and large loops of different stages are not merged, however much they read in
// common.
#include "dialects/flow/Declared.h"
#include "dialects/flow/Flow.h"
#include "dialects/flow/Mark.h"
#include "mlir/IR/IRMapping.h"
#include "passes/cpu/CpuTarget.h"
#include "passes/cpu/LoopAnalysis.h"
#include "passes/fusion/ConvolutionLayouts.h"
#include "passes/fusion/Fusion.h"
#include "passes/fusion/PrivateViews.h"
#include "passes/planning/Layouts.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace moe {
namespace {

bool isRoot(Operation *op) {
  return isa<flow::ContractOp, flow::ConvOp, flow::ConvInputGradOp, flow::ConvWeightGradOp>(op);
}
bool isIdentity(Operation *op) {
  return isa<flow::BarrierOp, flow::StopGradientOp, flow::ReverseGradientOp>(op);
}
void dropIdentities(Block &block, llvm::function_ref<bool(Operation *)> which) {
  for (Operation &op : llvm::make_early_inc_range(block))
    if (which(&op)) {
      op.getResult(0).replaceAllUsesWith(op.getOperand(0));
      op.erase();
    }
}
bool isBoundary(Operation *op) {
  return isa<flow::InputOp, flow::ParameterOp, flow::StateOp, flow::OutputOp, flow::AssignOp, flow::ExposeOp>(
      op);
}
// Free in a loop, and in an epilogue.
bool isFreeKind(Operation *op) {
  return isa<flow::ConstantOp, flow::ExtentOp, flow::ScalarOp, flow::IotaOp, flow::BroadcastOp,
             flow::ReshapeOp, flow::TransposeOp, flow::SliceOp, flow::BarrierOp>(op);
}
// Barriers are gone when groups are written.
bool isFreeInEpilogue(Operation *op) { return isa<flow::ConstantOp, flow::BroadcastOp, flow::BarrierOp>(op); }

// Elements from which on a tensor must not live longer than it has to.
constexpr double largeElements = 1 << 18;

// A loop of less work than this loses nothing when it has no parallelism.
constexpr double smallWork = 32768, enoughParallelism = 16;
// What shares no more than this with a large loop stays by itself: the updates of all weights hang on one
// predicate, and one by one those of equal shape are one kernel.
constexpr double smallValue = 1024;
// Copies an element from which on a broadcast is worth reading its operand from memory.
constexpr double spreadFrom = 16;
// Longer loops take long to compile and are nobody's twin.
constexpr size_t maxOps = 128;

struct Cluster {
  SmallVector<Operation *> ops;            // in program order, without free ones
  Operation *root = nullptr;               // the contraction or convolution; null: a loop
  llvm::BitVector before;                  // clusters that must run earlier
  std::optional<unsigned> stage;           // of a root, and of a loop over a large tensor
  unsigned place = 0;                      // in program order
  std::optional<double> parallelism, work; // of a loop by itself, once they were asked for
  bool alive = false;
  // Of two that are merged, the heavier one says where the work is done.
  int weight() const { return root ? 2 : stage ? 1 : 0; }
};

class Fusion {
public:
  Fusion(flow::EntryOp entry, const cpu::CpuTarget &target) : entry(entry), target(target) {}
  LogicalResult run();

private:
  void number();
  void makeClusters();
  void joinProducers(unsigned cluster);
  void joinSiblings();
  /// `shared`: elements of the value that the two have in common.
  bool tryMerge(unsigned a, unsigned b, Value shared);
  llvm::DenseSet<std::pair<unsigned, unsigned>> refused; // siblings that did not fit, as they were
  bool closesCycle(unsigned a, unsigned b) const;
  bool fitsEpilogue(const Cluster &root, const Cluster &loop) const;
  bool fitsLoop(Cluster &a, Cluster &b, double shared);
  void measure(Cluster &loop);
  std::optional<cpu::LoopAnalysis> analyse(ArrayRef<Operation *> ops) const;
  LogicalResult rebuild();
  FailureOr<SmallVector<unsigned>> orderOfGroups();
  SmallVector<Operation *> opsOf(const Cluster &cluster) const;
  void writeGroup(OpBuilder &builder, const Cluster &cluster, llvm::function_ref<Value(Value)> memory,
                  llvm::DenseMap<Value, Value> &outside);

  bool isLarge(Operation *op) const;
  bool isFree(Operation *op) const { return isFreeKind(op) && !kept.contains(op); }
  /// The ops that are no free ones and the boundary values that `op` reads, through free ops.
  void sources(Operation *op, llvm::SetVector<Value> &found) const;
  /// The ops that read a value, through free ops.
  void readers(Value value, llvm::SetVector<Operation *> &found, bool throughBarriers = true) const;
  llvm::SetVector<Value> outputsOf(ArrayRef<Operation *> ops) const;
  /// Ops and the free ops that they use, in program order.
  SmallVector<Operation *> withFree(ArrayRef<Operation *> ops) const;
  int clusterOf(Value value) const {
    Operation *op = value.getDefiningOp();
    auto found = op ? home.find(op) : home.end();
    return found == home.end() ? -1 : int(found->second);
  }

  flow::EntryOp entry;
  const cpu::CpuTarget &target;
  llvm::DenseMap<Value, cpu::Layout> layouts;   // of values that are not row-major
  llvm::DenseMap<Operation *, unsigned> index;  // program order
  llvm::DenseMap<Operation *, unsigned> stages; // roots up to and including the op
  llvm::DenseSet<Operation *> kept;             // free kinds that must be in memory
  llvm::DenseSet<Operation *> updates;          // ops that lead to assignments alone
  llvm::DenseSet<Operation *> forward;          // ops that the losses and other results need
  llvm::DenseMap<Operation *, unsigned> home;   // op -> cluster
  std::vector<Cluster> clusters;
};

void Fusion::sources(Operation *op, llvm::SetVector<Value> &found) const {
  for (Value operand : op->getOperands()) {
    if (isFree(operand.getDefiningOp()))
      sources(operand.getDefiningOp(), found);
    else
      found.insert(operand);
  }
}

bool Fusion::isLarge(Operation *op) const {
  llvm::SetVector<Value> touched(op->result_begin(), op->result_end());
  sources(op, touched);
  return llvm::any_of(
      touched, [](Value value) { return cpu::estimate(flow::elementsOf(value.getType())) >= largeElements; });
}

void Fusion::readers(Value value, llvm::SetVector<Operation *> &found, bool throughBarriers) const {
  for (Operation *user : value.getUsers()) {
    if (isa<flow::BarrierOp>(user) && !throughBarriers)
      continue;
    if (isFree(user))
      readers(user->getResult(0), found, throughBarriers);
    // A reshape stands outside of groups in front of what needs memory.
    else
      found.insert(user);
  }
}

llvm::SetVector<Value> Fusion::outputsOf(ArrayRef<Operation *> ops) const {
  llvm::SmallDenseSet<Operation *> members(ops.begin(), ops.end());
  llvm::SetVector<Value> outputs;
  for (Operation *op : ops)
    for (Value value : op->getResults()) {
      llvm::SetVector<Operation *> users;
      readers(value, users);
      if (llvm::any_of(users, [&](Operation *user) { return !members.contains(user); }))
        outputs.insert(value);
    }
  return outputs;
}

SmallVector<Operation *> Fusion::withFree(ArrayRef<Operation *> ops) const {
  llvm::SetVector<Operation *> all(ops.begin(), ops.end());
  for (size_t i = 0; i < all.size(); ++i)
    for (Value operand : all[i]->getOperands())
      if (isFree(operand.getDefiningOp()))
        all.insert(operand.getDefiningOp());
  SmallVector<Operation *> sorted(all.begin(), all.end());
  llvm::sort(sorted, [&](Operation *a, Operation *b) { return index.lookup(a) < index.lookup(b); });
  return sorted;
}

std::optional<cpu::LoopAnalysis> Fusion::analyse(ArrayRef<Operation *> ops) const {
  llvm::SetVector<Value> outputs = outputsOf(ops);
  cpu::LoopSource source;
  source.ops = withFree(ops);
  source.outputs.assign(outputs.begin(), outputs.end());
  auto layoutOf = [&](Value value) { return layouts.lookup(value); };
  source.layout = layoutOf;
  return cpu::LoopAnalysis::run(source, target);
}

// Whether a third cluster lies between the two.
bool Fusion::closesCycle(unsigned a, unsigned b) const {
  for (unsigned x = 0; x < clusters.size(); ++x) {
    if (!clusters[x].alive || x == a || x == b)
      continue;
    if (clusters[x].before.test(a) && clusters[b].before.test(x))
      return true;
    if (clusters[x].before.test(b) && clusters[a].before.test(x))
      return true;
  }
  return false;
}

bool Fusion::fitsEpilogue(const Cluster &root, const Cluster &loop) const {
  if (root.ops.size() + loop.ops.size() > maxOps)
    return false;
  auto shape = llvm::cast<RankedTensorType>(root.root->getResult(0).getType());
  for (Operation *op : loop.ops) {
    auto type = llvm::cast<RankedTensorType>(op->getResult(0).getType());
    if (!op->hasTrait<flow::Elementwise>() || flow::withElement(type, shape.getElementType()) != shape)
      return false;
  }
  for (Operation *op : withFree(loop.ops))
    if (!llvm::is_contained(loop.ops, op) && !isFreeInEpilogue(op))
      return false;
  SmallVector<Operation *> ops(root.ops);
  ops.append(loop.ops);
  // A tile's epilogue has vectors of f32 and masks: whole numbers may be inside, and neither come nor leave.
  auto isInteger = [](Value value) { return getElementTypeOrSelf(value.getType()).isInteger(32); };
  llvm::SmallDenseSet<Operation *> members(ops.begin(), ops.end());
  for (Operation *op : withFree(loop.ops))
    if (llvm::any_of(op->getOperands(), [&](Value operand) {
          Operation *maker = operand.getDefiningOp();
          return isInteger(operand) && !members.contains(maker) && !isFree(maker);
        }))
      return false;
  if (llvm::any_of(outputsOf(ops), isInteger))
    return false;
  // One result for another is a gain; two would be better read by the loops that need them.
  auto bytes = [&](ArrayRef<Operation *> of) {
    double sum = 0;
    for (Value output : outputsOf(of))
      sum += cpu::estimate(flow::elementsOf(output.getType())) *
             (getElementTypeOrSelf(output.getType()).isInteger(1) ? 1 : 4);
    return sum;
  };
  if (bytes(ops) > 1.3 * bytes(root.ops))
    return false;
  // What the epilogue broadcasts comes from outside: the tile has only its own elements.
  llvm::SmallDenseSet<Operation *> inside(root.ops.begin(), root.ops.end());
  inside.insert(loop.ops.begin(), loop.ops.end());
  for (Operation *op : withFree(loop.ops)) {
    Operation *maker = isa<flow::BroadcastOp>(op) ? op->getOperand(0).getDefiningOp() : nullptr;
    while (isa_and_nonnull<flow::BarrierOp>(maker))
      maker = maker->getOperand(0).getDefiningOp();
    if (maker && inside.contains(maker))
      return false;
  }
  // A further result is written only where somebody needs it in memory: another contraction, or a later
  // stage.
  SmallVector<Operation *> merged(inside.begin(), inside.end());
  llvm::SetVector<Value> results = outputsOf(merged);
  if (results.size() <= outputsOf(root.ops).size())
    return true;
  unsigned stage = stages.lookup(root.root);
  return llvm::all_of(results, [&](Value value) {
    llvm::SetVector<Operation *> users;
    readers(value, users);
    return value == root.root->getResult(0) || llvm::any_of(users, [&](Operation *user) {
             return isRoot(user) || isBoundary(user) || stages.lookup(user) != stage;
           });
  });
}

void Fusion::measure(Cluster &loop) {
  if (loop.parallelism)
    return;
  std::optional<cpu::LoopAnalysis> alone = analyse(loop.ops);
  loop.parallelism = alone ? alone->parallelism : 0;
  loop.work = alone ? alone->work : 0;
}

bool Fusion::fitsLoop(Cluster &a, Cluster &b, double shared) {
  if (a.ops.size() + b.ops.size() > maxOps)
    return false;
  measure(a);
  measure(b);
  if (shared < smallValue && std::max(*a.work, *b.work) >= smallWork)
    return false;
  SmallVector<Operation *> ops(a.ops);
  ops.append(b.ops);
  llvm::sort(ops, [&](Operation *x, Operation *y) { return index.lookup(x) < index.lookup(y); });
  std::optional<cpu::LoopAnalysis> merged = analyse(ops);
  if (!merged)
    return false;
  if (merged->work >= smallWork && !merged->split) {
    // Units take whole pieces of memory, and are as many as those of the part that has more.
    if (merged->units.empty() || merged->units.front() != 0)
      return false;
    double needed = 1;
    for (Cluster *part : {&a, &b})
      if (*part->work >= smallWork)
        needed = std::max(needed, *part->parallelism);
    if (merged->parallelism < std::min(needed, enoughParallelism))
      return false;
  }
  a.parallelism = merged->parallelism;
  a.work = merged->work;
  return true;
}

bool Fusion::tryMerge(unsigned a, unsigned b, Value shared) {
  if (a == b || closesCycle(a, b))
    return false;
  Cluster &into = clusters[a], &from = clusters[b];
  if (into.root && from.root)
    return false;
  // What is computed again for the backward part is computed there.
  if (forward.contains(into.ops.front()) != forward.contains(from.ops.front()))
    return false;
  if (into.stage && from.stage && *into.stage != *from.stage)
    return false;
  // An update waits for its predicate, and reads and writes a state once if all of it does.
  bool update = updates.contains(from.ops.front());
  if (updates.contains(into.ops.front()) != update)
    return false;
  auto isScalar = [](Cluster &cluster) {
    return llvm::cast<RankedTensorType>(cluster.ops.front()->getResult(0).getType()).getRank() == 0;
  };
  if (update && isScalar(into) != isScalar(from))
    return false;
  if (update && !isScalar(into) && llvm::cast<RankedTensorType>(shared.getType()).getRank() == 0)
    return false;
  if (into.root   ? !fitsEpilogue(into, from)
      : from.root ? !fitsEpilogue(from, into)
                  : !fitsLoop(into, from, cpu::estimate(flow::elementsOf(shared.getType()))))
    return false;
  into.place = into.weight() == from.weight()  ? std::max(into.place, from.place)
               : into.weight() > from.weight() ? into.place
                                               : from.place;
  if (from.root)
    into.root = from.root;
  into.ops.append(from.ops);
  llvm::sort(into.ops, [&](Operation *x, Operation *y) { return index.lookup(x) < index.lookup(y); });
  for (Operation *op : from.ops)
    home[op] = a;
  into.before |= from.before;
  into.before.reset(a);
  into.before.reset(b);
  if (!into.stage)
    into.stage = from.stage;
  from.alive = false;
  for (Cluster &other : clusters) {
    if (!other.alive || &other == &into)
      continue;
    if (!other.before.test(a) && !other.before.test(b))
      continue;
    other.before |= into.before;
    other.before.set(a);
    other.before.reset(b);
  }
  return true;
}

void Fusion::joinProducers(unsigned cluster) {
  if (clusters[cluster].root)
    return;
  llvm::SetVector<Value> from;
  for (Operation *op : clusters[cluster].ops)
    sources(op, from);
  SmallVector<Value> values(from.begin(), from.end());
  // The largest value first: it is the most that a merge can save.
  llvm::sort(values, [&](Value a, Value b) {
    double sizeA = cpu::estimate(flow::elementsOf(a.getType())),
           sizeB = cpu::estimate(flow::elementsOf(b.getType()));
    if (sizeA != sizeB)
      return sizeA > sizeB;
    return index.lookup(a.getDefiningOp()) < index.lookup(b.getDefiningOp());
  });
  unsigned current = cluster;
  for (Value value : values) {
    int producer = clusterOf(value);
    if (producer >= 0 && tryMerge(producer, current, value))
      current = producer;
  }
}

void Fusion::joinSiblings() {
  for (Operation &op : entry.getBody().front())
    for (Value value : op.getResults()) {
      if (isFree(&op))
        continue;
      // A value that is computed again twice is so on purpose: barriers keep its readers apart.
      llvm::SetVector<Operation *> users;
      readers(value, users, /*throughBarriers=*/false);
      llvm::SetVector<unsigned> loops;
      for (Operation *user : users)
        if (auto found = home.find(user); found != home.end() && !clusters[found->second].root)
          loops.insert(found->second);
      for (size_t i = 0; i < loops.size(); ++i)
        for (size_t j = i + 1; j < loops.size(); ++j)
          if (clusters[loops[i]].alive && clusters[loops[j]].alive &&
              !refused.contains({loops[i], loops[j]}) && !tryMerge(loops[i], loops[j], value))
            refused.insert({loops[i], loops[j]});
    }
}

// Over images and pixels: first over the pixels, which joins what else is done an image at a time, then over
// the images.
static void splitReduction(flow::ReduceOp op) {
  flow::Extent inner = flow::Extent::constant(op.getContext(), 1);
  SmallVector<flow::Extent> left;
  SmallVector<int64_t> rest;
  for (auto [axis, extent] : llvm::enumerate(flow::extentsOf(op.getX()))) {
    bool reduced = llvm::is_contained(op.getAxes(), axis);
    if (axis && reduced)
      rest.push_back(axis), inner = inner * extent;
    else
      left.push_back(extent);
  }
  if (!llvm::is_contained(op.getAxes(), 0) || flow::Extent::of(op.getX(), 0).constantValue())
    return;
  std::optional<int64_t> pixels = inner.constantValue();
  if (left.size() < 2 || !pixels || *pixels < 16)
    return;
  OpBuilder builder(op);
  Type element = cast<RankedTensorType>(op.getX().getType()).getElementType();
  Value each = flow::ReduceOp::create(builder, op.getLoc(), flow::tensorType(left, element), op.getKind(),
                                      op.getX(), rest);
  Value all = flow::ReduceOp::create(builder, op.getLoc(), op.getY().getType(), op.getKind(), each,
                                     ArrayRef<int64_t>{0});
  op.getY().replaceAllUsesWith(all);
  op.erase();
}

void Fusion::number() {
  Block &block = entry.getBody().front();
  dropIdentities(block, [](Operation *op) { return isIdentity(op) && !isa<flow::BarrierOp>(op); });
  for (flow::ReduceOp reduce : llvm::make_early_inc_range(block.getOps<flow::ReduceOp>()))
    splitReduction(reduce);
  llvm::StringSet<> assigned = flow::assignedPaths(block);
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (flow::isDead(&op, assigned))
      op.erase();
  SmallVector<Operation *> loops;
  for (Operation &op : block)
    if (!isFreeKind(&op) && !isRoot(&op) && !isBoundary(&op))
      loops.push_back(&op);
  makeViewsPrivate(loops, isFreeKind);
  unsigned roots = 0;
  for (Operation &op : block) {
    // One that is computed again belongs to the stage that wants it.
    roots += isRoot(&op) && !op.hasAttr(flow::markName);
    stages[&op] = roots;
    index[&op] = index.size();
  }
  for (Operation &op : llvm::reverse(block)) {
    auto output = llvm::dyn_cast<flow::OutputOp>(op);
    if ((output && output.getName() != "finite") ||
        llvm::any_of(op.getUsers(), [&](Operation *user) { return forward.contains(user); }))
      forward.insert(&op);
  }
  for (Operation &op : llvm::reverse(block))
    if (!isBoundary(&op) && !op.use_empty() && llvm::all_of(op.getUsers(), [&](Operation *user) {
          return isa<flow::AssignOp>(user) || updates.contains(user);
        }))
      updates.insert(&op);
  // A view of few numbers that were computed and are broadcast to many: in memory it may be part of an
  // epilogue.
  for (flow::ReshapeOp view : block.getOps<flow::ReshapeOp>()) {
    auto size = [](Value value) { return cpu::estimate(flow::elementsOf(value.getType())); };
    llvm::SetVector<Value> from;
    sources(view, from);
    bool computed = llvm::any_of(from, [](Value value) { return !isBoundary(value.getDefiningOp()); });
    bool spread = llvm::any_of(view->getUsers(), [&](Operation *user) {
      while (isa<flow::BarrierOp>(user) && user->hasOneUse())
        user = *user->user_begin();
      return isa<flow::BroadcastOp>(user) && size(user->getResult(0)) >= spreadFrom * size(view);
    });
    if (computed && spread)
      kept.insert(view);
  }
  // What must be in memory: operands of contractions, outputs and assignments, behind reshapes.
  for (Operation &op : block) {
    if (!isRoot(&op) && !isa<flow::OutputOp, flow::AssignOp>(op))
      continue;
    for (Value operand : op.getOperands()) {
      Operation *maker = operand.getDefiningOp();
      while (isa<flow::ReshapeOp, flow::BarrierOp>(maker))
        maker = maker->getOperand(0).getDefiningOp();
      if (isFreeKind(maker))
        kept.insert(maker);
    }
  }
}

void Fusion::makeClusters() {
  SmallVector<Operation *> ops;
  for (Operation &op : entry.getBody().front())
    if (!isBoundary(&op) && !isFree(&op))
      ops.push_back(&op);
  clusters.resize(ops.size());
  for (auto [i, op] : llvm::enumerate(ops)) {
    Cluster &cluster = clusters[i];
    cluster.ops = {op};
    cluster.alive = true;
    cluster.before.resize(ops.size());
    if (isRoot(op))
      cluster.root = op;
    if (isRoot(op) || isLarge(op))
      cluster.stage = stages.lookup(op);
    cluster.place = index.lookup(op);
    home[op] = i;
    llvm::SetVector<Value> from;
    sources(op, from);
    for (Value value : from)
      if (int producer = clusterOf(value); producer >= 0) {
        cluster.before |= clusters[producer].before;
        cluster.before.set(producer);
      }
    joinProducers(i);
  }
}

/// The clusters by their places, each behind what it needs and is not there yet.
FailureOr<SmallVector<unsigned>> Fusion::orderOfGroups() {
  SmallVector<unsigned> order, places;
  llvm::BitVector done(clusters.size());
  for (auto [i, cluster] : llvm::enumerate(clusters)) {
    if (cluster.alive)
      places.push_back(i);
    else
      done.set(i);
  }
  llvm::sort(places, [&](unsigned a, unsigned b) { return clusters[a].place < clusters[b].place; });
  for (unsigned goal : places) {
    SmallVector<unsigned> needed(llvm::make_filter_range(
        places, [&](unsigned i) { return !done.test(i) && (i == goal || clusters[goal].before.test(i)); }));
    while (!needed.empty()) {
      auto *next = llvm::find_if(needed, [&](unsigned i) {
        llvm::BitVector missing = clusters[i].before;
        missing.reset(done);
        return missing.none();
      });
      if (next == needed.end())
        return entry.emitError("internal: groups form a cycle; report this with the model");
      order.push_back(*next);
      done.set(*next);
      needed.erase(next);
    }
  }
  return order;
}

/// The cluster's ops in the order of its group, with the free ops that they use.
SmallVector<Operation *> Fusion::opsOf(const Cluster &cluster) const {
  if (!cluster.root)
    return withFree(cluster.ops);
  // The root's own operands are in memory; free ops are copied for the epilogue alone.
  SmallVector<Operation *> epilogue(
      llvm::make_filter_range(cluster.ops, [&](Operation *op) { return op != cluster.root; }));
  SmallVector<Operation *> ops = withFree(epilogue);
  ops.insert(ops.begin(), cluster.root);
  return ops;
}

/// Writes a cluster's group at the builder's place. `memory` gives a value outside of groups, and `outside`
/// learns the group's results.
void Fusion::writeGroup(OpBuilder &builder, const Cluster &cluster, llvm::function_ref<Value(Value)> memory,
                        llvm::DenseMap<Value, Value> &outside) {
  const SmallVector<Operation *> ops = opsOf(cluster);
  llvm::SmallDenseSet<Operation *> members(ops.begin(), ops.end());
  llvm::SetVector<Value> inputs, outputs = outputsOf(cluster.ops);
  for (Operation *op : ops)
    for (Value operand : op->getOperands())
      if (!members.contains(operand.getDefiningOp()) || (op == cluster.root))
        inputs.insert(operand);
  SmallVector<Value> operands;
  for (Value input : inputs)
    operands.push_back(memory(input));
  SmallVector<Type> types;
  for (Value output : outputs)
    types.push_back(output.getType());
  Operation *main = cluster.root ? cluster.root : cluster.ops.front();
  StringRef kind = !cluster.root ? "loop" : isa<flow::ContractOp>(cluster.root) ? "contract" : "conv";
  auto group = flow::GroupOp::create(builder, main->getLoc(), types, kind, operands);
  OpBuilder::InsertionGuard guard(builder);
  Block &body = group.getBody().emplaceBlock();
  builder.setInsertionPointToStart(&body);
  IRMapping inside;
  for (auto [input, operand] : llvm::zip_equal(inputs, operands))
    inside.map(input, body.addArgument(operand.getType(), input.getLoc()));
  for (Operation *op : ops)
    builder.clone(*op, inside);
  SmallVector<Value> yielded;
  for (Value output : outputs)
    yielded.push_back(inside.lookup(output));
  flow::YieldOp::create(builder, main->getLoc(), yielded);
  for (auto [output, result] : llvm::zip_equal(outputs, group.getResults())) {
    outside[output] = result;
    if (cpu::Layout layout = layouts.lookup(output); !layout.empty())
      setPhysicalLayout(cast<OpResult>(result), layout);
  }
}

LogicalResult Fusion::rebuild() {
  Block &block = entry.getBody().front();
  SmallVector<Operation *> old, results;
  for (Operation &op : block) {
    if (isa<flow::OutputOp, flow::AssignOp, flow::ExposeOp>(op))
      results.push_back(&op);
    else if (!isBoundary(&op))
      old.push_back(&op);
  }
  FailureOr<SmallVector<unsigned>> order = orderOfGroups();
  if (failed(order))
    return failure();
  OpBuilder builder(entry.getContext());
  builder.setInsertionPointToEnd(&block);
  llvm::DenseMap<Value, Value> outside; // an old value -> the value outside of groups
  for (Operation &op : block)
    if (isBoundary(&op))
      for (Value value : op.getResults())
        outside[value] = value;
  // A value in memory: a boundary, a group's result, or a reshape of one.
  std::function<Value(Value)> memory = [&](Value value) -> Value {
    if (Value known = outside.lookup(value))
      return known;
    auto reshape = llvm::cast<flow::ReshapeOp>(value.getDefiningOp());
    Value from = memory(reshape.getX());
    Value made = flow::ReshapeOp::create(builder, value.getLoc(), value.getType(), from);
    return outside[value] = made;
  };
  for (unsigned i : *order)
    writeGroup(builder, clusters[i], memory, outside);
  for (Operation *op : results) {
    op->moveBefore(&block, block.end());
    builder.setInsertionPoint(op);
    op->setOperand(0, memory(op->getOperand(0)));
  }
  for (Operation *op : llvm::reverse(old)) {
    op->dropAllUses();
    op->erase();
  }
  return success();
}

LogicalResult Fusion::run() {
  number();
  layouts = convolutionLayouts(entry);
  makeClusters();
  joinSiblings();
  dropIdentities(entry.getBody().front(), isIdentity);
  return rebuild();
}

struct FormGroups : PassWrapper<FormGroups, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FormGroups)
  StringRef getArgument() const override { return "moe-form-groups"; }
  StringRef getDescription() const override { return "partition entries into groups that one kernel runs"; }

  void runOnOperation() override {
    // The partition is the same for all levels, so that one program's targets differ in code alone.
    std::string error;
    std::optional<cpu::CpuTarget> target = cpu::cpuTarget("cpu:x86-64-v3", error);
    SmallVector<flow::EntryOp> entries;
    getOperation().walk([&](flow::EntryOp entry) { entries.push_back(entry); });
    for (flow::EntryOp entry : entries)
      if (failed(Fusion(entry, *target).run()))
        return signalPassFailure();
  }
};
PassRegistration<FormGroups> registration;

} // namespace

std::unique_ptr<Pass> createFormGroupsPass() { return std::make_unique<FormGroups>(); }

} // namespace moe
