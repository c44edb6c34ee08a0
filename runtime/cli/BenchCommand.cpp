// Prints a benchmark for people, or as one JSON object with `--json`.
#include "runtime/cli/BenchCommand.h"
#include "runtime/base/Printable.h"
#include "runtime/session/Bench.h"
#include "runtime/train/Checkpoint.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace moert {

static Status compareCommand(const BenchCommandOptions &options, std::shared_ptr<const Program> program,
                             std::shared_ptr<Device> device, const BenchOptions &bench,
                             const std::string &batch) {
  std::optional<CheckpointFiles> parameters;
  std::function<Status(States &)> load;
  if (!options.againstParameters.empty()) {
    MOERT_ASSIGN(parameters, CheckpointFiles::open(options.againstParameters));
    load = [&](States &states) { return parameters->loadParameters(states); };
  }
  MOERT_ASSIGN(std::shared_ptr<const Program> other, Program::load(options.against));
  MOERT_ASSIGN(Comparison result, compare({program, other}, device, bench, load));
  const std::array<std::string, 2> files = {options.program, options.against};
  if (options.json) {
    nlohmann::ordered_json out = {{"entry", options.entry},          {"batch", batch},
                                  {"device", device->name()},        {"threads", device->threads()},
                                  {"pairs_ms", result.milliseconds}, {"median_ms", result.medianMs},
                                  {"gflops_per_s", result.gflops},   {"ratio", result.ratio}};
    if (std::isfinite(result.high))
      out["ratio_95"] = {result.low, result.high};
    printf("%s\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return {};
  }
  for (int side : {0, 1}) {
    print(stdout, concat(files[side], "\n"));
    printf("  median %.2f ms, %.1f GFLOP/s\n", result.medianMs[side], result.gflops[side]);
  }
  printf("the first over the second, median of %zu pairs: %.4f", result.milliseconds.size(), result.ratio);
  if (std::isfinite(result.high))
    printf(", 95 %% interval %.4f to %.4f\n", result.low, result.high);
  else
    printf("; an interval takes six pairs (--steps)\n");
  return {};
}

Status benchCommand(const BenchCommandOptions &options) {
  BenchOptions bench;
  MOERT_ASSIGN(bench.binding, readBatch(options.batch));
  bench.entry = options.entry;
  bench.steps = options.steps;
  bench.session.seed = options.seed;
  bench.session.profile = options.profile;
  bench.session.poison = options.poison;
  bench.session.trapNan = options.trapNan;
  std::optional<CheckpointFiles> parameters;
  if (!options.parameters.empty()) {
    MOERT_ASSIGN(parameters, CheckpointFiles::open(options.parameters));
    bench.parameters = [&](States &states) { return parameters->loadParameters(states); };
  }
  MOERT_ASSIGN(std::shared_ptr<const Program> program, Program::load(options.program));
  MOERT_ASSIGN(std::shared_ptr<Device> device, openDevice(options.device));
  const std::string batch = concat(bench.binding.domains, "x", bench.binding.rows);
  if (!options.against.empty())
    return compareCommand(options, program, device, bench, batch);
  MOERT_ASSIGN(BenchResult result, benchmark(program, device, bench));
  if (options.json) {
    nlohmann::ordered_json out = {{"entry", options.entry},
                                  {"batch", batch},
                                  {"device", device->name()},
                                  {"threads", device->threads()},
                                  {"steps", options.steps},
                                  {"median_ms", result.medianMs},
                                  {"p10_ms", result.p10Ms},
                                  {"p90_ms", result.p90Ms},
                                  {"images_per_s", result.imagesPerSecond},
                                  {"gflops_per_s", result.gflops},
                                  {"peak_bytes", result.peakBytes},
                                  {"state_bytes", result.memory.state},
                                  {"arena_bytes", result.memory.arena},
                                  {"live_bytes", result.memory.live},
                                  {"digest", result.digest},
                                  {"outputs", nlohmann::ordered_json::object()}};
    if (result.deviceMs)
      out["device_ms"] = *result.deviceMs;
    for (const auto &[name, value] : result.outputs)
      out["outputs"][name] = value;
    if (options.profile) {
      nlohmann::ordered_json launches = nlohmann::ordered_json::array();
      for (const LaunchProfile &launch : result.profile.launches) {
        if (launch.runs == 0)
          continue;
        auto milliseconds = [&](double seconds) { return seconds / double(launch.runs) * 1e3; };
        nlohmann::ordered_json row = {{"kernel", launch.kernel}, {"kind", launch.kind},
                                      {"op", launch.op},         {"path", launch.path},
                                      {"part", launch.part},     {"ms", milliseconds(launch.seconds)},
                                      {"flops", launch.flops},   {"bytes", launch.bytes}};
        if (launch.idle)
          row["wait_ms"] = milliseconds(*launch.idle);
        launches.push_back(std::move(row));
      }
      out["launches"] = std::move(launches);
    }
    printf("%s\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return {};
  }
  print(stdout, concat(program->name(), ", entry ", options.entry, ", ", batch, " images",
                       device->threadsText(), "\n"));
  printf("median %.2f ms (p10 %.2f, p90 %.2f), %.0f images/s, %.1f GFLOP/s\n", result.medianMs, result.p10Ms,
         result.p90Ms, result.imagesPerSecond, result.gflops);
  if (result.deviceMs)
    printf("median %.2f ms by the device's clock\n", *result.deviceMs);
  auto mib = [](uint64_t bytes) { return double(bytes) / (1 << 20); };
  printf("memory %.1f MiB: state %.1f, temporaries %.1f (%.1f alive at once)\n", mib(result.peakBytes),
         mib(result.memory.state), mib(result.memory.arena), mib(result.memory.live));
  if (options.profile)
    print(stdout, "\n" + describeProfile(result.profile, options.table));
  return {};
}

} // namespace moert
