#include "frontends/check/RunCompiled.h"
#include "passes/emit/EmitProgram.h"
#include "passes/kernels/Backend.h"
#include "passes/pipeline/Pipeline.h"
#include "runtime/session/Session.h"
#include <cstdlib>

using namespace mlir;

namespace moe {
namespace {

/// An array's numbers in a tensor of the runtime.
void fill(const moert::Tensor &to, const flow::Array &from) {
  for (size_t i = 0; i < from.data.size(); ++i) {
    switch (to.type) {
    case fb::ElementType::f32:
      to.as<float>()[i] = float(from.data[i]);
      break;
    case fb::ElementType::i32:
      to.as<int32_t>()[i] = int32_t(from.data[i]);
      break;
    default:
      to.as<uint8_t>()[i] = uint8_t(from.data[i]);
    }
  }
}

flow::Array read(const moert::Tensor &from) {
  flow::Array to{ArrayRef<int64_t>(from.shape)};
  for (size_t i = 0; i < to.data.size(); ++i)
    to.data[i] = from.type == fb::ElementType::f32   ? double(from.as<float>()[i])
                 : from.type == fb::ElementType::i32 ? double(from.as<int32_t>()[i])
                                                     : double(from.as<uint8_t>()[i]);
  return to;
}

} // namespace

moert::Result<std::shared_ptr<moert::Device>> openDeviceOf(const RunOptions &options) {
  std::string error;
  std::unique_ptr<kernels::Target> target = kernels::parseTarget(options.target, error);
  if (!target)
    return moert::usageError(error);
  setenv("MOE_EMULATOR", "checked", /*overwrite=*/0);
  // The device that runs a kind of code has the kind's name. A GPU runs kernels on no threads of the host.
  const int threads = target->kind() == plan::TargetKind::cuda ? 0 : options.threads;
  return moert::openDevice({.name = stringifyTargetKind(target->kind()).str(), .threads = threads});
}

moert::Result<std::vector<uint8_t>> compileFile(ModuleOp module, ArrayRef<std::string> targets) {
  PipelineOptions pipeline;
  pipeline.targets = targets.vec();
  for (Phase phase :
       {Phase::differentiate, Phase::simplify, Phase::rematerialize, Phase::fuse, Phase::plan, Phase::emit}) {
    PassManager passes(module.getContext());
    addPhase(passes, phase, pipeline);
    if (failed(passes.run(module)))
      return moert::internalError("phase '", phaseName(phase).str(), "' failed");
  }
  auto bytes = emitProgram(*module.getOps<plan::ProgramOp>().begin());
  if (failed(bytes))
    return moert::internalError("the program was not emitted");
  return std::move(*bytes);
}

moert::Result<std::shared_ptr<const moert::Program>> compileModule(ModuleOp module,
                                                                   const RunOptions &options) {
  MOERT_ASSIGN(std::vector<uint8_t> bytes, compileFile(module, options.target));
  return moert::Program::verify(bytes, "test");
}

moert::Result<flow::Evaluation> runEntry(const std::shared_ptr<const moert::Program> &program,
                                         const std::string &entry, const flow::Bindings &bindings,
                                         const RunOptions &options) {
  MOERT_ASSIGN(auto device, openDeviceOf(options));
  MOERT_ASSIGN(auto states, moert::States::create(program, device, bindings.setting.seed));
  MOERT_ASSIGN(moert::HostStates values, states->host());
  for (size_t i = 0; i < states->size(); ++i)
    if (auto given = bindings.states.find(std::string(states->path(i))); given != bindings.states.end())
      fill(values.tensor(i), given->second);
  MOERT_TRY(values.commit());
  moert::Session::Options session_options;
  session_options.seed = bindings.setting.seed;
  session_options.poison = options.poison;
  const flow::Symbols &symbols = bindings.setting.symbols;
  MOERT_ASSIGN(auto session,
               moert::Session::open(program, states, device, entry, {symbols.D, symbols.N}, session_options));
  for (const fb::Port *port : *session->entry().inputs()) {
    MOERT_ASSIGN(auto tensor, session->input(port->name()->string_view()));
    auto given = bindings.inputs.find(port->name()->str());
    if (given == bindings.inputs.end())
      return moert::internalError("entry '", entry, "' wants an input '", port->name()->str(),
                                  "' that the evaluator does not");
    fill(tensor, given->second);
  }
  for (auto &[key, value] : bindings.scalars)
    if (program->scalar(key))
      MOERT_TRY(session->setScalar(key, value));
  MOERT_TRY(session->run({bindings.setting.step, bindings.progress}));
  flow::Evaluation result;
  for (const fb::Port *port : *session->entry().outputs()) {
    MOERT_ASSIGN(auto tensor, session->output(port->name()->string_view()));
    result.outputs[port->name()->str()] = read(tensor);
  }
  MOERT_ASSIGN(values, states->host());
  for (size_t i = 0; i < states->size(); ++i)
    result.assigned[std::string(states->path(i))] = read(values.tensor(i));
  return result;
}

std::vector<std::string> hostTargets() {
  std::vector<std::string> targets;
  for (const kernels::Backend *backend : kernels::backends())
    llvm::append_range(targets, backend->hostTargets());
  return targets;
}

} // namespace moe
