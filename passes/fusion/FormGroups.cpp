// --moe-form-groups: fusion. Clones the entries for each target, into a flow.target, and partitions the ops
// of each clone into groups; each group becomes one kernel, or a few if the target splits it. The gain of
// fusion is that a value which only ops of its own group use is never stored to memory. Which ops can be one
// kernel is the target's answer (kernels/Backend.h). The steps:
//   1. Erase identity ops, except barriers, which are erased when the groups are written.
//      Mark what products and attention of samples that are dropped can leave out (SkipRows.cpp).
//   2. Find the free ops: constants, broadcasts and other views, which cost nothing inside a loop. Every
//      group gets its own copy of the free ops that it reads. A free op is stored to memory, as the result of
//      a group, only if a contraction or convolution, an output, an assignment or an expose needs it there,
//      or if its elements are computed and then broadcast to many more. If only the entry's results need it
//      in memory, it is cloned for them, so that loops still read the original for free. A lookup of a small table's
//      row for each row of a grouped contraction's result is free as well: the epilogue makes it. So is a gather of
//      rows that only grouped contractions read, where the target's kernels make it as they load the rows.
//   3. Make a cluster of each other op, in program order, and merge it with the clusters of its operands
//      where possible: with a root as its epilogue (elementwise ops of the root's shape), or with a loop if
//      the target can run both as one loop kernel without losing parallelism. A merge must not close a cycle
//      (MergeOrder.h). Forward ops, backward ops, updates and ops for exposed values only are not merged with
//      each other.
//   4. Merge loops that read the same value, under the same conditions; then loops that are computed again for one
//      product with the epilogue of a neighbouring one that reads the same value (Epilogues.cpp).
//   5. Write each cluster as a flow.group, ordered by dependencies and otherwise as in the program.
// Large loops are merged only within one segment, the ops between two contractions or convolutions, even if
// they read the same values: Rematerialize relies on the program's order to keep memory small.
#include "dialects/flow/Declared.h"
#include "dialects/flow/Purpose.h"
#include "dialects/flow/Recomputed.h"
#include "dialects/flow/Windows.h"
#include "mlir/IR/IRMapping.h"
#include "passes/fusion/Clusters.h"
#include "passes/fusion/PrivateViews.h"
#include "passes/kernels/BindSymbols.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;

namespace moe {

static bool isIdentity(Operation *op) { return op->hasTrait<flow::Identity>(); }
static void dropIdentities(Block &block, llvm::function_ref<bool(Operation *)> which) {
  for (Operation &op : llvm::make_early_inc_range(block))
    if (which(&op)) {
      op.getResult(0).replaceAllUsesWith(op.getOperand(0));
      op.erase();
    }
}

bool isFreeKind(Operation *op) {
  auto compute = dyn_cast<flow::ComputeInterface>(op);
  return isa<flow::NumberInterface>(op) || flow::isWindowProduct(op) ||
         (isa<flow::WindowOp>(op) && flow::isFactorOfWindowProducts(op)) ||
         (compute && compute.effort() == flow::Effort::free);
}

// The most merges that the target may refuse for one cluster, and among the readers of one value, before
// fusion gives up on it: a value with thousands of readers would have millions of pairs.
constexpr unsigned maxRefusals = 64;

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
  return llvm::any_of(touched, [&](Value value) { return elementsOf(value) >= costs.largeElements; });
}

void Fusion::readers(Value value, llvm::SetVector<Operation *> &found, bool throughBarriers) const {
  for (Operation *user : value.getUsers()) {
    if (isa<flow::BarrierOp>(user) && !throughBarriers)
      continue;
    if (isFree(user))
      readers(user->getResult(0), found, throughBarriers);
    else
      found.insert(user);
  }
}

