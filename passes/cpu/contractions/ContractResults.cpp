// Adds a tile to the partial sums in memory, and stores it; see ContractResults.h.
#include "passes/cpu/contractions/ContractResults.h"

using namespace mlir;

namespace moe::cpu {

/// A long epilogue runs over the tile in a loop, since unrolled code would be very large.
static bool runsInLoop(const ContractGroup &group) { return !group.epilogue.isShort() || group.plan.small; }

ContractResults::ContractResults(ContractKernel &kernel)
    : kernel(kernel), code(kernel.code), tile(kernel.plan.tile) {
  if (kernel.plan.viaParts) {
    parts = kernel.buffer(plan::Access::write, kernel.group.parts);
    return;
  }
  kernel.bindEpilogue();
  if (runsInLoop(kernel.group))
    tileSums = kernel.kernel.floatScratch(int64_t(tile.rows) * kernel.plan.width(code.lanes));
}

ContractResults::Row ContractResults::partialRow(const ContractPlace &place, Ix row, Ix column) {
  const ContractForm &form = kernel.form;
  if (parts) {
    Ix matrix = code.add(code.mul(place.batchNumber, code.size(kernel.plan.parts)), place.part);
    Ix line = code.add(code.mul(matrix, rows()), row);
    return {parts, code.add(code.mul(line, code.size(form.columns.extent)), column), 1};
  }
  // If there is only one chunk, there are no partial sums, and any output will do.
  const Epilogue &epilogue = kernel.group.epilogue;
  unsigned output = std::max(0, epilogue.accumulator()), operand = form.firstOutput + output;
  Ix stride = code.size(form.columns.strides[operand]);
  Ix at = code.add(kernel.batchOffset(place.batch, operand), kernel.offset(form.rows, row, operand));
  return {kernel.ports[epilogue.inputs().size() + output], code.add(at, code.mul(column, stride)), stride};
}

SmallVector<PrefetchStream> ContractResults::epilogueLines(const ContractPlace &place, Ix row, Ix column,
                                                           Value last) {
  SmallVector<PrefetchStream> streams;
  if (parts)
    return streams;
  const ContractForm &form = kernel.form;
  const Epilogue &epilogue = kernel.group.epilogue;
  const unsigned inputs = epilogue.inputs().size(), sums = inputs + std::max(0, epilogue.accumulator());
  const Row partial = partialRow(place, row, column);
  for (unsigned port = 0; port < kernel.ports.size(); ++port) {
    const unsigned operand = form.firstInput + port;
    const bool isInput = port < inputs;
    const plan::Element element =
        isInput ? epilogue.inputs()[port].element : epilogue.outputs()[port - inputs].element;
    const bool byRow = llvm::any_of(
        form.rowsOf(operand), [&](const ContractAxis &axis) { return !axis.strides[operand].isConstant(0); });
    if (port == sums || !byRow || element != plan::Element::f32 ||
        !form.columns.strides[operand].isConstant(1))
      continue;
    Ix at = code.add(kernel.batchOffset(place.batch, operand),
                     code.add(kernel.offset(form.rowsOf(operand), row, operand), column));
    Value memory = kernel.ports[port];
    if (last) { // before, the epilogue does not run: the lines of the partial sums are asked for twice
      at = code.select(last, at, partial.offset);
      memory = code.selectPointer(last, memory, partial.memory);
    }
    streams.push_back({memory, at, (kernel.plan.width(code.lanes) + 15) / 16, 16, /*write=*/!isInput});
  }
  return streams;
}

Value ContractResults::columnMask(Ix column) {
  Ix columns = code.size(kernel.form.columns.extent);
  if (columns.isStatic() && columns.known() % kernel.plan.width(code.lanes) == 0)
    return {};
  return code.firstLanes(code.sub(columns, column));
}

void ContractResults::store(const ContractPlace &place, Ix row, Ix column, Values sums, Value first,
                            Value last) {
  const Row partial = partialRow(place, row, column);
  TileAt at{place, row, column, partial.memory, partial.stride, {}};
  for (int j = 0; j < tile.vectors; ++j)
    at.masks.push_back(columnMask(code.add(column, j * code.lanes)));
  if (first)
    sums = code.choose(first, [&] { return sums; }, [&] { return addPartialSums(at, sums); });
  if (parts || kernel.group.epilogue.isIdentity())
    return storePartialSums(at, sums);
  if (!last)
    return storeOutputs(at, sums);
  code.choose(
      last,
      [&] {
        storeOutputs(at, sums);
        return Values();
      },
      [&] {
        storePartialSums(at, sums);
        return Values();
      });
}

Values ContractResults::addPartialSums(const TileAt &tileAt, const Values &sums) {
  Values added;
  for (int i = 0; i < tile.rows; ++i) {
    Ix row = code.min(code.add(tileAt.row, i), code.sub(rowEnd(tileAt.place), 1));
    Ix at = partialRow(tileAt.place, row, tileAt.column).offset;
    for (int j = 0; j < tile.vectors; ++j) {
      Ix from = code.add(at, code.mul(tileAt.stride, j * code.lanes));
      Value old = code.loadStrided(tileAt.memory, from, tileAt.stride, tileAt.masks[j]);
      added.push_back(code.addf(sums[i * tile.vectors + j], old));
    }
  }
  return added;
}

void ContractResults::storePartialSums(const TileAt &tileAt, const Values &sums) {
  const Ix end = rowEnd(tileAt.place);
  const bool exact = end.isStatic() && end.known() % tile.rows == 0;
  for (int i = 0; i < tile.rows; ++i) {
    Ix row = code.add(tileAt.row, i);
    Value exists = exact ? Value() : code.less(row, end);
    code.when(exists, [&] {
      Ix at = partialRow(tileAt.place, row, tileAt.column).offset;
      for (int j = 0; j < tile.vectors; ++j)
        code.storeStrided(sums[i * tile.vectors + j], tileAt.memory,
                          code.add(at, code.mul(tileAt.stride, j * code.lanes)), tileAt.stride,
                          tileAt.masks[j]);
    });
  }
}

void ContractResults::storeOutputs(const TileAt &tileAt, const Values &sums) {
  const SmallVector<Ix> &batch = tileAt.place.batch;
  const Ix end = rowEnd(tileAt.place);
  if (!tileSums) {
    for (int i = 0; i < tile.rows; ++i)
      code.when(code.less(code.add(tileAt.row, i), end), [&] {
        for (int j = 0; j < tile.vectors; ++j)
          kernel.storeResults(batch, code.add(tileAt.row, i), code.add(tileAt.column, j * code.lanes),
                              tileAt.masks[j], sums[i * tile.vectors + j]);
      });
    return;
  }
  const int width = kernel.plan.width(code.lanes);
  for (auto [i, sum] : llvm::enumerate(sums))
    code.store(sum, tileSums, int64_t(i) * code.lanes);
  code.loop(0, code.min(tile.rows, code.sub(end, tileAt.row)), 1, [&](Ix i) {
    code.loop(0, width, code.lanes, [&](Ix j) {
      Value sum = code.load(tileSums, code.add(code.mul(i, width), j));
      Ix column = code.add(tileAt.column, j);
      kernel.storeResults(batch, code.add(tileAt.row, i), column, columnMask(column), sum);
    });
  });
}

void ContractResults::storeZeros(const ContractPlace &place, Ix begin, Ix column, Ix columnEnd) {
  code.loop(begin, place.rowEnd, 1, [&](Ix row) {
    code.loop(column, columnEnd, code.lanes, [&](Ix at) {
      Value mask = columnMask(at);
      if (!parts)
        return kernel.storeResults(place.batch, row, at, mask, code.zero());
      const Row partial = partialRow(place, row, at);
      code.storeStrided(code.zero(), partial.memory, partial.offset, partial.stride, mask);
    });
  });
}

} // namespace moe::cpu
