// What other libraries call the ops, options and initial values of this language, for hints in errors: people come from
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

/// What to write here for an initial value that another library calls `rule`; empty where none is known.
std::string initialElsewhere(llvm::StringRef rule);

/// What to write here for a value that another library's option takes as a string, such as "same" of `pad`, without
/// its quotes; empty where none is known.
std::string valueElsewhere(llvm::StringRef op, llvm::StringRef key, llvm::StringRef value);

} // namespace moe
