// `name=@file` on a command line, as moert and moec take inputs and outputs: which file is meant for which of
// an entry's names. A name that the entry does not have, or one that is given twice, is an error, since a
// file that nobody reads is a mistake that no result shows.
#pragma once

#include "runtime/base/Result.h"

#include <span>
#include <string>
#include <vector>

namespace moert {

struct NamedFile {
  std::string name, path;
};

/// The arguments of `--<kind>`, in order; `kind` is "input" or "output", `names` are those that `entry` has.
Result<std::vector<NamedFile>> namedFiles(std::span<const std::string> arguments, const std::string &kind,
                                          const std::string &entry, std::span<const std::string> names);

/// invalid_input: a label in `values`, read from the file, that is none of `classes` (0 to classes - 1). A
/// negative one is unknown; one beyond would leave the loss as silently.
Status checkLabels(const NamedFile &file, std::span<const double> values, int64_t classes);

} // namespace moert
