// What a name in a text is, and where else it stands: values, layers, and the sizes, numbers and layers of a header.
#pragma once
#include "frontends/moe-lsp/Analysis.h"
#include <optional>

namespace moe::lsp {

struct Symbol {
  enum Kind { value, layer, model, parameter, path } kind;
  llvm::StringRef name;    // without a mark
  const File *file;        // where it is declared; of a layer that no file has, the document
  const Statement *header; // the layer or model whose value, parameter or path it is
};

/// A place where a symbol's name stands, without its mark.
struct Occurrence {
  const File *file;
  size_t begin, end;
  bool declares;
};

std::optional<Symbol> symbolAt(const Analysis &analysis, size_t offset);
/// In the order of files and places, the declaration first.
std::vector<Occurrence> occurrencesOf(const Analysis &analysis, const Symbol &symbol);

/// What was read of a document, first, and of other files that use its layers.
using Analyses = std::vector<std::shared_ptr<const Analysis>>;
/// The same in several, each place once. The symbol is of the first.
std::vector<Occurrence> occurrencesOf(const Analyses &all, const Symbol &symbol);
/// Why a symbol cannot have another name; empty where it can.
std::string whyNot(const Analyses &all, const Symbol &symbol, llvm::StringRef name);

/// The header of the layer of a name, with its file; null where no file has it. One with a body goes before a declaration.
std::pair<const File *, const Statement *> findLayer(const Analysis &analysis, llvm::StringRef name);
/// The part of a file that a header begins, up to the next one: its statements, and its first character and that behind it.
llvm::ArrayRef<Statement> statementsOf(const File &file, const Statement &header);
std::pair<size_t, size_t> rangeOf(const File &file, const Statement &header);
/// The parameters of a header, and the names that its patterns bind, in order.
std::vector<NameUse> parametersOf(const File &file, const Statement &header);

} // namespace moe::lsp
