// Decides where the values of a loop group's kernel are stored: operands, results, partial results of a split
// reduction, and scratch for values that one nest passes to another; and which results may be written to an
// operand's buffer. See LoopKernel.h.
#include "passes/cpu/loops/LoopKernel.h"

using namespace mlir;

namespace moe::cpu {

void LoopKernel::bindBuffers(GroupCode &code) {
  bindOperands();
  bindResults();
  if (part != whole)
    bindPartials(code);
  // Stages that are no results are in the thread's scratch, with the vectorised dimension innermost.
  for (const LoopStage &stage : a.stages) {
    if (targets.count(stage.value) || part == partial)
      continue;
    SmallVector<unsigned> own;
    for (unsigned d : stage.dims)
      if (!llvm::is_contained(schedule.units, d) || isVectorChunk(d))
        own.push_back(d);
    if (own.empty())
      continue;
    auto length = [&](unsigned d) {
      return isVectorChunk(d) ? schedule.chunk : *a.dims[d].extent.constantValue();
    };
    int64_t elements = 1;
    for (unsigned d : own)
      elements *= length(d);
    auto type = cast<RankedTensorType>(stage.value.getType());
    Storage storage;
    storage.pointer = kernel.scratch(elements, flow::elementTypesOf(type).storage);
    storage.element = type.getElementType();
    storage.strides.assign(type.getRank(), k.i64(0));
    storage.scratch = true;
    if (auto *found = llvm::find(own, unsigned(a.nests[stage.nest].vector)); found != own.end())
      std::rotate(found, found + 1, own.end());
    int64_t stride = 1;
    for (unsigned d : llvm::reverse(own)) {
      for (int64_t axis = 0; axis < type.getRank(); ++axis)
        if (a.classOf(stage.value, axis) != LoopAnalysis::none &&
            a.classOf(stage.value, axis) == a.dims[d].classes.back())
          storage.strides[axis] = k.i64(stride);
      if (isVectorChunk(d))
        chunkStride[stage.value] = stride;
      stride *= length(d);
    }
    targets[stage.value] = storage;
  }
}

} // namespace moe::cpu
