// The moec command that compiles a program again with some choices changed: what every refusal that only a
// recompile can mend ends with.
#pragma once

#include "runtime/program/Program.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moert {

/// A word of a command line as a shell reads it: quoted where it needs it.
std::string shellWord(const std::string &word);

/// A command line's words, as a shell would take them apart: what a program records of files and targets.
std::vector<std::string> shellWords(const std::string &text);

/// 16 hexadecimal digits that tell one text of a model from another: a program records those of its sources as
/// `%source`, in their order and with blanks between. A byte order mark does not count.
std::string textDigest(std::string_view text);

/// "moec compile models/hmoe_28.mlir -o hmoe.moe -Dclasses=10": the program's own choices, with `changes` put
/// in. A change's key is an option ("--optimizer") or a size ("classes").
std::string compileCommand(const Program &program,
                           const std::vector<std::pair<std::string, std::string>> &changes);

} // namespace moert
