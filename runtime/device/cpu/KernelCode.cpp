// Puts verified code where it can run. Nothing is linked or relocated: verification refused images that need
// it.
#include "runtime/device/cpu/KernelCode.h"
#include "runtime/program/Verify.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <sys/mman.h>

namespace moert {

Result<std::unique_ptr<KernelCode>> KernelCode::map(const Program &program, uint32_t target) {
  std::unique_ptr<KernelCode> code(new KernelCode);
  code->image_ = &program.code(target);
  std::span<const uint8_t> section = program.section(program.table().targets()->Get(target)->code());
  MOERT_TRY(code->memory_.allocate(code->image_->bytes));
  std::byte *base = code->memory_.data();
  for (const CodeImage::Segment &segment : code->image_->segments)
    memcpy(base + segment.address, section.data() + segment.offset, segment.fileBytes);
  if (mprotect(base, code->memory_.size(), PROT_READ) != 0)
    return invalidInput("cannot protect the program's code: ", strerror(errno));
  constexpr uint64_t page = 4096;
  for (const CodeImage::Segment &segment : code->image_->segments) {
    if (!segment.executable)
      continue;
    uint64_t begin = segment.address / page * page;
    uint64_t end = (segment.address + segment.bytes + page - 1) / page * page;
    if (mprotect(base + begin, end - begin, PROT_READ | PROT_EXEC) != 0)
      return invalidInput("cannot make the program's code executable: ", strerror(errno),
                          "; the system forbids it to this process");
  }
  return code;
}

KernelFunction KernelCode::function(std::string_view symbol) const {
  return reinterpret_cast<KernelFunction>(memory_.data() + image_->functions.at(symbol));
}

std::vector<std::string> cpuFeatures() {
  std::ifstream info("/proc/cpuinfo");
  std::vector<std::string> features;
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("flags"))
      continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;)
      features.push_back(word);
    break;
  }
  return features;
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
