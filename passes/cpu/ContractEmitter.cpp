// Emits a contraction's group as up to three kernels: B packed into panels, where the product does not do it,
// the product, and the sum of the parts where the reduction was cut. See ContractForm.h for the shape that
// all contractions are brought to, ContractPlan.h for the choice of blocks, and MicroKernel.h for the tile.
// The product's loops, for one unit (a block of rows and a group of panels): chunks of the sum; then row
// tiles and panels, the panels outside where a unit packs them one at a time (a panel is used for all rows
// while it is in the first-level cache), else inside.
#include "passes/cpu/ContractFetch.h"
#include "passes/cpu/PackPanels.h"

using namespace mlir;

namespace moe::cpu {
namespace {

using Packing = ContractPlan::Packing;

/// How many steps of the sum before its use a wide panel's line is fetched: the second-level cache answers
/// within two steps, the third within twenty. A narrow one asks for so little at a time that the hardware
/// keeps up.
constexpr int64_t kPanelAhead = 24;

class ContractEmitter {
public:
  ContractEmitter(flow::ContractOp contract, const Epilogue &epilogue, const ContractForm &form,
                  unsigned aOperand, unsigned bOperand, bool fixed, KernelModule &module)
      : contract(contract), epilogue(epilogue), form(form),
        plan(ContractPlan::of(form, epilogue, module.target(), fixed)), module(module),
        aRef{BufferRef::operand, aOperand}, bRef{BufferRef::operand, bOperand} {}

  GroupCode emit();

private:
  // What the bodies of all kernels need.
  struct Frame {
    KernelBuilder kernel;
    MicroCode code;
    explicit Frame(KernelModule &module, llvm::StringRef kind, Location loc)
        : kernel(module.begin(kind, loc)), code(kernel) {}
    Values ports; ///< the epilogue's
    Value tile;   ///< scratch of one tile, for the epilogue's loop
  };
  // Where a unit stands.
  struct Place {
    SmallVector<Ix> batch; ///< one index a batch axis
    Ix batchNumber, part, panel, rowBlock;
  };

  plan::ExprAttr expr(flow::Extent extent) { return toExpr(extent); }
  flow::Extent constant(int64_t value) { return flow::Extent::constant(form.context(), value); }
  flow::Extent elements(BufferRef ref);

  Ix batchOffset(MicroCode &code, const SmallVector<Ix> &batch, unsigned operand);
  /// The offset of a flat index into several axes.
  Ix offset(MicroCode &code, ArrayRef<ContractAxis> axes, Ix flat, unsigned operand);
  SmallVector<Ix> unflatten(MicroCode &code, ArrayRef<ContractAxis> axes, Ix flat);

  void emitPack(GroupCode &result);
  void emitProduct(GroupCode &result);
  void emitSumOfParts(GroupCode &result);
  /// The distance of A's rows, where they are read as they lie, at one known distance.
  std::optional<int64_t> knownRowStride() const;

  /// Runs the epilogue on one vector and stores every output. `columns` is the first lane's column.
  void finish(Frame &frame, const SmallVector<Ix> &batch, Ix row, Ix column, Value mask, Value sums);
  Value columnMask(MicroCode &code, Ix column);
  /// Where a row's sums wait, or go: memory, the offset of a column, and the columns' distance.
  std::tuple<Value, Ix, Ix> waitingRow(Frame &frame, const Place &place, Value partial, Ix row, Ix column);
  void storeTile(Frame &frame, const Place &place, Value partial, Ix row, Ix column, Values sums, Value first,
                 Value last);

