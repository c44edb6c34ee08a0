// libFuzzer's target for the loader: any bytes, as they come or as the sections of a file with a right header
// and digest, must be refused or give a program that can be laid out. Built by the `fuzz` preset:
//   build-fuzz/bin/program-fuzz corpus/        (seed the folder with any program.moe)
#include "runtime/session/Layout.h"

#include <cstring>

using namespace moert;

static void probeLayouts(const Program &program) {
  for (const fb::Target *target : *program.table().targets())
    for (const fb::Plan *plan : *target->plans())
      for (Binding binding : {Binding{1, 1}, Binding{2, 3}, Binding{1 << 30, 1 << 30}})
        (void)layOut(program, *target, *plan, binding).ok();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  if (size >= sizeof(Header)) {
    memcpy(bytes.data(), kProgramMagic.data(), kProgramMagic.size());
    uint64_t claimed = size;
    memcpy(bytes.data() + offsetof(Header, fileSize), &claimed, sizeof claimed);
    seal(bytes);
  }
  if (Result<std::shared_ptr<const Program>> program = Program::verify(std::move(bytes), "fuzz"))
    probeLayouts(**program);
  return 0;
}
