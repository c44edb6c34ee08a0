// Emits the product's loops; see ContractProduct.h.
#include "passes/cpu/contractions/ContractProduct.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace moe::cpu {

using Packing = ContractPlan::Packing;

/// A cache line of a wide panel is prefetched this many steps of the sum before its use: the second-level
/// cache answers within two steps, the third-level cache within twenty. For narrow panels the hardware's
/// prefetcher is fast enough.
constexpr int64_t kPanelAhead = 24;

static std::optional<int64_t> knownRowStride(const ContractForm &form, const ContractPlan &plan) {
  if (form.loadsRows() && plan.directRows)
    return plan.depth;           // of the copies of a tile's rows
  constexpr int64_t kFar = 8192; // scratch for the last tile's rows grows with their stride
  if (!plan.directRows || plan.small || form.rows.size() != 1)
    return std::nullopt;
  std::optional<int64_t> stride = form.rows[0].strides[0].constantValue();
  return stride && *stride <= kFar ? stride : std::nullopt;
}

ContractProduct::ContractProduct(const ContractGroup &group, KernelModule &module)
    : ContractKernel(group, module, "matmul"), ahead(plan.packing == Packing::ahead),
      byPanel(plan.packing == Packing::panel), byGroup(plan.packing == Packing::group),
      width(plan.width(code.lanes)), skipsRows(form.live && !form.live->ofSums && !plan.small),
      skipsSteps(form.live && form.live->ofSums && !plan.small && !ahead),
      a(buffer(plan::Access::read, group.a)), b(buffer(plan::Access::read, ahead ? group.panels : group.b)),
      results(*this), prefetch(code, form, plan, a, b), rowStride(knownRowStride(form, plan)) {
  if (plan.packsStrips())
    strips = kernel.floatScratch(plan.rowBlock * plan.depth);
  if (!ahead)
    panelScratch = kernel.floatScratch(int64_t(width) * plan.depth * (byPanel ? 1 : plan.panelGroup));
  // These sizes become the launch's first scalars.
  rows = code.size(form.rowExtent());
  code.numberScalar(form.columns.extent);
  sums = code.size(form.sumExtent());
  panels = code.size(plan.panels);
  rowUnits = code.size(plan.rowUnits);
  panelGroups = code.size(plan.panelGroups);
  const int64_t tileRows = plan.tile.rows;
  if (form.groups)
    bindOffsets();
  if (skipsRows || skipsSteps)
    bindLive();
  if (form.loadsRows() && plan.directRows)
    loaded = kernel.floatScratch(plan.tile.rows * plan.depth);
  else if (rowStride && !(rows.isStatic() && rows.known() % tileRows == 0 && !form.groupsRows()))
    lastRows = kernel.floatScratch(((tileRows - 1) * *rowStride + plan.depth));
}

LaunchSpec ContractProduct::emit() {
  const Ix begin = kernel.begin(), end = kernel.end();
  code.loop(code.div(begin, rowUnits), code.ceilDiv(end, rowUnits), 1, [&](Ix number) {
    const Ix before = code.mul(number, rowUnits);
    const Ix from = code.max(code.sub(begin, before), 0), to = code.min(code.sub(end, before), rowUnits);
    const Ix first = code.mul(from, plan.unitRows), last = code.min(code.mul(to, plan.unitRows), rows);
    if (form.groupsRows())
      emitRowGroups(groupAt(number), first, last);
    else
      emitRun(groupAt(number), first, last);
  });
  flow::Extent read = (group.a.elements + group.b.elements) * kFloatBytes;
  if (form.groups)
    read = read + group.offsets.elements * int64_t(sizeof(int32_t));
  if (skipsRows || skipsSteps)
    read = read + group.live.elements;
  if (form.loads)
    read = read + group.index.elements * int64_t(sizeof(int32_t));
  return kernel.finish(form.groups ? "grouped_contract" : "contract", plan.units, form.products() * 2,
                       read + flow::bytesOf(group.op->getResult(0).getType()), plan.grain);
}

