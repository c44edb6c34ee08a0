// Random cases and error bounds of generators and elementwise ops. A factor is in units of 2^-24 relative to
// the magnitude: 1 where the result is correctly rounded, the polynomial's error in ulps (two units each)
// with a margin where it is a function.
#include "dialects/flow/RandomCase.h"
#include <cmath>

using namespace mlir;
using namespace flow;

Extent RandomCase::extent(int64_t most) {
  if (!few.empty())
    return few[number(0, int64_t(few.size()) - 1)];
  MLIRContext *context = builder.getContext();
  switch (number(0, 5)) {
  case 0:
    return Extent::symbol(context, Symbol::D);
  case 1:
    return Extent::symbol(context, Symbol::N);
  case 2:
    return Extent::batch(context);
  default:
    return constant(number(1, most));
  }
}

SmallVector<Extent> RandomCase::extents(unsigned lowRank, unsigned highRank) {
  if (wanted && wanted->size() >= lowRank)
    return *std::exchange(wanted, std::nullopt);
  SmallVector<Extent> all(number(lowRank, highRank));
  for (Extent &one : all)
    one = extent();
  return all;
}

Value RandomCase::input(ArrayRef<Extent> extents, Type element, std::function<double()> draw) {
  SmallVector<int64_t> shape;
  for (Extent extent : extents)
    shape.push_back(valueOf(extent));
  std::string name = "x" + std::to_string(inputs.size());
  Array array(shape);
  for (double &value : array.data)
    value = double(float(draw()));
  inputs[name] = std::move(array);
  return InputOp::create(builder, location, tensorType(extents, element), name);
}
Value RandomCase::values(ArrayRef<Extent> extents, double gap) {
  return input(extents, builder.getF32Type(), [&] { return awayFromZero(gap); });
}
Value RandomCase::between(ArrayRef<Extent> extents, double low, double high) {
  return input(extents, builder.getF32Type(), [&] { return uniform(low, high); });
}
Value RandomCase::distinct(ArrayRef<Extent> extents) {
  int64_t count = 1;
  for (Extent extent : extents)
    count *= valueOf(extent);
  std::vector<int64_t> order(count);
  for (int64_t i = 0; i < count; ++i)
    order[i] = i;
  for (int64_t i = count; i-- > 1;)
    std::swap(order[i], order[number(0, i)]);
  size_t next = 0;
  return input(extents, builder.getF32Type(),
               [&] { return (double(order[next++]) - double(count) / 2) * 0.0625; });
}
Value RandomCase::mask(ArrayRef<Extent> extents) {
  return input(extents, builder.getI1Type(), [&] { return double(coin()); });
}
Value RandomCase::indices(ArrayRef<Extent> extents, int64_t limit) {
  return input(extents, builder.getI32Type(), [&] { return double(number(0, limit - 1)); });
}
Value RandomCase::any(ArrayRef<Extent> extents) {
  int64_t kind = number(0, 7);
  return kind == 0 ? mask(extents) : kind == 1 ? indices(extents, 100) : values(extents);
}
const Array &RandomCase::valuesOf(Value value) {
  return inputs.at(value.getDefiningOp<InputOp>().getName().str());
}
void RandomCase::results(ValueRange values) {
  for (auto [i, value] : llvm::enumerate(values))
    OutputOp::create(builder, location, resultName(i), value);
}

namespace {

constexpr unsigned mostAxes = 4;

template <typename Op> void unary(RandomCase &r, Value x) {
  r.result(Op::create(r.builder, r.location, x.getType(), x));
}

/// Both operands of one shape; the second drawn knowing the first.
template <typename Op, typename Draw> void binary(RandomCase &r, Value a, Draw draw) {
  const Array &first = r.valuesOf(a);
  size_t i = 0;
  Value b = r.input(extentsOf(a), elementOf(a), [&] { return draw(first.data[i++]); });
  r.result(Op::create(r.builder, r.location, a.getType(), a, b));
}

/// Never nearer than 0.1: extrema and comparisons have no ties.
auto apart(RandomCase &r) {
  return [&r](double a) { return a + (r.coin() ? 1 : -1) * r.uniform(0.1, 1); };
}

/// f32 or i32 operands of an arithmetic op.
template <typename Op> void arithmetic(RandomCase &r) {
  auto extents = r.extents(0, mostAxes);
  if (r.number(0, 5) == 0)
    return binary<Op>(r, r.indices(extents, 100), [&](double) { return double(r.number(-50, 50)); });
  binary<Op>(r, r.values(extents), [&](double) { return r.awayFromZero(0); });
}

/// |a| + |b|: what an addition's terms sum up to.
Array sumOfSizes(ArrayRef<const Array *> v) {
  Array m = *v[0];
  for (size_t i = 0; i < m.data.size(); ++i)
    m.data[i] = std::fabs(v[0]->data[i]) + std::fabs(v[1]->data[i]);
  return m;
}

} // namespace

