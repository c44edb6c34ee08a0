// What the epilogue of a contraction or convolution takes: which ops of a cluster of loops can be merged with a root, and which
// gathers are as free there as broadcasts are.
#include "passes/fusion/Clusters.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;

namespace moe {

// Whether an epilogue can contain the op for free. Barriers are erased when groups are written.
static bool isFreeInEpilogue(Operation *op) {
  if (auto number = dyn_cast<flow::NumberInterface>(op))
    return number.number().value.has_value();
  if (isa<flow::BarrierOp>(op))
    return true;
  // Broadcasts, but no transposes; reshapes of a root's operands are outside of groups.
  std::optional<SmallVector<int64_t>> axes = flow::axesOfView(op);
  if (!axes || isa<flow::ReshapeOp>(op))
    return false;
  llvm::erase(*axes, -1);
  return llvm::is_sorted(*axes);
}

bool Fusion::readsMore(const Cluster &root, const Cluster &loop) const {
  llvm::SetVector<Value> now, added;
  for (Operation *op : root.ops)
    if (op != root.root)
      sources(op, now);
  for (Operation *op : loop.ops)
    sources(op, added);
  const double size = elementsOf(root.root->getResult(0));
  return llvm::any_of(added, [&](Value value) {
    Operation *maker = value.getDefiningOp();
    return elementsOf(value) >= size && !now.contains(value) && !llvm::is_contained(root.ops, maker) &&
           !llvm::is_contained(loop.ops, maker);
  });
}

bool Fusion::isRowDraw(Operation *op) const {
  auto random = dyn_cast<flow::RandomOp>(op);
  return random && random.getIndex() && random.getKind() == flow::RandomKind::uniform &&
         cast<RankedTensorType>(random.getIndex().getType()).getRank() == 1 &&
         !isFreeKind(behindReshapes(random.getIndex())); // it is read from memory
}

bool Fusion::fitsEpilogue(const Cluster &root, const Cluster &loop) const {
  const kernels::EpilogueItems items = target.epilogueOf(root.root);
  auto shape = llvm::cast<RankedTensorType>(root.root->getResult(0).getType());
  for (Operation *op : loop.ops) {
    auto type = llvm::cast<RankedTensorType>(op->getResult(0).getType());
    if (auto product = dyn_cast<flow::GroupedContractOp>(root.root);
        isRowDraw(op) &&
        !(items.draws && product && product.getOutAxes().front() == int64_t(product.getRow())))
      return false;
    if (!(op->hasTrait<flow::Elementwise>() || isRowDraw(op)) ||
        flow::withElement(type, shape.getElementType()) != shape)
      return false;
  }
  for (Operation *op : withFree(loop.ops))
    if (!llvm::is_contained(loop.ops, op) &&
        !(rowLookups.contains(op) && isa<flow::GroupedContractOp>(root.root)) &&
        (!isFreeInEpilogue(op) || (flow::axesOfView(op) && !items.broadcasts)))
      return false;
  SmallVector<Operation *> ops(root.ops);
  ops.append(loop.ops);
  auto staysInside = [&](Value value) { return !items.element(value.getType()); };
  llvm::SmallDenseSet<Operation *> members(ops.begin(), ops.end());
  for (Operation *op : withFree(loop.ops))
    if (!rowLookups.contains(op) && !isRowDraw(op) && llvm::any_of(op->getOperands(), [&](Value operand) {
          Operation *maker = operand.getDefiningOp();
          return staysInside(operand) && !members.contains(maker) && !isFree(maker);
        }))
      return false;
  if (llvm::any_of(outputsOf(ops), staysInside))
    return false;
  auto bytes = [&](ArrayRef<Operation *> of) {
    double sum = 0;
    for (Value output : outputsOf(of))
      sum += elementsOf(output) * double(flow::storageBytes(output.getType()));
    return sum;
  };
  // Another result as large as the root's pays where it saves reading that again, but not where the epilogue reads
  // more for it: a loop could do that as well.
  const double stored = bytes(ops) / bytes({root.root});
  if (stored > items.stores || (stored > kernels::kWithMasks && readsMore(root, loop)))
    return false;
  // The epilogue can only broadcast operands from outside the group: a tile has no elements but its own.
  llvm::SmallDenseSet<Operation *> inside(root.ops.begin(), root.ops.end());
  inside.insert(loop.ops.begin(), loop.ops.end());
  for (Operation *op : withFree(loop.ops)) {
    if (!flow::axesOfView(op) && !rowLookups.contains(op))
      continue;
    for (Value operand : op->getOperands()) {
      Operation *maker = operand.getDefiningOp();
      while (isa_and_nonnull<flow::BarrierOp>(maker))
        maker = maker->getOperand(0).getDefiningOp();
      if (maker && inside.contains(maker))
        return false;
    }
  }
  // The group stores an additional result only if it is needed in memory: by another root, by a result of the
  // entry, or in another segment.
  SmallVector<Operation *> merged(inside.begin(), inside.end());
  llvm::SetVector<Value> results = outputsOf(merged);
  if (results.size() <= outputsOf(root.ops).size())
    return true;
  unsigned segment = segments.lookup(root.root);
  return llvm::all_of(results, [&](Value value) {
    llvm::SetVector<Operation *> users;
    readers(value, users);
    return value == root.root->getResult(0) || llvm::any_of(users, [&](Operation *user) {
             return isRoot(user) || isBoundary(user) || segments.lookup(user) != segment;
           });
  });
}

// What rematerialisation computes again for one product, the epilogue of a neighbouring one often has in registers: that
// of the product which gives the gradient of gelu reads what gelu is of, for its slope. Such an epilogue stores it as well, in place of a loop.
// The products are so near each other that hardly more is in memory at once.
void Fusion::joinRecomputed() {
  constexpr int64_t kNear = 2; // the product that reads what is computed again may be the one between
  auto isRecomputed = [](const Cluster &loop) {
    return llvm::any_of(loop.ops, [](Operation *op) {
      return llvm::any_of(op->getOperands(),
                          [](Value operand) { return operand.getDefiningOp<flow::BarrierOp>(); });
    });
  };
  for (auto [number, cluster] : llvm::enumerate(clusters)) {
    if (!cluster.alive || !cluster.root || purposeOf(cluster) != Purpose::backward)
      continue;
    llvm::SetVector<Value> read;
    for (Operation *op : cluster.ops)
      if (op != cluster.root)
        sources(op, read);
    for (Value value : read) {
      if (elementsOf(value) < elementsOf(cluster.root->getResult(0)))
        continue;
      llvm::SetVector<Operation *> users;
      readers(value, users);
      for (Operation *user : users) {
        auto found = home.find(user);
        if (found == home.end() || found->second == number)
          continue;
        const Cluster &loop = clusters[found->second];
        if (!loop.root && loop.segment && isRecomputed(loop) &&
            std::abs(int64_t(*loop.segment) - int64_t(*cluster.segment)) <= kNear)
          tryMerge(number, found->second, value, /*acrossSegments=*/true);
      }
    }
  }
}

// Finds the gathers of a row of a small table for each row, as that of a bias for each expert, whose values are only used
// with the result of a grouped contraction. They are as free as broadcasts are: the table stays in the cache.
void Fusion::findRowLookups() {
  auto makerOf = [](Value value) {
    Operation *maker = value.getDefiningOp();
    while (isa_and_nonnull<flow::BarrierOp>(maker))
      maker = maker->getOperand(0).getDefiningOp();
    return maker;
  };
  auto isRowOf = [&](flow::GatherOp gather, Operation *user) {
    return user->hasTrait<flow::Elementwise>() && llvm::any_of(user->getOperands(), [&](Value operand) {
             auto product = dyn_cast_if_present<flow::GroupedContractOp>(makerOf(operand));
             return product && product.getOutAxes().front() == int64_t(product.getRow());
           });
  };
  auto inMemory = [&](Value value) {
    Operation *maker = value.getDefiningOp();
    return maker && !isFreeKind(maker);
  };
  for (auto gather : entry.getBody().getOps<flow::GatherOp>())
    if (cast<RankedTensorType>(gather.getIndex().getType()).getRank() == 1 && inMemory(gather.getTable()) &&
        inMemory(gather.getIndex()) && getElementTypeOrSelf(gather.getType()).isF32() &&
        elementsOf(gather.getTable()) < elementsOf(gather.getY()) && !gather->use_empty() &&
        llvm::all_of(gather->getUsers(), [&](Operation *user) { return isRowOf(gather, user); }))
      rowLookups.insert(gather);
}

// Where loops read gathered rows as grouped contractions do, each loop gets a gather of its own, which costs it no more than
// reading stored rows. So the products may read the rows where they are, and nothing stores them.
void Fusion::copyRowLoads() {
  if (!target.loadsRows())
    return;
  auto isProductRead = [](Operation *user) { return isa<flow::GroupedContractOp, flow::BarrierOp>(user); };
  for (auto gather : llvm::make_early_inc_range(entry.getBody().getOps<flow::GatherOp>())) {
    SmallVector<OpOperand *> others;
    for (OpOperand &use : gather->getUses())
      if (!isProductRead(use.getOwner()))
        others.push_back(&use);
    if (others.empty() || llvm::none_of(gather->getUsers(), isProductRead) ||
        llvm::any_of(others, [](OpOperand *use) {
          return isRoot(use->getOwner()) || isBoundary(use->getOwner()) || isFreeKind(use->getOwner());
        }))
      continue;
    llvm::MapVector<Operation *, Operation *> copies;
    for (OpOperand *use : others) {
      Operation *&copy = copies[use->getOwner()];
      if (!copy)
        copy = OpBuilder(use->getOwner()).clone(*gather);
      use->set(copy->getResult(0));
    }
    if (flow::isRowLoad(gather))
      continue;
    for (auto [user, copy] : copies) { // the products need the rows in memory, and so loops read them there
      copy->getResult(0).replaceAllUsesWith(gather.getY());
      copy->erase();
    }
  }
}

// Finds the gathers of rows that only grouped contractions read, as dispatched rows. Their tables are in memory, so that the
// products read the rows where they are.
void Fusion::findRowLoads() {
  if (!target.loadsRows())
    return;
  for (auto gather : entry.getBody().getOps<flow::GatherOp>()) {
    // A product reads one of its operands so.
    auto other = [&](Operation *user) {
      return llvm::count(user->getOperands(), gather.getY()) > 1 ||
             llvm::any_of(user->getOperands(), [&](Value operand) {
               Operation *maker = behindReshapes(operand);
               return maker != gather && rowLoads.contains(maker);
             });
    };
    if (!flow::isRowLoad(gather) || llvm::any_of(gather->getUsers(), other))
      continue;
    rowLoads.insert(gather);
    for (Value operand : {gather.getTable(), gather.getIndex()})
      if (Operation *maker = behindReshapes(operand); isFreeKind(maker))
        kept.insert(maker);
  }
}

} // namespace moe
