// gpu-cases FOLDER [--device D] [--op NAME]: runs the cases that `moec check-ops --write` has left in a folder
// (frontends/check/WriteCases.h) on a device, and holds each element of each result to the bound that its case
// states. It links the runtime alone, so that it runs where a GPU is and no compiler. Each op is run by a process
// of its own, since a fault of a kernel ends all further work with a GPU in its process, and the other ops are to
// be tried all the same. Prints a line an op: cases, the largest error as a share of its bound, milliseconds.
// Exits with 1 where an op differs or fails, and with 2 for wrong usage.
#include "runtime/base/Failure.h"
#include "runtime/base/Printable.h"
#include "runtime/base/Within.h"
#include "runtime/cli/Usage.h"
#include "runtime/session/Session.h"
#include "runtime/train/Safetensors.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <sys/wait.h>
#include <unistd.h>

namespace moert {
namespace {

/// What the cases of an op came to.
struct Outcome {
  size_t cases = 0, elements = 0;
  double worst = 0; // error, as a share of the bound
};

/// A tensor of the case, with at least `elements` elements of that type.
Result<Tensor> part(const Safetensors &given, const std::string &name, fb::ElementType type) {
  const NamedTensor *found = given.find(name);
  if (!found)
    return invalidInput("expected the case to have '", name, "', found none");
  if (found->type != type)
    return invalidInput("expected '", name, "' of ", fb::EnumNameElementType(type), ", found ",
                        fb::EnumNameElementType(found->type));
  return Tensor{type, found->shape, {const_cast<std::byte *>(found->bytes.data()), found->bytes.size()}};
}

Result<int64_t> integer(const Safetensors &given, const std::string &name, size_t index = 0) {
  MOERT_ASSIGN(Tensor tensor, part(given, name, fb::ElementType::i64));
  if (size_t(tensor.elements()) <= index)
    return invalidInput("expected '", name, "' with ", index + 1, " numbers, found ", tensor.elements());
  return tensor.as<int64_t>()[index];
}

Status copyInto(const Tensor &to, const NamedTensor &from) {
  if (from.type != to.type || from.bytes.size() != to.bytes.size())
    return invalidInput("expected ", to.bytes.size(), " bytes of ", fb::EnumNameElementType(to.type),
                        " for '", from.name, "', found ", from.bytes.size(), " of ",
                        fb::EnumNameElementType(from.type));
  std::copy(from.bytes.begin(), from.bytes.end(), to.bytes.begin());
  return okStatus();
}

double element(const Tensor &tensor, size_t i) {
  return tensor.type == fb::ElementType::f32   ? double(tensor.as<float>()[i])
         : tensor.type == fb::ElementType::i32 ? double(tensor.as<int32_t>()[i])
                                               : double(tensor.as<uint8_t>()[i]);
}

Status compare(const Session &session, const Safetensors &given, Outcome &outcome) {
  for (const fb::Port *port : *session.entry().outputs()) {
    const std::string name = port->name()->str();
    MOERT_ASSIGN(Tensor found, session.output(name));
    MOERT_ASSIGN(Tensor value, part(given, "value." + name, fb::ElementType::f64));
    MOERT_ASSIGN(Tensor bound, part(given, "bound." + name, fb::ElementType::f64));
    if (value.elements() != found.elements() || bound.elements() != found.elements())
      return invalidInput("expected ", value.elements(), " elements of '", name, "', found ",
                          found.elements());
    for (size_t i = 0; i < size_t(found.elements()); ++i) {
      const double is = element(found, i), wanted = value.as<double>()[i], most = bound.as<double>()[i];
      if (!within(is, wanted, most)) {
        char text[160];
        snprintf(text, sizeof text, "[%zu] to be %.9g within %.3g, found %.9g", i, wanted, most, is);
        return invalidInput("expected ", name, text);
      }
      if (most > 0 && std::isfinite(wanted))
        outcome.worst = std::max(outcome.worst, std::fabs(is - wanted) / most);
      ++outcome.elements;
    }
  }
  return okStatus();
}

Status runCase(const std::string &base, const std::shared_ptr<Device> &device, Outcome &outcome) {
  MOERT_ASSIGN(auto program, Program::load(base + ".moe"));
  MOERT_ASSIGN(Safetensors given, Safetensors::read(base + ".safetensors"));
  MOERT_ASSIGN(int64_t seed, integer(given, "seed"));
  MOERT_ASSIGN(int64_t step, integer(given, "step"));
  MOERT_ASSIGN(int64_t domains, integer(given, "batch", 0));
  MOERT_ASSIGN(int64_t rows, integer(given, "batch", 1));
  MOERT_ASSIGN(Tensor progress, part(given, "progress", fb::ElementType::f64));
  MOERT_ASSIGN(auto states, States::create(program, device, uint64_t(seed)));
  MOERT_ASSIGN(HostStates values, states->host());
  for (size_t i = 0; i < states->size(); ++i)
    if (const NamedTensor *state = given.find(concat("state.", states->path(i))))
      MOERT_TRY(copyInto(values.tensor(i), *state));
  MOERT_TRY(values.commit());
  Session::Options options;
  options.seed = uint64_t(seed);
  options.poison = true;
  MOERT_ASSIGN(auto session, Session::open(program, states, device, "main", {domains, rows}, options));
  for (const fb::Port *port : *session->entry().inputs()) {
    const std::string name = "input." + port->name()->str();
    const NamedTensor *input = given.find(name);
    if (!input)
      return invalidInput("expected the case to have '", name, "', found none");
    MOERT_ASSIGN(Tensor to, session->input(port->name()->string_view()));
    MOERT_TRY(copyInto(to, *input));
  }
  for (const NamedTensor &tensor : given.tensors())
    if (tensor.name.starts_with("scalar.")) {
      MOERT_ASSIGN(Tensor scalar, part(given, tensor.name, fb::ElementType::f64));
      MOERT_TRY(session->setScalar(tensor.name.substr(strlen("scalar.")), scalar.as<double>()[0]));
    }
  MOERT_TRY(session->run({uint64_t(step), progress.as<double>()[0]}));
  ++outcome.cases;
  return compare(*session, given, outcome);
}

/// In a process of its own: prints the op's line, and gives its exit status.
int runOp(const std::string &op, const std::vector<std::string> &cases, const DeviceOptions &options) {
  const auto start = std::chrono::steady_clock::now();
  Outcome outcome;
  Status status;
  Result<std::shared_ptr<Device>> device = openDevice(options);
  if (!device.ok())
    status = std::move(device).status();
  for (size_t i = 0; status.ok() && i < cases.size(); ++i)
    if (status = runCase(cases[i], *device, outcome); !status.ok())
      status = std::move(status).in(std::filesystem::path(cases[i]).filename().string());
  const double took =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  char line[160];
  snprintf(line, sizeof line, "%-36s %5zu %9zu %8.2f %9.1f  %s\n", op.c_str(), outcome.cases,
           outcome.elements, outcome.worst, took, status.ok() ? "ok" : "FAILED");
  print(stdout, line);
  fflush(stdout);
  if (!status.ok())
    printFailure("gpu-cases", std::move(status).in(op));
  return status.ok() ? 0 : 1;
}

/// The cases in the folder, without their extensions, by their op.
std::map<std::string, std::vector<std::string>> casesIn(const std::string &folder) {
  std::map<std::string, std::vector<std::string>> ops;
  std::error_code error;
  for (auto at = std::filesystem::directory_iterator(folder, error);
       !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    const std::filesystem::path file = at->path();
    if (file.extension() != ".moe")
      continue;
    const std::string name = file.stem().string();
    ops[name.substr(0, name.rfind('-'))].push_back((file.parent_path() / name).string());
  }
  for (auto &[op, cases] : ops)
    std::sort(cases.begin(), cases.end());
  return ops;
}

int runAll(const std::string &folder, const std::string &only, const DeviceOptions &device) {
  const auto ops = casesIn(folder);
  std::vector<std::string> wrong;
  size_t tried = 0;
  print(stdout, concat("ops on ", device.name, ", from ", folder, "\n"));
  printf("%-36s %5s %9s %8s %9s\n", "op", "cases", "elements", "of bound", "ms");
  for (const auto &[op, cases] : ops) {
    if (!only.empty() && op != only)
      continue;
    ++tried;
    fflush(nullptr);
    const pid_t child = fork();
    if (child < 0) {
      printFailure("gpu-cases", invalidInput("expected room for another process, found none"));
      return 1;
    }
    if (child == 0)
      _exit(runOp(op, cases, device));
    int ended = 0;
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR)
      ;
    if (WIFSIGNALED(ended))
      printFailure("gpu-cases", invalidInput(op, ": ended by signal ", WTERMSIG(ended), " (",
                                             strsignal(WTERMSIG(ended)), ")"));
    if (ended != 0)
      wrong.push_back(op);
  }
  if (!tried) {
    printFailure("gpu-cases", invalidInput("expected cases", only.empty() ? "" : " of '" + only + "'", " in ",
                                           folder, ", found none"));
    return 1;
  }
  std::string names;
  for (const std::string &op : wrong)
    names += (names.empty() ? "" : ", ") + op;
  print(stdout, wrong.empty() ? concat("all ", tried, " ops agree\n")
                              : concat(wrong.size(), " of ", tried, " ops FAILED: ", names, "\n"));
  return wrong.empty() ? 0 : 1;
}

} // namespace
} // namespace moert

int main(int argc, char **argv) {
  CLI::App app("Runs the cases of ops that `moec check-ops --write` has left in a folder.", "gpu-cases");
  std::string folder, op;
  moert::DeviceOptions device;
  app.add_option("folder", folder, "the folder of the cases")->required();
  app.add_option("--device", device.name, "cpu, cuda or emulator");
  app.add_option("--threads", device.threads, "as moert's");
  app.add_option("--op", op, "only the cases of this op");
  try {
    moert::refuseEmptyValues(argc, argv);
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  setenv("MOE_EMULATOR", "checked", /*overwrite=*/0);
  // A device that is not there is said once, and not once for each op.
  if (const pid_t child = fork(); child == 0) {
    moert::Result<std::shared_ptr<moert::Device>> opened = moert::openDevice(device);
    if (!opened.ok())
      moert::printFailure("gpu-cases", opened.status());
    _exit(opened.ok() ? 0 : 1);
  } else if (int ended = 0; child > 0 && waitpid(child, &ended, 0) == child && ended != 0) {
    return 1;
  }
  return moert::runAll(folder, op, device);
}
