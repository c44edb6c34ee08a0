// The checks of `name=@file` arguments, in the order of the command line.
#include "runtime/base/NamedFiles.h"
#include "runtime/base/Nearest.h"

#include <algorithm>

namespace moert {

Result<std::vector<NamedFile>> namedFiles(std::span<const std::string> arguments, const std::string &kind,
                                          const std::string &entry, std::span<const std::string> names) {
  std::vector<NamedFile> files;
  for (const std::string &argument : arguments) {
    size_t equals = argument.find("=@");
    if (equals == std::string::npos || equals == 0 || equals + 2 == argument.size())
      return usageError("--", kind, " ", argument, ": expected name=@file");
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

} // namespace moert
