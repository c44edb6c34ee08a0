// Copies views that an op reads at several indices; see PrivateViews.h.
#include "passes/fusion/PrivateViews.h"
#include "mlir/IR/IRMapping.h"
#include "passes/kernels/LoopClasses.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace moe {
namespace {

using IsFree = llvm::function_ref<bool(Operation *)>;

/// The op and the free ops that it reads, operands before users.
SmallVector<Operation *> withFree(Operation *op, IsFree isFree) {
  llvm::SetVector<Operation *> all;
  all.insert(op);
  for (size_t i = 0; i < all.size(); ++i)
    for (Value operand : all[i]->getOperands())
      if (Operation *from = operand.getDefiningOp(); from && isFree(from))
        all.insert(from);
  SmallVector<Operation *> sorted(all.begin(), all.end());
  llvm::sort(sorted, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return sorted;
}

/// Whether one of the ops has several uses among them. Otherwise each has one index, and no copy is needed.
bool shares(ArrayRef<Operation *> ops) {
  llvm::SmallDenseSet<Value> used;
  for (Operation *op : ops)
    for (Value operand : op->getOperands())
      if (llvm::is_contained(ops, operand.getDefiningOp()) && !used.insert(operand).second)
        return true;
  return false;
}

void copyOperands(Operation *op, IsFree isFree) {
  for (OpOperand &operand : op->getOpOperands()) {
    Operation *from = operand.get().getDefiningOp();
    if (!from || !isFree(from) || isa<flow::NumberInterface>(from)) // a number is the same at all indices
      continue;
    Operation *copy = OpBuilder(op).clone(*from);
    copyOperands(copy, isFree);
    operand.set(copy->getResult(0));
  }
}
} // namespace

void makeViewsPrivate(ArrayRef<Operation *> readers, IsFree isFree) {
  for (Operation *op : readers) {
    const SmallVector<Operation *> ops = withFree(op, isFree);
    std::string why;
    if (!shares(ops) || succeeded(kernels::LoopClasses().find(ops, why)))
      continue;
    copyOperands(op, isFree);
    for (Operation *view : llvm::reverse(ops))
      if (view != op && view->use_empty())
        view->erase();
  }
}

} // namespace moe
