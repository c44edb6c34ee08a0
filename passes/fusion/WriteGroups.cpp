// Writes the clusters of an entry as groups, in an order in which each follows those that make what it reads.
#include "mlir/IR/IRMapping.h"
#include "passes/fusion/Clusters.h"
#include "llvm/ADT/PriorityQueue.h"

using namespace mlir;

namespace moe {

/// The clusters that make what a cluster reads.
llvm::SetVector<unsigned> Fusion::neededBy(unsigned cluster) const {
  llvm::SetVector<unsigned> needed;
  for (Operation *op : clusters[cluster].ops) {
    llvm::SetVector<Value> from;
    sources(op, from);
    for (Value value : from)
      if (int maker = clusterOf(value); maker >= 0 && unsigned(maker) != cluster)
        needed.insert(maker);
  }
  return needed;
}

/// The clusters in the order of their places, but each behind the clusters that it depends on.
SmallVector<unsigned> Fusion::orderOfGroups() {
  SmallVector<unsigned> order, places;
  for (auto [i, cluster] : llvm::enumerate(clusters))
    if (cluster.alive)
      places.push_back(i);
  auto isLater = [&](unsigned a, unsigned b) { return clusters[a].place > clusters[b].place; };
  llvm::sort(places, [&](unsigned a, unsigned b) { return isLater(b, a); });
  llvm::DenseSet<unsigned> placed;
  for (unsigned goal : places) {
    if (placed.contains(goal))
      continue;
    // Orders the goal and all clusters that it depends on and that are not placed yet, by Kahn's algorithm;
    // of several that are ready, the one with the lowest place comes first.
    llvm::SetVector<unsigned> needed;
    llvm::DenseMap<unsigned, unsigned> missing;
    llvm::DenseMap<unsigned, SmallVector<unsigned>> users;
    llvm::PriorityQueue<unsigned, std::vector<unsigned>, decltype(isLater)> ready(isLater);
    needed.insert(goal);
    for (size_t i = 0; i < needed.size(); ++i) {
      const unsigned cluster = needed[i];
      for (unsigned other : neededBy(cluster))
        if (!placed.contains(other)) {
          needed.insert(other);
          users[other].push_back(cluster);
          ++missing[cluster];
        }
      if (!missing.contains(cluster))
        ready.push(cluster);
    }
    while (!ready.empty()) {
      const unsigned next = ready.top();
      ready.pop();
      order.push_back(next);
      placed.insert(next);
      for (unsigned user : users[next])
        if (--missing[user] == 0)
          ready.push(user);
    }
  }
  return order;
}

/// The cluster's ops in the order of its group, with the free ops that they read.
SmallVector<Operation *> Fusion::opsOf(const Cluster &cluster) const {
  if (!cluster.root)
    return withFree(cluster.ops);
  // The root's operands are in memory, so only the epilogue needs free ops, and what tells how the root loads them.
  SmallVector<Operation *> epilogue(
      llvm::make_filter_range(cluster.ops, [&](Operation *op) { return op != cluster.root; }));
  SmallVector<Operation *> ops = withFree(epilogue);
  ops.insert(ops.begin(), cluster.root);
  for (Value operand : cluster.root->getOperands()) {
    Operation *maker = operand.getDefiningOp();
    if (!isRootLoad(maker) || llvm::is_contained(ops, maker))
      continue;
    ops.insert(ops.begin(), maker);
    if (auto skippable = dyn_cast<flow::SkippableOp>(maker))
      ops.insert(ops.begin(), skippable.getLive().getDefiningOp());
  }
  return ops;
}

/// Writes a cluster as a group at the builder's insertion point. `memory` maps a value to its new value
/// outside of groups; the group's results are added to `outside`.
void Fusion::writeGroup(OpBuilder &builder, const Cluster &cluster, llvm::function_ref<Value(Value)> memory,
                        llvm::DenseMap<Value, Value> &outside) {
  const SmallVector<Operation *> ops = opsOf(cluster);
  llvm::SmallDenseSet<Operation *> members(ops.begin(), ops.end());
  llvm::SetVector<Value> inputs, outputs = outputsOf(cluster.ops);
  for (Operation *op : ops)
    for (Value operand : op->getOperands())
      if (!members.contains(operand.getDefiningOp()) ||
          (op == cluster.root && !isRootLoad(operand.getDefiningOp())))
        inputs.insert(operand);
  SmallVector<Value> operands;
  for (Value input : inputs)
    operands.push_back(memory(input));
  SmallVector<Type> types;
  for (Value output : outputs)
    types.push_back(output.getType());
  Operation *main = cluster.root ? cluster.root : cluster.ops.front();
  auto group = flow::GroupOp::create(builder, main->getLoc(), types, operands);
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
    if (kernels::Layout layout = layouts.lookup(output); !layout.empty())
      kernels::setPhysicalLayout(cast<OpResult>(result), layout);
  }
}

LogicalResult Fusion::rebuild() {
  Block &block = entry.getBody().front();
  SmallVector<Operation *> old, results;
  for (Operation &op : block) {
    if (isResult(&op))
      results.push_back(&op);
    else if (!isBoundary(&op))
      old.push_back(&op);
  }
  const SmallVector<unsigned> order = orderOfGroups();
  if (order.size() != size_t(llvm::count_if(clusters, [](const Cluster &c) { return c.alive; })))
    return entry.emitError("internal: groups form a cycle; report this with the model");
  OpBuilder builder(entry.getContext());
  builder.setInsertionPointToEnd(&block);
  llvm::DenseMap<Value, Value> outside; // from an old value to its new value outside of groups
  for (Operation &op : block)
    if (isBoundary(&op))
      for (Value value : op.getResults())
        outside[value] = value;
  // The new value outside of groups: a boundary value, a group's result, or a reshape of one.
  std::function<Value(Value)> memory = [&](Value value) -> Value {
    if (Value known = outside.lookup(value))
      return known;
    auto reshape = llvm::cast<flow::ReshapeOp>(value.getDefiningOp());
    Value from = memory(reshape.getX());
    Value made = flow::ReshapeOp::create(builder, value.getLoc(), value.getType(), from);
    return outside[value] = made;
  };
  for (unsigned i : order)
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
} // namespace moe
