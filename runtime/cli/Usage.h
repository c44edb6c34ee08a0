// What moec and moert say to a command line that the parser refused: its reason, the nearest command, and the
// help of the command that was typed.
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

/// One of some words.
inline CLI::Validator oneOf(const std::vector<std::string> &words) {
  std::string list;
  for (size_t i = 0; i < words.size(); ++i)
    list += concat(i == 0 ? "" : i + 1 == words.size() ? " or " : ", ", words[i]);
  return CLI::Validator(
      [words, list](std::string &text) {
        bool known = std::find(words.begin(), words.end(), text) != words.end();
        return known ? std::string()
                     : concat("expected ", list, ", found '", text, "'", suggestion(text, words));
      },
      list);
}

/// A description with the option's default, as both programs write it.
template <typename Value> std::string withDefault(const std::string &what, const Value &value) {
  return concat(what, what.empty() ? "" : "; ", "default: ", value);
}

/// Has help say "command", as messages do, where CLI11 says "subcommand". Called once all have been added.
inline void nameCommands(CLI::App &app) {
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  for (CLI::App *command : app.get_subcommands([](CLI::App *) { return true; }))
    command->group("Commands");
}

/// What no option or place of the command takes: the first unknown option and the nearest known one, or else all
/// that is left, in the order it was typed.
inline std::string unexpected(CLI::App &command, int argc, char **argv) {
  std::vector<std::string> names, left = command.remaining(), words; // left: in no order
  for (const CLI::Option *option : command.get_options())
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

/// Throws where an option's value is empty, as in `--out=`, for which the parser would take the next argument, or in
/// `--init ""`, where a script's variable is not set: to most options that is the same as if they had not been given.
inline void refuseEmptyValues(int argc, char **argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--") // what follows are files
      return;
    const bool nothingFollows = i + 1 < argc && !*argv[i + 1];
    if (word.starts_with("--") && (word.find('=') == word.size() - 1 || nothingFollows))
      throw CLI::ArgumentMismatch(std::string("expected a value after ") + argv[i] + ", found none");
  }
}

/// One line, lower case, without the program's name in front.
inline std::string wrongUsage(CLI::App &app, const CLI::ParseError &error, int argc, char **argv) {
  std::vector<std::string> commands;
  for (const CLI::App *command : app.get_subcommands([](CLI::App *) { return true; }))
    commands.push_back(command->get_name());
  std::string first = argc > 1 ? argv[1] : "", help = app.get_name();
  bool command = std::find(commands.begin(), commands.end(), first) != commands.end();
  if (command)
    help += " " + first;
  help = "; '" + help + " --help' lists what there is";
  if (!command && !first.empty() && first[0] != '-')
    return "expected a command, found '" + first + "'" + suggestion(first, commands) + help;
  std::string reason = error.what();
  if (command && error.get_exit_code() == int(CLI::ExitCodes::ExtrasError))
    reason = unexpected(*app.get_subcommand(first), argc, argv);
  if (reason.size() > 1 && std::islower(static_cast<unsigned char>(reason[1])))
    reason[0] = char(std::tolower(static_cast<unsigned char>(reason[0])));
  if (!command && first.empty())
    reason = "expected a command, found none";
  return reason + help;
}

} // namespace moert
