// Distributes the cache lines that are needed next over the sections of the tiles that run before; see
// ContractPrefetch.h. A cache line has 16 elements.
#include "passes/cpu/contractions/ContractPrefetch.h"

using namespace mlir;

namespace moe::cpu {

static int64_t ceilDiv(int64_t x, int64_t y) { return (x + y - 1) / y; }

ContractPrefetch::ContractPrefetch(MicroCode &code, const ContractForm &form, const ContractPlan &plan,
                                   Value a, Value b)
    : code(code), form(form), plan(plan), a(a), b(b), width(plan.width(code.lanes)) {}

PrefetchStream ContractPrefetch::results(Value target, Ix offset) const {
  return {target, offset, ceilDiv(width, 16), 16, /*write=*/true};
}

PrefetchStream ContractPrefetch::nextRows(Ix row, const PrefetchPlace &place) const {
  const int64_t lines = ceilDiv(plan.depth, 16 * plan.panelGroup);
  return {a, code.add(row, code.mul(code.sub(place.panel, place.panelBegin), lines * 16)), lines};
}

std::optional<PrefetchStream> ContractPrefetch::nextChunk(const PrefetchPlace &place) const {
  if (form.sums.size() != 1 || form.loadsSteps(1))
    return std::nullopt;
  const flow::Extent &sumStride = form.sums[0].strides[1], &columnStride = form.columns.strides[1];
  const Ix sums = code.size(form.sumExtent());
  const Ix chunk = code.add(place.sumAt, plan.depth);
  Value more = code.less(chunk, sums);
  const Ix next = code.select(more, chunk, 0);
  const Ix following = code.add(code.sub(place.panel, place.panelBegin), place.nextBegin);
  const Ix column = code.mul(code.select(more, place.panel, following), width);
  // The last sections of the block prefetch, at most half of them, so that the lines are still in the cache
  // when they are packed.
  auto sectionOf = [&](int64_t sections) {
    return code.max(code.sub(place.turn, code.sub(place.rows, sections)), 0);
  };
  const int64_t steps = plan.depth / plan.tile.rows, turns = std::max<int64_t>(1, steps / kMicroUnroll);
  int64_t share = ceilDiv(ceilDiv(plan.depth * width, 16), plan.rowBlock / 2);
  PrefetchStream stream{b, 0, share};
  if (sumStride.isConstant(1)) {
    // The columns one after another, each in pieces.
    const int64_t pieces = ceilDiv(plan.depth, stream.lines * 16);
    const Ix section = sectionOf(pieces * width);
    Ix from = code.add(column, code.div(section, pieces));
    from = code.min(from, code.sub(code.size(form.columns.extent), 1));
    Ix step = code.add(next, code.mul(code.rem(section, pieces), stream.lines * 16));
    stream.offset = code.add(place.bBatch, code.add(code.mul(from, code.size(columnStride)), step));
    return stream;
  }
  if (!columnStride.isConstant(1) || !sumStride.constantValue())
    return std::nullopt;
  // A stream takes the same line of consecutive steps of the sum; then come the next lines of these steps.
  if (stream.lines >= kPrefetchBurst)
    stream.lines = turns;
  stream.distance = *sumStride.constantValue();
  const int64_t lines = ceilDiv(width, 16);
  const Ix section = sectionOf(ceilDiv(plan.depth, stream.lines) * lines);
  Ix step = code.add(next, code.mul(code.div(section, lines), stream.lines));
  step = code.min(step, code.sub(sums, 1));
  Ix from = code.add(column, code.mul(code.rem(section, lines), 16));
  stream.offset = code.add(place.bBatch, code.add(code.mul(step, stream.distance), from));
  return stream;
}

std::optional<PrefetchStream> ContractPrefetch::nextPanel(const PrefetchPlace &place) const {
  if (form.sums.size() != 1 || form.loadsSteps(1) || !form.columns.strides[1].isConstant(1) || width < 16)
    return std::nullopt;
  // After the last panel comes the first one of the next chunk.
  const Ix following = code.add(place.panel, 1);
  Value more = code.less(following, place.panelEnd);
  Ix column = code.mul(code.select(more, following, place.panelBegin), width);
  Ix first = code.select(more, place.sumAt, code.add(place.sumAt, plan.depth));
  const int64_t lines = width / 16, share = ceilDiv(plan.depth * lines, plan.rowBlock);
  Ix line = code.mul(place.turn, share);
  Ix step = code.min(code.add(first, code.div(line, lines)), code.sub(code.size(form.sumExtent()), 1));
  Ix from = code.add(code.mul(step, code.size(form.sums[0].strides[1])),
                     code.add(column, code.mul(code.rem(line, lines), 16)));
  return PrefetchStream{b, code.add(place.bBatch, from), share};
}

std::optional<PrefetchStream> ContractPrefetch::nextStrips(const PrefetchPlace &place) const {
  const Ix panels = code.sub(place.panelEnd, place.panelBegin);
  if (plan.directRows || form.sums.size() != 1 || form.loadsSteps(0) || form.rows.size() != 1 ||
      !form.rows[0].strides[0].isConstant(1) || !panels.isStatic())
    return std::nullopt;
  // The lines are distributed over the sections of all panels. If there are more sections than lines, several
  // sections prefetch the same line.
  const int64_t linesOfStep = ceilDiv(plan.rowBlock, 16), lines = plan.depth * linesOfStep;
  const int64_t sections = plan.rowBlock * panels.known();
  const int64_t share = ceilDiv(lines, sections), every = std::max<int64_t>(1, sections / lines);
  Ix number = code.add(code.mul(code.sub(place.panel, place.panelBegin), plan.rowBlock), place.turn);
  Ix line = code.div(code.mul(number, share), every);
  Ix step = code.add(code.add(place.sumAt, plan.depth), code.div(line, linesOfStep));
  step = code.min(step, code.sub(code.size(form.sumExtent()), 1));
  Ix from = code.add(code.mul(step, code.size(form.sums[0].strides[0])),
                     code.add(place.rowBegin, code.mul(code.rem(line, linesOfStep), 16)));
  return PrefetchStream{a, code.add(place.aBatch, from), share};
}

} // namespace moe::cpu
