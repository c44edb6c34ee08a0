// Emits the packing loops; see PackPanels.h.
#include "passes/cpu/contractions/PackPanels.h"

using namespace mlir;

namespace moe::cpu {

void emitPackPanel(MicroCode &code, const PackSource &source, Ix lane, int width, Ix first, Ix count,
                   Value target, Ix offset, llvm::function_ref<Ix(Ix)> place) {
  const int n = code.lanes;
  auto orZeros = [&](Value values, Value exists) {
    return exists ? code.pick(exists, values, code.zero()) : values;
  };
  auto rowAt = [&](Ix step) { return code.add(offset, code.mul(place ? place(step) : step, width)); };
  // Whether all panels are complete, which is known if the number of lanes is.
  bool whole = source.lanes.isStatic() && source.lanes.known() % width == 0;
  auto row = [&](Ix step) {
    Value exists = source.exists ? source.exists(code.add(first, step)) : Value();
    Ix from = code.add(source.stepOffset(code.add(first, step)), code.mul(lane, source.laneStride));
    for (int j = 0; j < width; j += n) {
      Value mask = whole ? Value() : code.firstLanes(code.sub(source.lanes, code.add(lane, j)));
      Value values = code.loadStrided(source.pointer, code.add(from, code.mul(source.laneStride, j)),
                                      source.laneStride, mask);
      code.store(orZeros(values, exists), target, code.add(rowAt(step), j));
    }
  };
  Ix done = 0;
  if (source.unitSteps && !source.laneStride.is(1)) {
    done = code.mul(code.div(count, n), n);
    code.loop(0, done, n, [&](Ix step) {
      Ix steps = source.stepOffset(code.add(first, step));
      for (int j = 0; j < width; j += n) {
        SmallVector<Ix> columns;
        for (int i = 0; i < n; ++i) {
          Ix column = code.add(lane, j + i);
          if (!whole)
            column = code.min(column, code.sub(source.lanes, 1));
          columns.push_back(code.add(steps, code.mul(column, source.laneStride)));
        }
        Values square = code.loadTransposed(source.pointer, columns);
        for (int i = 0; i < n; ++i)
          code.store(square[i], target, code.add(rowAt(code.add(step, i)), j));
      }
    });
  }
  code.loop(done, count, 1, row);
}

void emitPackStrips(MicroCode &code, const PackSource &source, Ix lane, Ix end, int width, Ix first, Ix count,
                    Value target, Ix offset, Ix stripStride) {
  constexpr int64_t kTogether = 8;
  auto orZeros = [&](Value values, Value exists) {
    const int n = cast<VectorType>(values.getType()).getNumElements();
    return exists ? code.pick(exists, values, code.zero(n)) : values;
  };
  // Pieces whose widths are powers of two, so that no load or store needs a mask and none goes beyond the
  // strip.
  SmallVector<std::pair<int, int>> pieces;
  for (int at = 0, n = code.lanes; at < width; at += n) {
    while (n > width - at)
      n /= 2;
    pieces.push_back({at, n});
  }
  bool whole = source.lanes.isStatic() && source.lanes.known() % width == 0;
  auto rows = [&](Ix step, int64_t together) {
    code.loop(lane, end, width, [&](Ix at) {
      Ix strip = code.div(code.sub(at, lane), width);
      SmallVector<Value> masks;
      for (auto [piece, n] : pieces)
        masks.push_back(whole ? Value() : code.firstLanes(code.sub(source.lanes, code.add(at, piece)), n));
      for (int64_t r = 0; r < together; ++r) {
        Value exists = source.exists ? source.exists(code.add(first, code.add(step, r))) : Value();
        Ix from =
            code.add(source.stepOffset(code.add(first, code.add(step, r))), code.mul(at, source.laneStride));
        Ix to = code.add(offset, code.add(code.mul(strip, stripStride), code.mul(code.add(step, r), width)));
        for (auto [piece, mask] : llvm::zip(pieces, masks)) {
          auto [at, n] = piece;
          Value values = code.loadStrided(source.pointer, code.add(from, code.mul(source.laneStride, at)),
                                          source.laneStride, mask, n);
          code.store(orZeros(values, exists), target, code.add(to, at));
        }
      }
    });
  };
  Ix together = code.mul(code.div(count, kTogether), kTogether);
  code.loop(0, together, kTogether, [&](Ix step) { rows(step, kTogether); });
  code.loop(together, count, 1, [&](Ix step) { rows(step, 1); });
}

} // namespace moe::cpu
