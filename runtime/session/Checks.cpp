// Poison and the NaN trap: slow by nature, since they touch every byte that a launch does.
#include "runtime/session/Checks.h"

#include <cmath>
#include <cstring>

namespace moert {

namespace {

// Quiet NaNs in each float type; for integers a value that is far outside of any index, and for masks neither
// 0 nor 1.
void poison(void *memory, uint64_t bytes, fb::ElementType type) {
  if (type == fb::ElementType::u8) {
    memset(memory, 0xA5, bytes);
    return;
  }
  const uint64_t pattern = type == fb::ElementType::f64 || type == fb::ElementType::i64 ? 0x7FF8DEAD7FF8DEADu
                           : type == fb::ElementType::bf16                              ? 0x7FC17FC17FC17FC1u
                                                                                        : 0x7FC0DEAD7FC0DEADu;
  auto *out = static_cast<std::byte *>(memory);
  for (uint64_t at = 0; at < bytes; at += sizeof pattern)
    memcpy(out + at, &pattern, std::min<uint64_t>(sizeof pattern, bytes - at));
}

std::string_view view(const flatbuffers::String *string) {
  return string ? string->string_view() : std::string_view();
}

} // namespace

Checks::Checks(const fb::Target &target, const fb::Plan &plan, const Layout &layout, bool poison,
               bool trapNan)
    : plan_(&plan), poison_(poison), trapNan_(trapNan) {
  if (!active())
    return;
  // Ports and temporaries are born at their first launch; only temporaries die, since outputs are read after
  // the run.
  std::vector<bool> seen(layout.buffers.size());
  for (size_t i = 0; i < layout.launches.size(); ++i) {
    const fb::Launch &launch = launchOf(plan, i);
    std::vector<Operand> operands;
    for (unsigned j = 0; j < launch.buffers()->size(); ++j) {
      uint32_t at = launch.buffers()->Get(j);
      const fb::Buffer &buffer = *plan.buffers()->Get(at);
      Operand operand = {};
      operand.buffer = at;
      operand.place = layout.buffers[at].place;
      operand.offset = layout.buffers[at].offset;
      operand.bytes = layout.buffers[at].bytes;
      operand.extent = layout.launches[i].extents[j];
      operand.type = buffer.type();
      bool fresh = buffer.kind() == fb::BufferKind::temporary || buffer.kind() == fb::BufferKind::output;
      operand.born = fresh && !seen[at];
      // A temporary that prepare made must survive the plan's last launch for the next step.
      operand.dies =
          (operand.place == Place::arena || operand.place == Place::separate) && buffer.last() == i;
      operand.written = writes(target, launch, j);
      seen[at] = true;
      operands.push_back(operand);
    }
    operands_.push_back(std::move(operands));
  }
}

DeviceAddress Checks::address(const Operand &operand, std::span<const DeviceAddress> buffers,
                              const Device &device) {
  return operand.place == Place::arena ? device.arena() + operand.offset : buffers[operand.buffer];
}

Status Checks::before(size_t launch, std::span<const DeviceAddress> buffers, Device &device,
                      BoundPlan &plan) const {
  for (const Operand &operand : operands_[launch]) {
    if (!operand.born)
      continue;
    MOERT_ASSIGN(HostView memory,
                 HostView::toWrite(device, address(operand, buffers, device), operand.bytes));
    if (trapNan_)
      memset(memory.bytes().data(), 0, operand.bytes);
    else
      poison(memory.bytes().data(), operand.bytes, operand.type);
    MOERT_TRY(memory.commit());
  }
  return poison_ ? plan.poisonScratch() : Status();
}

// `step` counts from 0. Messages count the steps as metrics and checkpoints do, where the first is step 1.
Status Checks::describe(size_t number, const Operand &operand, int64_t element, uint64_t step) const {
  const fb::Launch &launch = launchOf(*plan_, number);
  std::string where = concat("'", view(launch.op()), "'");
  if (!view(launch.path()).empty())
    where += concat(" at ", view(launch.path()));
  if (!view(launch.file()).empty())
    where += concat(" (", view(launch.file()), ":", launch.line(), ")");
  const fb::Buffer &buffer = *plan_->buffers()->Get(operand.buffer);
  return invalidInput("step ", step + 1, ": ", where, " made a NaN, the first of the step: element ", element,
                      " of ", operand.extent, " in ",
                      view(buffer.name()).empty() ? "its result" : view(buffer.name()), ", launch ", number);
}

Status Checks::after(size_t launch, std::span<const DeviceAddress> buffers, Device &device,
                     uint64_t step) const {
  for (const Operand &operand : operands_[launch]) {
    if (!trapNan_ || !operand.written || operand.type != fb::ElementType::f32)
      continue;
    MOERT_ASSIGN(HostView memory, HostView::of(device, address(operand, buffers, device), operand.bytes));
    auto *values = reinterpret_cast<const float *>(memory.bytes().data());
    for (int64_t i = 0; i < operand.extent; ++i)
      if (std::isnan(values[i]))
        return describe(launch, operand, i, step);
  }
  for (const Operand &operand : operands_[launch]) {
    if (!poison_ || !operand.dies)
      continue;
    MOERT_ASSIGN(HostView memory,
                 HostView::toWrite(device, address(operand, buffers, device), operand.bytes));
    poison(memory.bytes().data(), operand.bytes, operand.type);
    MOERT_TRY(memory.commit());
  }
  return {};
}

} // namespace moert
