// Suggestions for a name that does not exist: the one that was probably meant, or all that there are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moert {

/// Insertions, deletions, substitutions and swaps of neighbours between two names.
size_t editDistance(std::string_view a, std::string_view b);

/// The nearest of `names`, or empty where none is near enough to be a slip of the hand.
std::string_view nearestName(std::string_view name, const std::vector<std::string_view> &names);

/// "did you mean 'label'? there are: image, label", for the end of a message.
std::string describeNames(std::string_view name, const std::vector<std::string_view> &names);

} // namespace moert