void ConstantOp::buildRandomCase(RandomCase &r) {
  auto type = tensorType(r.extents(0, mostAxes), r.builder.getF32Type());
  r.result(flow::constant(r.builder, r.location, double(float(r.uniform(-2, 2))), type));
}
void IotaOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(1, mostAxes);
  Type element = r.coin() ? Type(r.builder.getF32Type()) : r.builder.getI32Type();
  r.result(flow::iota(r.builder, r.location, extents, r.number(0, extents.size() - 1), element));
}
void ExtentOp::buildRandomCase(RandomCase &r) {
  Extent extent = r.extent() * r.extent() + r.extent();
  r.result(r.coin() ? flow::extentNumber(r.builder, r.location, extent)
                    : flow::extentIndex(r.builder, r.location, extent));
}
void RandomOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(0, mostAxes);
  RandomKind kind = r.coin() ? RandomKind::uniform : RandomKind::normal;
  ArrayRef<Extent> first = ArrayRef(extents).take_front(r.number(0, extents.size()));
  Value index = r.coin() ? r.indices(first, 1000) : Value();
  r.result(flow::random(r.builder, r.location, kind, uint32_t(r.random()), extents, index));
}

void NegOp::buildRandomCase(RandomCase &r) { unary<NegOp>(r, r.values(r.extents(0, mostAxes))); }
void ExpOp::buildRandomCase(RandomCase &r) { unary<ExpOp>(r, r.values(r.extents(0, mostAxes))); }
void LogOp::buildRandomCase(RandomCase &r) { unary<LogOp>(r, r.between(r.extents(0, mostAxes), 0.2, 3)); }
void SqrtOp::buildRandomCase(RandomCase &r) { unary<SqrtOp>(r, r.between(r.extents(0, mostAxes), 0.2, 3)); }
void RsqrtOp::buildRandomCase(RandomCase &r) { unary<RsqrtOp>(r, r.between(r.extents(0, mostAxes), 0.2, 3)); }
void TanhOp::buildRandomCase(RandomCase &r) { unary<TanhOp>(r, r.values(r.extents(0, mostAxes))); }
void SigmoidOp::buildRandomCase(RandomCase &r) { unary<SigmoidOp>(r, r.values(r.extents(0, mostAxes))); }
void ReluOp::buildRandomCase(RandomCase &r) { unary<ReluOp>(r, r.values(r.extents(0, mostAxes), 0.1)); }
void SiluOp::buildRandomCase(RandomCase &r) { unary<SiluOp>(r, r.values(r.extents(0, mostAxes))); }
void GeluOp::buildRandomCase(RandomCase &r) { unary<GeluOp>(r, r.values(r.extents(0, mostAxes))); }
void GeluSlopeOp::buildRandomCase(RandomCase &r) {
  unary<GeluSlopeOp>(r, r.between(r.extents(0, mostAxes), -8, 8));
}
void ErfOp::buildRandomCase(RandomCase &r) { unary<ErfOp>(r, r.values(r.extents(0, mostAxes))); }
void AbsOp::buildRandomCase(RandomCase &r) { unary<AbsOp>(r, r.values(r.extents(0, mostAxes), 0.1)); }
void NotOp::buildRandomCase(RandomCase &r) { unary<NotOp>(r, r.mask(r.extents(0, mostAxes))); }
void IsFiniteOp::buildRandomCase(RandomCase &r) {
  Value x = r.input(r.extents(0, mostAxes), r.builder.getF32Type(), [&]() -> double {
    return r.coin() ? r.uniform(-1, 1) : r.coin() ? NAN : r.coin() ? INFINITY : -INFINITY;
  });
  r.result(flow::isFinite(r.builder, r.location, x));
}
void StopGradientOp::buildRandomCase(RandomCase &r) {
  unary<StopGradientOp>(r, r.any(r.extents(0, mostAxes)));
}
void ReverseGradientOp::buildRandomCase(RandomCase &r) {
  Value x = r.values(r.extents(0, mostAxes)), scale = r.between({}, 0.5, 2);
  r.result(flow::reverseGradient(r.builder, r.location, x, scale));
}
void BarrierOp::buildRandomCase(RandomCase &r) {
  r.result(flow::barrier(r.builder, r.location, r.any(r.extents(0, mostAxes)), r.number(0, 9)));
}

