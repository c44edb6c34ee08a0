// NVIDIA's assembler, which makes a GPU's machine code of PTX: the library nvJitLink, opened at run time, or else
// the program ptxas. Both come with the CUDA toolkit or with packages of Python. Only the targets `cuda` need it.
#pragma once
#include "passes/cuda/code/Architecture.h"
#include <memory>
#include <string>

namespace moe::cuda {

/// What the assembler says of a kernel.
struct KernelResources {
  unsigned registers = 0;   ///< of a thread
  unsigned sharedBytes = 0; ///< static, of a block
  unsigned stackBytes = 0;  ///< of a thread, in local memory
  unsigned spillStoreBytes = 0, spillLoadBytes = 0;
};

struct Cubin {
  std::string bytes; ///< an ELF file of the GPU's
  KernelResources resources;
};

class Assembler {
public:
  virtual ~Assembler() = default;
  /// The first assembler of this machine that makes code for the architecture. Null if there is none: `error` says where it
  /// was looked for and how it is installed, or that those that there are do not know the architecture. If CUDA_HOME or
  /// CUDA_PATH is set, only that folder is searched.
  static std::unique_ptr<Assembler> find(const Architecture &architecture, std::string &error);

  /// The tool and its version: "nvJitLink 13.0". Different tools have different descriptions.
  virtual std::string description() const = 0;
  /// False if it makes no code for the architecture, which `error` says.
  virtual bool knows(const Architecture &architecture, std::string &error) const = 0;
  /// Assembles a text with one kernel. False if the assembler refuses it, with its words in `error`. Can be
  /// called from several threads.
  virtual bool assemble(llvm::StringRef ptx, const Architecture &architecture, Cubin &cubin,
                        std::string &error) const = 0;
  /// What changes the code, besides PTX, architecture and tool.
  static llvm::StringRef options();
};

} // namespace moe::cuda
