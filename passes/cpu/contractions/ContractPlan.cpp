// Chooses how a contraction runs; see ContractPlan.h. The figures behind the numbers: packing a panel costs
// as much as two tiles, so that a block has rows enough for 90 tiles or more; a group of 192 columns by 384
// steps is 288 KiB, which stays in the second-level cache beside what the next one is packed from; 6 rows by
// 384 steps of A stay in the first; a sum over the batch goes in chunks of 96 steps, so that the panel of B
// being used is 24 KiB.
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
  plan.tile = chooseTile(lanes, target.registers, columns.value_or(0));
  const int64_t width = plan.width(lanes), tileRows = plan.tile.rows;

  flow::Extent work = form.batchExtent() * form.rowExtent() * form.columns.extent * form.sumExtent();
  plan.small = work.evaluate(form.plannedBatch).value_or(INT64_MAX) < (int64_t(1) << 21);

  plan.directRows = form.sums.empty() || (form.sums.size() == 1 && form.sums[0].strides[0].isConstant(1));
  // A panel that serves few rows, or is one of many along a sum over the batch, is packed and used up. A
  // launch that packs writes far away what units read back, so that they had better do it themselves, unless
  // a run finds the panels packed; a single panel is not worth cutting the rows into fewer units.
  const bool keepsPanels = sums.has_value() && (!rows || *rows > 4 * tileRows);
  if (!keepsPanels)
    plan.packing = Packing::panel;
  else if (plan.directRows && !plan.small && !form.fixedB && columns.value_or(0) > width)
    plan.packing = Packing::group;

  if (keepsPanels) {
    // Fewer rows a unit make more units; more of them read B less often, where it does not stay in the cache.
    bool large = !columns || *sums * *columns * kFloatBytes > target.l2Bytes;
    plan.rowBlock = large ? 192 : 96;
    plan.panelGroup = std::max<int64_t>(1, 384 / width);
    if (plan.packing == Packing::group) {
      // Two groups at least.
      const int64_t panels = ceilDiv(*columns, width);
      plan.panelGroup = std::clamp<int64_t>(panels / 2, 1, std::max<int64_t>(1, 192 / width));
      plan.rowBlock = 176 * tileRows;
    }
    // Equal chunks, each a multiple of the unrolled sections.
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
    // A small result of a long sum has too few tiles for every thread: each part sums on its own.
    if (!sums && rows && columns) {
      int64_t budget = (int64_t(1) << 18) / std::max<int64_t>(1, *rows * *columns);
      plan.mostParts = std::clamp<int64_t>(budget, 1, 16);
    }
  }

  const flow::Extent one = flow::Extent::constant(context, 1);
  plan.parts = one;
  plan.partDepth = form.sumExtent();
  if (plan.mostParts > 1) {
    plan.partDepth = form.sumExtent().ceildiv(plan.depth).ceildiv(plan.mostParts) * plan.depth;
    plan.parts = form.sumExtent().ceildiv(plan.partDepth);
  }
  bool inOneGo = sums && *sums <= plan.depth;
  plan.viaParts = plan.mostParts > 1 || (epilogue.accumulator() < 0 && !inOneGo);
  // What the product packs is worth a block of many rows, but threads want units: few rows each, which a
  // thread with neighbouring units takes together.
  if (plan.packing == Packing::ahead) {
    plan.unitRows = plan.rowBlock;
  } else {
    plan.unitRows = std::min(plan.rowBlock, 8 * tileRows);
    plan.grain = plan.rowBlock / plan.unitRows;
  }
  plan.rowUnits = form.rowExtent().ceildiv(plan.unitRows);
  plan.panels = form.columns.extent.ceildiv(width);
  plan.panelGroups = plan.panelGroup ? plan.panels.ceildiv(plan.panelGroup) : one;
  plan.units = form.batchExtent() * plan.parts * plan.panelGroups * plan.rowUnits;
  return plan;
}

} // namespace moe::cpu
