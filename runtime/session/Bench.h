// Times an entry on made-up inputs: what `moert bench` prints, and what the measurements are taken with.
#pragma once

#include "runtime/session/Session.h"

#include <array>
#include <functional>
#include <optional>

namespace moert {

struct BenchOptions {
  std::string entry = "train";
  Binding binding;
  int steps = 20;
  int warmup = 3; // runs before the first timed one: pages, caches and the CPU's clock settle
  Session::Options session;
  /// Fills the parameters, which the seed's are otherwise.
  std::function<Status(States &)> parameters = {};
};

struct BenchResult {
  double medianMs = 0, p10Ms = 0, p90Ms = 0; // of one step
  std::optional<double> deviceMs; // the median by the device's clock, from the copies of the inputs to
                                  // those of the outputs; nothing where it has none
  double imagesPerSecond = 0;     // at the median
  double gflops = 0;              // a second: the model's own FLOPs, without recomputation, at the median
  uint64_t peakBytes = 0;         // anonymous resident memory of the process, all of it
  std::string digest;             // SHA-256 of all state and outputs after the last step
  std::vector<std::pair<std::string, float>>
      outputs;               // those that are one f32, such as the loss, of the last step
  Session::MemoryUse memory; // what the session planned
  Profile profile;           // of the timed steps, with Session::Options::profile
};

Result<BenchResult> benchmark(std::shared_ptr<const Program> program, std::shared_ptr<Device> device,
                              const BenchOptions &options);

/// Two programs timed step by step in turn, so that what else the machine does meets both: a step of each is a pair, and which of
/// the two goes first alternates.
struct Comparison {
  std::vector<std::array<double, 2>> milliseconds;  // of each pair
  std::array<double, 2> medianMs = {}, gflops = {}; // as in BenchResult
  double ratio = 0; // the median over pairs of the first one's time to the second one's
  /// The interval of that median with at least 95 % confidence, between two of the sorted ratios: it holds whatever the distribution
  /// of times. Fewer than six pairs have none: it is then from 0 to infinity.
  double low = 0, high = 0;
};

/// `other` replaces the options' own parameters for the second program. Each entry is `options.entry`.
Result<Comparison> compare(std::array<std::shared_ptr<const Program>, 2> programs,
                           std::shared_ptr<Device> device, const BenchOptions &options,
                           std::function<Status(States &)> other = {});

/// Which of n sorted samples, counted from 0, are the ends of an interval that holds the median with at least 95 % confidence: the
/// largest k with P(Binomial(n, 1/2) < k) <= 2.5 %, less one, and its mirror. Nothing for fewer than six samples.
std::optional<std::pair<size_t, size_t>> medianInterval(size_t n);

/// Fills a session's inputs: floats uniform in [0, 1), labels below the program's classes, each image's
/// domain.
void fillSynthetic(const Program &program, Session &session, uint64_t seed);

/// Anonymous resident memory of this process, or 0 where the system does not tell.
uint64_t anonymousBytes();

/// "5x64", 5 domains of 64 rows each, or "64", of one domain: what people give as --batch, to moec as well.
Result<Binding> readBatch(const std::string &text);

} // namespace moert