void AddOp::buildRandomCase(RandomCase &r) { arithmetic<AddOp>(r); }
void SubOp::buildRandomCase(RandomCase &r) { arithmetic<SubOp>(r); }
void MulOp::buildRandomCase(RandomCase &r) { arithmetic<MulOp>(r); }
void DivOp::buildRandomCase(RandomCase &r) {
  binary<DivOp>(r, r.values(r.extents(0, mostAxes)), [&](double) { return r.awayFromZero(0.5); });
}
void MaximumOp::buildRandomCase(RandomCase &r) {
  binary<MaximumOp>(r, r.values(r.extents(0, mostAxes)), apart(r));
}
void MinimumOp::buildRandomCase(RandomCase &r) {
  binary<MinimumOp>(r, r.values(r.extents(0, mostAxes)), apart(r));
}
void PowOp::buildRandomCase(RandomCase &r) {
  binary<PowOp>(r, r.between(r.extents(0, mostAxes), 0.3, 2), [&](double) { return r.uniform(-2, 2); });
}
void AndOp::buildRandomCase(RandomCase &r) {
  binary<AndOp>(r, r.mask(r.extents(0, mostAxes)), [&](double) { return double(r.coin()); });
}
void OrOp::buildRandomCase(RandomCase &r) {
  binary<OrOp>(r, r.mask(r.extents(0, mostAxes)), [&](double) { return double(r.coin()); });
}
void CompareOp::buildRandomCase(RandomCase &r) {
  Value a = r.values(r.extents(0, mostAxes));
  const Array &first = r.valuesOf(a);
  size_t i = 0;
  bool nan = r.number(0, 4) == 0;
  Value b = r.input(extentsOf(a), elementOf(a), [&]() -> double {
    double value = first.data[i++];
    return nan && r.coin() ? NAN : r.coin() ? value : apart(r)(value);
  });
  r.result(flow::compare(r.builder, r.location, Predicate(r.number(0, 5)), a, b));
}
void SelectOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(0, mostAxes);
  Value mask = r.mask(extents), a = r.values(extents), b = r.values(extents);
  r.result(flow::select(r.builder, r.location, mask, a, b));
}
void SkippableOp::buildRandomCase(RandomCase &r) {
  auto extents = r.extents(0, mostAxes);
  Value x = r.values(extents), live = r.mask(extents);
  r.result(flow::skippable(r.builder, r.location, x, live));
}
void ConvertOp::buildRandomCase(RandomCase &r) {
  Type types[] = {r.builder.getF32Type(), r.builder.getI1Type(), r.builder.getI32Type()};
  auto extents = r.extents(0, mostAxes);
  int64_t from = r.number(0, 2), to = (from + r.number(1, 2)) % 3;
  Value x = r.input(extents, types[from], [&]() -> double {
    if (from == 1)
      return r.coin();
    return (r.coin() ? 0 : double(r.number(-40, 40))) +
           (from == 0 ? r.uniform(0.2, 0.8) * (r.coin() ? 1 : 0) : 0);
  });
  r.result(flow::convert(r.builder, r.location, x, types[to]));
}

