// Reads modules. A module that is damaged, or for another GPU or host CPU, is refused with the reason.
#include "runtime/emulator/Module.h"
#include "runtime/base/CpuFeatures.h"
#include "runtime/emulator/module_generated.h"
#include "runtime/program/MappedCode.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace moe::emu {

namespace {

Finding invalid(const std::string &text) { return {CUDA_ERROR_INVALID_IMAGE, concat("module: ", text)}; }

/// Whether code for one architecture runs on a GPU of another: a letter at the end ties it to exactly this one; otherwise the
/// GPU is of the same generation and not older.
bool runsOn(std::string_view code, std::string_view gpu) {
  if (code == gpu)
    return true;
  auto number = [](std::string_view text) {
    return text.starts_with("sm_") ? atoi(std::string(text.substr(3)).c_str()) : -1;
  };
  if (code.empty() || code.back() < '0' || code.back() > '9')
    return false;
  return number(code) > 0 && number(code) / 10 == number(gpu) / 10 && number(code) <= number(gpu);
}

Findings readKernel(const Kernel &from, const moert::CodeImage &image, std::byte *code, KernelEntry &kernel) {
  kernel.name = from.name()->str();
  kernel.shared = from.shared();
  kernel.threads = from.threads();
  if (kernel.threads == 0 || kernel.threads > 1024)
    return invalid(
        concat("kernel '", kernel.name, "': expected 1 to 1024 threads a block, found ", kernel.threads));
  if (kernel.shared > kMostStaticShared)
    return invalid(concat("kernel '", kernel.name, "': expected at most ", kMostStaticShared,
                          " bytes of static shared memory, found ", kernel.shared));
  for (const Param *param : *from.params()) {
    const bool pointer = param->kind() == ParamKind::pointer;
    const uint32_t bytes = param->bytes();
    if (pointer ? bytes != 8 : bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8)
      return invalid(concat("kernel '", kernel.name, "': a parameter has ", bytes, " bytes"));
    const uint32_t offset = (kernel.argumentBytes + bytes - 1) / bytes * bytes;
    kernel.parameters.push_back({pointer, bytes, offset, pointer && param->counter()});
    kernel.argumentBytes = offset + bytes;
  }
  for (auto [name, entry] :
       {std::pair(from.fast(), &kernel.fast), std::pair(from.checked(), &kernel.checked)}) {
    auto found = image.functions.find(name->string_view());
    if (found == image.functions.end())
      return invalid(concat("kernel '", kernel.name, "': expected the function ", name->str(),
                            " in the code, found none"));
    *entry = reinterpret_cast<Entry>(code + found->second);
  }
  return {};
}

} // namespace

const KernelEntry *LoadedModule::find(std::string_view name) const {
  for (const KernelEntry &kernel : kernels)
    if (kernel.name == name)
      return &kernel;
  return nullptr;
}

std::string LoadedModule::siteText(uint32_t site) const {
  if (site >= sites.size())
    return concat("site ", site);
  return concat("op '", sites[site].op, "' at ", sites[site].file, ":", sites[site].line);
}

Findings LoadedModule::load(const void *image, std::string_view architecture,
                            std::shared_ptr<LoadedModule> &module) {
  // A buffer that says its size: as the driver's own function, this one is not told how much memory there is.
  uint32_t bytes = 0;
  memcpy(&bytes, image, sizeof bytes);
  if (bytes < 16 || bytes > 1u << 30)
    return invalid(concat("expected a module of the emulator, found ", bytes, " as its size"));
  flatbuffers::Verifier verifier(static_cast<const uint8_t *>(image), size_t(bytes) + sizeof bytes);
  if (!VerifySizePrefixedModuleBuffer(verifier))
    return invalid("expected a module of the emulator, found a buffer that is not one or is damaged");
  const Module &from = *GetSizePrefixedModule(image);
  if (!runsOn(from.architecture()->string_view(), architecture))
    return Finding{CUDA_ERROR_NO_BINARY_FOR_GPU,
                   concat("module: expected code for ", std::string(architecture), ", found code for ",
                          from.architecture()->str())};
  const std::vector<std::string> features = moert::cpuFeatures();
  std::string missing;
  for (const flatbuffers::String *feature : *from.features())
    if (std::find(features.begin(), features.end(), feature->string_view()) == features.end())
      missing.append(missing.empty() ? "" : ", ").append(feature->string_view());
  if (!missing.empty())
    return Finding{CUDA_ERROR_NO_BINARY_FOR_GPU, concat("module: it was compiled for ", from.host()->str(),
                                                        ", and this machine's CPU lacks ", missing)};
  if (from.kernels()->size() == 0) { // a program may only copy and fill; then there is no code
    module = std::make_shared<LoadedModule>();
    return {};
  }
  std::span<const uint8_t> elf(from.code()->data(), from.code()->size());
  auto code = moert::CodeImage::read(elf);
  if (!code.ok())
    return invalid(code.status().message());
  auto mapped = moert::mapCode(*code, elf);
  if (!mapped.ok())
    return Finding{CUDA_ERROR_OUT_OF_MEMORY, concat("module: ", mapped.status().message())};
  auto loaded = std::make_shared<LoadedModule>();
  loaded->code = *std::move(mapped);
  std::set<std::string_view> names;
  for (const Kernel *kernel : *from.kernels()) {
    if (!names.insert(kernel->name()->string_view()).second)
      return invalid(concat("two kernels are named '", kernel->name()->str(), "'"));
    if (Findings found = readKernel(*kernel, *code, loaded->code.data(), loaded->kernels.emplace_back()))
      return found;
  }
  for (const Site *site : *from.sites())
    loaded->sites.push_back({site->op()->str(), site->file()->str(), site->line()});
  module = std::move(loaded);
  return {};
}

} // namespace moe::emu
