// The ops that say which rows go where: ranks and sorts, the rows of a table that an index or a segment names, and an
// expert's capacity. All of what each op states is here but its verifier (Verify.cpp). All but two are composites,
// since what they are made of is loops and counting sorts, for which every target has kernels.
#include "dialects/flow/Build.h"
#include "dialects/flow/Define.h"
#include "dialects/flow/RandomCase.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "runtime/program/Capacity.h"
#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

using namespace mlir;

namespace flow {

namespace {

/// Whether x stands before y in descending order; NaN comes last.
bool isBefore(double x, double y) { return std::isnan(y) ? !std::isnan(x) : x > y; }

/// The places of some elements in descending order; equal ones keep their order.
template <typename Element> SmallVector<int64_t> descending(int64_t count, Element element) {
  auto order = llvm::to_vector(llvm::seq<int64_t>(0, count));
  llvm::sort(order, [&](int64_t i, int64_t j) {
    const double x = element(i), y = element(j);
    return isBefore(x, y) || (!isBefore(y, x) && i < j);
  });
  return order;
}

Extent rowsOf(Value x) { return Extent::of(x, 0); }

/// Few values, some of them NaN, so that ties are common.
Value withTies(RandomCase &r, ArrayRef<Extent> extents) {
  return r.input(extents, r.builder.getF32Type(), [&]() -> double {
    const double zeros[] = {0.0, -0.0};
    return r.number(0, 7) == 0 ? NAN : r.number(0, 3) == 0 ? zeros[r.coin()] : double(r.number(-2, 2));
  });
}

} // namespace

// gather_rows

void GatherRowsOp::evaluate(Operands v, Array &y, const Setting &) {
  const Array &table = *v[0], &index = *v[1];
  const int64_t row = y.size() / std::max<int64_t>(index.size(), 1);
  for (int64_t i = 0; i < index.size(); ++i) {
    const int64_t from = int64_t(index.data[i]);
    const bool known = from >= 0 && from < table.shape[0];
    for (int64_t j = 0; j < row; ++j)
      y.data[i * row + j] = known ? table.data[from * row + j] : 0;
  }
}
SmallVector<Value> GatherRowsOp::decompose(OpBuilder &builder) {
  return {flow::gather(builder, getLoc(), getTable(), getIndex())};
}
// A row of the table gets the gradients of all places that name it.
LogicalResult GatherRowsOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(3, {});
  Value dy = upstream[0];
  if (!dy)
    return success();
  SmallVector<Extent> flat{elementsOf(getIndex().getType())};
  llvm::append_range(flat, ArrayRef(extentsOf(getTable())).drop_front());
  Value places = getInverse(), from = flow::reshape(builder, getLoc(), dy, flat);
  if (Extent::of(places, 1).isConstant(1)) {
    places = flow::reshape(builder, getLoc(), places, {Extent::of(places, 0)});
    gradients[0] = flow::gather(builder, getLoc(), from, places);
  } else {
    gradients[0] = flow::sum(builder, getLoc(), flow::gather(builder, getLoc(), from, places), {1});
  }
  return success();
}
Cost GatherRowsOp::cost() { return {Extent::constant(getContext(), 0)}; }
double GatherRowsOp::errorFactor() { return 0; }
Array GatherRowsOp::magnitude(Operands, const Array &y) { return sizesOf(y); }
void GatherRowsOp::buildRandomCase(RandomCase &r) {
  auto table = r.extents(1, 3);
  const int64_t rows = r.valueOf(table[0]), most = r.number(1, 3);
  auto places = r.extents(1, 2);
  int64_t count = 1;
  for (Extent extent : places)
    count *= r.valueOf(extent);
  // Each row is named at most `most` times, and its places are listed in any order.
  SmallVector<int64_t> named(count, -1), inverse(rows * most, -1), used(rows, 0);
  for (int64_t place = 0; place < count; ++place)
    if (const int64_t row = r.number(-1, rows); row >= 0 && row < rows && used[row] < most) {
      named[place] = row;
      inverse[row * most + used[row]++] = place;
    }
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = most; i-- > 1;)
      std::swap(inverse[row * most + i], inverse[row * most + r.number(0, i)]);
  auto given = [&](ArrayRef<Extent> extents, const SmallVector<int64_t> &numbers) {
    size_t next = 0;
    return r.input(extents, r.builder.getI32Type(), [&] { return double(numbers[next++]); });
  };
  Value values = r.values(table), index = given(places, named),
        back = given({table[0], r.constant(most)}, inverse);
  r.result(flow::gatherRows(r.builder, r.location, values, index, back));
}

