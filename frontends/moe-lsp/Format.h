// The one layout of a model's text, as the examples have it. Tokens, comments and line breaks stay; blanks change.
//   1. A body is indented by two blanks, and a line that goes on is put behind the bracket that it stands in, or behind the
//      statement's op.
//   2. In a body the '=' behind the names of values stand in one column, but for values with long names.
//   3. Between tokens stands one blank or none. A comment behind code stays in its column where there is room.
//   4. All lines end as the first one does, in '\n' or '\r\n'. A byte order mark stays.
#pragma once
#include "llvm/ADT/StringRef.h"
#include <string>

namespace moe::lsp {

/// Works on any text, also on half a model. What is formatted stays as it is when it is formatted again.
std::string formatted(llvm::StringRef text);

} // namespace moe::lsp
