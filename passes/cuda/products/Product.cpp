// Tiled sums of products; see Product.h.
#include "passes/cuda/products/Product.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace moe::cuda {

// A product with fewer tiles than `enoughTiles` is cut into at most `mostParts` parts, each of at least `partSteps`
// steps, which together take at most `partElements` of memory: at the planned batch. The steps of a part are the same at
// every batch, so that more images have more parts; what they take grows as the operands do, 1 / steps of a part of these.
static constexpr double enoughTiles = 264, mostParts = 32, partSteps = 768, partElements = 1 << 22;

void ProductSizes::cut() {
  MLIRContext *context = batch.getContext();
  parts = flow::Extent::constant(context, 1);
  partDepth = sums;
  auto estimate = [&](flow::Extent size) { return flow::estimate(size, plannedBatch); };
  const double tiles = estimate(batch) * estimate(rowTiles()) * estimate(columns.ceildiv(kTile));
  const double steps = estimate(sums), elements = estimate(batch) * estimate(rows) * estimate(columns);
  const double count = std::min({enoughTiles / tiles, mostParts, steps / partSteps, partElements / elements});
  if (count < 2)
    return;
  const int64_t depth = int64_t(std::ceil(steps / std::floor(count) / kChain)) * kChain;
  partDepth = flow::Extent::constant(context, depth);
  parts = sums.ceildiv(depth);
}

flow::Extent Product::tileBlocks(const ProductSizes &sizes) {
  return sizes.batch * sizes.parts * sizes.rowTiles() * sizes.columns.ceildiv(kTile);
}
// A thread adds `lanes` neighbouring columns, of which `columns` is a multiple.
flow::Extent Product::sumBlocks() const {
  return (sizes.batch * sizes.rows * sizes.columns.ceildiv(lanes)).ceildiv(kProductThreads);
}

// Loads a slice of one operand: `kTile` rows or columns from `first` on, of `count`, and `kSlice` steps from `step` on.
// What lies beyond the ends is 0.
void Product::loadSlice(Value to, Ix first, Ix count, Ix step, Ix end, bool alongSteps,
                        llvm::function_ref<Value(Ix, Ix)> element) {
  Type f32 = b.getF32Type();
  constexpr int64_t each = kTile * kSlice / kProductThreads;
  auto loadOne = [&](Ix i) {
    // Neighbouring threads load neighbouring elements of memory.
    Ix thread = k.thread(), line, depth;
    if (alongSteps) {
      depth = code.rem(thread, kSlice);
      line = code.add(code.div(thread, kSlice), code.mul(i, kProductThreads / kSlice));
    } else {
      line = code.rem(thread, kTile);
      depth = code.add(code.div(thread, kTile), code.mul(i, kProductThreads / kTile));
    }
    Ix index = code.add(first, line), at = code.add(step, depth);
    Value exists = code.both(code.less(index, count), code.less(at, end));
    Value loaded = code.choose(
        exists, [&] { return Values{element(index, at)}; },
        [&]() -> Values { return {arith::ConstantOp::create(b, k.loc(), b.getF32FloatAttr(0))}; })[0];
    Value place = code.i64(code.add(code.mul(depth, pitch()), line));
    if (isTf32())
      k.store(roundToTf32(loaded), to, b.getI32Type(), place);
    else
      k.store(loaded, to, f32, place);
  };
  // Written one by one, the loads are on their way together. But then the places of all four are kept in registers.
  if (sizes.blocks == kTileBlocks)
    for (int64_t i = 0; i < each; ++i)
      loadOne(i);
  else
    code.loop(0, each, 1, loadOne);
}

// A vector for each row of the square.
Values Product::multiply(Values sums) {
  if (isTf32())
    return multiplyTf32(std::move(sums));
  Type f32 = b.getF32Type();
  auto type = VectorType::get({kSquare}, f32);
  Ix row = code.mul(code.div(k.thread(), kTile / kSquare), kSquare),
     column = code.mul(code.rem(k.thread(), kTile / kSquare), kSquare);
  return code.loop(0, kSlice, 1, sums, [&](Ix step, Values inner) {
    Ix line = code.mul(step, pitch());
    Value x = k.load(type, tileA, f32, code.i64(code.add(line, row)));
    Value y = k.load(type, tileB, f32, code.i64(code.add(line, column)));
    for (int64_t i = 0; i < kSquare; ++i) {
      Value one = vector::ExtractOp::create(b, k.loc(), x, i);
      Value all = vector::BroadcastOp::create(b, k.loc(), type, one);
      inner[i] = LLVM::FMAOp::create(b, k.loc(), all, y, inner[i]);
    }
    return inner;
  });
}

