// The tables that `moert bench --profile` prints of what launches took.
#pragma once

#include "runtime/session/Profile.h"

#include <cstddef>

namespace moert {

/// What a row of the table sums up: all launches of a kernel, one launch, all launches of an op, of a layer's path, or of a
/// part of the step.
enum class ProfileBy { kernel, launch, op, layer, part };

struct ProfileTableOptions {
  ProfileBy by = ProfileBy::kernel;
  size_t top = 20; // rows, the slowest first; behind them a line sums up the others, and says so
  size_t depth =
      0; // of layers: the names of a path that tell rows apart, from the model inwards; 0 takes all
  bool alike =
      false; // of layers: paths that differ in numbers only, as those of a chain's blocks do, are one row
};

/// The table, and behind it how long threads waited, if that was measured. Times are of a step: the mean over the profile's
/// runs.
std::string describeProfile(const Profile &profile, const ProfileTableOptions &options);

} // namespace moert
