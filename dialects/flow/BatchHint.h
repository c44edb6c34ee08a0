// The batches that a program is planned for. Any batch runs, with the same results; what follows from the hint is
// how work is divided into kernels and what is kept for the backward part, so that a batch near it runs fastest.
// A program records it in its `config`, as `batch-hint`.
#pragma once
#include "dialects/flow/Flow.h"
#include <string>

namespace flow {

struct BatchHint {
  static constexpr llvm::StringLiteral key = "batch-hint"; ///< of a program's `config`

  Symbols train = {5, 64}, infer = {5, 64};

  /// Reads `train=5x64,infer=1x64` (domains x rows of each; either may be missing). Nothing where the text is none,
  /// which `error` then explains.
  static std::optional<BatchHint> parse(llvm::StringRef text, std::string &error);
  std::string str() const;
};

/// The batch that an entry is planned for: its program's hint for entries of its kind, or the default one. Also of an
/// op inside an entry, and of one outside of all programs.
Symbols plannedBatch(mlir::Operation *op);

/// A size at a batch, for estimates: at least 1, and 2^63 where it does not fit into 64 bits.
double estimate(Extent extent, const Symbols &batch);
/// The elements of a tensor, or of a value of such a type, at a batch.
double estimateElements(mlir::Type type, const Symbols &batch);

} // namespace flow