  flow::ContractOp contract;
  const Epilogue &epilogue;
  const ContractForm &form;
  ContractPlan plan;
  KernelModule &module;
  BufferRef aRef, bRef, packedRef{}, partsRef{};
};

flow::Extent ContractEmitter::elements(BufferRef ref) {
  auto group = contract->getParentOfType<flow::GroupOp>();
  return flow::elementsOf(ref.kind == BufferRef::operand ? group.getInputs()[ref.index].getType()
                                                         : group.getOutputs()[ref.index].getType());
}

SmallVector<Ix> ContractEmitter::unflatten(MicroCode &code, ArrayRef<ContractAxis> axes, Ix flat) {
  SmallVector<Ix> indices(axes.size());
  for (size_t i = axes.size(); i-- > 0;) {
    Ix extent = code.size(axes[i].extent);
    indices[i] = i == 0 ? flat : code.rem(flat, extent);
    flat = code.div(flat, extent);
  }
  return indices;
}

Ix ContractEmitter::offset(MicroCode &code, ArrayRef<ContractAxis> axes, Ix flat, unsigned operand) {
  Ix sum = 0;
  for (auto [axis, index] : llvm::zip(axes, unflatten(code, axes, flat)))
    sum = code.add(sum, code.mul(index, code.size(axis.strides[operand])));
  return sum;
}

Ix ContractEmitter::batchOffset(MicroCode &code, const SmallVector<Ix> &batch, unsigned operand) {
  Ix sum = 0;
  for (auto [axis, index] : llvm::zip(form.batch, batch))
    sum = code.add(sum, code.mul(index, code.size(axis.strides[operand])));
  return sum;
}

Value ContractEmitter::columnMask(MicroCode &code, Ix column) {
  Ix columns = code.size(form.columns.extent);
  if (columns.isStatic() && columns.known() % plan.width(code.lanes) == 0)
    return {};
  return code.firstLanes(code.sub(columns, column));
}

void ContractEmitter::finish(Frame &frame, const SmallVector<Ix> &batch, Ix row, Ix column, Value mask,
                             Value sums) {
  MicroCode &code = frame.code;
  auto where = [&](unsigned operand) {
    Ix at = code.add(batchOffset(code, batch, operand), offset(code, form.rows, row, operand));
    return code.add(at, code.mul(column, code.size(form.columns.strides[operand])));
  };
  epilogue.store(
      code, frame.ports, sums, mask, [&](unsigned port) { return where(form.firstInput + port); },
      [&](unsigned port) { return code.size(form.columns.strides[form.firstInput + port]); });
}

std::tuple<Value, Ix, Ix> ContractEmitter::waitingRow(Frame &frame, const Place &place, Value partial, Ix row,
                                                      Ix column) {
  MicroCode &code = frame.code;
  if (partial) {
    Ix matrix = code.add(code.mul(place.batchNumber, code.size(plan.parts)), place.part);
    Ix line = code.add(code.mul(matrix, code.size(form.rowExtent())), row);
    return {partial, code.add(code.mul(line, code.size(form.columns.extent)), column), 1};
  }
  // A sum in one go waits nowhere, so that any output will do.
  unsigned output = std::max(0, epilogue.accumulator()), operand = form.firstOutput + output;
  Ix stride = code.size(form.columns.strides[operand]);
  Ix at = code.add(batchOffset(code, place.batch, operand), offset(code, form.rows, row, operand));
  return {frame.ports[epilogue.inputs().size() + output], code.add(at, code.mul(column, stride)), stride};
}

void ContractEmitter::storeTile(Frame &frame, const Place &place, Value partial, Ix row, Ix column,
                                Values sums, Value first, Value last) {
  MicroCode &code = frame.code;
  const Tile tile = plan.tile;
  const Ix rows = code.size(form.rowExtent());
  auto where = [&](Ix r) { return std::get<1>(waitingRow(frame, place, partial, r, column)); };
  Value target;
  Ix stride;
  std::tie(target, std::ignore, stride) = waitingRow(frame, place, partial, row, column);
  SmallVector<Value> masks;
  for (int j = 0; j < tile.vectors; ++j)
    masks.push_back(columnMask(code, code.add(column, j * code.lanes)));
  if (first) {
    sums = code.choose(
        first, [&] { return sums; },
        [&] {
          Values added;
          for (int i = 0; i < tile.rows; ++i) {
            Ix at = where(code.min(code.add(row, i), code.sub(rows, 1)));
            for (int j = 0; j < tile.vectors; ++j) {
              Ix from = code.add(at, code.mul(stride, j * code.lanes));
              Value old = code.loadStrided(target, from, stride, masks[j]);
              added.push_back(code.addf(sums[i * tile.vectors + j], old));
            }
          }
          return added;
        });
  }
  auto plain = [&] {
    bool exact = rows.isStatic() && rows.known() % tile.rows == 0;
    for (int i = 0; i < tile.rows; ++i) {
      Ix r = code.add(row, i);
      auto store = [&] {
        Ix at = where(r);
        for (int j = 0; j < tile.vectors; ++j)
          code.storeStrided(sums[i * tile.vectors + j], target,
                            code.add(at, code.mul(stride, j * code.lanes)), stride, masks[j]);
      };
      if (exact)
        store();
      else
        code.when(code.less(r, rows), store);
    }
  };
  // A long epilogue runs over the tile in a loop: unrolled, it would be most of the program.
  auto full = [&] {
    if (epilogue.isShort() && !plan.small) {
      for (int i = 0; i < tile.rows; ++i)
        code.when(code.less(code.add(row, i), rows), [&] {
          for (int j = 0; j < tile.vectors; ++j)
            finish(frame, place.batch, code.add(row, i), code.add(column, j * code.lanes), masks[j],
                   sums[i * tile.vectors + j]);
        });
      return;
    }
    const int width = plan.width(code.lanes);
    for (auto [i, sum] : llvm::enumerate(sums))
      code.store(sum, frame.tile, int64_t(i) * code.lanes);
    code.loop(0, code.min(tile.rows, code.sub(rows, row)), 1, [&](Ix i) {
      code.loop(0, width, code.lanes, [&](Ix j) {
        Value sum = code.load(frame.tile, code.add(code.mul(i, width), j));
        Ix at = code.add(column, j);
        finish(frame, place.batch, code.add(row, i), at, columnMask(code, at), sum);
      });
    });
  };
  if (partial || epilogue.isIdentity())
    plain();
  else if (!last)
    full();
  else
    code.choose(
        last,
        [&] {
          full();
          return Values();
        },
        [&] {
          plain();
          return Values();
        });
}

void ContractEmitter::emitPack(GroupCode &result) {
  Frame frame(module, "pack", contract.getLoc());
  MicroCode &code = frame.code;
  const int width = plan.width(code.lanes);
  // Batch axes along which B does not move share its panels.
  SmallVector<ContractAxis> batch;
  flow::Extent count = constant(1);
  for (const ContractAxis &axis : form.batch)
    if (!axis.strides[1].isConstant(0)) {
      batch.push_back(axis);
      count = count * axis.extent;
    }
  flow::Extent size = count * plan.panels * form.sumExtent() * width;
  packedRef = {BufferRef::temporary, unsigned(result.temporaries.size())};
  result.temporaries.push_back({plan::Element::f32, expr(size), "packed panels"});
  Value source = frame.kernel.buffer(plan::Access::read, plan::Element::f32, bRef, expr(elements(bRef)));
  Value target = frame.kernel.buffer(plan::Access::write, plan::Element::f32, packedRef, expr(size));
  Ix sums = code.size(form.sumExtent()), panels = code.size(plan.panels);
  code.loop(frame.kernel.begin(), frame.kernel.end(), 1, [&](Ix unit) {
    Ix base = offset(code, batch, code.div(unit, panels), 1);
    auto stepOffset = [&](Ix step) { return code.add(base, offset(code, form.sums, step, 1)); };
    PackSource from{source, code.size(form.columns.strides[1]), code.size(form.columns.extent), stepOffset,
                    form.sums.size() == 1 && form.sums[0].strides[1].isConstant(1)};
    // A chunk of the sum keeps its panels together, in the order in which a unit uses them.
    Ix panel = code.rem(unit, panels), matrix = code.mul(code.mul(code.div(unit, panels), panels), sums);
    code.loop(0, sums, plan.depth, [&](Ix first) {
      Ix depth = code.min(plan.depth, code.sub(sums, first));
      Ix to = code.add(matrix, code.add(code.mul(first, panels), code.mul(panel, depth)));
      emitPackPanel(code, from, code.mul(panel, width), width, first, depth, target, code.mul(to, width));
    });
  });
  LaunchSpec launch = frame.kernel.finish();
  launch.units = expr(count * plan.panels);
  launch.flops = expr(constant(0));
  launch.bytes = expr((elements(bRef) + size) * 4);
  launch.op = "pack";
  result.launches.push_back(launch);
}

void ContractEmitter::emitProduct(GroupCode &result) {
  Frame frame(module, "matmul", contract.getLoc());
  MicroCode &code = frame.code;
  const Tile tile = plan.tile;
  const int width = plan.width(code.lanes);
  const bool cut = plan.viaParts;
  Value a = frame.kernel.buffer(plan::Access::read, plan::Element::f32, aRef, expr(elements(aRef)));
  const bool ahead = plan.packing == Packing::ahead, byPanel = plan.packing == Packing::panel;
  const bool packs = plan.packing == Packing::group;
  BufferRef panelsRef = ahead ? packedRef : bRef;
  plan::ExprAttr panelExtent = ahead ? result.temporaries[packedRef.index].extent : expr(elements(bRef));
  Value b = frame.kernel.buffer(plan::Access::read, plan::Element::f32, panelsRef, panelExtent);
  Value partial;
  flow::Extent partsSize = form.batchExtent() * plan.parts * form.rowExtent() * form.columns.extent;
  if (cut) {
    partsRef = {BufferRef::temporary, unsigned(result.temporaries.size())};
    result.temporaries.push_back({plan::Element::f32, expr(partsSize), "parts of the sum"});
    partial = frame.kernel.buffer(plan::Access::write, plan::Element::f32, partsRef, expr(partsSize));
  } else {
    frame.ports = epilogue.bind(frame.kernel);
    if (!epilogue.isShort() || plan.small)
      frame.tile = frame.kernel.scratch(int64_t(tile.rows) * width * 4);
  }
  Value strips, panelScratch;
  if (!plan.directRows)
    strips = frame.kernel.scratch(plan.rowBlock * plan.depth * 4);
  if (!ahead)
    panelScratch = frame.kernel.scratch(int64_t(width) * plan.depth * 4 * (byPanel ? 1 : plan.panelGroup));

  const ContractFetch fetch(code, form, plan, a, b);
  const Ix rows = code.size(form.rowExtent()), columns = code.size(form.columns.extent);
  const Ix sums = code.size(form.sumExtent()), panels = code.size(plan.panels);
  const Ix rowBlocks = code.size(plan.rowBlocks), groups = code.size(plan.panelGroups);
  // Rows at one known distance need one address in the innermost loop, not one each. Those of a last tile
  // that is not whole are copied, so that they are at that distance too.
  const std::optional<int64_t> rowStride = knownRowStride();
  const Ix wholeRows = code.mul(code.div(rows, tile.rows), tile.rows);
  Value lastRows;
  if (rowStride && !(rows.isStatic() && rows.known() == wholeRows.known()))
    lastRows = frame.kernel.scratch(((tile.rows - 1) * *rowStride + plan.depth) * 4);
  code.loop(frame.kernel.begin(), frame.kernel.end(), 1, [&](Ix unit) {
    Place place;
    place.rowBlock = code.rem(unit, rowBlocks);
    Ix rest = code.div(unit, rowBlocks);
    Ix group = code.rem(rest, groups);
    rest = code.div(rest, groups);
    if (cut) {
      place.part = code.rem(rest, code.size(plan.parts));
      rest = code.div(rest, code.size(plan.parts));
    }
    place.batchNumber = rest;
    place.batch = unflatten(code, form.batch, rest);
    Ix rowBegin = code.mul(place.rowBlock, code.size(plan.blockRows));
    Ix rowEnd = code.min(code.add(rowBegin, code.size(plan.blockRows)), rows);
    Ix panelBegin = plan.panelGroup ? code.mul(group, plan.panelGroup) : Ix(0);
    Ix panelEnd = plan.panelGroup ? code.min(code.add(panelBegin, plan.panelGroup), panels) : panels;
    // Blocks of rows come first, then groups.
    const Ix nextBegin = code.select(code.less(code.add(place.rowBlock, 1), rowBlocks), panelBegin, panelEnd);
    Ix sumBegin = cut ? code.mul(place.part, code.size(plan.partDepth)) : Ix(0);
    Ix sumEnd = cut ? code.min(code.add(sumBegin, code.size(plan.partDepth)), sums) : sums;
    const Ix aBatch = batchOffset(code, place.batch, 0), bBatch = batchOffset(code, place.batch, 1);
    // The number of B's packed matrix, for the batch axes along which B moves.
    Ix packedBatch = 0;
    for (auto [axis, index] : llvm::zip(form.batch, place.batch))
      if (!axis.strides[1].isConstant(0))
        packedBatch = code.add(code.mul(packedBatch, code.size(axis.extent)), index);

    auto chunk = [&](Ix sumAt) {
      const bool whole = !cut && sums.isStatic() && sums.known() % plan.depth == 0;
      Ix depth = whole ? Ix(plan.depth) : code.min(plan.depth, code.sub(sumEnd, sumAt));
      bool once = !cut && sums.isStatic() && sums.known() <= plan.depth;
      Value first = once ? Value() : code.equal(sumAt, sumBegin);
      Value last = once ? Value() : code.equal(code.add(sumAt, depth), sumEnd);
      auto aStep = [&](Ix step) { return code.add(aBatch, offset(code, form.sums, step, 0)); };
      if (!plan.directRows) {
        // A row's distance is only known for one axis of rows; several are packed row by row through their
        // offsets.
        const int64_t stripStride = plan.depth * tile.rows;
        if (form.rows.size() <= 1) {
          Ix stride = form.rows.empty() ? Ix(1) : code.size(form.rows[0].strides[0]);
          PackSource from{a, stride, rows, aStep};
          emitPackStrips(code, from, rowBegin, rowEnd, tile.rows, sumAt, depth, strips, 0, stripStride);
        } else {
          code.loop(rowBegin, rowEnd, 1, [&](Ix row) {
            Ix r = offset(code, form.rows, row, 0), i = code.sub(row, rowBegin);
            Ix to = code.add(code.mul(code.div(i, tile.rows), stripStride), code.rem(i, tile.rows));
            code.loop(0, depth, 1, [&](Ix step) {
              Value element = code.loadScalar(a, code.add(r, aStep(code.add(sumAt, step))));
              code.storeScalar(element, strips, code.add(to, code.mul(step, tile.rows)));
            });
          });
        }
      }
      if (lastRows)
        code.when(code.less(wholeRows, rowEnd), [&] {
          code.loop(0, tile.rows, 1, [&](Ix i) {
            Ix from = offset(code, form.rows, code.min(code.add(wholeRows, i), code.sub(rows, 1)), 0);
            code.loop(0, depth, code.lanes, [&](Ix step) {
              Value mask = code.firstLanes(code.sub(depth, step));
              Value values = code.load(a, code.add(from, aStep(code.add(sumAt, step))), mask);
              code.store(values, lastRows, code.add(code.mul(i, *rowStride), step), mask);
            });
          });
        });
      auto runTile = [&](Ix row, Ix panel) {
        MicroOperands operands;
        operands.a = plan.directRows ? a : strips;
        if (rowStride) {
          operands.a = code.at(a, code.add(offset(code, form.rows, row, 0), aStep(sumAt)));
          if (lastRows)
            operands.a = code.selectPointer(code.less(row, wholeRows), operands.a, lastRows);
        }
        for (int i = 0; i < tile.rows; ++i) {
          if (rowStride) {
            operands.rows.push_back(i * *rowStride);
          } else if (plan.directRows) {
            Ix r = code.min(code.add(row, i), code.sub(rows, 1));
            operands.rows.push_back(code.add(offset(code, form.rows, r, 0), aStep(sumAt)));
          } else {
            operands.rows.push_back(code.add(code.mul(code.sub(row, rowBegin), plan.depth), i));
          }
        }
        if (ahead) {
          Ix chunkAt = code.mul(panels, code.add(code.mul(packedBatch, sums), sumAt));
          operands.b = b;
          operands.panel = code.mul(code.add(chunkAt, code.mul(panel, depth)), width);
        } else {
          operands.b = panelScratch;
          operands.panel = byPanel ? Ix(0) : code.mul(code.mul(code.sub(panel, panelBegin), depth), width);
        }
        operands.fetchAhead = byPanel || plan.small || width < 32 ? 0 : kPanelAhead;
        Reduction nest{depth, plan.directRows ? Ix(1) : Ix(tile.rows), width};
        Ix column = code.mul(panel, width);
        // Section i fetches row i of where the result goes, and its share of what comes after this tile.
        auto streams = [&](Ix section) {
          SmallVector<FetchStream> streams;
          auto [target, at, stride] =
              waitingRow(frame, place, partial, code.min(code.add(row, section), code.sub(rows, 1)), column);
          if (stride.is(1))
            streams.push_back(fetch.results(target, at));
          FetchPlace here{code.add(code.sub(row, rowBegin), section),
                          rowBegin,
                          panel,
                          panelBegin,
                          panelEnd,
                          nextBegin,
                          sumAt,
                          aBatch,
                          bBatch};
          if (byPanel) {
            for (const auto &stream : {fetch.nextPanel(here), fetch.nextStrips(here)})
              if (stream)
                streams.push_back(*stream);
            return streams;
          }
          if (plan.directRows) {
            Ix next = code.min(code.add(code.add(row, tile.rows), section), code.sub(rows, 1));
            streams.push_back(fetch.nextRows(code.add(offset(code, form.rows, next, 0), aStep(sumAt)), here));
          }
          if (packs)
            if (auto stream = fetch.nextChunk(here))
              streams.push_back(*stream);
          return streams;
        };
        if (!plan.small)
          operands.streams = streams, operands.usualCount = plan.depth;
        Values totals = emitMicroKernel(code, tile, operands, nest, {}, plan.small ? 1 : kMicroUnroll);
        storeTile(frame, place, partial, row, column, totals, first, last);
      };
      auto bStep = [&](Ix step) { return code.add(bBatch, offset(code, form.sums, step, 1)); };
      PackSource from{b, code.size(form.columns.strides[1]), columns, bStep,
                      form.sums.size() == 1 && form.sums[0].strides[1].isConstant(1)};
      if (byPanel) {
        code.loop(panelBegin, panelEnd, 1, [&](Ix panel) {
          emitPackPanel(code, from, code.mul(panel, width), width, sumAt, depth, panelScratch, 0);
          code.loop(rowBegin, rowEnd, tile.rows, [&](Ix row) { runTile(row, panel); });
        });
        return;
      }
      auto packGroup = [&] {
        code.loop(panelBegin, panelEnd, 1, [&](Ix panel) {
          Ix to = code.mul(code.mul(code.sub(panel, panelBegin), depth), width);
          emitPackPanel(code, from, code.mul(panel, width), width, sumAt, depth, panelScratch, to);
        });
      };
      // With one chunk, the unit before has left the same panels, unless it was another's or there was none.
      if (packs && once)
        code.when(code.either(code.equal(place.rowBlock, 0), code.equal(unit, frame.kernel.begin())),
                  packGroup);
      else if (packs)
        packGroup();
      code.loop(rowBegin, rowEnd, tile.rows,
                [&](Ix row) { code.loop(panelBegin, panelEnd, 1, [&](Ix panel) { runTile(row, panel); }); });
    };
    code.loop(sumBegin, sumEnd, plan.depth, chunk);
  });
  LaunchSpec launch = frame.kernel.finish();
  launch.units = expr(plan.units);
  launch.flops = expr(form.batchExtent() * form.rowExtent() * form.columns.extent * form.sumExtent() * 2);
  launch.bytes = expr((elements(aRef) + elements(bRef)) * 4 + flow::elementsOf(contract.getType()) * 4);
  launch.op = "contract";
  result.launches.push_back(launch);
}

std::optional<int64_t> ContractEmitter::knownRowStride() const {
  constexpr int64_t kFar = 8192; // the copy of a last tile's rows takes room for their distance
  if (!plan.directRows || plan.small || form.rows.size() != 1)
    return std::nullopt;
  std::optional<int64_t> stride = form.rows[0].strides[0].constantValue();
  return stride && *stride <= kFar ? stride : std::nullopt;
}

void ContractEmitter::emitSumOfParts(GroupCode &result) {
  Frame frame(module, "matmul", contract.getLoc());
  MicroCode &code = frame.code;
  flow::Extent size = form.batchExtent() * plan.parts * form.rowExtent() * form.columns.extent;
  Value parts = frame.kernel.buffer(plan::Access::read, plan::Element::f32, partsRef, expr(size));
  frame.ports = epilogue.bind(frame.kernel);
  Ix rows = code.size(form.rowExtent()), columns = code.size(form.columns.extent),
     count = code.size(plan.parts);
  Ix matrix = code.mul(rows, columns);
  code.loop(frame.kernel.begin(), frame.kernel.end(), 1, [&](Ix unit) {
    Ix row = code.rem(unit, rows), number = code.div(unit, rows);
    SmallVector<Ix> batch = unflatten(code, form.batch, number);
    Ix base = code.add(code.mul(code.mul(number, count), matrix), code.mul(row, columns));
    code.loop(0, columns, code.lanes, [&](Ix column) {
      bool whole = columns.isStatic() && columns.known() % code.lanes == 0;
      Value mask = whole ? Value() : code.firstLanes(code.sub(columns, column));
      Values sums = code.loop(0, count, 1, {code.zero()}, [&](Ix part, Values carried) {
        Value value = code.load(parts, code.add(code.add(base, column), code.mul(part, matrix)), mask);
        return Values{code.addf(carried[0], value)};
      });
      finish(frame, batch, row, column, mask, sums[0]);
    });
  });
  LaunchSpec launch = frame.kernel.finish();
  launch.units = expr(form.batchExtent() * form.rowExtent());
  launch.grain = 8;
  launch.flops = expr(size);
  launch.bytes = expr(size * 4);
  launch.op = "contract";
  result.launches.push_back(launch);
}

GroupCode ContractEmitter::emit() {
  GroupCode result;
  if (plan.packing == Packing::ahead)
    emitPack(result);
  emitProduct(result);
  if (plan.viaParts)
    emitSumOfParts(result);
  return result;
}

/// The group's operand that a contraction reads, and how far apart its elements are along the axes that it
/// sees.
std::optional<unsigned> readOperand(Value value, const GroupLayouts &layouts,
                                    SmallVector<flow::Extent> &strides) {
  if (auto transpose = value.getDefiningOp<flow::TransposeOp>()) {
    SmallVector<flow::Extent> inner;
    std::optional<unsigned> operand = readOperand(transpose.getX(), layouts, inner);
    if (operand)
      for (int64_t axis : transpose.getPerm())
        strides.push_back(inner[axis]);
    return operand;
  }
  auto argument = dyn_cast<BlockArgument>(value);
  if (!argument)
    return std::nullopt;
  strides = physicalStrides(value.getType(), layouts.operand(argument.getArgNumber()));
  return argument.getArgNumber();
}
/// Whether a value follows from the parameters alone in an inference entry: what is packed of it then lasts
/// until they change.
bool isFixed(Value value) {
  auto entry = value.getParentRegion()->getParentOfType<flow::EntryOp>();
  if (!entry || entry.getKind() != flow::EntryKind::infer)
    return false;
  llvm::SetVector<Value> needs;
  needs.insert(value);
  for (size_t i = 0; i < needs.size(); ++i) {
    Operation *op = needs[i].getDefiningOp();
    if (!op || isa<flow::InputOp, flow::ScalarOp, flow::RandomOp>(op) ||
        !cast<RankedTensorType>(needs[i].getType()).hasStaticShape())
      return false;
    needs.insert(op->operand_begin(), op->operand_end());
  }
  return true;
}
} // namespace

FailureOr<GroupCode> emitContractGroup(flow::GroupOp group, const GroupLayouts &layouts,
                                       KernelModule &module) {
  auto contract = dyn_cast_or_null<flow::ContractOp>(
      findRoot(group, [](Operation *op) { return isa<flow::ContractOp>(op); }));
  if (!contract)
    return group.emitError("expected exactly one contraction in a group of kind contract");
  FailureOr<Epilogue> epilogue = Epilogue::of(group, contract, layouts);
  if (failed(epilogue))
    return failure();
  SmallVector<flow::Extent> aStrides, bStrides;
  std::optional<unsigned> a = readOperand(contract.getA(), layouts, aStrides);
  std::optional<unsigned> b = readOperand(contract.getB(), layouts, bStrides);
  if (!a || !b)
    return contract.emitError(
        "expected the operands of a contraction to be operands of its group or their transposes");
  ContractForm form = ContractForm::of(contract, aStrides, bStrides, *epilogue);
  if (form.swapped)
    std::swap(a, b);
  return ContractEmitter(contract, *epilogue, form, *a, *b, isFixed(group.getInputs()[*b]), module).emit();
}

} // namespace moe::cpu
