// What the rounding errors of compiled code are relative to, element by element. It is the sum of an op's terms that its
// Truth interface gives, but for convolutions that may run by minimal filtering: these make each result of products that
// its neighbours have and it lacks, which cancel but for their rounding errors.
#pragma once
#include "dialects/flow/Flow.h"
#include <algorithm>

namespace moe::test {

inline flow::Array roundedTerms(mlir::Operation *op, flow::Array terms) {
  if (!mlir::isa<flow::ConvOp, flow::ConvInputGradOp, flow::ConvWeightGradOp>(op))
    return terms;
  mlir::Value w = mlir::isa<flow::ConvWeightGradOp>(op) ? op->getResult(0) : op->getOperand(1);
  auto filter = mlir::cast<mlir::RankedTensorType>(w.getType()).getShape();
  if (filter[2] != 3 || filter[3] != 3 || filter[0] < 32 || filter[1] < 32)
    return terms;
  constexpr int64_t reach = 3;
  flow::Array most = terms;
  const int64_t height = terms.shape[2], width = terms.shape[3];
  for (int64_t i = 0; i < terms.size(); ++i) {
    const int64_t plane = i / (height * width) * height * width, y = i / width % height, x = i % width;
    for (int64_t v = std::max<int64_t>(0, y - reach); v <= std::min(height - 1, y + reach); ++v)
      for (int64_t u = std::max<int64_t>(0, x - reach); u <= std::min(width - 1, x + reach); ++u)
        most.data[i] = std::max(most.data[i], terms.data[plane + v * width + u]);
  }
  return most;
}

} // namespace moe::test