ContractProduct::Block ContractProduct::groupAt(Ix number) {
  Block block;
  Ix group = code.rem(number, panelGroups), rest = code.div(number, panelGroups);
  if (plan.viaParts) {
    block.part = code.rem(rest, code.size(plan.parts));
    rest = code.div(rest, code.size(plan.parts));
  }
  block.batchNumber = rest;
  block.batch = unflatten(form.batch, rest);
  const bool all = plan.panelGroup == 0;
  block.panelBegin = all ? Ix(0) : code.mul(group, plan.panelGroup);
  block.panelEnd = all ? panels : code.min(code.add(block.panelBegin, plan.panelGroup), panels);
  block.sumBegin = plan.viaParts ? code.mul(block.part, code.size(plan.partDepth)) : Ix(0);
  block.sumEnd = plan.viaParts ? code.min(code.add(block.sumBegin, code.size(plan.partDepth)), sums) : sums;
  if (form.groupsSums()) {
    auto [begin, end] = rangeOf(block.batch.front());
    block.sumBegin = code.min(code.add(begin, block.sumBegin), end);
    block.sumEnd = plan.viaParts ? code.min(code.add(block.sumBegin, code.size(plan.partDepth)), end) : end;
    block.sumEnd = code.max(block.sumBegin, block.sumEnd);
  }
  block.aBatch = batchOffset(block.batch, 0);
  block.bBatch = batchOffset(block.batch, 1);
  for (auto [axis, index] : llvm::zip(form.batch, block.batch))
    if (!axis.strides[1].isConstant(0))
      block.packedBatch = code.add(code.mul(block.packedBatch, code.size(axis.extent)), index);
  return block;
}

void ContractProduct::emitRowGroups(const Block &units, Ix begin, Ix end) {
  const Ix count = code.size(form.groups->axis.extent);
  code.loop(0, 2, 1, [&](Ix side) {
    Value before = code.equal(side, 0);
    Block none = units;
    none.rowEnd = code.select(before, code.min(end, beginOf(0)), end);
    results.storeZeros(none, code.select(before, begin, code.max(begin, beginOf(count))),
                       code.mul(units.panelBegin, width), code.mul(units.panelEnd, width));
  });
  code.loop(0, count, 1, [&](Ix number) {
    auto [first, last] = rangeOf(number);
    Block own = units;
    own.bBatch = code.add(units.bBatch, code.mul(number, code.size(form.groups->axis.strides[1])));
    own.packedBatch = code.add(code.mul(units.packedBatch, count), number);
    emitRun(own, code.max(begin, first), code.min(end, last));
  });
}

void ContractProduct::emitRun(const Block &group, Ix begin, Ix end) {
  code.loop(begin, end, plan.rowBlock, [&](Ix row) {
    Block block = group;
    block.rowBegin = row;
    block.rowEnd = code.min(code.add(row, plan.rowBlock), end);
    block.startsRun = code.equal(row, begin);
    // The next block of this group packs the same panels again; the first block of the next group packs that
    // group's.
    block.nextPanel = code.select(code.less(block.rowEnd, end), block.panelBegin, block.panelEnd);
    // A sum over no rows is a chunk of no steps, so that zeros are stored.
    const Ix sumEnd = form.groupsSums() ? code.max(block.sumEnd, code.add(block.sumBegin, 1)) : block.sumEnd;
    code.loop(block.sumBegin, sumEnd, plan.depth, [&](Ix begin) {
      const Chunk chunk = chunkAt(block, begin);
      if (!skipsSteps)
        return emitChunk(block, chunk);
      const Chunk cut = liveSteps(chunk);
      if (cut.isOnly())
        return emitChunk(block, cut);
      code.when(code.either(code.less(0, cut.depth), code.either(cut.first, cut.last)),
                [&] { emitChunk(block, cut); });
    });
  });
}

