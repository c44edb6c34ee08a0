// What an editor shows of a place: the shape of a value, an op's page, the value of a size, a layer's or op's parameters.
#pragma once
#include "frontends/moe-lsp/Analysis.h"
#include <optional>

namespace moe::lsp {

std::optional<llvm::lsp::Hover> hoverAt(const Analysis &analysis, size_t offset);

/// The layers and models of a document with their parameter counts; in each its values with their shapes.
std::vector<llvm::lsp::DocumentSymbol> symbolsOf(const Analysis &analysis);

/// The shapes of the values that a part of the document makes, behind their names.
std::vector<llvm::lsp::InlayHint> hintsOf(const Analysis &analysis, size_t begin, size_t end);

} // namespace moe::lsp
