// A random model as an author writes it: the text of a model with its layers, in the language of docs/language.md. What
// it is follows from a seed and a number alone, so that these two name it.
#pragma once
#include <cstdint>
#include <set>
#include <string>

namespace moe::test {

struct ModelCase {
  std::string text;
  std::string optimizer = "adam";
  int64_t classes = 2, domains = 2; ///< labels and domains are below them
  std::set<std::string> used;       ///< the ops that the text holds, and forms of them such as "aux entropy"
};

/// Case `number` of a run.
ModelCase drawModel(uint64_t seed, uint64_t number);

} // namespace moe::test
