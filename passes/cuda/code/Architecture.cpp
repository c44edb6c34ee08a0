#include "passes/cuda/code/Architecture.h"
#include "llvm/ADT/STLExtras.h"

namespace moe::cuda {

llvm::ArrayRef<Architecture> architectures() {
  static const Architecture all[] = {{"sm_80", "+ptx70"}, {"sm_90a", "+ptx80"}, {"sm_100a", "+ptx86"}};
  return all;
}

std::optional<Architecture> architectureOf(llvm::StringRef name) {
  for (const Architecture &architecture : architectures())
    if (architecture.name == name)
      return architecture;
  return std::nullopt;
}

std::string architectureNames() {
  std::string text;
  for (auto [i, architecture] : llvm::enumerate(architectures()))
    text += (i == 0                            ? "'"
             : i + 1 == architectures().size() ? " or '"
                                               : ", '") +
            architecture.name.str() + "'";
  return text;
}

} // namespace moe::cuda
