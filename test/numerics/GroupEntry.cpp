// Grouping an entry and filling its buffers; see GroupEntry.h.
#include "test/numerics/GroupEntry.h"
#include "mlir/IR/Builders.h"
#include "passes/cpu/loops/LoopAnalysis.h"
#include "passes/cuda/loops/LoopSchedule.h"
#include "llvm/ADT/SetVector.h"

namespace moe::test {

static bool isBoundary(mlir::Operation &op) {
  return llvm::isa<flow::InputOp, flow::ParameterOp, flow::StateOp, flow::OutputOp>(op);
}

void groupAll(flow::EntryOp entry) {
  mlir::Block &block = entry.getBody().front();
  std::vector<mlir::Operation *> ops;
  llvm::SetVector<mlir::Value> inputs, outputs;
  for (mlir::Operation &op : block)
    if (!isBoundary(op))
      ops.push_back(&op);
  for (mlir::Operation *op : ops)
    for (mlir::Value operand : op->getOperands())
      if (isBoundary(*operand.getDefiningOp()))
        inputs.insert(operand);
  std::vector<mlir::Type> types;
  for (flow::OutputOp output : entry.getBody().getOps<flow::OutputOp>())
    outputs.insert(output.getX());
  for (mlir::Value value : outputs)
    types.push_back(value.getType());
  mlir::OpBuilder builder(entry.getContext());
  builder.setInsertionPointAfter(ops.back());
  auto group = flow::GroupOp::create(builder, entry.getLoc(), types, inputs.getArrayRef());
  mlir::Block &body = group.getBody().emplaceBlock();
  for (mlir::Operation *op : ops)
    op->moveBefore(&body, body.end());
  builder.setInsertionPointToEnd(&body);
  flow::YieldOp::create(builder, entry.getLoc(), outputs.getArrayRef());
  for (mlir::Value input : inputs.takeVector()) {
    mlir::Value argument = body.addArgument(input.getType(), input.getLoc());
    input.replaceUsesWithIf(argument,
                            [&](mlir::OpOperand &use) { return use.getOwner()->getBlock() == &body; });
  }
  llvm::SmallVector<mlir::Value> left = outputs.takeVector();
  for (auto [output, result] : llvm::zip(left, group.getResults()))
    output.replaceUsesWithIf(result,
                             [&](mlir::OpOperand &use) { return use.getOwner()->getBlock() == &block; });
  llvm::SmallVector<flow::OutputOp> last(entry.getBody().getOps<flow::OutputOp>());
  for (flow::OutputOp output : last)
    output->moveBefore(&block, block.end());
}

bool isOneKernel(flow::GroupOp group, const cpu::GroupLayouts &layouts, const Machine &machine) {
  cpu::LoopSource source;
  mlir::Block &body = group.getBody().front();
  for (mlir::Operation &op : body.without_terminator())
    source.ops.push_back(&op);
  source.outputs.assign(body.getTerminator()->operand_begin(), body.getTerminator()->operand_end());
  auto layoutOf = [&](mlir::Value value) {
    if (auto argument = llvm::dyn_cast<mlir::BlockArgument>(value))
      return layouts.operand(argument.getArgNumber());
    return layouts.result(llvm::find(source.outputs, value) - source.outputs.begin());
  };
  source.layout = layoutOf;
  source.batch = flow::plannedBatch(group);
  if (std::holds_alternative<cuda::CudaTarget>(machine))
    return cuda::LoopSchedule::run(source).has_value();
  return llvm::all_of(levels(), [&](const host::CpuTarget &target) {
    return cpu::LoopAnalysis::run(source, target).has_value();
  });
}

std::vector<int64_t> physicalOrder(llvm::ArrayRef<int64_t> shape, const cpu::Layout &layout) {
  int64_t count = 1;
  std::vector<int64_t> stride(shape.size());
  for (size_t axis = shape.size(); axis-- > 0; count *= shape[axis])
    stride[axis] = count;
  std::vector<int64_t> order(count);
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, at = i;
    if (!layout.empty()) {
      at = 0;
      for (size_t place = shape.size(); place-- > 0; rest /= shape[layout[place]])
        at += rest % shape[layout[place]] * stride[layout[place]];
    }
    order[i] = at;
  }
  return order;
}

void fill(Memory &memory, mlir::Type element, const flow::Array &values, llvm::ArrayRef<int64_t> order) {
  for (size_t i = 0; i < order.size(); ++i) {
    double value = values.data[order[i]];
    if (element.isF32())
      static_cast<float *>(memory.data)[i] = float(value);
    else if (element.isInteger(1))
      static_cast<uint8_t *>(memory.data)[i] = value != 0;
    else
      static_cast<int32_t *>(memory.data)[i] = int32_t(value);
  }
}

double read(const Memory &memory, mlir::Type element, size_t i) {
  if (element.isF32())
    return static_cast<const float *>(memory.data)[i];
  if (element.isInteger(1))
    return static_cast<const uint8_t *>(memory.data)[i];
  return static_cast<const int32_t *>(memory.data)[i];
}

} // namespace moe::test
