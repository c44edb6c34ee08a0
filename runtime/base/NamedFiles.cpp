// The checks of `name=@file` arguments, in the order of the command line, and of labels in such a file.
#include "runtime/base/NamedFiles.h"
#include "runtime/base/Nearest.h"

#include <algorithm>
#include <cmath>

namespace moert {

Result<std::vector<NamedFile>> namedFiles(std::span<const std::string> arguments, const std::string &kind,
                                          const std::string &entry, std::span<const std::string> names) {
  std::vector<NamedFile> files;
  for (const std::string &argument : arguments) {
    size_t equals = argument.find("=@");
    if (equals == std::string::npos || equals == 0 || equals + 2 == argument.size())
      return usageError("--", kind, " ", argument, ": expected name=@file",
                        names.empty() || argument.find_first_of("=@") != std::string::npos
                            ? ""
                            : concat(", as in ", names[0], "=@", argument.empty() ? "FILE" : argument));
    NamedFile file{argument.substr(0, equals), argument.substr(equals + 2)};
    if (std::find(names.begin(), names.end(), file.name) == names.end())
      return invalidInput("entry '", entry, "' has no ", kind, " '", file.name, "'",
                          suggestion(file.name, names));
    for (const NamedFile &other : files)
      if (other.name == file.name)
        return usageError("expected one file for ", kind, " '", file.name, "', found ", other.path, " and ",
                          file.path);
    files.push_back(std::move(file));
  }
  return files;
}

Status checkLabels(const NamedFile &file, std::span<const double> values, int64_t classes) {
  for (size_t row = 0; row < values.size(); ++row)
    if (double label = values[row]; !(label < double(classes)) || label != std::floor(label))
      return invalidInput(file.path, ": expected labels from 0 to ", classes - 1, " for input '", file.name,
                          "', since there are ", classes,
                          " classes, or negative ones where they are unknown, "
                          "found ",
                          label, " in row ", row);
  return okStatus();
}

} // namespace moert
