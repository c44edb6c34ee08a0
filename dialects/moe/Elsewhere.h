// What other libraries call the ops and options of this language, for hints in errors: people come from
// PyTorch.
#pragma once
#include "llvm/ADT/StringRef.h"
#include <string>

namespace moe {

/// The op that another library calls `word`, or its nearest relative; empty where none is known.
llvm::StringRef opElsewhere(llvm::StringRef word);

/// What to write here for an option `key` that another library's `op` has, such as "write 'pad = ...'"; empty
/// where none is known.
std::string optionElsewhere(llvm::StringRef op, llvm::StringRef key);

} // namespace moe