double ConstantOp::errorFactor() { return 0; }
double IotaOp::errorFactor() { return 0; }
double ExtentOp::errorFactor() { return 0; }
double RandomOp::errorFactor() { return getKind() == RandomKind::uniform ? 0 : 32; }
double NegOp::errorFactor() { return 0; }
double ExpOp::errorFactor() { return 6; }
double LogOp::errorFactor() { return 6; }
double SqrtOp::errorFactor() { return 1; }
double RsqrtOp::errorFactor() { return 3; }
double TanhOp::errorFactor() { return 14; }
double SigmoidOp::errorFactor() { return 8; }
double ReluOp::errorFactor() { return 0; }
double SiluOp::errorFactor() { return 8; }
double GeluOp::errorFactor() { return 14; }
double GeluSlopeOp::errorFactor() { return 6; }
double ErfOp::errorFactor() { return 12; }
double AbsOp::errorFactor() { return 0; }
double NotOp::errorFactor() { return 0; }
double IsFiniteOp::errorFactor() { return 0; }
double StopGradientOp::errorFactor() { return 0; }
double ReverseGradientOp::errorFactor() { return 0; }
double BarrierOp::errorFactor() { return 0; }
double SkippableOp::errorFactor() { return 0; }
double AddOp::errorFactor() { return 1; }
double SubOp::errorFactor() { return 1; }
double MulOp::errorFactor() { return 1; }
double DivOp::errorFactor() { return 1; }
double MaximumOp::errorFactor() { return 0; }
double MinimumOp::errorFactor() { return 0; }
double PowOp::errorFactor() { return 16; }
double AndOp::errorFactor() { return 0; }
double OrOp::errorFactor() { return 0; }
double CompareOp::errorFactor() { return 0; }
double SelectOp::errorFactor() { return 0; }
double ConvertOp::errorFactor() { return 0; }

// Box-Muller's terms are radius times cosine: an error of the angle is relative to the radius, at most 5.8.
Array RandomOp::magnitude(ArrayRef<const Array *>, const Array &y) { return sizesOf(y, 6); }
Array AddOp::magnitude(ArrayRef<const Array *> v, const Array &) { return sumOfSizes(v); }
Array SubOp::magnitude(ArrayRef<const Array *> v, const Array &) { return sumOfSizes(v); }
// Near 1 the exponent's and the mantissa's parts cancel.
Array LogOp::magnitude(ArrayRef<const Array *>, const Array &y) { return sizesOf(y, 0.5); }
// Phi(x) is a difference for negative x.
Array GeluOp::magnitude(ArrayRef<const Array *> v, const Array &) { return sizesOf(*v[0]); }
// The slope crosses 0 where Phi(x) and x phi(x) cancel.
Array GeluSlopeOp::magnitude(ArrayRef<const Array *>, const Array &y) { return sizesOf(y, 1); }
// exp(b log a): the exponent's absolute error is relative to b log a.
Array PowOp::magnitude(ArrayRef<const Array *> v, const Array &y) {
  Array m = sizesOf(y);
  for (size_t i = 0; i < m.data.size(); ++i)
    m.data[i] *= 1 + std::fabs(v[1]->data[i] * std::log(v[0]->data[i]));
  return m;
}
#define FLOW_SIZE_OF_RESULT(Op)                                                                              \
  Array Op::magnitude(ArrayRef<const Array *>, const Array &y) { return sizesOf(y); }
FLOW_SIZE_OF_RESULT(ConstantOp)
FLOW_SIZE_OF_RESULT(IotaOp)
FLOW_SIZE_OF_RESULT(ExtentOp)
FLOW_SIZE_OF_RESULT(NegOp)
FLOW_SIZE_OF_RESULT(ExpOp)
FLOW_SIZE_OF_RESULT(SqrtOp)
FLOW_SIZE_OF_RESULT(RsqrtOp)
FLOW_SIZE_OF_RESULT(TanhOp)
FLOW_SIZE_OF_RESULT(SigmoidOp)
FLOW_SIZE_OF_RESULT(ReluOp)
FLOW_SIZE_OF_RESULT(SiluOp)
FLOW_SIZE_OF_RESULT(ErfOp)
FLOW_SIZE_OF_RESULT(AbsOp)
FLOW_SIZE_OF_RESULT(NotOp)
FLOW_SIZE_OF_RESULT(IsFiniteOp)
FLOW_SIZE_OF_RESULT(StopGradientOp)
FLOW_SIZE_OF_RESULT(ReverseGradientOp)
FLOW_SIZE_OF_RESULT(BarrierOp)
FLOW_SIZE_OF_RESULT(SkippableOp)
FLOW_SIZE_OF_RESULT(MulOp)
FLOW_SIZE_OF_RESULT(DivOp)
FLOW_SIZE_OF_RESULT(MaximumOp)
FLOW_SIZE_OF_RESULT(MinimumOp)
FLOW_SIZE_OF_RESULT(AndOp)
FLOW_SIZE_OF_RESULT(OrOp)
FLOW_SIZE_OF_RESULT(CompareOp)
FLOW_SIZE_OF_RESULT(SelectOp)
FLOW_SIZE_OF_RESULT(ConvertOp)
