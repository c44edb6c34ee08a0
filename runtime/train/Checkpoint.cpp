#include "runtime/train/Checkpoint.h"

#include "runtime/base/Files.h"
#include "runtime/base/Nearest.h"
#include "runtime/base/Printable.h"
#include "runtime/train/Safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <zlib.h>

namespace moert {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kFormat = 1;
constexpr const char *kWholeCheckpoint =
    "a checkpoint folder (model.safetensors, optimizer.safetensors, state.json)";

// Those of the model, or all others. Their values are `host`'s; without it there are none.
std::vector<NamedTensor> tensorsOf(const States &states, bool model, const HostStates *host = nullptr) {
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < states.size(); ++i)
    if (ofModel(states.row(i)) == model) {
      Tensor tensor = host ? host->tensor(i) : states.describe(i);
      tensors.push_back({std::string(states.path(i)), tensor.type, tensor.shape, tensor.bytes});
    }
  return tensors;
}

// Every state of the kind must be in the file with its type and shape, and nothing else. At most a few are
// listed.
Status checkFits(const Safetensors &file, const std::string &path, const States &states, bool model) {
  constexpr size_t kListed = 5, kCompared = 4096; // names that are looked through for a nearest one
  std::vector<std::string> names, near, problems;
  std::set<std::string> wanted;
  for (const NamedTensor &tensor : file.tensors())
    names.push_back(tensor.name);
  for (auto &[name, type] : file.foreign())
    names.push_back(name);
  auto nearestOf = [&](const std::string &name, std::span<const std::string> all, size_t count) {
    return all.size() > kCompared ? std::vector<std::string>() : nearest(name, all, count);
  };
  size_t missing = 0, misfits = 0, extra = 0;
  for (const NamedTensor &need : tensorsOf(states, model)) {
    wanted.insert(need.name);
    const NamedTensor *have = file.find(need.name);
    if (auto foreign = file.foreign().find(need.name); foreign != file.foreign().end()) {
      if (++misfits <= kListed)
        problems.push_back(
            concat("'", need.name, "': expected ", elementName(need.type), ", found ", foreign->second));
    } else if (!have) {
      if (++missing <= kListed) {
        near = nearestOf(need.name, names, 2);
        problems.push_back(concat("'", need.name, "' is missing",
                                  near.empty() ? "" : concat("; nearest there: '", shownName(near[0]), "'")));
      }
    } else if (have->type != need.type || have->shape != need.shape) {
      if (++misfits <= kListed)
        problems.push_back(concat("'", need.name, "': expected ", elementName(need.type),
                                  shapeText(need.shape), ", found ", elementName(have->type),
                                  shapeText(have->shape)));
    }
  }
  std::vector<std::string> all(wanted.begin(), wanted.end());
  for (const std::string &name : names)
    if (!wanted.count(name) && ++extra <= kListed) {
      near = nearestOf(name, all, 1);
      problems.push_back(concat("'", shownName(name), "' is not in the program",
                                near.empty() ? "" : "; nearest there: '", near.empty() ? "" : near[0],
                                near.empty() ? "" : "'"));
    }
  if (problems.empty())
    return okStatus();
  std::string text =
      concat(path, ": expected the ", model ? "parameters" : "training state", " of the program ",
             states.program().path(), ", found those of another model: ", missing, " missing, ", misfits,
             " of another shape or type, ", extra, " unknown");
  for (const std::string &problem : problems)
    text += "\n  " + problem;
  if (missing + misfits + extra > problems.size())
    text += "\n  ...";
  return invalidInput(text);
}

void copyInto(HostStates &host, const Safetensors &file, bool model) {
  const States &states = host.states();
  for (size_t i = 0; i < states.size(); ++i)
    if (ofModel(states.row(i)) == model) {
      const NamedTensor *tensor = file.find(states.path(i));
      if (!tensor->bytes.empty())
        std::memcpy(host.tensor(i).bytes.data(), tensor->bytes.data(), tensor->bytes.size());
    }
}

