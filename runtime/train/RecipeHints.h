// What somebody may have meant who wrote a key that recipes do not have: a slip of the keyboard, the right
// name in the wrong table, or the name that PyTorch, Lightning and DomainBed give to the same thing.
#pragma once

#include <string>
#include <vector>

namespace moert {

/// "; did you mean 'train.seed' or 'data.seed'?", "; [log] has every", or nothing. `known` are the keys that
/// there are.
std::string keyHint(const std::string &key, const std::vector<std::string> &known);

/// The same by names alone, without regard to slips: keys of other tables, and what other tools call them.
std::string namesakeHint(const std::string &key, const std::vector<std::string> &known);

} // namespace moert