llvm::SetVector<Value> Fusion::outputsOf(ArrayRef<Operation *> ops) const {
  llvm::SmallDenseSet<Operation *> members(ops.begin(), ops.end());
  llvm::SetVector<Value> outputs;
  for (Operation *op : ops)
    for (Value value : op->getResults())
      if (leaves(value, members))
        outputs.insert(value);
  return outputs;
}

bool Fusion::leaves(Value value, const llvm::SmallDenseSet<Operation *> &members) const {
  return llvm::any_of(value.getUsers(), [&](Operation *user) {
    return isFree(user) ? leaves(user->getResult(0), members) : !members.contains(user);
  });
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

std::optional<kernels::LoopFacts> Fusion::analyse(ArrayRef<Operation *> ops) {
  llvm::SetVector<Value> outputs = outputsOf(ops);
  kernels::LoopSource source;
  source.batch = batch;
  source.ops = withFree(ops);
  source.outputs.assign(outputs.begin(), outputs.end());
  auto layoutOf = [&](Value value) { return layouts.lookup(value); };
  source.layout = layoutOf;
  kernels::StructuralKey key(source.ops, source.outputs, source.layout);
  key.add(batch.D);
  key.add(batch.N);
  auto [slot, fresh] = known.try_emplace(std::move(key));
  if (fresh) {
    ++done.analyses;
    done.analysedOps += source.ops.size();
    slot->second = target.loop(source);
  }
  return slot->second;
}

void Fusion::measure(Cluster &loop) {
  if (loop.parallelism)
    return;
  std::optional<kernels::LoopFacts> alone = analyse(loop.ops);
  loop.parallelism = alone ? alone->parallelism : 0;
  loop.work = alone ? alone->work : 0;
}

bool Fusion::fitsLoop(Cluster &a, Cluster &b, double shared) {
  measure(a);
  measure(b);
  if (shared < costs.smallValue && std::max(*a.work, *b.work) >= costs.smallWork)
    return false;
  SmallVector<Operation *> ops(a.ops);
  ops.append(b.ops);
  llvm::sort(ops, [&](Operation *x, Operation *y) { return index.lookup(x) < index.lookup(y); });
  std::optional<kernels::LoopFacts> merged = analyse(ops);
  if (!merged || merged->values > kernels::LoopNests::maxValues)
    return false;
  if (merged->work >= costs.smallWork && !merged->split) {
    // Each work unit must access contiguous memory, and there must be as many units as the more parallel one
    // of the two loops has, or enough to keep the machine busy.
    if (!merged->contiguous)
      return false;
    double needed = 1;
    for (Cluster *part : {&a, &b})
      if (*part->work >= costs.smallWork)
        needed = std::max(needed, *part->parallelism);
    if (merged->parallelism < std::min(needed, costs.parallelism))
      return false;
  }
  a.parallelism = merged->parallelism;
  a.work = merged->work;
  return true;
}

Purpose Fusion::purposeOf(const Cluster &cluster) const {
  Operation *op = cluster.ops.front(); // all ops of a cluster have the same purpose
  if (reports.contains(op))
    return Purpose::report;
  if (updates.contains(op))
    return cast<RankedTensorType>(op->getResult(0).getType()).getRank() ? Purpose::update
                                                                        : Purpose::scalarUpdate;
  // Clones of forward ops that rematerialisation has made belong to the backward part.
  return forward.contains(op) ? Purpose::forward : Purpose::backward;
}

Merge Fusion::tryMerge(unsigned a, unsigned b, Value shared, bool acrossSegments) {
  Cluster &into = clusters[a], &from = clusters[b];
  if (a == b || (into.root && from.root))
    return Merge::incompatible;
  for (Operation *root : {into.root, from.root})
    if (root && !target.epilogueOf(root).elementwise)
      return Merge::incompatible;
  const Purpose purpose = purposeOf(into);
  if (purpose != purposeOf(from))
    return Merge::incompatible;
  if (!acrossSegments && into.segment && from.segment && *into.segment != *from.segment)
    return Merge::incompatible;
  // A scalar is no reason to merge updates. All updates read the same predicate and rates: merged because of
  // them, they would become one huge kernel instead of a few that equal updates share.
  if (purpose == Purpose::update && cast<RankedTensorType>(shared.getType()).getRank() == 0)
    return Merge::incompatible;
  if (into.ops.size() + from.ops.size() > costs.maxOps)
    return Merge::incompatible;
  if (needs.hasNodeBetween(a, b))
    return Merge::refused;
  if (into.root   ? !fitsEpilogue(into, from)
      : from.root ? !fitsEpilogue(from, into)
                  : !fitsLoop(into, from, elementsOf(shared)))
    return Merge::refused;
  needs.merge(a, b);
  into.place = into.weight() == from.weight()  ? std::max(into.place, from.place)
               : into.weight() > from.weight() ? into.place
                                               : from.place;
  if (from.root)
    into.root = from.root;
  into.ops.append(from.ops);
  llvm::sort(into.ops, [&](Operation *x, Operation *y) { return index.lookup(x) < index.lookup(y); });
  for (Operation *op : from.ops)
    home[op] = a;
  if (!into.segment)
    into.segment = from.segment;
  from.alive = false;
  from.ops.clear();
  return Merge::done;
}

void Fusion::joinProducers(unsigned cluster) {
  if (clusters[cluster].root)
    return;
  llvm::SetVector<Value> from;
  for (Operation *op : clusters[cluster].ops)
    sources(op, from);
  SmallVector<Value> values(from.begin(), from.end());
  // The largest value first, since it saves the most memory traffic.
  llvm::sort(values, [&](Value a, Value b) {
    double sizeA = elementsOf(a), sizeB = elementsOf(b);
    if (sizeA != sizeB)
      return sizeA > sizeB;
    return index.lookup(a.getDefiningOp()) < index.lookup(b.getDefiningOp());
  });
  unsigned current = cluster, refusals = 0;
  for (Value value : values) {
    int producer = clusterOf(value);
    if (producer < 0 || refusals == maxRefusals)
      continue;
    Merge merge = tryMerge(producer, current, value);
    refusals += merge == Merge::refused;
    if (merge == Merge::done)
      current = producer;
  }
  // What is dropped is often one loop with its mask by now, which the epilogue of the product before it takes as a whole.
  if (clusters[current].root ||
      llvm::none_of(clusters[current].ops, [&](Operation *op) { return isRowDraw(op); }))
    return;
  from.clear();
  for (Operation *op : clusters[current].ops)
    sources(op, from);
  for (Value value : from)
    if (int producer = clusterOf(value);
        producer >= 0 && clusters[producer].root && tryMerge(producer, current, value) == Merge::done)
      return;
}

void Fusion::joinSiblings() {
  for (Operation &op : entry.getBody().front())
    for (Value value : op.getResults()) {
      if (isFree(&op))
        continue;
      // Readers behind a barrier are clones in another segment, and are not merged with the others.
      llvm::SetVector<Operation *> users;
      readers(value, users, /*throughBarriers=*/false);
      llvm::SetVector<unsigned> loops;
      for (Operation *user : users)
        if (auto found = home.find(user); found != home.end() && !clusters[found->second].root)
          loops.insert(found->second);
      joinReaders(value, loops.getArrayRef());
    }
}

/// Merges pairs of loops that read the value, in the given order.
void Fusion::joinReaders(Value value, ArrayRef<unsigned> loops) {
  if (loops.size() < 2)
    return;
  const double size = elementsOf(value);
  const bool scalar = cast<RankedTensorType>(value.getType()).getRank() == 0;
  // Only loops of the same purpose are compared in pairs.
  std::map<Purpose, SmallVector<unsigned>> alike;
  SmallVector<std::pair<Purpose, size_t>> places;
  for (unsigned loop : loops) {
    const Purpose purpose = purposeOf(clusters[loop]);
    if (purpose == Purpose::update && scalar)
      continue;
    if (size < costs.smallValue) {
      measure(clusters[loop]);
      if (*clusters[loop].work >= costs.smallWork)
        continue;
    }
    places.push_back({purpose, alike[purpose].size()});
    alike[purpose].push_back(loop);
  }
  for (auto [purpose, place] : places) {
    const SmallVector<unsigned> &others = alike[purpose];
    const unsigned into = others[place];
    unsigned refusals = 0;
    for (size_t j = place + 1; j < others.size() && refusals < maxRefusals; ++j) {
      const unsigned from = others[j];
      if (!clusters[into].alive || clusters[into].ops.size() == costs.maxOps)
        break;
      if (!clusters[from].alive || refused.contains({into, from}))
        continue;
      if (tryMerge(into, from, value) == Merge::refused) {
        refused.insert({into, from});
        ++refusals;
      }
    }
  }
}

// Splits a reduction over images and pixels into one over the pixels, which can be fused with other loops
// over images, and one over the images.
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

// Moves gathers of rows in front of the first op that reads them, where they can be one loop with it. The table is in memory
// meanwhile, in place of the rows.
static void sinkGathers(Block &block) {
  for (auto gather : llvm::make_early_inc_range(llvm::reverse(block.getOps<flow::GatherOp>()))) {
    Value table = gather.getTable();
    if (!table.hasOneUse() || gather->use_empty() || isFreeKind(table.getDefiningOp()) ||
        flow::bytesOf(table.getType()) != flow::bytesOf(gather.getType()))
      continue;
    Operation *first = *gather->user_begin();
    for (Operation *user : gather->getUsers())
      first = user->isBeforeInBlock(first) ? user : first;
    gather->moveBefore(first);
  }
}

// Prepares the entry for fusion: erases identities but barriers, splits reductions, erases dead ops, gives loops gathers of their
// own of rows that products load, and copies views that a loop could not read otherwise (PrivateViews.h).
void Fusion::normalise() {
  Block &block = entry.getBody().front();
  dropIdentities(block, [](Operation *op) { return isIdentity(op) && !isa<flow::BarrierOp>(op); });
  for (flow::ReduceOp reduce : llvm::make_early_inc_range(block.getOps<flow::ReduceOp>()))
    splitReduction(reduce);
  llvm::StringSet<> assigned = flow::assignedPaths(block);
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (flow::isDead(&op, assigned))
      op.erase();
  copyRowLoads();
  sinkGathers(block);
  SmallVector<Operation *> loops;
  for (Operation &op : block)
    if (!isFreeKind(&op) && !isRoot(&op) && !isBoundary(&op))
      loops.push_back(&op);
  makeViewsPrivate(loops, isFreeKind);
}

Operation *behindReshapes(Value value) {
  Operation *maker = value.getDefiningOp();
  while (isa<flow::ReshapeOp, flow::BarrierOp, flow::SkippableOp>(maker))
    maker = maker->getOperand(0).getDefiningOp();
  return maker;
}

/// Clones the free op that makes a value, with the reshapes and barriers between them; returns the clone's
/// value.
Value Fusion::ownView(Value value, llvm::DenseMap<Value, Value> &copies) {
  if (Value known = copies.lookup(value))
    return known;
  Operation *op = value.getDefiningOp();
  OpBuilder builder(op->getContext());
  builder.setInsertionPointAfter(op);
  IRMapping mapping;
  if (isa<flow::ReshapeOp, flow::BarrierOp>(op))
    mapping.map(op->getOperand(0), ownView(op->getOperand(0), copies));
  Operation *copy = builder.clone(*op, mapping);
  return copies[value] = copy->getResult(0);
}

// Chooses the ops of a free kind that are stored to memory nevertheless.
void Fusion::keepInMemory() {
  Block &block = entry.getBody().front();
  // A reshape of computed values that are then broadcast to many elements: an epilogue can read it from
  // memory, but cannot contain it.
  for (flow::ReshapeOp view : block.getOps<flow::ReshapeOp>()) {
    if (flow::windowsBehind(view.getY())) // more than what the windows are of
      continue;
    llvm::SetVector<Value> from;
    sources(view, from);
    bool computed = llvm::any_of(from, [](Value value) { return !isBoundary(value.getDefiningOp()); });
    bool spread = llvm::any_of(view->getUsers(), [&](Operation *user) {
      while (isa<flow::BarrierOp>(user) && user->hasOneUse())
        user = *user->user_begin();
      return isa<flow::BroadcastOp>(user) &&
             elementsOf(user->getResult(0)) >= costs.broadcastFactor * elementsOf(view);
    });
    if (computed && spread)
      kept.insert(view);
  }
  for (Operation &op : block)
    if (isRoot(&op))
      for (Value operand : op.getOperands())
        if (Operation *maker = behindReshapes(operand); isFreeKind(maker))
          kept.insert(maker);
  // For a result of the entry that is a free op, a clone is stored; other ops still read the original for
  // free.
  llvm::DenseMap<Value, Value> copies;
  for (Operation &op : block) {
    if (!isResult(&op))
      continue;
    Operation *maker = behindReshapes(op.getOperand(0));
    if (!isFreeKind(maker) || kept.contains(maker))
      continue;
    op.setOperand(0, ownView(op.getOperand(0), copies));
  }
  for (Operation &op : block)
    if (isResult(&op))
      if (Operation *maker = behindReshapes(op.getOperand(0)); isFreeKind(maker))
        kept.insert(maker);
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isFreeKind(&op) && op.use_empty())
      op.erase();
}

