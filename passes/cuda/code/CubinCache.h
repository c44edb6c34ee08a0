// Assembled kernels that are kept on disk, in the folder moe/cubins of the user's cache (XDG_CACHE_HOME or
// ~/.cache), so that what a changed model still has in common with the last one is not assembled again. The
// assembler takes most of the time of a compilation for a GPU.
//
// A file's name is a digest of everything that the code depends on; its content begins with a digest of the rest. A
// file is written under another name and renamed, so several compilers can share the folder. What is damaged is
// assembled again. The folder's size is bounded: files that have not been used for longest are removed.
#pragma once
#include "passes/cuda/code/Assembler.h"
#include <cstdint>
#include <optional>

namespace moe::cuda {

class CubinCache {
public:
  static constexpr uint64_t defaultLimit = 256 << 20; // bytes

  /// The user's cache. Without a folder that can be written, nothing is kept.
  CubinCache();
  CubinCache(llvm::StringRef folder, uint64_t limit);

  /// The key of a kernel: a digest, in hexadecimal digits.
  static std::string key(llvm::StringRef ptx, const Architecture &architecture, llvm::StringRef assembler);
  std::optional<Cubin> find(llvm::StringRef key) const;
  void store(llvm::StringRef key, const Cubin &cubin) const;
  /// Removes files until the folder has less than its limit, and what killed compilers have left. Called once
  /// after files were stored.
  void shrink() const;

private:
  std::string folder; // empty: nothing is kept
  uint64_t limit;
};

} // namespace moe::cuda
