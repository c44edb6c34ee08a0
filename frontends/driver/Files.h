// Files at the edge of the compiler: texts come in checked, so that a folder, an empty file or a binary gets
// an error that says so instead of a parser's; results go out whole or not at all.
#pragma once
#include "runtime/base/Result.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>
#include <string>

namespace moe {

/// The bytes of a text file; `-` is standard input. Fails for what cannot be a model's text.
moert::Result<std::unique_ptr<llvm::MemoryBuffer>> readText(const std::string &path);

/// Writes a temporary beside `path` and renames it, so that a failure leaves what was there. `-` is standard
/// output.
/// What is no text does not go to a terminal.
moert::Status writeWhole(const std::string &path, llvm::ArrayRef<char> bytes, bool text);

} // namespace moe