void Fusion::number() {
  Block &block = entry.getBody().front();
  unsigned roots = 0;
  for (Operation &op : block) {
    // A recomputed contraction or convolution does not begin a segment: it belongs to the one that reads it.
    roots += flow::isProduct(&op) && !op.hasAttr(flow::recomputedName);
    segments[&op] = roots;
    index[&op] = index.size();
  }
  done.ops = index.size();
  forward = flow::forwardOps(block);
  updates = flow::opsLeadingTo<flow::AssignOp>(block);
  reports = flow::opsLeadingTo<flow::ExposeOp>(block);
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
    if (isRoot(op))
      cluster.root = op;
    if (isRoot(op) || isLarge(op))
      cluster.segment = segments.lookup(op);
    cluster.place = index.lookup(op);
    home[op] = i;
    llvm::SetVector<Value> from;
    sources(op, from);
    SmallVector<unsigned> producers;
    for (Value value : from)
      if (int producer = clusterOf(value); producer >= 0)
        producers.push_back(producer);
    needs.add(producers);
    // What makes the index of rows is too small for the epilogue that may draw their numbers.
    if (!isRowDraw(op))
      joinProducers(i);
  }
}

// Splits loops that are one kernel no more now that barriers are erased: two values that a barrier told apart are one,
// which may be read at several indices. The parts are contiguous in program order, so that splitting closes no cycle: a
// path from one part through another cluster to another part would have been a cycle before.
void Fusion::splitLoops() {
  for (unsigned i = 0; i < clusters.size(); ++i) { // parts are appended, and looked at in turn
    SmallVector<Operation *> ops = clusters[i].ops;
    if (!clusters[i].alive || clusters[i].root || ops.size() < 2 || analyse(ops))
      continue;
    Cluster rest = clusters[i];
    rest.ops.assign(ops.begin() + ops.size() / 2, ops.end());
    clusters[i].ops.truncate(ops.size() / 2);
    for (Operation *op : rest.ops)
      home[op] = clusters.size();
    clusters.push_back(std::move(rest));
    --i;
  }
}