void Product::emitTiles(Value parts) {
  Type f32 = b.getF32Type();
  assert(2 * kSlice * pitch() <= kTile * kSumPitch);
  tileA = tileSums = k.shared(kTile * kSumPitch, f32);
  tileB = k.at(tileA, f32, k.i64(kSlice * pitch()));
  Ix rows = code.size(sizes.rows), columns = code.size(sizes.columns);
  // Neighbouring blocks have neighbouring columns.
  Ix rest = k.block(), columnTiles = code.size(sizes.columns.ceildiv(kTile)),
     rowTiles = code.size(sizes.rowTiles()), partCount = code.size(sizes.parts);
  Ix firstColumn = code.mul(code.rem(rest, columnTiles), kTile);
  rest = code.div(rest, columnTiles);
  const RowTile tile = rowsOf(code.rem(rest, rowTiles));
  rest = code.div(rest, rowTiles);
  Ix part = code.rem(rest, partCount), batch = code.div(rest, partCount);
  auto [low, high] = stepsOf(batch);
  const Ix count = high;
  if (sizes.viaParts()) {
    Ix begin = code.mul(part, code.size(sizes.partDepth));
    low = code.max(low, begin);
    high = code.min(code.add(begin, code.size(sizes.partDepth)), high);
  }
  if (tile.summed)
    high = code.select(tile.summed, high, low);
  auto zeros = [&] {
    auto type = VectorType::get({kSquare}, f32);
    return Values(kSquare, arith::ConstantOp::create(b, k.loc(), DenseElementsAttr::get(type, 0.0f)));
  };
  auto chain = [&](Ix from, Ix to) {
    return code.loop(from, to, kSlice, zeros(), [&](Ix step, Values sums) {
      loadSlice(tileA, tile.first, tile.end, step, high, sizes.alongStepsA,
                [&](Ix row, Ix at) { return elementOfA(batch, row, at); });
      loadSlice(tileB, firstColumn, columns, step, high, sizes.alongStepsB,
                [&](Ix column, Ix at) { return elementOfB(batch, at, column); });
      k.barrier();
      Values next = multiply(std::move(sums));
      k.barrier(); // the slices' memory may be written again
      return next;
    });
  };
  Values sums;
  if (count.isStatic() && count.known() <= kChain)
    sums = chain(low, high);
  else
    sums = code.loop(low, high, kChain, zeros(), [&](Ix from, Values totals) {
      Values more = chain(from, code.min(code.add(from, kChain), high));
      for (int64_t i = 0; i < kSquare; ++i)
        totals[i] = arith::AddFOp::create(b, k.loc(), totals[i], more[i]);
      return totals;
    });
  Ix matrix = code.add(code.mul(batch, partCount), part);
  storeTile(tile, firstColumn, sums, [&](Ix row, Ix column, Value vector) {
    if (!parts)
      return storeResults(batch, row, column, vector);
    Ix at = code.add(code.mul(code.add(code.mul(matrix, rows), row), columns), column);
    k.store(vector, parts, f32, code.i64(at));
  });
}

void Product::shareSums(const Values &sums) {
  if (isTf32())
    return shareSumsTf32(sums);
  Ix row = code.mul(code.div(k.thread(), kTile / kSquare), kSquare),
     column = code.mul(code.rem(k.thread(), kTile / kSquare), kSquare);
  for (int64_t i = 0; i < kSquare; ++i)
    k.store(sums[i], tileSums, b.getF32Type(),
            code.i64(code.add(code.mul(code.add(row, i), kSumPitch), column)));
}

void Product::storeTile(const RowTile &tile, Ix firstColumn, const Values &sums,
                        llvm::function_ref<void(Ix, Ix, Value)> store) {
  Type f32 = b.getF32Type();
  Ix columns = code.size(sizes.columns);
  shareSums(sums);
  k.barrier();
  const int64_t vectors = kTile / lanes;
  Ix across = code.mul(code.rem(k.thread(), vectors), lanes), down = code.div(k.thread(), vectors);
  Ix column = code.add(firstColumn, across);
  code.loop(0, kTile, kProductThreads / vectors, [&](Ix first) {
    Ix inTile = code.add(first, down), row = code.add(tile.first, inTile);
    code.when(code.both(code.less(row, tile.end), code.less(column, columns)), [&] {
      Ix from = code.add(code.mul(inTile, kSumPitch), across);
      store(row, column, k.load(VectorType::get({lanes}, f32), tileSums, f32, code.i64(from)));
    });
  });
}

