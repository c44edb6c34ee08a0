// The pages of ops: those of docs/ops.md, which is made of the ops' definitions, and those that plugins bring.
#pragma once
#include "llvm/ADT/StringRef.h"
#include <string>

namespace moe::lsp {

struct Page {
  std::string syntax, meaning; // meaning: a sentence or two
  std::string rest;            // in Markdown; often empty
  bool planned = false;        // the compiler reads it, and cannot compile it yet
};

/// Of an op as it is written in a body, such as 'linear', or 'extra.roll' of a plugin; null where there is none.
const Page *pageOf(llvm::StringRef op);

} // namespace moe::lsp
