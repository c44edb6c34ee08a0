// A run's recipe: every number of a training run that needs no recompile, read from TOML and the command
// line. Unknown keys, wrong types and values out of range are errors with file and line. docs/recipe.md
// documents the keys; the table in Recipe.cpp is what the reader, the writer and the comparison follow.
#pragma once

#include "runtime/data/DomainSet.h"
#include "runtime/program/Program.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace moert {

struct Recipe {
  /// Steps are numbered in 32 bits by the random numbers, whose last two numbers are data and initial values.
  static constexpr int64_t kMaxSteps = 0xFFFFFFFE;
  /// Of every other integer: exact as a number of TOML and of JSON.
  static constexpr int64_t kMaxInteger = 9'000'000'000'000'000;

  // [train]
  int64_t steps = 5001;
  int64_t batchPerDomain = 64;
  int64_t seed = 0;            // initial values, draws of training rows, random numbers of steps
  int64_t checkpointEvery = 0; // steps; 0: at every evaluation, and at the end
  std::string objective;       // empty: the program's only one
  // [init]: where parameters are taken from; InitPlan.h says how
  std::string initFile; // empty: nowhere, and they have their initial values
  std::vector<std::string> initFresh = {"head.*", "classifier.*", "gate.*", "**.gate.**"};
  std::vector<std::string> initResize = {"pos_embed"};
  /// A line of [init.map]: the name that parameters of the pattern have in the file; empty: none.
  struct MapLine {
    std::string pattern, source, where;
  };
  std::vector<MapLine> initMap;
  // [data]
  std::string dataKind = "rotated";
  std::string dataPath = "/usr/share/datasets/fashion-mnist";
  int64_t classes = 0; // labels must stay below it; 0: the largest label + 1
  std::vector<double> angles = {0, 15, 30, 45, 60, 75};
  std::vector<double> flips = {0.1, 0.2, 0.9};
  double labelNoise = 0.25;
  int64_t dataSeed = 0;
  int64_t trialSeed = 0;
  double holdout = 0.2;
  std::vector<int64_t> heldOut = {0};
  int64_t dataThreads = 1;
  // [log]
  int64_t logEvery = 0; // steps between lines of metrics with the losses alone; 0: none
  // [eval]
  int64_t evalEvery = 300; // steps; 0: never
  int64_t evalBatch = 64;
  int64_t evalImages = 0; // a split; 0: all
  std::string evalEntry;  // empty: the program's first inference entry
  // [optimizer]
  std::string optimizer; // empty: whatever the program has

  /// Values of the program's recipe scalars ("optimizer.lr", "aux.entropy"), in the program's order. Filled
  /// by bind.
  std::vector<std::pair<std::string, double>> scalars;

  /// Reads a file (empty path: defaults alone) and then the settings "key=value", later ones winning. A
  /// program's losses are among the keys that an unknown one may have meant.
  static Result<Recipe> read(const std::string &path, const std::vector<std::string> &settings,
                             const Program *program = nullptr);
  /// The same from a text; `name` stands for the file in messages.
  static Result<Recipe> parse(const std::string &text, const std::string &name,
                              const std::vector<std::string> &settings, const Program *program = nullptr);
  /// Matches the keys below optimizer and aux with the program's scalars. A key that fits none is an error
  /// that names the nearest; one that asks for another optimizer or objective gives the command that compiles
  /// it.
  Status bind(const Program &program);
  /// All effective values as TOML that reads back to the same recipe.
  std::string text() const;
  DomainSetOptions dataOptions() const;

  /// A setting whose key can only be checked against the program: one below optimizer or aux.
  struct PendingSetting {
    std::string key, where;
    double value;
  };
  std::vector<PendingSetting> pendingSettings;
  std::map<std::string, std::string> sourceOfKey; ///< of each given key: "r.toml:3", "--set data.seed=1"
};

/// Does a pattern whose * stands for any run of characters without a dot match the whole name?
bool globMatches(std::string_view pattern, std::string_view name);

/// The keys in which two recipes differ, as "key: expected a, found b"; keys that change no result
/// (data.path, data.threads) and those in `allowed` are left out.
std::vector<std::string> differences(const Recipe &expected, const Recipe &found,
                                     const std::vector<std::string> &allowed);

} // namespace moert
