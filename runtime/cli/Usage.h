// What moec and moert say to a command line that the parser refused: its reason, the nearest verb, and the
// help of the verb that was typed.
#pragma once

#include "runtime/base/Nearest.h"
#include "runtime/base/Status.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string>
#include <vector>

namespace moert {

/// A part of the training, from 0 to 1; CLI11's own ranges let NaN pass.
inline CLI::Validator partOfTraining() {
  return CLI::Validator(
      [](std::string &text) {
        char *end = nullptr;
        double value = std::strtod(text.c_str(), &end);
        bool fits = !text.empty() && !*end && value >= 0 && value <= 1;
        return fits ? std::string() : "expected a part of the training from 0 to 1, found '" + text + "'";
      },
      "FLOAT in [0 - 1]");
}

/// An integer; CLI11's own ranges say of 1.5 and 1e3 that they are not within the range.
inline CLI::Validator wholeNumber(int64_t low, int64_t high) {
  return CLI::Validator(
      [low, high](std::string &text) {
        int64_t value = 0;
        bool fits = CLI::detail::lexical_cast(text, value) && value >= low && value <= high;
        return fits ? std::string()
                    : concat("expected a whole number from ", low, " to ", high, ", found '", text, "'");
      },
      concat("INT in [", low, " - ", high, "]"));
}

/// What no option or place of the verb takes: the first unknown option and the nearest known one, or else all
/// that is left, in the order it was typed.
inline std::string unexpected(CLI::App &verb, int argc, char **argv) {
  std::vector<std::string> names, left = verb.remaining(), words; // left: in no order
  for (const CLI::Option *option : verb.get_options())
    for (const std::string &name : option->get_lnames())
      names.push_back(name);
  for (int i = 2; i < argc; ++i)
    if (auto found = std::find(left.begin(), left.end(), argv[i]); found != left.end()) {
      left.erase(found);
      words.push_back(argv[i]);
    }
  auto option = std::find_if(words.begin(), words.end(), [](auto &word) { return word.starts_with("-"); });
  bool unknown = option != words.end();
  if (unknown)
    words = {option->substr(0, option->find('='))};
  std::string reason = words.size() == 1 ? "the following argument was not expected:"
                                         : "the following arguments were not expected:";
  for (const std::string &word : words)
    reason += " " + word;
  if (!unknown || !words[0].starts_with("--"))
    return reason;
  if (auto near = nearest(words[0].substr(2), names, 1); !near.empty())
    return reason + "; did you mean '--" + near[0] + "'?";
  bool recipe = std::find(names.begin(), names.end(), "set") != names.end();
  return recipe ? reason + "; a key of the recipe is given as --set KEY=VALUE" : reason;
}

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
  if (verb && error.get_exit_code() == int(CLI::ExitCodes::ExtrasError))
    reason = unexpected(*app.get_subcommand(first), argc, argv);
  if (reason.size() > 1 && std::islower(static_cast<unsigned char>(reason[1])))
    reason[0] = char(std::tolower(static_cast<unsigned char>(reason[0])));
  if (!verb && first.empty())
    reason = "expected a verb, found none";
  return reason + help;
}

} // namespace moert
