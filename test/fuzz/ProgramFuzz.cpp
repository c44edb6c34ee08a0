// libFuzzer's target for the loader and for binding: any bytes, as they come or as the sections of a file
// with a right header and digest, must be refused or give a program that can be laid out, in which nothing
// that a kernel takes on trust lies outside of its bounds. The trust word is made anew as well, so that what
// V28 would refuse is held to every other rule; nothing is run. Built by the `fuzz` preset:
//   build-fuzz/bin/program-fuzz corpus/        (seed the folder with any program.moe)
#include "runtime/plan/Layout.h"
#include "runtime/program/Trust.h"
#include "runtime/program/Verify.h"

#include <cstdlib>
#include <cstring>

using namespace moert;

static void expect(bool holds) {
  if (!holds)
    abort();
}

// What a session and a kernel do without a further look.
static void checkLayout(const fb::Plan &plan, const Layout &layout) {
  size_t number = 0;
  for (const auto *launches : {plan.prepare(), plan.step()})
    for (const fb::Launch *launch : *launches) {
      const LaunchLayout &bound = layout.launches[number++];
      expect(bound.units >= 0 && bound.units <= INT32_MAX);
      for (unsigned i = 0; i < launch->buffers()->size(); ++i) {
        uint32_t at = launch->buffers()->Get(i);
        uint64_t element = elementBytes(plan.buffers()->Get(at)->type());
        expect(uint64_t(bound.extents[i]) <= layout.buffers[at].bytes / element);
      }
    }
  for (const BufferLayout &buffer : layout.buffers) {
    uint64_t room = buffer.place == Place::arena      ? layout.memory.arena
                    : buffer.place == Place::prepared ? layout.memory.prepared
                    : buffer.place == Place::input    ? layout.inputs[buffer.index]
                    : buffer.place == Place::output   ? layout.outputs[buffer.index]
                                                      : buffer.offset + buffer.bytes;
    expect(buffer.offset <= room && buffer.bytes <= room - buffer.offset);
  }
}

static void probeLayouts(const Program &program) {
  for (const fb::Target *target : *program.table().targets())
    for (const fb::Plan *plan : *target->plans())
      for (Binding binding : {Binding{1, 1}, Binding{2, 3}, Binding{1 << 30, 1 << 30}})
        if (Result<Layout> layout = layOut(program, *target, *plan, binding))
          checkLayout(*plan, *layout);
}

// The digests that a compiler would give these bytes, where they are a file with a table.
static void sign(std::span<uint8_t> file) {
  seal(file);
  auto sections = verifyFile(file);
  if (!sections)
    return;
  auto table = verifyStructure((*sections)[0].bytes);
  if (!table)
    return;
  uint64_t trust = trustOf(**table, *sections);
  memcpy(file.data() + offsetof(Header, trust), &trust, sizeof trust);
  seal(file);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::vector<uint8_t> room(size + 64); // verifyFile wants a multiple of 64
  std::span<uint8_t> bytes(room.data() + (64 - reinterpret_cast<uintptr_t>(room.data()) % 64), size);
  if (size)
    memcpy(bytes.data(), data, size);
  if (size >= sizeof(Header)) {
    memcpy(bytes.data(), kProgramMagic.data(), kProgramMagic.size());
    uint64_t claimed = size;
    memcpy(bytes.data() + offsetof(Header, fileSize), &claimed, sizeof claimed);
    sign(bytes);
  }
  if (Result<std::shared_ptr<const Program>> program = Program::verify(bytes, "fuzz"))
    probeLayouts(**program);
  return 0;
}
