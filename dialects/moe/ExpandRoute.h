// What dispatch, combine, losses and reports ask of a routing.
#pragma once
#include "dialects/moe/Expander.h"

namespace moe {

/// Reports a value whose samples do not begin with the axes of tokens that the routing has seen.
mlir::LogicalResult checkTokens(Expander &in, mlir::Operation *op, const Routing &route, mlir::Value source,
                                llvm::ArrayRef<int64_t> sample);

/// Binds the op's result to the sum of the results of each row's experts.
mlir::LogicalResult combineRows(Expander &in, CombineOp op, const Routing &route);

/// 1 where a choice [rows, top] is the expert, as a mask [rows, top, experts].
mlir::Value choiceMask(mlir::OpBuilder &b, mlir::Location loc, const Routing &route);

/// The pairs of a row and an expert, before any is dropped: [rows, experts], 0 or 1.
mlir::Value chosenPairs(mlir::OpBuilder &b, mlir::Location loc, const Routing &route);

/// Of each row's choices the expert and the gate, which is 0 for a dropped pair: [rows..., top, 2]. Of a routing to some
/// experts.
mlir::Value choicesOf(Expander &in, mlir::Location loc, const Routing &route);

/// How many rows chose each expert, and how many each expert took: [experts] i32. The second is null where no row can be
/// dropped. Of a routing that sends rows to experts.
std::pair<mlir::Value, mlir::Value> rowsOfExperts(mlir::OpBuilder &b, mlir::Location loc,
                                                  const Routing &route);

} // namespace moe
