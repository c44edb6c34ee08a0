// Packing: copies of an operand in the order in which the register tile reads it. Panels of B are
// [step][columns of a panel], strips of A are [step][rows of a tile]. If steps are contiguous in the source,
// square blocks are transposed in registers. Beyond the last column, a panel holds copies of other values or
// zeros; results computed from them are never stored.
#pragma once
#include "passes/cpu/micro/MicroCode.h"
#include <functional>

namespace moe::cpu {

/// A matrix in memory, steps by lanes (columns of B or rows of A), with any strides.
struct PackSource {
  mlir::Value pointer;
  Ix laneStride;
  Ix lanes;                              ///< the number of lanes; nothing beyond is read
  std::function<Ix(Ix step)> stepOffset; ///< with the offset of the batch index
  bool unitSteps = false;                ///< steps are contiguous
  std::function<mlir::Value(Ix step)> exists =
      {}; ///< a condition: otherwise the step is read as zeros; null: always
};

/// Writes steps [first, first + count) of lanes [lane, lane + width) to `target` + `offset` as rows of
/// `width`. `width` is a multiple of the vector's lanes. `place`, if given, maps a step to its row of the
/// target; otherwise the steps keep their order.
void emitPackPanel(MicroCode &code, const PackSource &source, Ix lane, int width, Ix first, Ix count,
                   mlir::Value target, Ix offset, llvm::function_ref<Ix(Ix)> place = {});

/// Writes the same steps of lanes [lane, end) as strips of `width` lanes, each [step][width], with the stride
/// `stripStride`. A few steps are copied for all strips before the next steps: neighbouring strips share
/// cache lines of the source, and these could be evicted if the stride of steps is a multiple of a page.
/// Missing lanes of the last strip are zero.
void emitPackStrips(MicroCode &code, const PackSource &source, Ix lane, Ix end, int width, Ix first, Ix count,
                    mlir::Value target, Ix offset, Ix stripStride);

} // namespace moe::cpu
