// What dispatch, combine, losses and reports ask of a routing.
#pragma once
#include "dialects/moe/Expander.h"

namespace moe {

/// Reports the two operands of an op in the wrong order: the value, then the routing.
mlir::LogicalResult checkRoutingFirst(Expander &in, mlir::Operation *op, mlir::Value first,
                                      mlir::Value second);

/// Reports a value whose samples do not begin with the axes of tokens that the routing has seen.
mlir::LogicalResult checkTokens(Expander &in, mlir::Operation *op, const Routing &route, mlir::Value source,
                                llvm::ArrayRef<int64_t> sample);

/// Binds the op's result to the sum of the results of each row's experts.
mlir::LogicalResult combineRows(Expander &in, CombineOp op, const Routing &route);

/// 1 where a choice [rows, top] is the expert, as a mask [rows, top, experts].
mlir::Value choiceMask(mlir::OpBuilder &b, mlir::Location loc, const Routing &route);

/// The pairs of a row and an expert, before any is dropped: [rows, experts], 0 or 1.
mlir::Value chosenPairs(mlir::OpBuilder &b, mlir::Location loc, const Routing &route);

/// How the batch is shared between the experts [experts]: what they have of all gates, or of all chosen pairs.
mlir::Value expertShares(mlir::OpBuilder &b, mlir::Location loc, const Routing &route);
/// The share of what is dropped, as tensor<f32>: of pairs, or of rows that no expert has chosen. Null where nothing can be.
mlir::Value droppedShare(mlir::OpBuilder &b, mlir::Location loc, const Routing &route);

/// What is written of a routing to some experts.
struct Selection {
  int64_t top = 1, alignment = 1;
  double capacity = 0; // 0 drops nothing
  bool prioritized = false, normalized = true, scaled = true;
  mlir::Value bias = {}; // [experts], added to the gates by which experts are chosen
};
/// Sends rows to their best experts, by the routing's noisy scores, or by its noisy gates and the bias. Drops what is beyond
/// the capacity if `drop`.
void chooseExperts(Expander &in, mlir::Location loc, Routing &route, const Selection &how, bool drop);
/// Lets each expert take `count` rows of each image: those with the largest noisy gates.
void chooseRows(Expander &in, mlir::Location loc, Routing &route, int64_t count);

/// Of each row's choices the expert and the gate, which is 0 for a dropped pair: [rows..., top, 2]. Of a routing to some
/// experts.
mlir::Value choicesOf(Expander &in, mlir::Location loc, const Routing &route);

/// How many rows chose each expert, and how many each expert took: [experts] i32. The second is null where no row can be
/// dropped. Of a routing that sends rows to experts.
std::pair<mlir::Value, mlir::Value> rowsOfExperts(mlir::OpBuilder &b, mlir::Location loc,
                                                  const Routing &route);

} // namespace moe
