// Accuracy of an inference entry on the splits of a data set: batches of a fixed size, the last one at its
// true size. And what of a program has to agree with a data set before either is used.
#pragma once

#include "runtime/data/Batches.h"
#include "runtime/session/Session.h"
#include "runtime/train/Recipe.h"

#include <atomic>
#include <functional>
#include <map>
#include <optional>

namespace moert {

/// A data set, its splits, and which domains are trained on.
struct SplitData {
  DomainSet set;
  std::vector<Split> splits;        // by domain
  std::vector<size_t> training;     // domains not held out, ascending
  std::vector<int32_t> domainLabel; // by domain: its place in `training`, or -1

  /// `check` sees all but the images, before any of them is unpacked.
  static Result<SplitData> open(const Recipe &recipe,
                                const std::function<Status(const SplitData &)> &check = {});
};

/// invalid_input, with what mends it, when the program was compiled for other images or classes than the data
/// has; for training also when a loss whose weight is not 0 tells fewer domains or labels apart. A program is
/// compiled anew for training; a checkpoint that is evaluated fits the program that it has.
enum class Use { training, evaluation };
Status checkFits(const Program &program, const SplitData &data, const Recipe &recipe, Use use);

/// invalid_input when an entry has an input that no data set gives.
Status checkInputs(const Program &program, const fb::Entry &entry);

/// The inference entry of that name; empty: the first one.
Result<const fb::Entry *> inferenceEntry(const Program &program, const std::string &name);
/// The train entry of an objective; empty: the only one.
Result<const fb::Entry *> trainingEntry(const Program &program, const std::string &objective);
/// The output that holds class scores: "logits", or else the only one of two axes.
Result<std::string> scoresOutput(const Program &program, const fb::Entry &entry);
/// How many classes that output tells apart.
Result<int64_t> classesOf(const Program &program, const fb::Entry &entry);

/// What was measured on a split. An image whose scores are not all finite has no class, so it counts as
/// wrong.
struct Accuracy {
  size_t images = 0, right = 0, notFinite = 0;
  double share() const { return images ? double(right) / double(images) : 0; }
};

/// What a note of scores that are not finite begins with, and what it says of a domain; empty where all its
/// scores are finite.
inline constexpr const char *kNotFiniteNote = "scores that are NaN or infinite, whose images count as wrong:";
std::string notFiniteText(size_t domain, const std::string &name, const Accuracy &in, const Accuracy &out);

class Evaluator {
public:
  Evaluator(std::shared_ptr<const Program> program, std::shared_ptr<States> states,
            std::shared_ptr<Device> device, const SplitData &data, const Recipe &recipe)
      : program_(std::move(program)), states_(std::move(states)), device_(std::move(device)), data_(data),
        recipe_(recipe) {}

  /// Of a split, or of the first recipe.evalImages images of it; nothing when `stop` was raised meanwhile.
  Result<std::optional<Accuracy>> accuracy(const fb::Entry &entry, size_t domain, bool out,
                                           const std::atomic<bool> *stop = nullptr);

private:
  Result<Session *> session(const fb::Entry &entry, size_t rows);
  std::shared_ptr<const Program> program_;
  std::shared_ptr<States> states_;
  std::shared_ptr<Device> device_;
  const SplitData &data_;
  const Recipe &recipe_;
  std::map<std::pair<const fb::Entry *, size_t>, std::unique_ptr<Session>> sessions_;
};

} // namespace moert
