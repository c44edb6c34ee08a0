// Timing an entry. Inputs come from Philox, so that two runs time the same numbers; a training entry moves
// its own state on, as it would in a run.
#include "runtime/session/Bench.h"
#include "runtime/program/Philox.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sys/types.h>

extern "C" {
#include <sha2.h>
}

namespace moert {

// What a benchmark computed, so that two of them can be compared byte by byte: other threads, poison, another
// build.
static Result<std::string> digestOf(States &states, const Session &session) {
  MOERT_ASSIGN(HostStates host, states.host());
  SHA2_CTX context;
  SHA256Init(&context);
  auto add = [&](const Tensor &tensor) {
    SHA256Update(&context, reinterpret_cast<const uint8_t *>(tensor.bytes.data()), tensor.bytes.size());
  };
  for (size_t i = 0; i < states.size(); ++i)
    add(host.tensor(i));
  for (const fb::Port *port : *session.entry().outputs())
    if (Result<Tensor> tensor = session.output(port->name()->string_view()))
      add(*tensor);
  char text[SHA256_DIGEST_STRING_LENGTH];
  SHA256End(&context, text);
  return std::string(text);
}

void fillSynthetic(const Program &program, Session &session, uint64_t seed) {
  int64_t classes = 1;
  if (std::optional<std::string_view> value = program.config("classes"))
    classes = std::max<int64_t>(1, strtoll(std::string(*value).c_str(), nullptr, 10));
  for (const fb::Port *port : *session.entry().inputs()) {
    std::string_view name = port->name()->string_view();
    Result<Tensor> tensor = session.input(name);
    if (!tensor)
      continue; // ports of a session's own entry exist
    uint32_t stream = philoxStream(name);
    if (tensor->type == fb::ElementType::f32) {
      std::span<float> values = tensor->as<float>();
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = float(philoxUniform(philoxWord(seed, stream, 0, i)));
    } else if (tensor->type == fb::ElementType::i32) {
      std::span<int32_t> values = tensor->as<int32_t>();
      int64_t rows = session.binding().rows;
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = name == "domain" ? int32_t(int64_t(i) / rows)
                                     : int32_t(philoxWord(seed, stream, 0, i) % uint64_t(classes));
    }
  }
}

uint64_t anonymousBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:"))
      return strtoull(line.c_str() + 8, nullptr, 10) * 1024;
  return 0;
}

namespace {

/// A session on made-up inputs, whose steps are timed.
class TimedSession {
public:
  static Result<TimedSession> open(std::shared_ptr<const Program> program, std::shared_ptr<Device> device,
                                   const BenchOptions &options,
                                   const std::function<Status(States &)> &parameters) {
    if (options.steps < 1 || options.warmup < 0)
      return usageError("expected at least one step, found ", options.steps);
    TimedSession timed;
    timed.device = device;
    MOERT_ASSIGN(timed.states, States::create(program, device, options.session.seed));
    if (parameters)
      MOERT_TRY(parameters(*timed.states));
    MOERT_ASSIGN(timed.session, Session::open(program, timed.states, device, options.entry, options.binding,
                                              options.session));
    fillSynthetic(*program, *timed.session, options.session.seed);
    return timed;
  }

  /// The milliseconds of the next step.
  Result<double> step() {
    auto start = std::chrono::steady_clock::now();
    MOERT_TRY(device->note(Device::Moment::start));
    MOERT_TRY(session->submit({.step = steps++, .progress = 0}));
    MOERT_TRY(device->note(Device::Moment::end));
    MOERT_TRY(session->collect());
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }

  std::shared_ptr<Device> device;
  std::shared_ptr<States> states;
  std::unique_ptr<Session> session;

private:
  uint64_t steps = 0;
};

double quantile(std::vector<double> of, double q) {
  std::sort(of.begin(), of.end());
  return of[size_t(q * double(of.size() - 1) + 0.5)];
}

double gflopsOf(const Session &session, const Binding &binding, double milliseconds) {
  return session.entry().flops_per_image() * double(binding.domains) * double(binding.rows) / milliseconds *
         1e-6;
}

} // namespace

