// "did you mean": the nearest of some names by edit distance, for messages about a name that does not exist.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moert {

/// At most `count` of the candidates, nearest first, none farther than half the longer name's length.
std::vector<std::string> nearest(std::string_view name, std::span<const std::string> candidates,
                                 size_t count = 1);

/// ", did you mean 'x'", or the list of candidates when none is near and there are few, else nothing.
std::string suggestion(std::string_view name, std::span<const std::string> candidates);

} // namespace moert