Status noCheckpoint(const std::string &where, const char *expected) {
  std::error_code error; // such as a name that no file can have
  if (std::filesystem::is_regular_file(where, error)) {
    std::string parent = std::filesystem::path(where).parent_path().string();
    return invalidInput(where, ": expected ", expected,
                        ", found a file; give the folder that it is in: ", parent.empty() ? "." : parent);
  }
  std::string hint = exists(where + "/best") ? concat("; did you mean ", where, "/best?") : "";
  return invalidInput(where, ": expected ", expected,
                      isAbsent(where) ? ", found no such file or folder" : ", found none", hint);
}

// Where a checkpoint is written before it gets its name.
std::string freshFolder(const std::string &folder) { return folder + ".tmp"; }

// The tensors' bytes in the order of the files: damage that leaves a file readable shows here.
uint32_t checksum(std::span<const NamedTensor> tensors) {
  uLong sum = crc32(0, nullptr, 0);
  for (const NamedTensor &tensor : tensors)
    sum = crc32_z(sum, reinterpret_cast<const Bytef *>(tensor.bytes.data()), tensor.bytes.size());
  return uint32_t(sum);
}

Result<CheckpointState> readState(const OpenFile &file) {
  MOERT_ASSIGN(std::string text, file.text(1 << 24));
  return parseState(text, file.path());
}

// Damage that leaves a file readable, and a file of another step, show here.
Status checkValues(const Safetensors &file, const std::string &path, const OpenFile &state, uint64_t sum) {
  if (checksum(file.tensors()) == sum)
    return okStatus();
  return invalidInput(path, ": expected the values that ", state.path(),
                      " has the checksum of, found others: "
                      "the checkpoint is damaged, or its files are of different steps");
}

} // namespace

Result<CheckpointState> parseState(const std::string &text, const std::string &path) {
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false); // sorted: of many keys, not their square
  if (!json.is_object())
    return invalidInput(path, ": expected a JSON object: the checkpoint is damaged");
  auto bad = [&](const char *what) {
    return invalidInput(path, ": expected ", what, ": the checkpoint is damaged");
  };
  auto has = [&](const char *key, auto test) { return json.contains(key) && (json[key].*test)(); };
  if (!has("format", &nlohmann::json::is_number_integer) || json["format"].get<int64_t>() != kFormat)
    return bad("a checkpoint of format 1");
  if (!has("step", &nlohmann::json::is_number_unsigned) ||
      !has("pending_evaluation", &nlohmann::json::is_boolean) ||
      !has("best_score", &nlohmann::json::is_number) ||
      !has("best_step", &nlohmann::json::is_number_unsigned) || !has("sums", &nlohmann::json::is_object) ||
      !has("summed", &nlohmann::json::is_number_unsigned) ||
      !has("model_checksum", &nlohmann::json::is_number_unsigned) ||
      !has("optimizer_checksum", &nlohmann::json::is_number_unsigned) ||
      !has("program", &nlohmann::json::is_string) || !has("recipe_digest", &nlohmann::json::is_string) ||
      !has("recipe", &nlohmann::json::is_string))
    return bad("step, pending_evaluation, best_score, best_step, sums, summed, checksums, program, "
               "recipe_digest and recipe");
  for (const char *key : {"data", "target"})
    if (json.contains(key) && !json[key].is_string())
      return bad(concat("a text in ", key).c_str());
  Checkpoint checkpoint;
  RunState &run = checkpoint.run;
  run.step = json["step"].get<uint64_t>();
  run.pendingEvaluation = json["pending_evaluation"].get<bool>();
  run.bestScore = json["best_score"].get<double>();
  run.bestStep = json["best_step"].get<uint64_t>();
  run.summed = json["summed"].get<uint64_t>();
  for (auto &[key, value] : json["sums"].items()) {
    if (!value.is_number() && !value.is_null()) // JSON has null for what is not finite
      return bad("numbers in sums");
    run.sums[key] = value.is_null() ? std::nan("") : value.get<double>();
  }
  checkpoint.programDigest = json["program"].get<std::string>();
  checkpoint.recipeDigest = json["recipe_digest"].get<std::string>();
  checkpoint.recipe = json["recipe"].get<std::string>();
  if (json.contains("data"))
    checkpoint.dataDigest = json["data"].get<std::string>();
  if (json.contains("target"))
    checkpoint.target = json["target"].get<std::string>();
  if (json.contains("init")) {
    const nlohmann::json &init = json["init"];
    if (!init.is_object() || !init.contains("file") || !init["file"].is_string() ||
        !init.contains("sha256") || !init["sha256"].is_string())
      return bad("file and sha256 in init");
    checkpoint.init = {init["file"].get<std::string>(), init["sha256"].get<std::string>()};
  }
  return CheckpointState{std::move(checkpoint), json["model_checksum"].get<uint64_t>(),
                         json["optimizer_checksum"].get<uint64_t>()};
}

