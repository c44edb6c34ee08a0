#include "runtime/train/CompileCommand.h"

#include "runtime/base/ContentHash.h"
#include "runtime/base/Printable.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

namespace fs = std::filesystem;

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

std::string textDigest(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) // a byte order mark, which the compiler leaves out too
    text.remove_prefix(3);
  ContentHash hash;
  hash.add({reinterpret_cast<const uint8_t *>(text.data()), text.size()});
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash.value()));
  return digits;
}

namespace {

// Whether the file is the one whose digest a program records. Texts have at most 64 MiB.
bool isSource(const fs::path &file, const std::string &digest) {
  std::error_code error;
  if (!fs::is_regular_file(file, error) || fs::file_size(file, error) > (size_t(64) << 20) || error)
    return false;
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  return !in.bad() && textDigest(text) == digest;
}

// A program records its sources as they were named in the folder where it was compiled, which is not known
// later. So a file is looked for from the program's own folder upwards. Another file may have its name there, and
// to compile that one would put another model in the program's place: so only the text that the program was
// compiled from is taken; where none is found, the file stays as it was named.
std::string sources(const Program &program) {
  std::string recorded(program.config("source").value_or("MODEL.mlir"));
  if (recorded.find("$'") != std::string::npos) // names with control characters
    return recorded;
  std::error_code error;
  fs::path start = fs::absolute(program.path(), error).lexically_normal().parent_path();
  std::string all;
  std::vector<std::string> words = shellWords(recorded);
  std::vector<std::string> digests = shellWords(std::string(program.config("%source").value_or("")));
  digests.resize(words.size());
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string &word = words[i];
    fs::path found = word;
    if (found.is_relative() && !error && !digests[i].empty())
      for (fs::path folder = start;; folder = folder.parent_path()) {
        if (isSource(folder / word, digests[i])) {
          fs::path here = fs::current_path(error), full = (folder / word).lexically_normal();
          fs::path near = full.lexically_proximate(here);
          found = near.native().size() < full.native().size() ? near : full;
          break;
        }
        if (folder == folder.parent_path())
          break;
      }
    all += (all.empty() ? "" : " ") + shellWord(found.string());
  }
  return all;
}

} // namespace

std::vector<std::string> shellWords(const std::string &text) {
  std::vector<std::string> words;
  bool inside = false, single = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (!single && c == ' ') {
      inside = false;
      continue;
    }
    if (!inside)
      words.emplace_back();
    inside = true;
    if (c == '\'')
      single = !single;
    else if (!single && c == '\\' && i + 1 < text.size())
      words.back() += text[++i];
    else
      words.back() += c;
  }
  return words;
}

std::string compileCommand(const Program &program,
                           const std::vector<std::pair<std::string, std::string>> &changes) {
  std::vector<std::pair<std::string, std::string>> choices;
  for (const fb::KeyValue *choice : *program.table().config()) {
    std::string key = choice->key()->str();
    if (key != "source" && !key.starts_with("aux.") && !key.starts_with("%")) // those are no choices
      choices.push_back({key == "objective" || key == "target" || key == "gradients" || key == "batch-hint" ||
                                 key == "precision"
                             ? "--" + key
                             : key,
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
  std::string command = concat("moec compile ", sources(program), " -o ", shellWord(program.path()));
  for (const std::string &plugin : shellWords(std::string(program.config("%load").value_or(""))))
    command += concat(" --load ", shellWord(plugin));
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
