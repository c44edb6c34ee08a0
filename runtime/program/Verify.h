// The rules that a program's bytes must keep, by number: V01-V09 are about the file, V10-V34 about what it
// says, and B01-B10 (plan/Layout.h) about sizes, which are known when a session binds a batch. A failure's
// message ends in its rule's number; VerifyTest breaks every one of them. docs/program.md lists them for
// people.
#pragma once

#include "runtime/base/Result.h"
#include "runtime/program/CodeImage.h"
#include "runtime/program/Header.h"
#include "runtime/program/program_generated.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace moert {

/// Bytes of scratch that a kernel may ask for, a thread.
constexpr uint32_t kMaxScratch = 1 << 28;

template <typename... Parts> Status broken(const char *rule, const Parts &...parts) {
  return invalidInput(parts..., " [", rule, "]");
}

/// V01-V06: header, digest and sections. `file` must be 64-byte aligned.
Result<std::vector<Section>> verifyFile(std::span<const uint8_t> file);
/// V07: that section 0 is a FlatBuffer of the schema.
Result<const moe::fb::Program *> verifyStructure(std::span<const uint8_t> flatbuffer);
/// V34: that the code of a GPU's target has the target's kernels, as their table describes them. `where` names the target.
Status verifyGpuCode(const moe::fb::Target &target, std::span<const uint8_t> section, const std::string &where);
/// V10 and up: that every name, index, number and lifetime makes sense. Gives the code images, one a target; null for one
/// whose code is not the host's.
Result<std::vector<std::unique_ptr<CodeImage>>> verifyMeaning(const moe::fb::Program &program,
                                                              std::span<const Section> sections);

} // namespace moert
