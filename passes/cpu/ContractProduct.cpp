// Emits the product's loops; see ContractProduct.h.
#include "passes/cpu/ContractProduct.h"

using namespace mlir;

namespace moe::cpu {

using Packing = ContractPlan::Packing;

/// How many steps of the sum before its use a wide panel's line is fetched: the second-level cache answers
/// within two steps, the third within twenty. A narrow one asks for so little at a time that the hardware
/// keeps up.
constexpr int64_t kPanelAhead = 24;

static std::optional<int64_t> knownRowStride(const ContractForm &form, const ContractPlan &plan) {
  constexpr int64_t kFar = 8192; // the copy of a last tile's rows takes room for their distance
  if (!plan.directRows || plan.small || form.rows.size() != 1)
    return std::nullopt;
  std::optional<int64_t> stride = form.rows[0].strides[0].constantValue();
  return stride && *stride <= kFar ? stride : std::nullopt;
}

ContractProduct::ContractProduct(const ContractGroup &group, KernelModule &module)
    : ContractKernel(group, module, "matmul"), ahead(plan.packing == Packing::ahead),
      byPanel(plan.packing == Packing::panel), byGroup(plan.packing == Packing::group),
      width(plan.width(code.lanes)), a(buffer(plan::Access::read, group.a)),
      b(buffer(plan::Access::read, ahead ? group.panels : group.b)), results(*this),
      fetch(code, form, plan, a, b), rowStride(knownRowStride(form, plan)) {
  if (!plan.directRows)
    strips = kernel.scratch(plan.rowBlock * plan.depth * 4);
  if (!ahead)
    panelScratch = kernel.scratch(int64_t(width) * plan.depth * 4 * (byPanel ? 1 : plan.panelGroup));
  // Sizes first among the launch's scalars.
  rows = code.size(form.rowExtent());
  code.numberScalar(form.columns.extent);
  sums = code.size(form.sumExtent());
  panels = code.size(plan.panels);
  rowBlocks = code.size(plan.rowBlocks);
  panelGroups = code.size(plan.panelGroups);
  const int64_t tileRows = plan.tile.rows;
  wholeRows = code.mul(code.div(rows, tileRows), tileRows);
  if (rowStride && !(rows.isStatic() && rows.known() == wholeRows.known()))
    lastRows = kernel.scratch(((tileRows - 1) * *rowStride + plan.depth) * 4);
}

LaunchSpec ContractProduct::emit() {
  code.loop(kernel.begin(), kernel.end(), 1, [&](Ix number) {
    const Unit unit = unitAt(number);
    code.loop(unit.sumBegin, unit.sumEnd, plan.depth,
              [&](Ix begin) { emitChunk(unit, chunkAt(unit, begin)); });
  });
  flow::Extent products = form.batchExtent() * form.rowExtent() * form.columns.extent * form.sumExtent();
  flow::Extent read = group.a.elements + group.b.elements;
  flow::ContractOp op = group.op;
  return kernel.finish("contract", plan.units, products * 2, read * 4 + flow::elementsOf(op.getType()) * 4);
}

ContractProduct::Unit ContractProduct::unitAt(Ix number) {
  Unit unit;
  unit.number = number;
  unit.rowBlock = code.rem(number, rowBlocks);
  Ix rest = code.div(number, rowBlocks);
  Ix group = code.rem(rest, panelGroups);
  rest = code.div(rest, panelGroups);
  if (plan.viaParts) {
    unit.part = code.rem(rest, code.size(plan.parts));
    rest = code.div(rest, code.size(plan.parts));
  }
  unit.batchNumber = rest;
  unit.batch = unflatten(form.batch, rest);
  unit.rowBegin = code.mul(unit.rowBlock, code.size(plan.blockRows));
  unit.rowEnd = code.min(code.add(unit.rowBegin, code.size(plan.blockRows)), rows);
  const bool all = plan.panelGroup == 0;
  unit.panelBegin = all ? Ix(0) : code.mul(group, plan.panelGroup);
  unit.panelEnd = all ? panels : code.min(code.add(unit.panelBegin, plan.panelGroup), panels);
  // Blocks of rows come first, then groups.
  Value sameGroup = code.less(code.add(unit.rowBlock, 1), rowBlocks);
  unit.nextPanel = code.select(sameGroup, unit.panelBegin, unit.panelEnd);
  unit.sumBegin = plan.viaParts ? code.mul(unit.part, code.size(plan.partDepth)) : Ix(0);
  unit.sumEnd = plan.viaParts ? code.min(code.add(unit.sumBegin, code.size(plan.partDepth)), sums) : sums;
  unit.aBatch = batchOffset(unit.batch, 0);
  unit.bBatch = batchOffset(unit.batch, 1);
  for (auto [axis, index] : llvm::zip(form.batch, unit.batch))
    if (!axis.strides[1].isConstant(0))
      unit.packedBatch = code.add(code.mul(unit.packedBatch, code.size(axis.extent)), index);
  return unit;
}

ContractProduct::Chunk ContractProduct::chunkAt(const Unit &unit, Ix begin) {
  const bool known = !plan.viaParts && sums.isStatic();
  Chunk chunk{begin, plan.depth, {}, {}};
  if (!known || sums.known() % plan.depth != 0)
    chunk.depth = code.min(plan.depth, code.sub(unit.sumEnd, begin));
  if (known && sums.known() <= plan.depth)
    return chunk;
  chunk.first = code.equal(begin, unit.sumBegin);
  chunk.last = code.equal(code.add(begin, chunk.depth), unit.sumEnd);
  return chunk;
}

void ContractProduct::emitChunk(const Unit &unit, const Chunk &chunk) {
  auto forRows = [&](llvm::function_ref<void(Ix)> body) {
    code.loop(unit.rowBegin, unit.rowEnd, plan.tile.rows, body);
  };
  auto forPanels = [&](llvm::function_ref<void(Ix)> body) {
    code.loop(unit.panelBegin, unit.panelEnd, 1, body);
  };
  if (!plan.directRows)
    packStrips(unit, chunk);
  if (lastRows)
    code.when(code.less(wholeRows, unit.rowEnd), [&] { copyLastRows(unit, chunk); });
  const PackSource columns = columnsOfB(b, unit.bBatch);
  if (byPanel) {
    forPanels([&](Ix panel) {
      packPanel(unit, chunk, columns, panel);
      forRows([&](Ix row) { emitTile(unit, chunk, row, panel); });
    });
    return;
  }
  if (byGroup)
    packGroup(unit, chunk, columns);
  forRows([&](Ix row) { forPanels([&](Ix panel) { emitTile(unit, chunk, row, panel); }); });
}

void ContractProduct::packStrips(const Unit &unit, const Chunk &chunk) {
  const int tileRows = plan.tile.rows;
  const int64_t stripStride = plan.depth * tileRows;
  if (form.rows.size() <= 1) {
    Ix stride = form.rows.empty() ? Ix(1) : code.size(form.rows[0].strides[0]);
    PackSource from{a, stride, rows, [&](Ix step) { return stepOfA(unit, step); }};
    emitPackStrips(code, from, unit.rowBegin, unit.rowEnd, tileRows, chunk.begin, chunk.depth, strips, 0,
                   stripStride);
    return;
  }
  // Rows of several axes are at no one distance: they go one by one, through their offsets.
  code.loop(unit.rowBegin, unit.rowEnd, 1, [&](Ix row) {
    Ix from = offset(form.rows, row, 0), i = code.sub(row, unit.rowBegin);
    Ix to = code.add(code.mul(code.div(i, tileRows), stripStride), code.rem(i, tileRows));
    code.loop(0, chunk.depth, 1, [&](Ix step) {
      Value element = code.loadScalar(a, code.add(from, stepOfA(unit, code.add(chunk.begin, step))));
      code.storeScalar(element, strips, code.add(to, code.mul(step, tileRows)));
    });
  });
}

void ContractProduct::copyLastRows(const Unit &unit, const Chunk &chunk) {
  code.loop(0, plan.tile.rows, 1, [&](Ix i) {
    Ix from = offset(form.rows, code.min(code.add(wholeRows, i), lastRow()), 0);
    code.loop(0, chunk.depth, code.lanes, [&](Ix step) {
      Value mask = code.firstLanes(code.sub(chunk.depth, step));
      Value values = code.load(a, code.add(from, stepOfA(unit, code.add(chunk.begin, step))), mask);
      code.store(values, lastRows, code.add(code.mul(i, *rowStride), step), mask);
    });
  });
}

Ix ContractProduct::panelPlace(const Unit &unit, const Chunk &chunk, Ix panel) {
  return byPanel ? Ix(0) : code.mul(code.mul(code.sub(panel, unit.panelBegin), chunk.depth), width);
}

void ContractProduct::packPanel(const Unit &unit, const Chunk &chunk, const PackSource &columns, Ix panel) {
  Ix to = panelPlace(unit, chunk, panel);
  emitPackPanel(code, columns, code.mul(panel, width), width, chunk.begin, chunk.depth, panelScratch, to);
}

void ContractProduct::packGroup(const Unit &unit, const Chunk &chunk, const PackSource &columns) {
  auto pack = [&] {
    code.loop(unit.panelBegin, unit.panelEnd, 1, [&](Ix panel) { packPanel(unit, chunk, columns, panel); });
  };
  if (!chunk.isOnly())
    return pack();
  // With one chunk, the unit before has left the same panels, unless it was another's or there was none.
  Value first = code.equal(unit.rowBlock, 0), begins = code.equal(unit.number, kernel.begin());
  code.when(code.either(first, begins), pack);
}

void ContractProduct::emitTile(const Unit &unit, const Chunk &chunk, Ix row, Ix panel) {
  MicroOperands operands;
  readRows(operands, unit, chunk, row);
  readPanel(operands, unit, chunk, panel);
  Reduction nest{chunk.depth, plan.directRows ? Ix(1) : Ix(plan.tile.rows), width};
  const TileAt tile{row, panel, code.mul(panel, width)};
  if (!plan.small) {
    operands.streams = [&](Ix section) { return streams(unit, chunk, tile, section); };
    operands.usualCount = plan.depth;
  }
  Values totals = emitMicroKernel(code, plan.tile, operands, nest, {}, plan.small ? 1 : kMicroUnroll);
  results.store(unit, row, tile.column, totals, chunk.first, chunk.last);
}

void ContractProduct::readRows(MicroOperands &operands, const Unit &unit, const Chunk &chunk, Ix row) {
  operands.a = plan.directRows ? a : strips;
  if (rowStride) {
    operands.a = code.at(a, code.add(offset(form.rows, row, 0), stepOfA(unit, chunk.begin)));
    if (lastRows)
      operands.a = code.selectPointer(code.less(row, wholeRows), operands.a, lastRows);
  }
  for (int i = 0; i < plan.tile.rows; ++i) {
    if (rowStride) {
      operands.rows.push_back(i * *rowStride);
    } else if (plan.directRows) {
      Ix r = code.min(code.add(row, i), lastRow());
      operands.rows.push_back(code.add(offset(form.rows, r, 0), stepOfA(unit, chunk.begin)));
    } else {
      operands.rows.push_back(code.add(code.mul(code.sub(row, unit.rowBegin), plan.depth), i));
    }
  }
}

void ContractProduct::readPanel(MicroOperands &operands, const Unit &unit, const Chunk &chunk, Ix panel) {
  if (ahead) {
    Ix chunkAt = code.mul(panels, code.add(code.mul(unit.packedBatch, sums), chunk.begin));
    operands.b = b;
    operands.panel = code.mul(code.add(chunkAt, code.mul(panel, chunk.depth)), width);
  } else {
    operands.b = panelScratch;
    operands.panel = panelPlace(unit, chunk, panel);
  }
  operands.fetchAhead = byPanel || plan.small || width < 32 ? 0 : kPanelAhead;
}

SmallVector<FetchStream> ContractProduct::streams(const Unit &unit, const Chunk &chunk, const TileAt &tile,
                                                  Ix section) {
  SmallVector<FetchStream> all;
  Ix row = code.min(code.add(tile.row, section), lastRow());
  ContractResults::Row waiting = results.waitingRow(unit, row, tile.column);
  if (waiting.stride.is(1))
    all.push_back(fetch.results(waiting.memory, waiting.offset));
  FetchPlace here{code.add(code.sub(tile.row, unit.rowBegin), section),
                  unit.rowBegin,
                  tile.panel,
                  unit.panelBegin,
                  unit.panelEnd,
                  unit.nextPanel,
                  chunk.begin,
                  unit.aBatch,
                  unit.bBatch};
  auto add = [&](std::optional<FetchStream> stream) {
    if (stream)
      all.push_back(*stream);
  };
  if (byPanel) {
    add(fetch.nextPanel(here));
    add(fetch.nextStrips(here));
    return all;
  }
  if (plan.directRows) {
    Ix next = code.min(code.add(code.add(tile.row, plan.tile.rows), section), lastRow());
    add(fetch.nextRows(code.add(offset(form.rows, next, 0), stepOfA(unit, chunk.begin)), here));
  }
  if (byGroup)
    add(fetch.nextChunk(here));
  return all;
}

} // namespace moe::cpu
