// How a launch of a plan touches its buffers, whatever its work is. Whoever asks which buffers a launch reads and
// writes asks here, so that only what does the work tells one kind of it from another.
#pragma once

#include "runtime/program/program_generated.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moert {

namespace fb = moe::fb;

/// Launch i of a plan, counted from prepare's first.
inline const fb::Launch &launchOf(const fb::Plan &plan, size_t i) {
  const size_t prepares = plan.prepare()->size();
  return i < prepares ? *plan.prepare()->Get(unsigned(i)) : *plan.step()->Get(unsigned(i - prepares));
}

/// The number of the kernel that a launch runs; none where it runs none.
std::optional<uint32_t> kernelNumber(const fb::Launch &launch);
/// The kernel that a launch of a verified program runs; null where it runs none.
const fb::Kernel *kernelOf(const fb::Target &target, const fb::Launch &launch);

/// Whether a launch of a verified program writes its buffer `i`, rather than reads it.
bool writes(const fb::Target &target, const fb::Launch &launch, unsigned i);

/// What a launch of a verified program runs, for people: a kernel's symbol, "copy" or "fill".
std::string_view workName(const fb::Target &target, const fb::Launch &launch);
/// The same by kinds: "loop", "matmul", "copy".
std::string_view workKind(const fb::Target &target, const fb::Launch &launch);
/// A launch for messages: "launch 3, 'conv' at stages.0 (model.mlir:12)".
std::string launchText(const fb::Launch &launch, size_t number);

} // namespace moert
