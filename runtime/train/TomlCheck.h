// The structure of a TOML text, checked before toml++ reads it. toml++ ends the process by an assert, or by a
// stack that overflows, on some texts that are one slip away from a recipe: "[#data]", "[0, }", a key of
// forty thousand parts. What passes here has its brackets, keys and commas where TOML wants them, characters
// outside of ASCII in texts and comments alone, and no more depth than a recipe needs; what the values are is
// left to toml++. A recipe may come with a checkpoint from somebody else, so the limits hold against intent
// as well.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace moert {

/// The limits of a recipe's text; docs/recipe.md states them. Bytes, but for the last two.
inline constexpr size_t kLargestToml = 1 << 18;
inline constexpr size_t kLongestTomlKey = 4096;
inline constexpr size_t kMostTomlKeyParts = 64;
inline constexpr size_t kDeepestTomlValue = 16; // lists and inline tables within each other

struct TomlFault {
  size_t line, column; // from 1; columns count characters
  std::string message; // what was expected, and what was found
};

/// The first fault of the text, if any.
std::optional<TomlFault> checkToml(std::string_view text);

/// Where a byte of the text lies.
TomlFault tomlFaultAt(std::string_view text, size_t at, std::string message);

} // namespace moert
