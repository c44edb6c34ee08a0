// Emits the packing loops; see PackPanels.h.
#include "passes/cpu/PackPanels.h"

using namespace mlir;

namespace moe::cpu {

void emitPackPanel(MicroCode &code, const PackSource &source, Ix lane, int width, Ix first, Ix count, Value target,
                   Ix offset, llvm::function_ref<Ix(Ix)> place) {
  const int n = code.lanes;
  auto rowAt = [&](Ix step) { return code.add(offset, code.mul(place ? place(step) : step, width)); };
  // Whether every panel is whole is known where the lanes' number is.
  bool whole = source.lanes.isStatic() && source.lanes.known() % width == 0;
  auto row = [&](Ix step) {
    Ix from = code.add(source.stepOffset(code.add(first, step)), code.mul(lane, source.laneStride));
    for (int j = 0; j < width; j += n) {
      Value mask = whole ? Value() : code.firstLanes(code.sub(source.lanes, code.add(lane, j)));
      Value values = code.loadStrided(source.pointer, code.add(from, code.mul(source.laneStride, j)),
                                      source.laneStride, mask);
      code.store(values, target, code.add(rowAt(step), j));
    }
  };
  Ix done = 0;
  if (source.unitSteps && !source.laneStride.is(1)) {
    done = code.mul(code.div(count, n), n);
    code.loop(0, done, n, [&](Ix step) {
      Ix steps = source.stepOffset(code.add(first, step));
      for (int j = 0; j < width; j += n) {
        Values square;
        for (int i = 0; i < n; ++i) {
          Ix column = code.add(lane, j + i);
          if (!whole)
            column = code.min(column, code.sub(source.lanes, 1));
          square.push_back(code.load(source.pointer, code.add(steps, code.mul(column, source.laneStride))));
        }
        square = code.transpose(square);
        for (int i = 0; i < n; ++i)
          code.store(square[i], target, code.add(rowAt(code.add(step, i)), j));
      }
    });
  }
  code.loop(done, count, 1, row);
}

void emitPackStrip(MicroCode &code, const PackSource &source, Ix lane, int width, Ix first, Ix count, Value target,
                   Ix offset) {
  const int n = code.lanes;
  Ix left = code.sub(source.lanes, lane);
  Values masks;
  for (int j = 0; j < width; j += n)
    masks.push_back(code.firstLanes(code.sub(code.min(left, width), j)));
  if (source.unitSteps && !source.laneStride.is(1)) {
    // Lanes far apart, steps side by side: each lane is a run of its own; missing lanes repeat the last.
    code.loop(0, count, 1, [&](Ix step) {
      Ix from = source.stepOffset(code.add(first, step));
      for (int i = 0; i < width; ++i) {
        Ix at = code.min(code.add(lane, i), code.sub(source.lanes, 1));
        Value element = code.loadScalar(source.pointer, code.add(from, code.mul(at, source.laneStride)));
        code.storeScalar(element, target, code.add(offset, code.add(code.mul(step, width), i)));
      }
    });
    return;
  }
  code.loop(0, count, 1, [&](Ix step) {
    Ix from = code.add(source.stepOffset(code.add(first, step)), code.mul(lane, source.laneStride));
    for (auto [j, mask] : llvm::enumerate(masks)) {
      Ix at = code.add(from, code.mul(source.laneStride, int64_t(j) * n));
      Value values = code.loadStrided(source.pointer, at, source.laneStride, mask);
      code.store(values, target, code.add(offset, code.add(code.mul(step, width), int64_t(j) * n)));
    }
  });
}

} // namespace moe::cpu
