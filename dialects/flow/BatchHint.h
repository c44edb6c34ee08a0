// The batch sizes that a program is optimised for: the planned batches. A program runs at any batch size with
// the same results. The hint decides how work is divided into kernels and which values are kept for the
// backward part, so a batch size near it runs fastest. A program records it in its `config`, as `batch-hint`.
#pragma once
#include "dialects/flow/Flow.h"
#include <string>

namespace flow {

struct BatchHint {
  static constexpr llvm::StringLiteral key = "batch-hint"; ///< of a program's `config`

  Symbols train = {5, 64}, infer = {5, 64};

  /// Reads `train=5x64,infer=1x64` (domains x rows of each; either may be missing). Nothing if the text is
  /// not of this form; `error` then says why.
  static std::optional<BatchHint> parse(llvm::StringRef text, std::string &error);
  std::string str() const;
};

/// The planned batch of an entry: its program's hint for entries of its kind, or the default. For an op
/// inside an entry, the entry's; outside of all programs, the default.
Symbols plannedBatch(mlir::Operation *op);

/// A size at a batch, for estimates: at least 1, and 2^63 if it does not fit into 64 bits.
double estimate(Extent extent, const Symbols &batch);
/// The elements of a tensor, or of a value of such a type, at a batch.
double estimateElements(mlir::Type type, const Symbols &batch);

} // namespace flow
