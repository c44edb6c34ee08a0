// "did you mean": the nearest of some names by edit distance, for messages about a name that does not exist.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moert {

/// Insertions, deletions, substitutions and swaps of neighbours between two names.
size_t editDistance(std::string_view a, std::string_view b);

/// At most `count` of the candidates, nearest first, none farther than half the longer name's length.
std::vector<std::string> nearest(std::string_view name, std::span<const std::string> candidates,
                                 size_t count = 1);

/// "; did you mean 'x'?", or "; known: " and the list of candidates when none is near and there are few, else
/// nothing.
std::string suggestion(std::string_view name, std::span<const std::string> candidates);

} // namespace moert
