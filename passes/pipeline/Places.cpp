#include "passes/pipeline/Places.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace moe {

static constexpr StringRef names[] = {"parse",         "elaborate", "differentiate", "simplify",
                                      "rematerialize", "fuse",      "plan",          "emit"};

StringRef phaseName(Phase phase) { return names[static_cast<size_t>(phase)]; }

std::optional<Phase> phaseNamed(StringRef name) {
  const auto *found = llvm::find(names, name);
  if (found == std::end(names))
    return std::nullopt;
  return static_cast<Phase>(found - std::begin(names));
}

std::string phaseNames() { return llvm::join(std::begin(names), std::end(names), ", "); }

std::optional<Place> placeNamed(StringRef name) {
  const bool after = name.consume_front("after-");
  if (!after && !name.consume_front("before-"))
    return std::nullopt;
  std::optional<Phase> phase = phaseNamed(name);
  if (!phase || *phase == Phase::parse)
    return std::nullopt;
  return Place{*phase, after};
}

std::string placeNames() {
  SmallVector<std::string> all;
  for (StringRef phase : llvm::drop_begin(names))
    for (StringRef side : {"before-", "after-"})
      all.push_back((side + phase).str());
  return llvm::join(all, ", ");
}

} // namespace moe
