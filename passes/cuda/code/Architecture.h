// The architectures of GPUs that code is generated for, by the names that LLVM and NVIDIA's assembler use. A
// name with the suffix "a" has instructions that other architectures do not have, and its code runs on that
// architecture alone.
#pragma once
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <optional>
#include <string>

namespace moe::cuda {

struct Architecture {
  llvm::StringRef name;     ///< "sm_90a"
  llvm::StringRef features; ///< LLVM's -mattr: the version of PTX, the oldest that knows the architecture
};

/// All of them, the oldest first.
llvm::ArrayRef<Architecture> architectures();
/// The architecture of this name, or nothing.
std::optional<Architecture> architectureOf(llvm::StringRef name);
/// "'sm_80', 'sm_90a' or 'sm_100a'", for errors.
std::string architectureNames();

} // namespace moe::cuda
