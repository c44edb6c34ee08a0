// The registry of back ends: the only file outside a back end's folder that includes its headers.
#include "passes/cpu/CpuBackend.h"
#include "passes/cuda/CudaBackend.h"
#include "passes/kernels/Backend.h"

using namespace mlir;

namespace moe::kernels {

static std::vector<const Backend *> &registry() {
  static std::vector<const Backend *> all = {&cpu::cpuBackend(), &cuda::cudaBackend(),
                                            &cuda::emulatorBackend()};
  return all;
}

ArrayRef<const Backend *> backends() { return registry(); }

bool addBackend(const Backend &backend) {
  for (const Backend *other : registry())
    if (other->name() == backend.name())
      return false;
  registry().push_back(&backend);
  return true;
}

std::string listOf(ArrayRef<std::string> names) {
  std::string text;
  for (auto [i, name] : llvm::enumerate(names))
    text += (i == 0 ? "'" : i + 1 == names.size() ? " or '" : ", '") + name + "'";
  return text;
}

std::string targetNames() {
  std::vector<std::string> names;
  for (const Backend *backend : backends())
    llvm::append_range(names, backend->targets());
  return listOf(names);
}

std::unique_ptr<Target> parseTarget(StringRef name, std::string &error) {
  for (const Backend *backend : backends())
    if (name.split(':').first == backend->name())
      return backend->parse(name, error);
  error = "expected a target " + targetNames() + ", found '" + name.str() + "'; --load adds a plugin's";
  return nullptr;
}

std::unique_ptr<Target> targetOf(plan::TargetOp target) {
  if (auto name = target->getAttrOfType<StringAttr>(targetNameAttr)) {
    std::string error;
    std::unique_ptr<Target> found = parseTarget(name, error);
    if (!found)
      target.emitOpError() << error;
    return found;
  }
  std::string error = "expected a target of " + targetNames() + ", found '" + target.getName().str() + "'";
  for (const Backend *backend : backends())
    if (target.getName() == backend->name())
      if (std::unique_ptr<Target> found = backend->ofLevel(target.getLevel(), error))
        return found;
  target.emitOpError() << error;
  return nullptr;
}

} // namespace moe::kernels
