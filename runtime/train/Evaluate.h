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
/// The entry that training is judged by: the inference entry of that name; empty: the one that drops rows as training does,
/// of a program that has it, else the first.
Result<const fb::Entry *> judgingEntry(const Program &program, const std::string &name);
/// The inference entry that routes "as-trained" or "dropless".
Result<const fb::Entry *> routingEntry(const Program &program, const std::string &routing);
/// The train entry of an objective; empty: the only one.
Result<const fb::Entry *> trainingEntry(const Program &program, const std::string &objective);
/// The output that holds class scores: "logits", or else the only one of two axes.
Result<std::string> scoresOutput(const Program &program, const fb::Entry &entry);
/// How many classes that output tells apart.
Result<int64_t> classesOf(const Program &program, const fb::Entry &entry);

/// How many rows chose each expert of a routing, and how many of them were dropped.
struct ExpertRows {
  std::string routing;
  std::vector<int64_t> chosen, dropped;
};

/// What was measured on a split. An image whose scores are not all finite has no class, so it counts as
/// wrong. Routings and losses are those that the entry reports, in its order.
struct Accuracy {
  size_t images = 0, right = 0, notFinite = 0;
  std::vector<ExpertRows> routings;
  std::vector<std::pair<std::string, double>> losses; // of routings, without weights: means over the images
  double share() const { return images ? double(right) / double(images) : 0; }
};
/// The rows that were dropped, of all that chose an expert; of no rows, 0.
double droppedShare(std::span<const ExpertRows> routings);

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

  /// invalid_input where an expert would take no row of a batch of some split, the last and shorter one among them.
  Status checkBatches(const fb::Entry &entry) const;
  /// Of a split, or of the first recipe.evalImages images of it; nothing when `stop` was raised meanwhile.
  Result<std::optional<Accuracy>> accuracy(const fb::Entry &entry, size_t domain, bool out,
                                           const std::atomic<bool> *stop = nullptr);

private:
  std::span<const uint32_t> images(size_t domain, bool out) const;
  Result<Session *> session(const fb::Entry &entry, size_t rows);
  std::shared_ptr<const Program> program_;
  std::shared_ptr<States> states_;
  std::shared_ptr<Device> device_;
  const SplitData &data_;
  const Recipe &recipe_;
  std::map<std::pair<const fb::Entry *, size_t>, std::unique_ptr<Session>> sessions_;
};

} // namespace moert