ContractProduct::Chunk ContractProduct::liveSteps(const Chunk &chunk) {
  const Ix run = code.size(form.live->run), end = code.add(chunk.begin, chunk.depth), last = code.sub(end, 1);
  const Ix next = code.min(code.mul(code.add(code.div(chunk.begin, run), 1), run), end);
  Chunk cut = chunk;
  cut.begin = code.select(hasLive(chunk.begin, code.add(chunk.begin, 1)), chunk.begin, next);
  const Ix before = code.max(code.mul(code.div(last, run), run), cut.begin);
  cut.depth = code.sub(code.select(hasLive(last, end), end, before), cut.begin);
  return cut;
}

void ContractProduct::skipRows(const Block &block, const Chunk &chunk, Ix begin, Ix end, Ix panelBegin,
                               Ix panelEnd) {
  Block skipped = block;
  skipped.rowEnd = end;
  code.when(chunk.last, [&] {
    results.storeZeros(skipped, begin, code.mul(panelBegin, width), code.mul(panelEnd, width));
  });
}

ContractProduct::Chunk ContractProduct::chunkAt(const Block &block, Ix begin) {
  const bool known = !plan.viaParts && !form.groupsSums() && sums.isStatic();
  Chunk chunk{begin, plan.depth, {}, {}};
  if (!known || sums.known() % plan.depth != 0)
    chunk.depth = code.min(plan.depth, code.sub(block.sumEnd, begin));
  if (known && sums.known() <= plan.depth)
    return chunk;
  chunk.first = code.equal(begin, block.sumBegin);
  chunk.last = code.equal(code.add(begin, chunk.depth), block.sumEnd);
  return chunk;
}

void ContractProduct::emitChunk(const Block &block, const Chunk &chunk) {
  auto forRows = [&](Ix panelBegin, Ix panelEnd, llvm::function_ref<void(Ix)> body) {
    code.loop(block.rowBegin, block.rowEnd, plan.tile.rows, [&](Ix row) {
      if (!skipsRows)
        return body(row);
      const Ix end = code.min(code.add(row, plan.tile.rows), block.rowEnd);
      code.choose(
          hasLive(row, end),
          [&] {
            body(row);
            return Values();
          },
          [&] {
            skipRows(block, chunk, row, end, panelBegin, panelEnd);
            return Values();
          });
    });
  };
  auto forPanels = [&](llvm::function_ref<void(Ix)> body) {
    code.loop(block.panelBegin, block.panelEnd, 1, body);
  };
  if (plan.packsStrips())
    packStrips(block, chunk);
  if (lastRows)
    code.when(code.less(rows, code.add(lastTile(block), plan.tile.rows)),
              [&] { copyLastRows(block, chunk); });
  const PackSource columns = columnsOfB(b, block.bBatch);
  if (byPanel) {
    forPanels([&](Ix panel) {
      packPanel(block, chunk, columns, panel);
      forRows(panel, code.add(panel, 1), [&](Ix row) { emitTile(block, chunk, row, panel); });
    });
    return;
  }
  if (byGroup)
    packGroup(block, chunk, columns);
  forRows(block.panelBegin, block.panelEnd, [&](Ix row) {
    if (loaded)
      loadRows(block, chunk, row);
    forPanels([&](Ix panel) { emitTile(block, chunk, row, panel); });
  });
}

