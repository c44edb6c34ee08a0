// Chooses how a contraction is computed; see ContractPlan.h. The reasons for the numbers:
//   - Packing a panel costs as much as two tiles, so a block has enough rows for 90 tiles or more.
//   - A group of panels, 192 columns by 384 steps, takes 288 KiB. It stays in the second-level cache,
//     together with the memory that the next group is packed from.
//   - 6 rows by 384 steps of A stay in the first-level cache.
//   - A sum over the batch is cut into chunks of 96 steps, so that the panel of B in use takes 24 KiB.
#include "passes/cpu/contractions/ContractPlan.h"

using namespace mlir;

namespace moe::cpu {

static int64_t ceilDiv(int64_t x, int64_t y) { return (x + y - 1) / y; }

ContractPlan ContractPlan::of(const ContractForm &form, const Epilogue &epilogue, const CpuTarget &target) {
  MLIRContext *context = form.context();
  ContractPlan plan;
  const int64_t lanes = target.lanes();
  std::optional<int64_t> rows = form.rowExtent().constantValue(), sums = form.sumExtent().constantValue(),
                         columns = form.columns.extent.constantValue();
  if (form.groupsSums())
    sums = std::nullopt; // a group has any number of steps, from any first one on
  plan.tile = chooseTile(lanes, target.registers, columns.value_or(0));
  const int64_t width = plan.width(lanes), tileRows = plan.tile.rows;

  plan.small = form.products().evaluate(form.plannedBatch).value_or(INT64_MAX) < (int64_t(1) << 21);

  plan.directRows = !form.loadsSteps(0) &&
                    (form.sums.empty() || (form.sums.size() == 1 && form.sums[0].strides[0].isConstant(1)));
  // A panel that serves few rows, or that is one of many along a sum over the batch, is used once after
  // packing. Packing ahead writes all panels to memory, from where the units read them back. So units pack
  // for themselves, except if the contraction is small, if packed panels can be kept from step to step
  // (fixedB), or if there is a single panel, for which larger and fewer units would not pay.
  const bool keepsPanels = sums.has_value() && (!rows || *rows > 4 * tileRows);
  if (!keepsPanels)
    plan.packing = Packing::panel;
  const bool inGroups = keepsPanels && plan.directRows && !plan.small && columns.value_or(0) > width;
  if (inGroups && !form.fixedB)
    plan.packing = Packing::group;

  // Rows that are read by an index are copied for each tile, which pays if the tile is used for several panels.
  if (form.loadsRows() && plan.packing == Packing::panel)
    plan.directRows = false;

  // With a single panel, a strip of A serves one tile, and packing it takes a third of the tile's time. Few rows of all steps of a
  // chunk fit the first-level cache as they are. Then A's elements are read where they are, if the steps are so near each other that
  // the lines of a chunk stay in that cache for the next tiles.
  constexpr int64_t kNear = 1024, kFewRows = 64;
  const bool fewTiles = (columns && *columns <= width) || (rows && *rows <= kFewRows);
  if (fewTiles && columns && plan.packing == Packing::panel && !plan.directRows && !plan.small &&
      !form.groups && !form.loads && form.rows.size() == 1 && form.rows[0].strides[0].isConstant(1) &&
      form.sums.size() == 1)
    if (std::optional<int64_t> stride = form.sums[0].strides[0].constantValue(); stride && *stride <= kNear)
      plan.stepStride = stride;

  if (keepsPanels) {
    // With fewer rows per unit there are more units; with more rows, B is read less often if it exceeds the
    // cache.
    bool large = !columns || *sums * *columns * kFloatBytes > target.l2Bytes;
    plan.rowBlock = large ? 192 : 96;
    plan.panelGroup = std::max<int64_t>(1, 384 / width);
    if (inGroups) {
      // At least two groups.
      const int64_t panels = ceilDiv(*columns, width);
      plan.panelGroup = std::clamp<int64_t>(panels / 2, 1, std::max<int64_t>(1, 192 / width));
      plan.rowBlock = 176 * tileRows;
    }
    // Chunks of equal length, a multiple of what the tile's sections unroll.
    int64_t step = tileRows * 4, chunks = std::max<int64_t>(1, ceilDiv(*sums, 384));
    plan.depth = ceilDiv(ceilDiv(*sums, chunks), step) * step;
  } else {
    plan.rowBlock = rows.value_or(0) >= 1536 ? 384 : 192;
    plan.panelGroup = 0;
    plan.depth = 96;
    if (rows && *rows <= 4 * tileRows) {
      plan.rowBlock = ceilDiv(*rows, tileRows) * tileRows;
      plan.panelGroup = std::max<int64_t>(1, 384 / width);
    }
    // A small result of a long sum has too few tiles for all threads, so the sum is cut into parts.
    if (!sums && rows && columns) {
      // Groups are as many results, which different units compute as well.
      const int64_t results = form.groups ? form.groups->axis.extent.constantValue().value_or(1) : 1;
      int64_t budget = (int64_t(1) << 18) / std::max<int64_t>(1, *rows * *columns * results);
      plan.maxParts = std::clamp<int64_t>(budget, 1, 16);
    }
  }

  const flow::Extent one = flow::Extent::constant(context, 1);
  plan.parts = one;
  plan.partDepth = form.sumExtent();
  if (plan.maxParts > 1) {
    plan.partDepth = form.sumExtent().ceildiv(plan.depth).ceildiv(plan.maxParts) * plan.depth;
    plan.parts = form.sumExtent().ceildiv(plan.partDepth);
  }
  bool inOneGo = sums && *sums <= plan.depth;
  plan.viaParts = plan.maxParts > 1 || (epilogue.accumulator() < 0 && !inOneGo);
  // If the product packs panels, each should serve a block of many rows, but many threads need many units. So
  // a unit has few rows, and a thread processes neighbouring units together as one block. Where panels are packed ahead,
  // a unit is a row of tiles, so that the rows of one image are halves for two threads.
  plan.unitRows = std::min(plan.rowBlock, (plan.packing == Packing::ahead ? 1 : 8) * tileRows);
  plan.grain = plan.rowBlock / plan.unitRows;
  // Parts of a sum are units enough: one computes all rows of a part where they are one block, so that a thread claims no more.
  if (plan.maxParts > 1 && rows && *rows <= plan.rowBlock) {
    plan.unitRows = ceilDiv(*rows, tileRows) * tileRows;
    plan.grain = 1;
  }
  plan.rowUnits = form.rowExtent().ceildiv(plan.unitRows);
  plan.panels = form.columns.extent.ceildiv(width);
  plan.panelGroups = plan.panelGroup ? plan.panels.ceildiv(plan.panelGroup) : one;
  plan.units = form.batchExtent() * plan.parts * plan.panelGroups * plan.rowUnits;
  return plan;
}

} // namespace moe::cpu
