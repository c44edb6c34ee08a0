// Patterns of parameter paths, with what their stars stand for: `*` stands for any characters but a dot, `**`
// for any characters. `blocks.*.mlp.experts.**` matches `blocks.8.mlp.experts.fc1.weight`, where the stars
// stand for `8` and `fc1.weight`. A star takes as little as it can.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moert {

/// The time to match grows with it, and no path has so many parts that differ.
inline constexpr size_t kMostStars = 8;

/// How many stars a pattern has.
size_t starsOf(std::string_view pattern);

/// What each star stands for where the pattern matches the whole path.
std::optional<std::vector<std::string>> matchPath(std::string_view pattern, std::string_view path);

/// The pattern with its stars replaced, one after the other.
std::string fillStars(std::string_view pattern, const std::vector<std::string> &parts);

} // namespace moert
