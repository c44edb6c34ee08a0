// The nearest of a list of words, for errors about misspelt names.
#pragma once
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include <string>

namespace moe {
/// " (did you mean 'x'?)" for the nearest of `words`, or nothing where none is near.
std::string didYouMean(llvm::StringRef word, llvm::ArrayRef<llvm::StringRef> words);
} // namespace moe
