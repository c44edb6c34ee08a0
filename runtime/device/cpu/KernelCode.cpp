// Puts verified code where it can run. Nothing is linked or relocated: verification refused images that need
// it.
#include "runtime/device/cpu/KernelCode.h"
#include "runtime/program/MappedCode.h"
#include "runtime/program/Verify.h"

#include <algorithm>

namespace moert {

Result<std::unique_ptr<KernelCode>> KernelCode::map(const Program &program, uint32_t target) {
  std::unique_ptr<KernelCode> code(new KernelCode);
  code->image_ = &program.code(target);
  std::span<const uint8_t> section = program.section(program.table().targets()->Get(target)->code());
  MOERT_ASSIGN(code->memory_, mapCode(*code->image_, section));
  return code;
}

KernelFunction KernelCode::function(std::string_view symbol) const {
  return reinterpret_cast<KernelFunction>(memory_.data() + image_->functions.at(symbol));
}

Result<uint32_t> chooseTarget(const Program &program, const std::vector<std::string> &features) {
  std::string missing, levels;
  for (unsigned i = 0; i < program.table().targets()->size(); ++i) {
    const fb::Target &target = *program.table().targets()->Get(i);
    if (target.kind() != fb::TargetKind::cpu)
      continue;
    std::string lacks;
    for (const flatbuffers::String *feature : *target.features())
      if (std::find(features.begin(), features.end(), feature->string_view()) == features.end())
        lacks.append(lacks.empty() ? "" : ", ").append(feature->string_view());
    if (lacks.empty())
      return i;
    missing.append(missing.empty() ? "" : "; ").append(lacks);
    levels.append(levels.empty() ? "" : ", ").append(target.level()->string_view());
  }
  if (missing.empty())
    return broken("B09", program.path(),
                  ": expected a program for a CPU, found none among its targets; compile it with ",
                  "`moec compile --target=cpu`");
  bool v3 = true;
  for (const char *need : {"avx2", "fma", "bmi2"})
    v3 &= std::find(features.begin(), features.end(), need) != features.end();
  return broken("B09", program.path(), ": expected a CPU with ", missing,
                ", for which the program was compiled (", levels,
                "); compile it again with `moec compile --target=cpu` on this machine",
                v3 ? " or with `--target=cpu:x86-64-v3`" : "");
}

} // namespace moert