// segment_rows

void SegmentRowsOp::evaluate(Operands v, Array &y, const Setting &) {
  const Array &table = *v[0], &offsets = *v[1];
  const int64_t segments = table.shape[0], row = table.size() / std::max<int64_t>(segments, 1);
  std::fill(y.data.begin(), y.data.end(), 0.0);
  // The segments that end at or before a row are those in front of its own.
  for (int64_t p = 0; p < y.shape[0]; ++p) {
    const int64_t own = std::count_if(offsets.data.begin() + 1, offsets.data.end(),
                                      [&](double end) { return end <= double(p); });
    if (offsets.data[0] <= double(p) && own < segments)
      std::copy_n(table.data.begin() + own * row, row, y.data.begin() + p * row);
  }
}
SmallVector<Value> SegmentRowsOp::decompose(OpBuilder &builder) {
  Value segment = flow::segmentOfRow(builder, getLoc(), getOffsets(), rowsOf(getY()));
  return {flow::gather(builder, getLoc(), getTable(), segment)};
}
LogicalResult SegmentRowsOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(2, {});
  if (Value dy = upstream[0])
    gradients[0] = flow::segmentSum(builder, getLoc(), dy, getOffsets());
  return success();
}
// Each row is compared with the end of each segment.
Cost SegmentRowsOp::cost() { return {rowsOf(getY()) * rowsOf(getTable()) * 2 + rowsOf(getY()) * 2}; }
double SegmentRowsOp::errorFactor() { return 0; }
Array SegmentRowsOp::magnitude(Operands, const Array &y) { return sizesOf(y); }
void SegmentRowsOp::buildRandomCase(RandomCase &r) {
  auto table = r.extents(1, 3);
  const Extent rows = r.extent();
  const int64_t last = r.valueOf(rows);
  int64_t at = r.number(0, 1);
  Value offsets = r.input({table[0] + r.constant(1)}, r.builder.getI32Type(), [&] {
    const int64_t now = at;
    at = std::min(at + r.number(0, 2), last);
    return double(std::min(now, last));
  });
  r.result(flow::segmentRows(r.builder, r.location, r.values(table), offsets, rows));
}

// rank: how many elements stand before each one.

