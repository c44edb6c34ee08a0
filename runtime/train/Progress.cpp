#include "runtime/train/Progress.h"

#include "runtime/base/Printable.h"
#include "runtime/base/Status.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sys/ioctl.h>
#include <unistd.h>

namespace moert {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kPlain = std::chrono::seconds(10);

template <typename... Arguments> std::string format(const char *pattern, Arguments... arguments) {
  char text[128];
  snprintf(text, sizeof text, pattern, arguments...);
  return text;
}

std::string lossText(double loss) {
  return format(std::fabs(loss) < 1e4 ? "%.4f" : "%.3g", withoutNanSign(loss));
}

// Of UTF-8: a byte that continues a character is none of its own.
size_t characters(const std::string &text) {
  return size_t(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

size_t terminalWidth() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

} // namespace

std::string durationText(double seconds) {
  if (!(seconds >= 0) || seconds > 1e7)
    return "?";
  long total = std::lround(seconds), hours = total / 3600;
  return hours ? format("%ld:%02ld:%02ld", hours, total / 60 % 60, total % 60)
               : format("%ld:%02ld", total / 60, total % 60);
}

double secondsLeft(uint64_t step, uint64_t steps, uint64_t every, double perStep, double perEvaluation) {
  // After s steps, ceil(s / every) evaluations are done; the last step's is one more where it is not due
  // anyway.
  auto due = [&](uint64_t s) { return (s + every - 1) / every; };
  uint64_t evaluations = every && steps > step ? due(steps) - due(step) + ((steps - 1) % every != 0) : 0;
  return double(steps - step) * perStep + double(evaluations) * perEvaluation;
}

std::string statusText(const Progress::Line &line, size_t width) {
  std::string head = format("step %llu/%llu  loss %s", (unsigned long long)line.step,
                            (unsigned long long)line.steps, lossText(line.loss).c_str());
  std::string rate = line.rate ? format("  lr %g", *line.rate) : "";
  std::string gate = line.gateBalance ? format("  gate %.3f", withoutNanSign(*line.gateBalance)) : "";
  std::string dropped = line.dropped ? format("  dropped %.1f%%", 100 * *line.dropped) : "";
  std::string end =
      format("  %.0f images/s  ETA %s", line.imagesPerSecond, durationText(line.remaining).c_str());
  std::string parts;
  size_t used = line.parts.size() > 1 ? line.parts.size() : 0; // one part is the loss
  auto length = [&] { return characters(head + parts + rate + gate + dropped + end); };
  auto fits = [&] {
    parts = used ? " (" : "";
    for (size_t i = 0; i < used; ++i)
      parts += concat(i ? "  " : "", printable(line.parts[i].first, /*line=*/true), " ",
                      lossText(line.parts[i].second));
    if (used)
      parts += used < line.parts.size() ? "  ...)" : ")";
    return length() <= width;
  };
  while (!fits() && used)
    --used;
  for (std::string *left : {&rate, &dropped, &gate})
    if (length() > width)
      left->clear();
  return head + parts + rate + gate + dropped + end;
}

Progress::Progress() : Progress(isatty(STDOUT_FILENO), Clock::now) {}

void Progress::clear() {
  if (!drawn_.empty())
    fputs("\r\033[K", stdout);
  drawn_.clear();
}

void Progress::show(const Line &line) {
  const Clock::time_point now = now_();
  bool ends = line.step == line.steps;
  if (last_ && now - *last_ < (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kPlain)) && !ends)
    return;
  last_ = now;
  if (terminal_)
    note(statusText(line, terminalWidth() - 1));
  else
    say(statusText(line, SIZE_MAX));
}

void Progress::say(const std::string &text) {
  clear();
  print(stdout, text + "\n");
  fflush(stdout);
}

void Progress::note(const std::string &text) {
  if (!terminal_) {
    const Clock::time_point now = now_();
    if (last_ && now - *last_ >= kPlain)
      say(text);
    if (!last_ || now - *last_ >= kPlain)
      last_ = now;
    return;
  }
  clear();
  drawn_ = printable(text);
  size_t width = std::min(drawn_.size(), terminalWidth() - 1);
  while (width < drawn_.size() && (drawn_[width] & 0xc0) == 0x80) // no part of a character
    --width;
  drawn_.resize(width);
  fputs(drawn_.c_str(), stdout);
  fflush(stdout);
}

} // namespace moert
