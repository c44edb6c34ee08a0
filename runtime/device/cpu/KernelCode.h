// The kernels of a target in executable memory, and the question whether this machine can run them.
#pragma once

#include "runtime/base/CpuFeatures.h"
#include "runtime/base/Memory.h"
#include "runtime/program/Program.h"

namespace moert {

/// void k(void *const *buffers, const int64_t *scalars, int64_t begin, int64_t end, void *scratch)
using KernelFunction = void (*)(void *const *, const int64_t *, int64_t, int64_t, void *);

class KernelCode {
public:
  /// Copies the target's image to memory and makes it executable. All of it is read-only then.
  static Result<std::unique_ptr<KernelCode>> map(const Program &program, uint32_t target);
  /// The function of a kernel's symbol, which verification found in the image.
  KernelFunction function(std::string_view symbol) const;

private:
  KernelCode() = default;
  Memory memory_;
  const CodeImage *image_ = nullptr;
};

/// The first target that this machine can run; otherwise B09, with the missing features and the command that
/// helps.
Result<uint32_t> chooseTarget(const Program &program, const std::vector<std::string> &features);

} // namespace moert