void RankOp::evaluate(Operands v, Array &y, const Setting &) {
  forEachRow(v[0]->shape, getAxis(), [&](int64_t, ArrayRef<int64_t> elements) {
    auto order = descending(elements.size(), [&](int64_t i) { return v[0]->data[elements[i]]; });
    for (auto [rank, i] : llvm::enumerate(order))
      y.data[elements[i]] = double(rank);
  });
}
SmallVector<Value> RankOp::decompose(OpBuilder &b) {
  Location loc = getLoc();
  // Axes of a pair: those of x, then the other element's place.
  const int64_t rank = rankOf(getX()), axis = getAxis();
  SmallVector<Extent> pairs = extentsOf(getX());
  pairs.push_back(pairs[axis]);
  SmallVector<int64_t> own = llvm::to_vector(llvm::seq<int64_t>(0, rank)), others = own;
  others[axis] = rank;
  // The other element's axis is the last, and so has to be moved there before it is broadcast.
  SmallVector<int64_t> order = own, sorted = own;
  order.erase(order.begin() + axis);
  order.push_back(axis);
  sorted.erase(sorted.begin() + axis);
  sorted.push_back(rank);
  Value mine = flow::broadcast(b, loc, getX(), pairs, own);
  Value other = flow::broadcast(b, loc, flow::transpose(b, loc, getX(), order), pairs, sorted);
  auto compare = [&](Predicate predicate, Value x, Value y) {
    return flow::compare(b, loc, predicate, x, y);
  };
  Value mineNan = compare(Predicate::ne, mine, mine), otherNan = compare(Predicate::ne, other, other);
  Value larger = flow::logicalOr(b, loc, compare(Predicate::gt, other, mine),
                                 flow::logicalAnd(b, loc, mineNan, flow::logicalNot(b, loc, otherNan)));
  Value equal = flow::logicalOr(b, loc, compare(Predicate::eq, other, mine),
                                flow::logicalAnd(b, loc, mineNan, otherNan));
  Type number = b.getI32Type();
  Value earlier = compare(Predicate::lt, flow::iota(b, loc, pairs, rank, number),
                          flow::iota(b, loc, pairs, axis, number));
  Value before = flow::logicalOr(b, loc, larger, flow::logicalAnd(b, loc, equal, earlier));
  return {flow::sum(b, loc, flow::convert(b, loc, before, number), {rank})};
}
// Eight comparisons and masks a pair.
Cost RankOp::cost() { return {elementsOf(getX().getType()) * Extent::of(getX(), getAxis()) * 8}; }
double RankOp::errorFactor() { return 0; }
Array RankOp::magnitude(Operands, const Array &y) { return sizesOf(y); }
void RankOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(1, 3);
  Value x = r.coin() ? r.distinct(extents) : withTies(r, extents);
  r.result(flow::rank(r.builder, r.location, x, r.number(0, extents.size() - 1)));
}

// top_k: the element whose rank is 0, 1 and so on.

void TopKOp::evaluate(Operands v, Array &y, const Setting &) {
  const int64_t count = v[0]->shape.back(), k = getK();
  for (int64_t row = 0; row < v[0]->size() / count; ++row) {
    auto order = descending(count, [&](int64_t i) { return v[0]->data[row * count + i]; });
    for (int64_t j = 0; j < k; ++j)
      y.data[row * k + j] = double(order[j]);
  }
}
SmallVector<Value> TopKOp::decompose(OpBuilder &b) {
  Location loc = getLoc();
  const int64_t last = rankOf(getX()) - 1;
  Type number = b.getI32Type();
  if (getK() == 1) { // argmax takes NaN for the largest
    Value x = getX();
    Value known = flow::compare(b, loc, Predicate::eq, x, x);
    x = flow::select(b, loc, known, x, flow::constant(b, loc, -INFINITY, x.getType()));
    // An element of -inf must come before NaN, so the place is looked for among those that are as large.
    Value most = flow::reduce(b, loc, ReduceKind::max, x, {last});
    SmallVector<Extent> all = extentsOf(x);
    Value chosen = flow::compare(b, loc, Predicate::eq, x, flow::broadcastAlong(b, loc, most, all, {last}));
    Value place = flow::iota(b, loc, all, last, number);
    Value end = flow::constant(b, loc, INT32_MAX, place.getType());
    auto first = [&](Value mask) {
      return flow::reduce(b, loc, ReduceKind::min, flow::select(b, loc, mask, place, end), {last});
    };
    Value ofNumbers = first(flow::logicalAnd(b, loc, chosen, known)), ofAll = first(chosen);
    Value best = flow::select(b, loc, flow::compare(b, loc, Predicate::ne, ofNumbers, double(INT32_MAX)),
                              ofNumbers, ofAll);
    return {flow::reshape(b, loc, best, extentsOf(getY()))};
  }
  Value ranks = RankOp::create(b, loc, withElement(getX().getType(), number), getX(), last);
  SmallVector<Extent> pairs = extentsOf(getX());
  pairs.insert(pairs.begin() + last, Extent::constant(b.getContext(), getK()));
  Value there = flow::compare(b, loc, Predicate::eq, flow::broadcastAlong(b, loc, ranks, pairs, {last}),
                              flow::iota(b, loc, pairs, last, number));
  Value place = flow::iota(b, loc, pairs, last + 1, number);
  Value zero = flow::constant(b, loc, 0, place.getType());
  return {flow::sum(b, loc, flow::select(b, loc, there, place, zero), {last + 1})};
}
Cost TopKOp::cost() {
  const Extent elements = elementsOf(getX().getType());
  if (getK() == 1)
    return {elements * 7};
  return {elements * Extent::of(getX(), rankOf(getX()) - 1) * 8 + elements * (3 * int64_t(getK()))};
}
double TopKOp::errorFactor() { return 0; }
Array TopKOp::magnitude(Operands, const Array &y) { return sizesOf(y); }
void TopKOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(1, 3);
  if (!extents.back().constantValue())
    extents.back() = r.constant(r.number(1, 6));
  Value x = r.coin() ? r.distinct(extents) : withTies(r, extents);
  r.result(flow::topK(r.builder, r.location, x, r.number(1, *extents.back().constantValue())));
}

