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

Status RunFolder::check(const std::string &path, bool resume) {
  if (path.empty())
    return usageError("expected --out and the folder of the run, found an empty name");
  if (resume)
    return exists(recipePath(path))
               ? okStatus()
               : invalidInput(path, ": expected the folder of a run to resume, found no recipe.toml there; "
                                    "leave --resume out to start a new run");
  for (const char *name : {"/recipe.toml", "/metrics.jsonl", "/last", "/best", "/done"})
    if (exists(path + name))
      return invalidInput(path, ": expected a folder without a run, found ", path, name,
                          "; continue that run with --resume, or give another --out");
  return okStatus();
}

Result<RunFolder> RunFolder::create(const std::string &path, const Recipe &recipe) {
  MOERT_TRY(check(path, /*resume=*/false));
  MOERT_TRY(makeFolders(path));
  RunFolder folder(path);
  MOERT_TRY(folder.lock());
  MOERT_TRY(folder.stands());               // what was locked may have lost its name before
  MOERT_TRY(check(path, /*resume=*/false)); // another process may have been at work there until now
  Status written = replaceFile(recipePath(path), recipe.text());
  if (!written.ok() && exists(recipePath(path))) // written, but perhaps not for good
    return Status(written.code(), concat(written.message(), "; then continue with --resume"));
  MOERT_TRY(std::move(written));
  return folder;
}

Result<RunFolder> RunFolder::reopen(const std::string &path, const Recipe &recipe, const Program &program) {
  MOERT_TRY(check(path, /*resume=*/true));
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
  int left = 100;
  while (::flock(lock_->descriptor(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR && --left)
      continue;
    if (errno == EWOULDBLOCK)
      return invalidInput(path_, ": expected a folder that nothing trains in, found another process at work "
                                 "there");
    // File systems that know no locks, or none of a folder, do not keep a run from training.
    if (errno == ENOSYS || errno == EOPNOTSUPP || errno == ENOLCK || errno == EINVAL || errno == EBADF)
      break;
    return invalidInput(path_, ": cannot lock: ", std::strerror(errno));
  }
  return okStatus();
}

std::string_view metricsOfSteps(std::string_view text, uint64_t stepsDone) {
  size_t begin = 0, kept = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string_view::npos; begin = end + 1) {
    std::string_view line = text.substr(begin, end - begin);
    auto json = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
    if (json.is_object() && json.contains("step") && json["step"].is_number_unsigned() &&
        json["step"].get<uint64_t>() <= stepsDone)
      kept = end + 1;
  }
  return text.substr(0, kept);
}

Result<std::string> RunFolder::metrics() const {
  return exists(metricsPath()) ? readText(metricsPath(), size_t(1) << 40) : std::string();
}

Result<bool> RunFolder::hasMetricsAfter(uint64_t stepsDone) const {
  MOERT_ASSIGN(std::string text, metrics());
  std::string_view kept = metricsOfSteps(text, stepsDone);
  return metricsOfSteps(text, UINT64_MAX).size() > kept.size();
}

Status RunFolder::truncateMetrics(uint64_t stepsDone) const {
  std::string path = metricsPath();
  MOERT_ASSIGN(std::string text, metrics());
  std::string_view kept = metricsOfSteps(text, stepsDone);
  return kept.size() == text.size() ? okStatus() : replaceFile(path, kept);
}

Status RunFolder::appendMetrics(const std::string &line) {
  Status written = appendLine(metricsPath(), line);
  unflushed_ = true;
  if (written.ok())
    return written;
  MOERT_TRY(stands());
  return {written.code(), concat(written.message(), "; once that is mended, continue with --resume")};
}

Status RunFolder::flushMetrics() {
  if (!unflushed_ || !exists(metricsPath()))
    return okStatus();
  MOERT_TRY(flushFile(metricsPath()));
  unflushed_ = false;
  return okStatus();
}

Status RunFolder::stands() const {
  MOERT_ASSIGN(bool named, lock_->hasItsName());
  if (named)
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