void ContractProduct::packStrips(const Block &block, const Chunk &chunk) {
  const int tileRows = plan.tile.rows;
  const int64_t stripStride = plan.depth * tileRows;
  if (form.rows.size() <= 1 && !form.loadsRows()) {
    Ix stride = form.rows.empty() ? Ix(1) : code.size(form.rows[0].strides[0]);
    PackSource from{a, stride, form.groupsRows() ? block.rowEnd : rows,
                    [&](Ix step) { return stepOfA(block, step); }};
    if (form.loadsSteps(0))
      from.exists = [&](Ix step) { return hasRow(step); };
    emitPackStrips(code, from, block.rowBegin, block.rowEnd, tileRows, chunk.begin, chunk.depth, strips, 0,
                   stripStride);
    return;
  }
  // Rows over several axes, or that an index names, have no common stride, so each is packed by itself, from its own offset.
  code.loop(block.rowBegin, block.rowEnd, 1, [&](Ix row) {
    Ix from = rowOfA(row), i = code.sub(row, block.rowBegin);
    Value exists = form.loadsRows() ? hasRow(row) : Value();
    Value none = form.loadsRows()
                     ? arith::ConstantOp::create(code.b, code.loc, code.b.getF32FloatAttr(0)).getResult()
                     : Value();
    Ix to = code.add(code.mul(code.div(i, tileRows), stripStride), code.rem(i, tileRows));
    code.loop(0, chunk.depth, 1, [&](Ix step) {
      Value element = code.loadScalar(a, code.add(from, stepOfA(block, code.add(chunk.begin, step))));
      if (exists)
        element = code.pick(exists, element, none);
      code.storeScalar(element, strips, code.add(to, code.mul(step, tileRows)));
    });
  });
}

Ix ContractProduct::lastTile(const Block &block) {
  const Ix count = code.sub(block.rowEnd, block.rowBegin), tileRows = plan.tile.rows;
  return code.add(block.rowBegin, code.mul(code.div(code.sub(count, 1), tileRows), tileRows));
}

Value ContractProduct::isWhole(Ix row) { return code.less(row, code.sub(rows, plan.tile.rows - 1)); }

void ContractProduct::copyLastRows(const Block &block, const Chunk &chunk) {
  code.loop(0, plan.tile.rows, 1, [&](Ix i) {
    Ix from = offset(form.rows, code.min(code.add(lastTile(block), i), lastRow()), 0);
    code.loop(0, chunk.depth, code.lanes, [&](Ix step) {
      Value mask = code.firstLanes(code.sub(chunk.depth, step));
      Value values = code.load(a, code.add(from, stepOfA(block, code.add(chunk.begin, step))), mask);
      code.store(values, lastRows, code.add(code.mul(i, *rowStride), step), mask);
    });
  });
}

void ContractProduct::loadRows(const Block &block, const Chunk &chunk, Ix row) {
  for (int64_t i = 0; i < plan.tile.rows; ++i) {
    const Ix number = code.min(code.add(row, i), lastRow()), from = rowOfA(number);
    Value exists = hasRow(number);
    code.loop(0, chunk.depth, code.lanes, [&](Ix step) {
      const bool whole = chunk.depth.isStatic() && chunk.depth.known() % code.lanes == 0;
      Value mask = whole ? Value() : code.firstLanes(code.sub(chunk.depth, step));
      Value values = code.load(a, code.add(from, stepOfA(block, code.add(chunk.begin, step))), mask);
      code.store(code.pick(exists, values, code.zero()), loaded, code.add(i * plan.depth, step), mask);
    });
  }
}

Ix ContractProduct::panelPlace(const Block &block, const Chunk &chunk, Ix panel) {
  return byPanel ? Ix(0) : code.mul(code.mul(code.sub(panel, block.panelBegin), chunk.depth), width);
}

void ContractProduct::packPanel(const Block &block, const Chunk &chunk, const PackSource &columns, Ix panel) {
  Ix to = panelPlace(block, chunk, panel);
  emitPackPanel(code, columns, code.mul(panel, width), width, chunk.begin, chunk.depth, panelScratch, to);
}

void ContractProduct::packGroup(const Block &block, const Chunk &chunk, const PackSource &columns) {
  auto pack = [&] {
    code.loop(block.panelBegin, block.panelEnd, 1,
              [&](Ix panel) { packPanel(block, chunk, columns, panel); });
  };
  if (!chunk.isOnly())
    return pack();
  code.when(block.startsRun, pack); // with a single chunk, the panels of the block before are still there
}

