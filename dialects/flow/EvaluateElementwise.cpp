// The meaning of generators and elementwise ops in f64, one line an op.
#include "dialects/flow/Define.h"
#include "runtime/program/Philox.h"
#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace flow;

namespace {

template <typename Function> void map(Operands operands, Array &result, Function function) {
  for (size_t i = 0; i < result.data.size(); ++i)
    result.data[i] = function(operands[0]->data[i]);
}

template <typename Function> void map2(Operands operands, Array &result, Function function) {
  for (size_t i = 0; i < result.data.size(); ++i)
    result.data[i] = function(operands[0]->data[i], operands[1]->data[i]);
}

double largerOrNan(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : a > b ? a : b; }

} // namespace

void ConstantOp::evaluate(Operands, Array &result, const Setting &) {
  for (double &y : result.data)
    y = getValue().convertToDouble();
}

void IotaOp::evaluate(Operands, Array &result, const Setting &) {
  int64_t inner = 1, extent = result.shape[getAxis()];
  for (size_t axis = getAxis() + 1; axis < result.shape.size(); ++axis)
    inner *= result.shape[axis];
  for (size_t i = 0; i < result.data.size(); ++i)
    result.data[i] = double(int64_t(i) / inner % extent);
}

void ExtentOp::evaluate(Operands, Array &result, const Setting &setting) {
  auto value = getExtent().getExtent().evaluate(setting.symbols);
  result.data[0] = value ? double(*value) : NAN;
}

void RandomOp::evaluate(Operands operands, Array &result, const Setting &setting) {
  // The elements behind each index.
  const size_t behind =
      operands.empty() || operands[0]->size() == 0 ? 1 : result.data.size() / operands[0]->size();
  for (size_t i = 0; i < result.data.size(); ++i) {
    uint64_t index = i;
    if (!operands.empty())
      index = uint64_t(uint32_t(int32_t(operands[0]->data[i / behind]))) * behind + i % behind;
    uint32_t stream = uint32_t(getStream());
    if (getKind() == RandomKind::uniform)
      result.data[i] = moert::philoxUniform(moert::philoxWord(setting.seed, stream, setting.step, index));
    else
      result.data[i] = moert::philoxNormal(setting.seed, stream, setting.step, index);
  }
}

void NegOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return -x; });
}
void ExpOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return std::exp(x); });
}
void LogOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return std::log(x); });
}
void SqrtOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return std::sqrt(x); });
}
void RsqrtOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return 1 / std::sqrt(x); });
}
void TanhOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return std::tanh(x); });
}
void SigmoidOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return 1 / (1 + std::exp(-x)); });
}
void ReluOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return largerOrNan(x, 0); });
}
void SiluOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return x == -INFINITY ? -0.0 : x / (1 + std::exp(-x)); });
}
void GeluOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return x == -INFINITY ? -0.0 : x * std::erfc(-x / std::sqrt(2.0)) / 2; });
}
void GeluSlopeOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) {
    const double density = std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
    return std::erfc(-x / std::numbers::sqrt2) / 2 + (std::isinf(x) ? 0 : x * density);
  });
}
void ErfOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return std::erf(x); });
}
void AbsOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return std::fabs(x); });
}
void NotOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return double(x == 0); });
}
void IsFiniteOp::evaluate(Operands v, Array &y, const Setting &) {
  map(v, y, [](double x) { return double(std::isfinite(x)); });
}
void StopGradientOp::evaluate(Operands v, Array &y, const Setting &) { y = *v[0]; }
void ReverseGradientOp::evaluate(Operands v, Array &y, const Setting &) { y = *v[0]; }
void BarrierOp::evaluate(Operands v, Array &y, const Setting &) { y = *v[0]; }
void SkippableOp::evaluate(Operands v, Array &y, const Setting &) { y = *v[0]; }

void AddOp::evaluate(Operands v, Array &y, const Setting &) {
  map2(v, y, [](double a, double b) { return a + b; });
}
void SubOp::evaluate(Operands v, Array &y, const Setting &) {
  map2(v, y, [](double a, double b) { return a - b; });
}
void MulOp::evaluate(Operands v, Array &y, const Setting &) {
  map2(v, y, [](double a, double b) { return a * b; });
}
void DivOp::evaluate(Operands v, Array &y, const Setting &) {
  map2(v, y, [](double a, double b) { return a / b; });
}
void MaximumOp::evaluate(Operands v, Array &y, const Setting &) { map2(v, y, largerOrNan); }
void MinimumOp::evaluate(Operands v, Array &y, const Setting &) {
  map2(v, y, [](double a, double b) { return -largerOrNan(-a, -b); });
}
void PowOp::evaluate(Operands v, Array &y, const Setting &) {
  map2(v, y, [](double a, double b) { return std::pow(a, b); });
}
void AndOp::evaluate(Operands v, Array &y, const Setting &) {
  map2(v, y, [](double a, double b) { return double(a != 0 && b != 0); });
}
void OrOp::evaluate(Operands v, Array &y, const Setting &) {
  map2(v, y, [](double a, double b) { return double(a != 0 || b != 0); });
}

void CompareOp::evaluate(Operands v, Array &y, const Setting &) {
  map2(v, y, [&](double a, double b) -> double {
    switch (getPredicate()) {
    case Predicate::eq:
      return a == b;
    case Predicate::ne:
      return a != b;
    case Predicate::lt:
      return a < b;
    case Predicate::le:
      return a <= b;
    case Predicate::gt:
      return a > b;
    case Predicate::ge:
      return a >= b;
    }
    llvm_unreachable("a comparison of no kind");
  });
}

void SelectOp::evaluate(Operands v, Array &y, const Setting &) {
  for (size_t i = 0; i < y.data.size(); ++i)
    y.data[i] = v[0]->data[i] != 0 ? v[1]->data[i] : v[2]->data[i];
}

void ConvertOp::evaluate(Operands v, Array &y, const Setting &) {
  Type to = cast<RankedTensorType>(getY().getType()).getElementType();
  map(v, y, [&](double x) -> double {
    if (to.isInteger(1))
      return x != 0;
    if (!to.isInteger(32))
      return x;
    return std::isnan(x) ? 0 : std::clamp(std::trunc(x), -2147483648.0, 2147483647.0);
  });
}
