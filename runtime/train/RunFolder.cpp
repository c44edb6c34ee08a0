#include "runtime/train/RunFolder.h"

#include "runtime/train/Checkpoint.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace moert {

Result<RunFolder> RunFolder::create(const std::string &path, const Recipe &recipe) {
  if (path.empty())
    return usageError("expected --out and the folder of the run, found an empty name");
  auto empty = [&]() -> Status {
    for (const char *name : {"/recipe.toml", "/metrics.jsonl", "/last", "/best", "/done"})
      if (exists(path + name))
        return invalidInput(path, ": expected a folder without a run, found ", path, name,
                            "; continue that run with --resume, or give another --out");
    return okStatus();
  };
  MOERT_TRY(empty());
  MOERT_TRY(makeFolders(path));
  RunFolder folder(path);
  MOERT_TRY(folder.lock());
  MOERT_TRY(folder.stands()); // what was locked may have lost its name before
  MOERT_TRY(empty());         // another process may have been at work there until now
  MOERT_TRY(replaceFile(recipePath(path), recipe.text()));
  return folder;
}

Result<RunFolder> RunFolder::reopen(const std::string &path, const Recipe &recipe, const Program &program) {
  if (!exists(recipePath(path)))
    return invalidInput(path, ": expected the folder of a run to resume, found no recipe.toml there; "
                              "leave --resume out to start a new run");
  RunFolder folder(path);
  MOERT_TRY(folder.lock());
  MOERT_ASSIGN(Recipe before, Recipe::read(recipePath(path), {}));
  MOERT_TRY(before.bind(program));
  std::vector<std::string> lines = differences(before, recipe, {"train.steps"});
  if (recipe.steps < before.steps)
    lines.push_back(concat("train.steps: expected at least ", before.steps, ", found ", recipe.steps));
  if (!lines.empty()) {
    std::string text =
        concat(path, ": expected the recipe that the run was started with; start another run with a new "
                     "--out, or resume without these changes:");
    for (const std::string &line : lines)
      text += "\n  " + line;
    return invalidInput(text);
  }
  folder.recipe_ = before.text();
  return folder;
}

Status RunFolder::keep(const Recipe &recipe) const {
  std::string text = recipe.text();
  return text == recipe_ ? okStatus() : replaceFile(recipePath(path_), text);
}

Status RunFolder::lock() {
  MOERT_ASSIGN(lock_, OpenFile::open(path_));
  if (::flock(lock_->descriptor(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return invalidInput(path_,
                        ": expected a folder that nothing trains in, found another process at work there");
  return okStatus();
}

std::string_view metricsOfSteps(std::string_view text, uint64_t stepsDone) {
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string_view::npos; begin = end + 1) {
    std::string_view line = text.substr(begin, end - begin);
    auto json = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_unsigned() ||
        json["step"].get<uint64_t>() >= stepsDone)
      break;
  }
  return text.substr(0, begin);
}

Status RunFolder::truncateMetrics(uint64_t stepsDone) const {
  std::string path = path_ + "/metrics.jsonl";
  if (!exists(path))
    return okStatus();
  MOERT_ASSIGN(std::string text, readText(path, size_t(1) << 40));
  std::string_view kept = metricsOfSteps(text, stepsDone);
  return kept.size() == text.size() ? okStatus() : replaceFile(path, kept);
}

Status RunFolder::appendMetrics(const std::string &line) const {
  std::string path = path_ + "/metrics.jsonl", text = line + "\n";
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) {
    int code = errno;
    MOERT_TRY(stands());
    return invalidInput(path, ": cannot open: ", std::strerror(code),
                        "; make it a file that can be written, or remove it, and continue with --resume");
  }
  ssize_t written = ::write(fd, text.data(), text.size());
  int code = written < 0 ? errno : ENOSPC;
  bool whole = written == ssize_t(text.size());
  whole = (::close(fd) == 0) && whole;
  if (!whole)
    return invalidInput(path, ": cannot write: ", std::strerror(code),
                        "; the last checkpoint is untouched: free some space and continue with --resume");
  return okStatus();
}

Status RunFolder::stands() const {
  if (lock_->hasItsName())
    return okStatus();
  return invalidInput(
      path_, ": expected the run's folder as it was when training began, found it removed, renamed or "
             "replaced; put it back and continue with --resume, or start a new run with another --out");
}

Status RunFolder::markDone() const {
  std::string path = path_ + "/done";
  struct stat info;
  bool there = ::stat(path.c_str(), &info) == 0 && info.st_size > 0; // an empty one a kill may have left
  return there ? okStatus() : replaceFile(path, "done\n");
}

Status RunFolder::unmarkDone() const {
  std::string path = path_ + "/done";
  if (::unlink(path.c_str()) == 0 || errno == ENOENT)
    return okStatus();
  return invalidInput(path, ": cannot remove: ", std::strerror(errno),
                      "; it would say that all steps are done: remove it and continue with --resume");
}

} // namespace moert