void ContractProduct::emitTile(const Block &block, const Chunk &chunk, Ix row, Ix panel) {
  MicroOperands operands;
  readRows(operands, block, chunk, row);
  readPanel(operands, block, chunk, panel);
  Reduction nest{chunk.depth, plan.directRows ? 1 : plan.stepStride.value_or(plan.tile.rows), width};
  const TileAt tile{row, panel, code.mul(panel, width)};
  if (!plan.small) {
    operands.streams = [&](Ix section) { return streams(block, chunk, tile, section); };
    operands.expectedCount = plan.depth;
  }
  Values totals = emitMicroKernel(code, plan.tile, operands, nest, {}, plan.small ? 1 : kMicroUnroll);
  results.store(block, row, tile.column, totals, chunk.first, chunk.last);
}

void ContractProduct::readRows(MicroOperands &operands, const Block &block, const Chunk &chunk, Ix row) {
  operands.a = loaded ? loaded : plan.packsStrips() ? strips : a;
  if (rowStride && !loaded) {
    operands.a = code.at(a, code.add(offset(form.rows, row, 0), stepOfA(block, chunk.begin)));
    if (lastRows)
      operands.a = code.selectPointer(isWhole(row), operands.a, lastRows);
  }
  for (int i = 0; i < plan.tile.rows; ++i) {
    if (rowStride) {
      operands.rows.push_back(i * *rowStride);
    } else if (!plan.packsStrips()) {
      Ix r = code.min(code.add(row, i), lastRow());
      operands.rows.push_back(code.add(offset(form.rows, r, 0), stepOfA(block, chunk.begin)));
    } else {
      operands.rows.push_back(code.add(code.mul(code.sub(row, block.rowBegin), plan.depth), i));
    }
  }
}

void ContractProduct::readPanel(MicroOperands &operands, const Block &block, const Chunk &chunk, Ix panel) {
  if (ahead) {
    Ix chunkAt = code.mul(panels, code.add(code.mul(block.packedBatch, sums), chunk.begin));
    operands.b = b;
    operands.panel = code.mul(code.add(chunkAt, code.mul(panel, chunk.depth)), width);
  } else {
    operands.b = panelScratch;
    operands.panel = panelPlace(block, chunk, panel);
  }
  operands.prefetchAhead = byPanel || plan.small || width < 32 ? 0 : kPanelAhead;
}

SmallVector<PrefetchStream> ContractProduct::streams(const Block &block, const Chunk &chunk,
                                                     const TileAt &tile, Ix section) {
  SmallVector<PrefetchStream> all;
  Ix row = code.min(code.add(tile.row, section), lastRow());
  ContractResults::Row partial = results.partialRow(block, row, tile.column);
  if (partial.stride.is(1)) {
    all.push_back(prefetch.results(partial.memory, partial.offset));
    llvm::append_range(all, results.epilogueLines(block, row, tile.column, chunk.last));
  }
  PrefetchPlace here{code.add(code.sub(tile.row, block.rowBegin), section),
                     block.rowBegin,
                     code.sub(block.rowEnd, block.rowBegin),
                     tile.panel,
                     block.panelBegin,
                     block.panelEnd,
                     block.nextPanel,
                     chunk.begin,
                     block.aBatch,
                     block.bBatch};
  auto add = [&](std::optional<PrefetchStream> stream) {
    if (stream)
      all.push_back(*stream);
  };
  if (byPanel) {
    add(prefetch.nextPanel(here));
    add(prefetch.nextStrips(here));
    return all;
  }
  if (plan.directRows) {
    Ix next = code.min(code.add(code.add(tile.row, plan.tile.rows), section), lastRow());
    add(prefetch.nextRows(code.add(rowOfA(next), stepOfA(block, chunk.begin)), here));
  }
  if (byGroup)
    add(prefetch.nextChunk(here));
  return all;
}

} // namespace moe::cpu
