// `moec inspect`: what a program holds and takes. Everything is read through the verifying loader, and memory
// comes from the runtime's own packer, so that the figures are those of a run.
#include "dialects/plan/Expr.h"
#include "frontends/driver/Printable.h"
#include "frontends/moec/InspectKernels.h"
#include "frontends/moec/Tool.h"
#include "runtime/program/Capacity.h"
#include "runtime/program/Program.h"
#include "runtime/session/Bench.h"
#include "runtime/session/Session.h"
#include "runtime/train/CompileCommand.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <nlohmann/json.hpp>
#include <set>

namespace fb = moe::fb;
using Json = nlohmann::ordered_json;

namespace moe {
namespace {

std::string count(double value) {
  const char *unit = "";
  for (const char *next : {"k", "M", "G", "T"})
    if (value >= 10000)
      value /= 1000, unit = next;
  std::string out;
  llvm::raw_string_ostream(out) << llvm::format(*unit ? "%.1f %s" : "%.0f %s", value, unit);
  return out;
}

/// "cpu (x86-64-v3)".
std::string targetText(const Json &target) {
  return target["name"].get<std::string>() + " (" + target["level"].get<std::string>() + ")";
}

/// The entries of one target: what they launch and take.
moert::Result<Json> describeTarget(const moert::Program &program, uint32_t number, moert::Binding binding,
                                   int threads) {
  const fb::Program &table = program.table();
  const fb::Target &target = *table.targets()->Get(number);
  Json out = {{"name", target.name()->str()}, {"level", target.level()->str()}};
  Json &entries = out["entries"] = Json::array();
  uint64_t peak = 0;
  for (const fb::Entry *entry : *table.entries()) {
    const fb::Plan &plan = program.plan(target, *entry);
    std::set<uint32_t> kernels;
    double flops = 0;
    for (const auto *list : {plan.prepare(), plan.step()})
      for (const fb::Launch *launch : *list) {
        if (std::optional<uint32_t> kernel = moert::kernelNumber(*launch))
          kernels.insert(*kernel);
        MOERT_ASSIGN(int64_t value, program.evaluate(launch->flops(), binding));
        flops += value;
      }
    // An inference entry knows no domains: its rows are all of the batch.
    moert::Binding bound = binding;
    if (entry->kind() == fb::EntryKind::infer)
      bound = {1, binding.domains * binding.rows};
    MOERT_ASSIGN(moert::MemoryUse use,
                 moert::memoryUse(program, number, entry->name()->str(), bound, threads));
    peak = std::max<uint64_t>(peak, use.total());
    Json item = {{"name", entry->name()->str()},
                 {"kind", fb::EnumNameEntryKind(entry->kind())},
                 {"flops_per_image", entry->flops_per_image()},
                 {"macs_per_image", entry->flops_per_image() / 2},
                 {"executed_flops_per_image", flops / (double(binding.domains) * binding.rows)},
                 {"launches", plan.prepare()->size() + plan.step()->size()},
                 {"prepare_launches", plan.prepare()->size()},
                 {"kernels", kernels.size()},
                 {"memory",
                  {{"state", use.state},
                   {"arena", use.arena},
                   {"live", use.live},
                   {"prepared", use.prepared},
                   {"ports", use.ports},
                   {"scratch", use.scratch},
                   {"total", use.total()}}}};
    if (entry->objective())
      item["objective"] = entry->objective()->str();
    for (auto [key, ports] : {std::pair("inputs", entry->inputs()), std::pair("outputs", entry->outputs())}) {
      Json &list = item[key] = Json::array();
      for (const fb::Port *port : *ports) {
        MOERT_ASSIGN(std::vector<int64_t> shape, program.shape(*port, bound));
        list.push_back({{"name", port->name()->str()},
                        {"type", fb::EnumNameElementType(port->type())},
                        {"shape", shape}});
        if (port->exposed())
          list.back()["exposed"] = true;
      }
    }
    Json &saved = item["saved"] = Json::array();
    for (const fb::Saved *value : *entry->saved()) {
      MOERT_ASSIGN(int64_t bytes, program.evaluate(value->bytes(), bound));
      saved.push_back({{"name", value->name()->str()}, {"bytes", bytes}, {"reason", value->reason()->str()}});
    }
    if (entry->capacities())
      for (const fb::Capacity *each : *entry->capacities()) {
        MOERT_ASSIGN(int64_t rows, program.evaluate(each->rows(), bound));
        const double most = moert::expertCapacity(double(rows), each->experts(), each->top(), each->factor(),
                                                  each->alignment());
        item["capacities"].push_back({{"routing", each->routing()->str()},
                                      {"factor", each->factor()},
                                      {"rows", rows},
                                      {"rows_an_expert", int64_t(most)}});
      }
    entries.push_back(item);
  }
  out["peak_bytes"] = peak;
  MOERT_ASSIGN(Json kernels, describeKernels(program, number, binding));
  if (!kernels.is_null())
    out["kernels"] = kernels;
  return out;
}

/// The parameters that a training step writes, by their number among the states.
std::set<uint32_t> trainedStates(const moert::Program &program) {
  std::set<uint32_t> written;
  const fb::Target &target = *program.table().targets()->Get(0);
  for (const fb::Entry *entry : *program.table().entries()) {
    if (entry->kind() != fb::EntryKind::train)
      continue;
    const fb::Plan &plan = program.plan(target, *entry);
    for (const fb::Launch *launch : *plan.step()) {
      for (uint32_t i = 0; i < launch->buffers()->size(); ++i) {
        const fb::Buffer &buffer = *plan.buffers()->Get(launch->buffers()->Get(i));
        if (buffer.kind() == fb::BufferKind::state && moert::writes(target, *launch, i))
          written.insert(buffer.index());
      }
    }
  }
  return written;
}

moert::Result<Json> describe(const moert::Program &program, moert::Binding binding, int threads) {
  const fb::Program &table = program.table();
  Json out;
  out["program"] = std::string(program.name());
  out["compiler"] = table.compiler() ? table.compiler()->str() : "";
  out["digest"] = program.digest();
  out["file_bytes"] = program.fileBytes();
  Json &config = out["config"] = Json::object();
  for (const fb::KeyValue *choice : *table.config())
    if (!choice->key()->string_view().starts_with("%")) // what the trainer alone is told
      config[choice->key()->str()] = choice->value()->str();
  out["plugins"] = moert::shellWords(std::string(program.config("%load").value_or("")));
  if (table.optimizer())
    out["optimizer"] = table.optimizer()->str();
  Json &scalars = out["scalars"] = Json::object();
  for (const fb::Scalar *scalar : *table.scalars())
    if (scalar->kind() == fb::ScalarKind::recipe)
      scalars[scalar->key()->str()] = scalar->fallback();

  Json parameters = Json::array(), buffers = Json::array();
  uint64_t total = 0;
  std::set<uint32_t> trained = trainedStates(program);
  for (uint32_t number = 0; number < table.states()->size(); ++number) {
    const fb::State *state = table.states()->Get(number);
    const bool buffer = state->kind() == fb::StateKind::buffer;
    if (!buffer && state->kind() != fb::StateKind::parameter)
      continue;
    uint64_t elements = 1;
    Json shape = Json::array();
    for (int64_t extent : *state->shape())
      shape.push_back(extent), elements *= extent;
    if (buffer) {
      buffers.push_back({{"path", state->path()->str()}, {"shape", shape}, {"count", elements}});
      continue;
    }
    parameters.push_back({{"path", state->path()->str()},
                          {"shape", shape},
                          {"count", elements},
                          {"frozen", !trained.count(number)}});
    total += elements;
  }
  out["parameters"] = std::move(parameters);
  out["parameters_total"] = total;
  out["buffers"] = std::move(buffers); // saved with the model, moved by steps and by no gradient
  out["batch"] = std::to_string(binding.domains) + "x" + std::to_string(binding.rows);

  // The first target's as the program's, for scripts; all of them beside.
  Json targets = Json::array();
  for (uint32_t i = 0; i < table.targets()->size(); ++i) {
    MOERT_ASSIGN(Json target, describeTarget(program, i, binding, threads));
    if (i == 0) {
      out["target"] = {{"name", target["name"]}, {"level", target["level"]}};
      out["entries"] = target["entries"];
      out["peak_bytes"] = target["peak_bytes"];
    }
    targets.push_back(target);
  }
  out["targets"] = targets;
  return out;
}

void printTarget(const Json &target, const std::string &optimizer, const std::string &batch, bool named,
                 bool kernels, llvm::raw_ostream &os) {
  auto text = [](const Json &value) { return value.get<std::string>(); };
  auto mib = [](const Json &value) { return llvm::format("%.1f MiB", value.get<double>() / (1 << 20)); };
  os << "\nat a batch of " << batch;
  if (named)
    os << " on " << targetText(target);
  os << ":\n";
  for (const Json &entry : target["entries"]) {
    os << "  " << text(entry["name"]) << " (" << text(entry["kind"])
       << (entry.contains("objective") ? ", " + text(entry["objective"]) : "")
       << (text(entry["kind"]) == "train" && !optimizer.empty() ? ", " + optimizer : "")
       << "): " << count(entry["flops_per_image"].get<double>()) << "FLOP an image ("
       << count(entry["macs_per_image"].get<double>()) << "MAC), " << entry["launches"].get<uint64_t>()
       << " launches of " << entry["kernels"].get<uint64_t>() << " kernels\n";
    const Json &memory = entry["memory"];
    os << "    memory " << mib(memory["total"]) << ": state " << mib(memory["state"]) << ", temporaries "
       << mib(memory["arena"]) << " (at least " << mib(memory["live"]) << "), prepared "
       << mib(memory["prepared"]) << ", inputs and outputs " << mib(memory["ports"]) << ", scratch "
       << mib(memory["scratch"]) << "\n";
    if (entry.contains("capacities"))
      for (const Json &each : entry["capacities"])
        os << "    routing " << text(each["routing"]) << ": at most " << each["rows_an_expert"].get<int64_t>()
           << " of " << each["rows"].get<int64_t>() << " rows an expert (capacity " << each["factor"].dump()
           << ")\n";
    if (entry["saved"].empty())
      continue;
    os << "    kept for the backward pass:\n";
    for (const Json &value : entry["saved"])
      os << "      " << llvm::format("%-42s ", text(value["name"]).c_str())
         << llvm::format("%6.1f MiB", value["bytes"].get<double>() / (1 << 20)) << "  "
         << text(value["reason"]) << "\n";
  }
  if (kernels && target.contains("kernels"))
    printKernels(target["kernels"], os);
}

void print(const Json &info, bool kernels, llvm::raw_ostream &os) {
  auto text = [](const Json &value) { return value.get<std::string>(); };
  std::string levels;
  for (const Json &target : info["targets"])
    levels += (levels.empty() ? "" : ", ") + targetText(target);
  os << text(info["program"]) << ", compiled by moec " << text(info["compiler"]) << " for " << levels << "\n";
  for (auto &[key, value] : info["config"].items())
    os << "  " << key << " = " << text(value) << "\n";
  for (const Json &plugin : info["plugins"])
    os << "  plugin = " << text(plugin) << "\n";
  auto tensor = [&](const Json &of) {
    std::string shape;
    for (const Json &extent : of["shape"])
      shape += (shape.empty() ? "" : " x ") + extent.dump();
    os << llvm::format("  %-48s %-20s %10llu", text(of["path"]).c_str(), shape.c_str(),
                       (unsigned long long)of["count"].get<uint64_t>());
  };
  os << "\nparameters: " << info["parameters_total"].get<uint64_t>() << "\n";
  for (const Json &parameter : info["parameters"]) {
    tensor(parameter);
    os << (parameter["frozen"].get<bool>() ? "  frozen\n" : "\n");
  }
  if (!info["buffers"].empty())
    os << "\nbuffers:\n";
  for (const Json &buffer : info["buffers"]) {
    tensor(buffer);
    os << "\n";
  }
  if (!info["scalars"].empty()) {
    os << "\nrecipe:\n";
    for (auto &[key, value] : info["scalars"].items())
      os << llvm::format("  %-48s %g\n", key.c_str(), value.get<double>());
  }
  for (const Json &target : info["targets"])
    printTarget(target, info.contains("optimizer") ? text(info["optimizer"]) : "", text(info["batch"]),
                info["targets"].size() > 1, kernels, os);
}

} // namespace

moert::Status inspectFile(const std::string &input, const std::string &batch, int threads, bool kernels,
                          bool json) {
  MOERT_ASSIGN(moert::Binding binding, moert::readBatch(batch));
  MOERT_ASSIGN(std::shared_ptr<const moert::Program> program, moert::Program::load(input));
  MOERT_ASSIGN(Json info, describe(*program, binding, threads));
  if (json) {
    llvm::outs() << info.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  } else {
    PrintableStream out(llvm::outs());
    print(info, kernels, out);
  }
  return moert::okStatus();
}

} // namespace moe