// argsort: a counting sort for each digit, from the last one on.

static constexpr int64_t kDigit = 11, kKey = 32;

void ArgsortOp::evaluate(Operands v, MutableArrayRef<Array> results, const Setting &) {
  auto order = descending(v[0]->size(), [&](int64_t i) { return double(float(v[0]->data[i])); });
  for (auto [rank, i] : llvm::enumerate(order)) {
    results[0].data[rank] = double(i);
    results[1].data[i] = double(rank);
  }
}
SmallVector<Value> ArgsortOp::decompose(OpBuilder &b) {
  Location loc = getLoc();
  Value x = getX(), order, ranks;
  for (int64_t shift = 0; shift < kKey; shift += kDigit) {
    const int64_t bits = std::min(kDigit, kKey - shift);
    Value digit = flow::radixDigit(b, loc, x, shift, bits);
    if (order)
      digit = flow::gather(b, loc, digit, order);
    auto sort = flow::countingSort(b, loc, digit, Extent::constant(b.getContext(), int64_t(1) << bits));
    ranks = order ? flow::gather(b, loc, sort.positions, ranks) : sort.positions;
    order = order ? flow::gather(b, loc, order, sort.order) : sort.order;
  }
  return {order, ranks};
}
Cost ArgsortOp::cost() { return {elementsOf(getX().getType()) * (3 * ((kKey + kDigit - 1) / kDigit))}; }
double ArgsortOp::errorFactor() { return 0; }
SmallVector<Array> ArgsortOp::magnitude(Operands, ArrayRef<Array> results) {
  return {sizesOf(results[0]), sizesOf(results[1])};
}
void ArgsortOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(1, 1);
  Value x = r.coin() ? r.values(extents) : withTies(r, extents);
  auto [order, ranks] = flow::argsort(r.builder, r.location, x);
  r.results({order, ranks});
}

// radix_digit

