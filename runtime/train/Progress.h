// What a person sees of a run: one line that rewrites itself on a terminal, plain lines now and then
// elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace moert {

class Progress {
public:
  struct Line {
    uint64_t step, steps; // done, of all
    double loss;
    std::vector<std::pair<std::string, double>> parts; // "ce" -> 0.31
    std::optional<double> rate, gateBalance, dropped;  // learning rate; evenness of the gate; share of rows
    double imagesPerSecond, remaining;                 // seconds of training left
  };

  using Clock = std::chrono::steady_clock;

  /// On standard output, whatever that is.
  Progress();
  /// As on a terminal or off it, by a clock of the caller's.
  Progress(bool terminal, Clock::time_point (*now)()) : terminal_(terminal), now_(now) {}
  /// Draws the line; off a terminal at most every ten seconds.
  void show(const Line &line);
  /// Prints a lasting line above the status.
  void say(const std::string &text);
  /// Draws a short note in place of the status ("evaluating domain 3 of 6"); off a terminal at most every ten seconds.
  void note(const std::string &text);

private:
  void clear();
  bool terminal_;
  Clock::time_point (*now_)();
  std::string drawn_;
  std::optional<Clock::time_point> last_;
};

/// The status as text of at most `width` characters. Where not all has room, the losses' parts go first, the
/// last of them before the others, then the learning rate, the dropped rows and the gate; loss, speed and time left stay.
std::string statusText(const Progress::Line &line, size_t width);

/// How long a run of `steps` still takes after step `step`: its steps, and the evaluations after steps 1,
/// every + 1, 2 * every + 1, ... and the last one (every: 0 for none).
double secondsLeft(uint64_t step, uint64_t steps, uint64_t every, double perStep, double perEvaluation);

/// "1:02:03", "2:03".
std::string durationText(double seconds);

} // namespace moert
