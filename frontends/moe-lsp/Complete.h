// What may stand at a place of a text that is being written. Ops, values and layers follow from the statement around it; which
// options, keywords and words may come next, the op's own parser says.
#pragma once
#include "frontends/moe-lsp/Analysis.h"

namespace moe::lsp {

std::vector<llvm::lsp::CompletionItem> completionsAt(const File &file, size_t offset,
                                                     llvm::ArrayRef<std::string> layers);

/// The layers that texts declare, for completion.
std::vector<std::string> layersOf(llvm::ArrayRef<const File *> files);

} // namespace moe::lsp
