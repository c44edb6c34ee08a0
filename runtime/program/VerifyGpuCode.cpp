// V34: the code of a GPU's target holds what the program's table of kernels says of it. A driver reads as many arguments
// of a launch as the code has parameters and is not told how many it is given, so the two must agree before anything is
// launched. The code itself is the driver's to check when a device loads it.
#include "runtime/emulator/module_generated.h"
#include "runtime/program/Verify.h"
#include "runtime/program/cubins_generated.h"

#include <string>
#include <string_view>
#include <unordered_map>

namespace moert {

namespace {

namespace fb = moe::fb;

constexpr uint32_t kBytesOfParameter = 8; // of an address, and of a scalar
constexpr uint32_t kMostStaticShared = 48 << 10;

// Both kinds of section describe a parameter in the same way, each in its own schema.
template <typename Kernel>
Status compareParameters(const fb::Kernel &row, const Kernel &code, const std::string &where) {
  const size_t buffers = row.params()->size(), scalars = row.scalars()->size();
  if (code.params()->size() != buffers + scalars)
    return broken("V34", where, ": expected code that takes ", buffers + scalars, " parameters (", buffers,
                  " buffers and ", scalars, " scalars), found code that takes ", code.params()->size());
  for (unsigned i = 0; i < code.params()->size(); ++i) {
    const auto &param = *code.params()->Get(i);
    using Kind = decltype(param.kind());
    const bool isPointer =
        i < buffers || row.scalars()->Get(unsigned(i - buffers)) == fb::ScalarParam::cell;
    const bool isKnown = param.kind() == Kind::pointer || param.kind() == Kind::scalar;
    if (isKnown && (param.kind() == Kind::pointer) == isPointer && param.bytes() == kBytesOfParameter)
      continue;
    return broken("V34", where, ": expected parameter ", i, " of the code to be ",
                  isPointer ? "an address" : "a number", " of ", kBytesOfParameter, " bytes, found ",
                  !isKnown                       ? "one of an unknown kind"
                  : param.kind() == Kind::pointer ? "an address"
                                                  : "a number",
                  " of ", param.bytes());
  }
  return {};
}

template <typename Module>
Status compareKernels(const fb::Target &target, const Module &module, const std::string &where) {
  using Kernel = typename std::remove_reference_t<decltype(*module.kernels())>::value_type;
  std::unordered_map<std::string_view, Kernel> code;
  for (Kernel kernel : *module.kernels())
    if (!code.insert({kernel->name()->string_view(), kernel}).second)
      return broken("V34", where, ": expected code of each kernel once, found a kernel twice");
  for (const fb::Kernel *row : *target.kernels()) {
    const std::string of = concat(where, ", kernel '", row->symbol()->string_view(), "'");
    auto found = code.find(row->symbol()->string_view());
    if (found == code.end())
      return broken("V34", of, ": expected code of the kernel, found none");
    const auto &kernel = *found->second;
    MOERT_TRY(compareParameters(*row, kernel, of));
    if (kernel.threads() != row->threads())
      return broken("V34", of, ": expected code for blocks of at most ", row->threads(),
                    " threads, found code for ", kernel.threads());
    if (kernel.shared() > kMostStaticShared)
      return broken("V34", of, ": expected at most ", kMostStaticShared,
                    " bytes of static shared memory, found ", kernel.shared());
  }
  return {};
}

} // namespace

Status verifyGpuCode(const fb::Target &target, std::span<const uint8_t> section, const std::string &where) {
  flatbuffers::Verifier verifier(section.data(), section.size());
  auto noTable = [&] {
    return broken("V34", where, ": expected code with a table of its kernels, found code that is damaged or of ",
                  "another version; compile it again");
  };
  if (target.kind() == fb::TargetKind::cuda) {
    if (section.size() < 16 || !moe::cubins::VerifySizePrefixedModuleBuffer(verifier))
      return noTable();
    const moe::cubins::Module &module = *moe::cubins::GetSizePrefixedModule(section.data());
    for (const moe::cubins::Kernel *kernel : *module.kernels())
      if (kernel->code()->size() == 0)
        return broken("V34", where, ": expected code of each kernel, found a kernel with none");
    return compareKernels(target, module, where);
  }
  if (section.size() < 16 || !moe::emu::VerifySizePrefixedModuleBuffer(verifier))
    return noTable();
  return compareKernels(target, *moe::emu::GetSizePrefixedModule(section.data()), where);
}

} // namespace moert