LogicalResult Fusion::run() {
  normalise();
  markSkippable();
  keepInMemory();
  findRowLookups();
  findRowLoads();
  number();
  layouts = target.preferredLayouts(entry);
  makeClusters();
  joinSiblings();
  joinRecomputed();
  done.searchSteps = needs.steps();
  dropIdentities(entry.getBody().front(),
                 [](Operation *op) { return isIdentity(op) && !isa<flow::SkippableOp>(op); });
  splitLoops();
  return rebuild();
}

namespace {

struct FormGroups : PassWrapper<FormGroups, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FormGroups)
  FormGroups() = default;
  FormGroups(const FormGroups &other) : PassWrapper(other) {}
  explicit FormGroups(ArrayRef<std::string> names) { targets = names; }
  StringRef getArgument() const override { return "moe-form-groups"; }
  StringRef getDescription() const override { return "partition entries into groups that one kernel runs"; }

  void runOnOperation() override {
    for (flow::ProgramOp program : getOperation().getOps<flow::ProgramOp>())
      if (failed(form(program)))
        return signalPassFailure();
  }

  LogicalResult form(flow::ProgramOp program) {
    if (!program.getBody().getOps<flow::TargetOp>().empty())
      return program.emitOpError(
          "expected entries that no target has yet, found them inside of a flow.target");
    std::vector<std::string> names(targets.begin(), targets.end());
    if (names.empty())
      names.push_back(kernels::defaultTarget.str());
    SmallVector<flow::EntryOp> entries(program.getBody().getOps<flow::EntryOp>());
    OpBuilder builder = OpBuilder::atBlockEnd(&program.getBody().front());
    llvm::StringSet<> seen;
    for (const std::string &name : names) {
      std::string error;
      std::unique_ptr<kernels::Target> target = kernels::parseTarget(name, error);
      if (!target)
        return program.emitError() << error;
      if (!seen.insert(name).second)
        return program.emitError() << "expected each target once, found '" << name << "' again";
      auto own = flow::TargetOp::create(builder, program.getLoc(), name);
      for (flow::EntryOp entry : entries)
        own.getBody().front().push_back(entry->clone());
      if (failed(kernels::bindSymbols(own, target->symbols())))
        return failure();
      KnownLoops known;
      for (flow::EntryOp entry : own.getBody().getOps<flow::EntryOp>())
        if (failed(fuse(entry, *target, known)))
          return failure();
    }
    for (flow::EntryOp entry : entries)
      entry.erase();
    return success();
  }

  /// Replaces the ops for which the target has no kernel by those that compute them.
  static void decompose(flow::EntryOp entry, const kernels::Target &target) {
    for (Operation &op : llvm::make_early_inc_range(entry.getBody().front())) {
      auto compute = dyn_cast<flow::ComputeInterface>(op);
      if (!compute || !flow::isEmitter(&op) || !compute.decomposes() || target.emits(&op))
        continue;
      OpBuilder builder(&op);
      op.replaceAllUsesWith(compute.decompose(builder));
      op.erase();
    }
  }

  LogicalResult fuse(flow::EntryOp entry, const kernels::Target &target, KnownLoops &known) {
    decompose(entry, target);
    Fusion fusion(entry, target, known);
    if (failed(fusion.run()))
      return failure();
    const FusionWork work = fusion.work();
    if (reportWork)
      entry.emitRemark() << "fusion of '" << entry.getSymName() << "': " << work.ops << " ops, "
                         << work.analyses << " analyses of " << work.analysedOps << " ops, "
                         << work.searchSteps << " search steps";
    return success();
  }

  ListOption<std::string> targets{*this, "target",
                                  llvm::cl::desc("what the program is for: cpu, cpu:x86-64-v3, ...")};
  Option<bool> reportWork{*this, "report-work",
                          llvm::cl::desc("say for each entry what fusion took, counted in steps"),
                          llvm::cl::init(false)};
};
PassRegistration<FormGroups> registration;

} // namespace

std::unique_ptr<Pass> createFormGroupsPass(ArrayRef<std::string> targets) {
  return std::make_unique<FormGroups>(targets);
}

} // namespace moe
