// The folder of a run: who may start in it, its recipe, and its metrics file, which a resumed run cuts back
// to where its checkpoint stands.
#pragma once

#include "runtime/base/Files.h"
#include "runtime/train/Recipe.h"

#include <optional>
#include <string>

namespace moert {

/// The lines of a metrics file that belong to a run of which so many steps are done: up to the last that is of
/// one of those steps. Behind it are lines of later steps, and one that a kill has cut short; what stands
/// before it and is none of ours stays.
std::string_view metricsOfSteps(std::string_view text, uint64_t stepsDone);

class RunFolder {
public:
  /// What `create` (or, to resume, `reopen`) refuses by a look at the folder: an early word for the user,
  /// before anything else of the run is read.
  static Status check(const std::string &path, bool resume);
  /// A new run: refuses a folder that holds one. Writes recipe.toml.
  static Result<RunFolder> create(const std::string &path, const Recipe &recipe);
  /// An existing run: `recipe` must agree with the run's in all that changes results; train.steps may grow.
  /// Changes nothing in the folder, since what else the run needs may yet refuse it.
  static Result<RunFolder> reopen(const std::string &path, const Recipe &recipe, const Program &program);
  /// The recipe that a run was started with.
  static std::string recipePath(const std::string &path) { return path + "/recipe.toml"; }

  std::string last() const { return path_ + "/last"; }
  std::string best() const { return path_ + "/best"; }
  const std::string &path() const { return path_; }

  /// Makes `recipe` the run's, once all of it has been accepted. Writes only where it differs, so that a look
  /// at a finished run in a folder that is read-only stays possible.
  Status keep(const Recipe &recipe) const;
  /// Drops the lines of steps that a resumed run will do again, or write again: all behind `stepsDone`.
  Status truncateMetrics(uint64_t stepsDone) const;
  /// Whether there are lines of steps behind `stepsDone`.
  Result<bool> hasMetricsAfter(uint64_t stepsDone) const;
  Status appendMetrics(const std::string &line);
  /// Waits until the disk has all lines: a checkpoint must not outlast the lines of its steps.
  Status flushMetrics();
  /// Fails where the path no longer leads to the folder that this process has locked.
  Status stands() const;
  /// `done` exists only while all steps are done: a run that cannot remove it does not go on.
  Status markDone() const;
  Status unmarkDone() const;

private:
  explicit RunFolder(std::string path) : path_(std::move(path)) {}
  // Only one process at a time may train in a folder; the lock ends with the process, however it ends.
  Status lock();
  std::string metricsPath() const { return path_ + "/metrics.jsonl"; }
  Result<std::string> metrics() const; // empty where there is no file
  std::string path_;
  bool unflushed_ = false; // lines of metrics
  std::string recipe_;     // recipe.toml's when the run was reopened, as we would write it
  std::optional<OpenFile> lock_;
};

} // namespace moert