Result<BenchResult> benchmark(std::shared_ptr<const Program> program, std::shared_ptr<Device> device,
                              const BenchOptions &options) {
  MOERT_ASSIGN(TimedSession timed, TimedSession::open(program, device, options, options.parameters));
  std::vector<double> milliseconds, deviceMilliseconds;
  for (int i = -options.warmup; i < options.steps; ++i) {
    if (i == 0)
      timed.session->resetProfile();
    MOERT_ASSIGN(double took, timed.step());
    MOERT_ASSIGN(std::optional<double> noted, device->notedMs());
    if (i >= 0)
      milliseconds.push_back(took);
    if (i >= 0 && noted)
      deviceMilliseconds.push_back(*noted);
  }
  BenchResult result;
  result.medianMs = quantile(milliseconds, 0.5);
  result.p10Ms = quantile(milliseconds, 0.1);
  result.p90Ms = quantile(milliseconds, 0.9);
  if (!deviceMilliseconds.empty())
    result.deviceMs = quantile(deviceMilliseconds, 0.5);
  result.imagesPerSecond =
      double(options.binding.domains) * double(options.binding.rows) / result.medianMs * 1e3;
  const Session &session = *timed.session;
  result.gflops = gflopsOf(session, options.binding, result.medianMs);
  result.peakBytes = anonymousBytes(); // nothing was freed since the session opened
  MOERT_ASSIGN(result.digest, digestOf(*timed.states, session));
  for (const fb::Port *port : *session.entry().outputs())
    if (port->type() == fb::ElementType::f32 && port->shape()->size() == 0) {
      MOERT_ASSIGN(float value, session.scalarOutput(port->name()->string_view()));
      result.outputs.emplace_back(port->name()->str(), value);
    }
  result.memory = session.memory();
  result.profile = session.profile();
  return result;
}

std::optional<std::pair<size_t, size_t>> medianInterval(size_t n) {
  if (n > 1000) { // 2^-n is no double at some point: the normal approximation, rounded outwards
    const size_t first = size_t(double(n) / 2 - 0.98 * std::sqrt(double(n)) - 1);
    return std::pair(first, n - 1 - first);
  }
  double term = std::exp2(-double(n)), below = 0; // P(Binomial(n, 1/2) = k), and < k
  size_t k = 0;
  for (; below + term <= 0.025; ++k) {
    below += term;
    term *= double(n - k) / double(k + 1);
  }
  if (k == 0)
    return std::nullopt;
  return std::pair(k - 1, n - k);
}

Result<Comparison> compare(std::array<std::shared_ptr<const Program>, 2> programs,
                           std::shared_ptr<Device> device, const BenchOptions &options,
                           std::function<Status(States &)> other) {
  std::vector<TimedSession> timed;
  for (int side : {0, 1}) {
    MOERT_ASSIGN(TimedSession one, TimedSession::open(programs[side], device, options,
                                                      side && other ? other : options.parameters));
    timed.push_back(std::move(one));
  }
  Comparison result;
  for (int i = -options.warmup; i < options.steps; ++i) {
    std::array<double, 2> pair;
    for (int turn : {0, 1}) {
      const int side = i % 2 ? 1 - turn : turn;
      MOERT_ASSIGN(pair[side], timed[side].step());
    }
    if (i >= 0)
      result.milliseconds.push_back(pair);
  }
  std::array<std::vector<double>, 2> each;
  std::vector<double> ratios;
  for (const auto &[first, second] : result.milliseconds) {
    each[0].push_back(first), each[1].push_back(second);
    ratios.push_back(first / second);
  }
  for (int side : {0, 1}) {
    result.medianMs[side] = quantile(each[side], 0.5);
    result.gflops[side] = gflopsOf(*timed[side].session, options.binding, result.medianMs[side]);
  }
  std::sort(ratios.begin(), ratios.end());
  const size_t n = ratios.size();
  result.ratio = (ratios[(n - 1) / 2] + ratios[n / 2]) / 2;
  const auto ends = medianInterval(n);
  result.low = ends ? ratios[ends->first] : 0;
  result.high = ends ? ratios[ends->second] : std::numeric_limits<double>::infinity();
  return result;
}

Result<Binding> readBatch(const std::string &text) {
  constexpr int64_t most = INT32_MAX; // no buffer has more elements
  Binding binding;
  const char *at = text.data(), *end = at + text.size();
  bool large = false;
  auto number = [&](int64_t &value) {
    auto [stop, error] = std::from_chars(at, end, value);
    at = stop;
    large |= error == std::errc::result_out_of_range || (error == std::errc() && value > most);
    return error == std::errc::result_out_of_range || (error == std::errc() && value >= 1);
  };
  bool readable = number(binding.rows);
  if (readable && at != end && *at == 'x') {
    ++at;
    binding.domains = binding.rows;
    readable = number(binding.rows);
  }
  if (!readable || at != end)
    return usageError("expected a batch as DOMAINSxROWS (5x64) or ROWS (64), found '", text, "'");
  if (large)
    return usageError("expected a batch of at most ", most, " domains and rows, found '", text, "'");
  return binding;
}

} // namespace moert
