#include "runtime/train/CompileCommand.h"

#include "runtime/base/Printable.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace moert {

std::string shellWord(const std::string &word) {
  bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
    return std::isalnum(c) || std::string_view("/._-+,:@%=~").find(char(c)) != std::string_view::npos;
  });
  if (plain)
    return word;
  std::string quoted = "'";
  // What '' would give a terminal as it is, and bash reads in $''.
  if (printable(word, /*line=*/true) != word) {
    for (char c : word)
      quoted += c == '\'' || c == '\\' ? std::string{'\\', c} : std::string(1, c);
    return "$" + printable(quoted, true) + "'";
  }
  for (char c : word)
    quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string compileCommand(const Program &program,
                           const std::vector<std::pair<std::string, std::string>> &changes) {
  std::vector<std::pair<std::string, std::string>> choices;
  for (const fb::KeyValue *choice : *program.table().config()) {
    std::string key = choice->key()->str();
    if (key != "source" && !key.starts_with("aux.") && !key.starts_with("%")) // those are no choices
      choices.push_back({key == "objective" || key == "target" || key == "gradients" ? "--" + key : key,
                         choice->value()->str()});
  }
  if (program.table().optimizer())
    choices.push_back({"--optimizer", program.table().optimizer()->str()});
  for (auto &[key, value] : changes) {
    auto found =
        std::find_if(choices.begin(), choices.end(), [&](auto &choice) { return choice.first == key; });
    if (found == choices.end())
      choices.push_back({key, value});
    else
      found->second = value;
  }
  std::string command = concat("moec compile ", program.config("source").value_or("MODEL.mlir"), " -o ",
                               shellWord(program.path()));
  for (auto &[key, value] : choices) {
    if (key == "--gradients") { // a flag
      command += " " + key;
      continue;
    }
    if (key != "--target") {
      command += concat(" ", shellWord(concat(key.starts_with("--") ? "" : "-D", key, "=", value)));
      continue;
    }
    for (size_t begin = 0, end; begin < value.size(); begin = end + 1) { // one option a target
      end = std::min(value.find(' ', begin), value.size());
      command += concat(" --target=", value.substr(begin, end - begin));
    }
  }
  return command;
}

} // namespace moert
