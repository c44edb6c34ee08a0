// What moec and moert say to a command line that the parser refused: its reason, the nearest verb, and the
// help of the verb that was typed.
#pragma once

#include "runtime/base/Nearest.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

namespace moert {

/// One line, lower case, without the program's name in front.
inline std::string wrongUsage(CLI::App &app, const CLI::ParseError &error, int argc, char **argv) {
  std::vector<std::string> verbs;
  for (const CLI::App *verb : app.get_subcommands([](CLI::App *) { return true; }))
    verbs.push_back(verb->get_name());
  std::string first = argc > 1 ? argv[1] : "", help = app.get_name();
  bool verb = std::find(verbs.begin(), verbs.end(), first) != verbs.end();
  if (verb)
    help += " " + first;
  help = "; '" + help + " --help' lists what there is";
  if (!verb && !first.empty() && first[0] != '-')
    return "expected a verb, found '" + first + "'" + suggestion(first, verbs) + help;
  std::string reason = error.what();
  if (reason.size() > 1 && std::islower(static_cast<unsigned char>(reason[1])))
    reason[0] = char(std::tolower(static_cast<unsigned char>(reason[0])));
  if (!verb && first.empty())
    reason = "expected a verb, found none";
  return reason + help;
}

} // namespace moert