void RadixDigitOp::evaluate(Operands v, Array &y, const Setting &) {
  for (size_t i = 0; i < y.data.size(); ++i) {
    const float x = float(v[0]->data[i]);
    // Negative numbers descend as their bits rise, all others as their bits fall.
    const uint32_t bits = std::bit_cast<uint32_t>(x == 0 ? 0.0f : x);
    const uint32_t place = std::isnan(x) ? 0xFFFFFFFF : std::signbit(x) && x != 0 ? bits : 0x7FFFFFFF - bits;
    y.data[i] = double(place >> getShift() & ((uint64_t(1) << getBits()) - 1));
  }
}
Value RadixDigitOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  Value x = arith::AddFOp::create(b, loc, v[0], splat(b, loc, v[0].getType(), 0)); // -0 becomes 0
  Type number = b.getI32Type();
  if (auto vector = dyn_cast<VectorType>(x.getType()))
    number = VectorType::get(vector.getShape(), number);
  auto constant = [&](int64_t value) { return splat(b, loc, number, double(int32_t(value))); };
  Value bits = arith::BitcastOp::create(b, loc, number, x);
  Value negative = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, bits, constant(0));
  Value place = arith::SelectOp::create(b, loc, negative, bits,
                                        arith::SubIOp::create(b, loc, constant(0x7FFFFFFF), bits));
  Value unknown = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, x, x);
  place = arith::SelectOp::create(b, loc, unknown, constant(-1), place);
  place = arith::ShRUIOp::create(b, loc, place, constant(getShift()));
  return arith::AndIOp::create(b, loc, place, constant((uint64_t(1) << getBits()) - 1));
}
double RadixDigitOp::errorFactor() { return 0; }
Array RadixDigitOp::magnitude(Operands, const Array &y) { return sizesOf(y); }
void RadixDigitOp::buildRandomCase(RandomCase &r) {
  Value x = r.coin() ? r.values(r.extents(0, 3)) : withTies(r, r.extents(0, 3));
  const int64_t shift = r.number(0, kKey - 1);
  r.result(
      flow::radixDigit(r.builder, r.location, x, shift, r.number(1, std::min<int64_t>(kKey - shift, 31))));
}

// capacity

void CapacityOp::evaluate(Operands v, Array &y, const Setting &) {
  for (size_t i = 0; i < y.data.size(); ++i)
    y.data[i] = moert::expertCapacity(v[0]->data[i], getExperts(), getTop(), getFactor().convertToDouble(),
                                      getAlignment());
}
// The steps of moert::expertCapacity.
Value CapacityOp::buildScalar(OpBuilder &b, Location loc, ValueRange v) {
  Type wide = b.getF64Type();
  if (auto vector = dyn_cast<VectorType>(v[0].getType()))
    wide = VectorType::get(vector.getShape(), wide);
  auto number = [&](double value) { return splat(b, loc, wide, value); };
  auto times = [&](Value x, double factor) -> Value {
    return arith::MulFOp::create(b, loc, x, number(factor));
  };
  auto divide = [&](Value x, double by) -> Value {
    return math::CeilOp::create(b, loc, arith::DivFOp::create(b, loc, x, number(by)));
  };
  Value share = divide(arith::SIToFPOp::create(b, loc, wide, v[0]), double(getExperts()));
  Value rows = math::FloorOp::create(b, loc, times(share, std::fabs(getFactor().convertToDouble())));
  rows = times(rows, double(getTop()));
  if (getAlignment() != 1)
    rows = times(divide(rows, double(getAlignment())), double(getAlignment()));
  const int64_t alignment = getAlignment();
  rows = arith::MinimumFOp::create(b, loc, rows, number(double(INT32_MAX / alignment * alignment)));
  return arith::FPToSIOp::create(b, loc, v[0].getType(), rows);
}
double CapacityOp::errorFactor() { return 0; }
Array CapacityOp::magnitude(Operands, const Array &y) { return sizesOf(y); }
void CapacityOp::buildRandomCase(RandomCase &r) {
  const double factors[] = {0.7, 1.15, 1.5, 1.0, -0.7, r.uniform(0.1, 3), 1e9};
  Value rows = r.input(r.extents(0, 2), r.builder.getI32Type(), [&] { return double(r.number(1, 40000)); });
  r.result(CapacityOp::create(r.builder, r.location, rows, r.number(1, 64), r.number(1, 4),
                              r.builder.getF64FloatAttr(factors[r.number(0, 6)]).getValue(),
                              r.coin() ? 1 : r.number(1, 128)));
}

} // namespace flow