void Product::storeResults(Ix batch, Ix row, Ix column, Value sums) {
  // Loads stay here, where the element exists.
  values.unitBlock = b.getInsertionBlock();
  auto storageOf = [&](unsigned port, plan::Element element) {
    Storage storage;
    storage.pointer = ports[port];
    storage.element = element == plan::Element::u8 ? Type(b.getI1Type()) : Type(b.getF32Type());
    storage.strides = {k.i64(1), code.i64(columnStride(port))};
    return storage;
  };
  // The lanes' columns are counted from the first.
  auto indexOf = [&](unsigned port) {
    Index first{code.i64(offsetOf(port, batch, row, column))};
    return SmallVector<Index>{first, Index{k.i64(0), lanes > 1 ? 1 : 0}};
  };
  Values results = epilogue.emit(code, sums, [&](unsigned input) -> Value {
    SmallVector<Index> at = indexOf(input);
    const EpilogueInput &read = epilogue.inputs()[input];
    if (!read.lookup)
      return values.load(storageOf(input, read.element), at, {});
    // A row that the table lacks is read as its first or last one, and then replaced by zeros.
    Type number = b.getI32Type();
    Value index = k.load(number, ports[read.lookup->index], number,
                         code.i64(offsetOf(read.lookup->index, batch, row, column)));
    Ix found = arith::ExtSIOp::create(b, k.loc(), b.getI64Type(), index).getResult();
    const Ix rows = code.size(read.lookup->rows);
    Value exists = code.both(code.less(-1, found), code.less(found, rows));
    found = code.max(code.min(found, code.sub(rows, 1)), 0);
    at[0] = Index{code.i64(
        code.add(offsetOf(input, batch, row, column), code.mul(found, code.size(read.lookup->stride))))};
    Value loaded = values.load(storageOf(input, read.element), at, {});
    Value zero = arith::ConstantOp::create(b, k.loc(), b.getZeroAttr(loaded.getType()));
    return code.pick(exists, loaded, zero);
  });
  for (auto [i, value] : llvm::enumerate(results)) {
    const unsigned port = epilogue.inputs().size() + i;
    values.store(value, storageOf(port, epilogue.outputs()[i].element), indexOf(port), {});
  }
}

void Product::emitSums(Value parts) {
  Type f32 = b.getF32Type();
  auto type = VectorType::get({lanes}, f32);
  Ix rows = code.size(sizes.rows), columns = code.size(sizes.columns), count = code.size(sizes.parts);
  Ix width = code.div(columns, lanes), matrix = code.mul(rows, columns);
  Ix rest = code.add(code.mul(k.block(), kProductThreads), k.thread());
  Ix total = code.mul(code.mul(code.size(sizes.batch), rows), width);
  code.when(code.less(rest, total), [&] {
    Ix column = code.mul(code.rem(rest, width), lanes), line = code.div(rest, width);
    Ix row = code.rem(line, rows), batch = code.div(line, rows);
    Ix base = code.add(code.mul(code.mul(batch, count), matrix), code.add(code.mul(row, columns), column));
    Value zero = arith::ConstantOp::create(b, k.loc(), DenseElementsAttr::get(type, 0.0f));
    Values sums = code.loop(0, count, 1, {zero}, [&](Ix part, Values carried) {
      Value more = k.load(type, parts, f32, code.i64(code.add(base, code.mul(part, matrix))));
      return Values{arith::AddFOp::create(b, k.loc(), carried[0], more)};
    });
    storeResults(batch, row, column, sums[0]);
  });
}

GroupCode emitProduct(flow::GroupOp group, KernelModule &module, StringRef kind, const ProductSizes &sizes,
                      llvm::function_ref<std::unique_ptr<Product>(KernelBuilder &)> make) {
  Operation *root = group.getRoot();
  const flow::Extent zero = flow::Extent::constant(group.getContext(), 0);
  flow::Extent bytes = zero;
  for (auto values : {ValueRange(group.getInputs()), ValueRange(group.getOutputs())})
    for (Type type : values.getTypes())
      bytes = bytes + flow::bytesOf(type);
  GroupCode result;
  auto describe = [&](LaunchSpec launch, StringRef op, flow::Extent flops, flow::Extent moved) {
    launch.op = op.str();
    launch.flops = plan::fromExtent(flops);
    launch.bytes = plan::fromExtent(moved);
    result.launches.push_back(std::move(launch));
  };
  const flow::Extent flops = cast<flow::CostInterface>(root).cost().flops;
  const StringRef name = root->getName().stripDialect();
  const flow::Extent partElements = sizes.batch * sizes.parts * sizes.rows * sizes.columns;
  std::optional<BufferRef> parts;
  if (sizes.viaParts())
    parts = result.addTemporary(partElements, "parts of the sum");
  {
    KernelBuilder kernel = module.begin(kind, kProductThreads, root->getLoc());
    kernel.requireBlocks(sizes.blocks);
    std::unique_ptr<Product> product = make(kernel);
    product->bindOperands();
    Value memory;
    if (parts)
      memory = kernel.floats(plan::Access::write, *parts, partElements);
    else
      product->bindEpilogue();
    product->emitTiles(memory);
    describe(kernel.finish(Product::tileBlocks(sizes)), name, flops, bytes);
  }
  if (parts) {
    KernelBuilder kernel = module.begin(kind, kProductThreads, root->getLoc());
    std::unique_ptr<Product> product = make(kernel);
    Value memory = kernel.floats(plan::Access::read, *parts, partElements);
    product->bindEpilogue();
    product->emitSums(memory);
    describe(kernel.finish(product->sumBlocks()), name, zero, partElements * int64_t(sizeof(float)));
  }
  return result;
}

} // namespace moe::cuda
