// A checkpoint is a folder: model.safetensors (parameters and buffers, by path, row-major),
// optimizer.safetensors (all other state), and state.json (where the run stands). It appears whole or not at
// all. The same run at the same step gives the same bytes, so nothing in it tells the time.
#pragma once

#include "runtime/base/Files.h"
#include "runtime/session/States.h"

#include <map>
#include <optional>
#include <string>

namespace moert {

/// What a checkpoint records of the file that the run's first values came from.
struct InitNote {
  std::string file;   // as the user named it
  std::string digest; // SHA-256 of the safetensors file, as sha256sum prints it
  bool operator==(const InitNote &) const = default;
};

/// Where a run stands. Batches and random numbers follow from `step`, so there is no generator to save.
struct RunState {
  uint64_t step = 0;              // steps done
  bool pendingEvaluation = false; // the evaluation after the last step was interrupted
  double bestScore = -1;          // mean out-split accuracy of the training domains; -1: none yet
  uint64_t bestStep = 0;
  std::map<std::string, double> sums; // losses since the last evaluation, for its means
  uint64_t summed = 0;
};

struct Checkpoint {
  RunState run;
  std::string programDigest, recipeDigest, recipe;
  std::string dataDigest;       // empty in a checkpoint from before there was one
  std::string target;           // what it was trained on, by name and level; empty likewise
  std::optional<InitNote> init; // where its first values came from, if from a file
};

/// What a state.json holds: all but the tensors, which it has the checksums of.
struct CheckpointState {
  Checkpoint checkpoint;
  uint64_t modelChecksum, optimizerChecksum;
};
/// The text of a state.json; `path` stands for the file in messages.
Result<CheckpointState> parseState(const std::string &text, const std::string &path);

/// Writes `folder` through `folder`.tmp. A failure says what stands: the previous checkpoint as it was, or,
/// where the disk did not confirm that the new one has its name, both.
Status saveCheckpoint(const std::string &folder, States &states, const Checkpoint &checkpoint);

/// Removes what a save that failed or was killed has left beside `folder`.
Status tidyCheckpoint(const std::string &folder);

/// The files of a checkpoint, all of one step: they are opened together, so a training that puts its next
/// checkpoint in the place of this one takes nothing from them.
class CheckpointFiles {
public:
  /// A checkpoint folder or, for parameters alone, a safetensors file or a folder with a model.safetensors.
  static Result<CheckpointFiles> open(const std::string &where);

  /// The files that are open, all of the checkpoint's: what must not be written over.
  std::vector<std::string> paths() const;
  /// Where the run stood, without the tensors. invalid_input where there is no state.json.
  Result<Checkpoint> state() const;
  /// The file of the parameters, to be read by the caller.
  Result<OpenFile> takeModel() &&;
  /// Of its values, where there is a state.json.
  Result<std::optional<uint64_t>> modelChecksum() const;
  /// Parameters and buffers into `states`, which are only changed when all fits.
  Status loadParameters(States &states) const;
  /// The same with all other state; it needs a whole checkpoint.
  Result<Checkpoint> loadAll(States &states) const;

private:
  Status missing(const char *name) const;
  std::string where_;             // as the user named it
  std::string folder_;            // it, or its .previous
  std::optional<OpenFile> state_; // of a checkpoint; without it the others are what somebody put together
  std::optional<OpenFile> model_, optimizer_;
};

/// Reads everything into `states`. invalid_input: no such folder, damaged files, or a checkpoint of another
/// model, with the nearest keys. `states` is only changed when all fits.
Result<Checkpoint> loadCheckpoint(const std::string &folder, States &states);

/// Where the run stood, without the tensors.
Result<Checkpoint> readCheckpointState(const std::string &folder);

/// The folder, or its .previous when a crash came between two renames.
std::string checkpointFolder(const std::string &folder);

} // namespace moert
