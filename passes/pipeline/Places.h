// The places of the pipeline where a plugin's pass may run: before and after each phase that has passes.
#pragma once
#include "mlir/Pass/Pass.h"
#include "llvm/ADT/StringRef.h"
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace moe {

/// In the order in which they run.
enum class Phase { parse, elaborate, differentiate, simplify, rematerialize, fuse, plan, emit };
/// "parse", "elaborate", ...
llvm::StringRef phaseName(Phase phase);
std::optional<Phase> phaseNamed(llvm::StringRef name);
/// Their names with commas between, for help and errors.
std::string phaseNames();

/// "before-fuse", "after-fuse". There is no place before or after `parse`, which has no passes.
struct Place {
  Phase phase;
  bool after;
  bool operator==(const Place &) const = default;
};
std::optional<Place> placeNamed(llvm::StringRef name);
/// All of them in the order of the pipeline, with commas between.
std::string placeNames();

using PassMaker = std::function<std::unique_ptr<mlir::Pass>()>;
struct PlacedPass {
  Place place;
  PassMaker make;
};

} // namespace moe
