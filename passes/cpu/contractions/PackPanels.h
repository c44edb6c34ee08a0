// Copies that bring an operand into the order in which the register tile reads it: panels of B,
// [step][columns of a panel], and strips of A, [step][rows of a tile]. Where the source has the steps side by
// side, squares of vectors are transposed in registers. What a panel has beyond the last column is a copy of
// real values or zero; it is never stored.
#pragma once
#include "passes/cpu/micro/MicroCode.h"
#include <functional>

namespace moe::cpu {

/// A matrix in memory, steps by lanes (columns of B or rows of A), at any distances.
struct PackSource {
  mlir::Value pointer;
  Ix laneStride;
  Ix lanes;                              ///< how many there are; what lies beyond is not read
  std::function<Ix(Ix step)> stepOffset; ///< the batch's offset included
  bool unitSteps = false;                ///< neighbouring steps lie side by side
};

/// Writes steps [first, first + count) of lanes [lane, lane + width) to `target` + `offset` as rows of
/// `width`. `width` is a multiple of the vector's lanes. `place` gives the row of the target that a step goes
/// to; without it steps lie in their own order.
void emitPackPanel(MicroCode &code, const PackSource &source, Ix lane, int width, Ix first, Ix count,
                   mlir::Value target, Ix offset, llvm::function_ref<Ix(Ix)> place = {});

/// Writes the same steps of lanes [lane, end) as strips of `width` lanes, `stripStride` apart, each
/// [step][width]. Some steps are taken together before the next strip: neighbouring strips share cache lines
/// of the source, whose steps may lie a multiple of a page apart. Missing lanes of the last strip are zero.
void emitPackStrips(MicroCode &code, const PackSource &source, Ix lane, Ix end, int width, Ix first, Ix count,
                    mlir::Value target, Ix offset, Ix stripStride);

} // namespace moe::cpu
