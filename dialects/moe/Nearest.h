// The nearest of a list of words, for errors about misspelt names.
#pragma once
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include <string>

namespace mlir {
class MLIRContext;
}

namespace moe {
/// " (did you mean 'x'?)" for the nearest of `words`, or nothing where none is near.
std::string didYouMean(llvm::StringRef word, llvm::ArrayRef<llvm::StringRef> words);
/// The same among the ops of the language that are registered, plugins' too: `word` is compared without a
/// dialect, and the answer has a plugin's.
std::string didYouMeanOp(llvm::StringRef word, mlir::MLIRContext *context);
/// The error about a registered op that stands in a model but is no op of the language, such as 'flow.neg': it
/// names the op of the language that becomes this one, where there is one of the same name.
std::string notOfTheLanguage(llvm::StringRef op, mlir::MLIRContext *context);
} // namespace moe