static Status writeCheckpoint(const std::string &folder, const HostStates &host,
                              const Checkpoint &checkpoint) {
  const States &states = host.states();
  MOERT_TRY(makeFolders(folder));
  std::vector<NamedTensor> model = tensorsOf(states, true, &host), other = tensorsOf(states, false, &host);
  MOERT_TRY(writeSafetensors(folder + "/model.safetensors", model));
  MOERT_TRY(writeSafetensors(folder + "/optimizer.safetensors", other));
  const RunState &run = checkpoint.run;
  Json json = {{"format", kFormat},
               {"step", run.step},
               {"pending_evaluation", run.pendingEvaluation},
               {"best_score", run.bestScore},
               {"best_step", run.bestStep},
               {"sums", run.sums},
               {"summed", run.summed},
               {"model_checksum", checksum(model)},
               {"optimizer_checksum", checksum(other)},
               {"program", checkpoint.programDigest},
               {"recipe_digest", checkpoint.recipeDigest},
               {"recipe", checkpoint.recipe}};
  if (!checkpoint.dataDigest.empty())
    json["data"] = checkpoint.dataDigest;
  if (!checkpoint.target.empty())
    json["target"] = checkpoint.target;
  if (checkpoint.init)
    json["init"] = {{"file", checkpoint.init->file}, {"sha256", checkpoint.init->digest}};
  return writeDurably(folder + "/state.json",
                      json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

Status saveCheckpoint(const std::string &folder, States &states, const Checkpoint &checkpoint) {
  MOERT_ASSIGN(HostStates host, states.host());
  std::string fresh = freshFolder(folder);
  bool begun = false; // before, `fresh` may be a checkpoint that an earlier save has put away
  auto write = [&]() -> Result<std::string> {
    MOERT_TRY(removeLeftovers(fresh, folder));
    begun = true;
    MOERT_TRY(writeCheckpoint(fresh, host, checkpoint));
    return placeFolder(fresh, folder);
  };
  Result<std::string> old = write();
  if (!old.ok()) {
    std::string stands = checkpointFolder(folder);
    if (begun)
      removeFolder(fresh);
    return {old.status().code(), concat(old.status().message(),
                                        !exists(stands)    ? "; there was no checkpoint before"
                                        : stands == folder ? "; the checkpoint before is untouched"
                                                           : "; the checkpoint before stands as " + stands)};
  }
  if (Status flushed = flushParent(folder); !flushed.ok())
    return {flushed.code(), concat(flushed.message(), "; ", folder, " is the new checkpoint, of step ",
                                   checkpoint.run.step, ", unless a power failure undoes it",
                                   old->empty() ? "" : concat("; the one before is kept as ", *old))};
  if (!old->empty())
    removeFolder(*old);
  return okStatus();
}

Status tidyCheckpoint(const std::string &folder) { return removeLeftovers(freshFolder(folder), folder); }

std::string checkpointFolder(const std::string &folder) {
  std::string previous = previousFolder(folder);
  return !exists(folder) && exists(previous) ? previous : folder;
}

Result<CheckpointFiles> CheckpointFiles::open(const std::string &where) {
  // A training exchanges the folder and then empties the old one. So what is missing in a folder counts only
  // while that folder has its name, and a folder in which nothing is missing is of one step.
  for (int left = 1000;; --left) {
    CheckpointFiles files;
    files.where_ = where;
    files.folder_ = checkpointFolder(where);
    auto folder = OpenFile::open(files.folder_);
    if (!folder.ok()) {
      if (left && exists(checkpointFolder(where)))
        continue;
      return isAbsent(where) ? noCheckpoint(where, "a checkpoint folder or a safetensors file")
                             : std::move(folder).status();
    }
    MOERT_ASSIGN(bool isFolder, folder->isFolder());
    if (!isFolder) {
      files.model_ = *std::move(folder);
      return files;
    }
    MOERT_ASSIGN(files.state_, folder->inside("state.json"));
    MOERT_ASSIGN(files.model_, folder->inside("model.safetensors"));
    MOERT_ASSIGN(files.optimizer_, folder->inside("optimizer.safetensors"));
    if (files.state_ && files.model_ && files.optimizer_)
      return files;
    MOERT_ASSIGN(bool named, folder->hasItsName());
    if (named && checkpointFolder(where) == files.folder_) {
      if (!files.state_ && !files.model_)
        return noCheckpoint(where, "a checkpoint folder or a safetensors file");
      return files;
    }
    if (!left)
      return invalidInput(where, ": expected a folder that keeps its name while it is opened, found another "
                                 "in its place each time; try again");
  }
}

std::vector<std::string> CheckpointFiles::paths() const {
  std::vector<std::string> paths;
  for (const std::optional<OpenFile> *file : {&state_, &model_, &optimizer_})
    if (*file)
      paths.push_back((*file)->path());
  return paths;
}

Result<Checkpoint> CheckpointFiles::state() const {
  if (!state_)
    return noCheckpoint(where_, kWholeCheckpoint);
  MOERT_ASSIGN(CheckpointState state, readState(*state_));
  return std::move(state.checkpoint);
}

Result<OpenFile> CheckpointFiles::takeModel() && {
  if (!model_)
    return missing("model.safetensors");
  return *std::move(model_);
}

Result<std::optional<uint64_t>> CheckpointFiles::modelChecksum() const {
  if (!state_)
    return std::optional<uint64_t>();
  MOERT_ASSIGN(CheckpointState state, readState(*state_));
  return std::optional(state.modelChecksum);
}

Status CheckpointFiles::loadParameters(States &states) const {
  if (!model_)
    return missing("model.safetensors");
  MOERT_ASSIGN(Safetensors model, Safetensors::open(*model_));
  if (Status fits = checkFits(model, model_->path(), states, true); !fits.ok())
    return state_ ? fits
                  : Status(fits.code(), concat(fits.message(), "\nmoert train --init makes a checkpoint of "
                                                               "weights with other names, types or classes"));
  MOERT_TRY(model.load(*model_));
  if (state_) {
    MOERT_ASSIGN(CheckpointState state, readState(*state_));
    MOERT_TRY(checkValues(model, model_->path(), *state_, state.modelChecksum));
  }
  MOERT_ASSIGN(HostStates host, states.host());
  copyInto(host, model, true);
  return host.commit();
}

Result<Checkpoint> CheckpointFiles::loadAll(States &states) const {
  if (!state_)
    return noCheckpoint(where_, kWholeCheckpoint);
  MOERT_ASSIGN(CheckpointState state, readState(*state_));
  if (!model_ || !optimizer_)
    return missing(model_ ? "optimizer.safetensors" : "model.safetensors");
  MOERT_ASSIGN(Safetensors model, Safetensors::open(*model_));
  MOERT_ASSIGN(Safetensors other, Safetensors::open(*optimizer_));
  MOERT_TRY(checkFits(model, model_->path(), states, true));
  MOERT_TRY(checkFits(other, optimizer_->path(), states, false));
  MOERT_TRY(model.load(*model_));
  MOERT_TRY(other.load(*optimizer_));
  MOERT_TRY(checkValues(model, model_->path(), *state_, state.modelChecksum));
  MOERT_TRY(checkValues(other, optimizer_->path(), *state_, state.optimizerChecksum));
  MOERT_ASSIGN(HostStates host, states.host());
  copyInto(host, model, true);
  copyInto(host, other, false);
  MOERT_TRY(host.commit());
  return std::move(state.checkpoint);
}

Status CheckpointFiles::missing(const char *name) const {
  return invalidInput(folder_, "/", name,
                      ": expected the file beside state.json, found none: the checkpoint is damaged");
}

Result<Checkpoint> readCheckpointState(const std::string &where) {
  MOERT_ASSIGN(CheckpointFiles files, CheckpointFiles::open(where));
  return files.state();
}

Result<Checkpoint> loadCheckpoint(const std::string &where, States &states) {
  MOERT_ASSIGN(CheckpointFiles files, CheckpointFiles::open(where));
  return files.loadAll(states);
}

} // namespace moert
