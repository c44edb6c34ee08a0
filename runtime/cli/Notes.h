// Notes to standard error about numbers that are read or made and are not finite. They spread over the
// results, so a user is told where they come from; nothing is refused for them.
#pragma once

#include "runtime/session/Session.h"

#include <string>

namespace moert {

/// How many of the values are NaN or infinite.
size_t countNotFinite(std::span<const float> values);

/// Of the parameters that were loaded from `path`. False: they are finite.
Result<bool> noteParameters(const std::string &path, States &states);

/// Of an output's class scores, a row an image: where nothing that was read explains them.
void noteScores(const std::string &output, const Tensor &scores);

} // namespace moert
