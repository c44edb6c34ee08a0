#include "runtime/program/Launch.h"
#include "runtime/base/Status.h"

namespace moert {

std::optional<uint32_t> kernelNumber(const fb::Launch &launch) {
  if (const fb::CpuKernel *work = launch.work_as_CpuKernel())
    return work->kernel();
  if (const fb::GpuKernel *work = launch.work_as_GpuKernel())
    return work->kernel();
  return std::nullopt;
}

const fb::Kernel *kernelOf(const fb::Target &target, const fb::Launch &launch) {
  std::optional<uint32_t> number = kernelNumber(launch);
  return number ? target.kernels()->Get(*number) : nullptr;
}

bool writes(const fb::Target &target, const fb::Launch &launch, unsigned i) {
  if (const fb::Kernel *kernel = kernelOf(target, launch))
    return kernel->params()->Get(i)->access() != fb::Access::read;
  return i == 0; // of a copy or fill
}

std::string_view workName(const fb::Target &target, const fb::Launch &launch) {
  const fb::Kernel *kernel = kernelOf(target, launch);
  return kernel ? kernel->symbol()->string_view() : workKind(target, launch);
}

std::string_view workKind(const fb::Target &target, const fb::Launch &launch) {
  if (const fb::Kernel *kernel = kernelOf(target, launch))
    return kernel->kind() ? kernel->kind()->string_view() : std::string_view();
  return launch.work_type() == fb::Work::Copy ? "copy" : "fill";
}

std::string launchText(const fb::Launch &launch, size_t number) {
  auto text = [](const flatbuffers::String *string) {
    return string ? string->string_view() : std::string_view();
  };
  std::string out = concat("launch ", number, ", '", text(launch.op()), "'");
  if (!text(launch.path()).empty())
    out += concat(" at ", text(launch.path()));
  if (!text(launch.file()).empty())
    out += concat(" (", text(launch.file()), ":", launch.line(), ")");
  return out;
}

} // namespace moert
