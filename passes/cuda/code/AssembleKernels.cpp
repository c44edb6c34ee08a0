#include "passes/cuda/code/AssembleKernels.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Support/raw_ostream.h"
#include <atomic>

using namespace mlir;

namespace moe::cuda {

/// Keeps the text for whoever looks into it: the file's name, or why there is none.
static std::string keep(const PtxKernel &kernel) {
  int descriptor = -1;
  llvm::SmallString<64> path;
  if (std::error_code error = llvm::sys::fs::createTemporaryFile(kernel.name, "ptx", descriptor, path))
    return "its PTX could not be kept: " + error.message();
  llvm::raw_fd_ostream stream(descriptor, /*shouldClose=*/true);
  stream << kernel.text;
  stream.close();
  if (!stream.has_error())
    return "its PTX is in " + std::string(path);
  std::string message = stream.error().message();
  stream.clear_error();
  return "its PTX could not be kept: " + message;
}

FailureOr<std::vector<Cubin>> assembleKernels(ArrayRef<PtxKernel> kernels, const Architecture &architecture,
                                              const Assembler &assembler, const CubinCache &cache) {
  std::vector<Cubin> cubins(kernels.size());
  std::vector<std::string> errors(kernels.size());
  std::atomic<bool> isStored = false;
  const std::string tool = assembler.description();
  {
    llvm::DefaultThreadPool pool(llvm::hardware_concurrency(unsigned(std::max<size_t>(kernels.size(), 1))));
    for (size_t i = 0; i < kernels.size(); ++i)
      pool.async([&, i] {
        const std::string key = CubinCache::key(kernels[i].text, architecture, tool);
        if (std::optional<Cubin> found = cache.find(key)) {
          cubins[i] = std::move(*found);
        } else if (assembler.assemble(kernels[i].text, architecture, cubins[i], errors[i])) {
          cache.store(key, cubins[i]);
          isStored = true;
        }
      });
    pool.wait();
  }
  if (isStored)
    cache.shrink();
  for (auto [kernel, error] : llvm::zip_equal(kernels, errors))
    if (!error.empty())
      return emitError(kernel.location)
             << "kernel '" << kernel.name << "': the assembler refuses it; " << keep(kernel) << ": " << error;
  return cubins;
}

} // namespace moe::cuda
