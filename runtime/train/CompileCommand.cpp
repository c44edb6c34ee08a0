#include "runtime/train/CompileCommand.h"

#include <algorithm>

namespace moert {

std::string compileCommand(const Program &program,
                           const std::vector<std::pair<std::string, std::string>> &changes) {
  std::vector<std::pair<std::string, std::string>> choices;
  for (const fb::KeyValue *choice : *program.table().config()) {
    std::string key = choice->key()->str();
    if (key != "source")
      choices.push_back({key == "objective" || key == "target" ? "--" + key : key, choice->value()->str()});
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
  std::string command =
      concat("moec compile ", program.config("source").value_or("MODEL.mlir"), " -o ", program.path());
  for (auto &[key, value] : choices) {
    if (key != "--target") {
      command += key.starts_with("--") ? concat(" ", key, "=", value) : concat(" -D", key, "=", value);
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
