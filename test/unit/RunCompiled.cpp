// The whole compile path in memory: phases, program bytes, the verifying loader, a session. Nothing is
// skipped that moec and moert do, but for files.
#include "test/unit/RunCompiled.h"
#include "passes/emit/EmitProgram.h"
#include "passes/kernels/Backend.h"
#include "passes/pipeline/Pipeline.h"
#include "runtime/session/Session.h"
#include <gtest/gtest.h>

using namespace mlir;

namespace moe::test {
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

bool compile(ModuleOp module, const RunOptions &options) {
  PipelineOptions pipeline;
  pipeline.targets = {options.target};
  for (Phase phase :
       {Phase::differentiate, Phase::simplify, Phase::rematerialize, Phase::fuse, Phase::plan, Phase::emit}) {
    PassManager passes(module.getContext());
    addPhase(passes, phase, pipeline);
    if (failed(passes.run(module))) {
      ADD_FAILURE() << "phase " << phaseName(phase).str() << " failed";
      return false;
    }
  }
  return true;
}

/// The value of a result, or a test failure.
#define TEST_ASSIGN(declaration, expression)                                                                 \
  auto MOERT_JOIN(result_, __LINE__) = (expression);                                                         \
  if (!MOERT_JOIN(result_, __LINE__).ok()) {                                                                 \
    ADD_FAILURE() << MOERT_JOIN(result_, __LINE__).status().message();                                       \
    return std::nullopt;                                                                                     \
  }                                                                                                          \
  declaration = *std::move(MOERT_JOIN(result_, __LINE__))

} // namespace

std::shared_ptr<const moert::Program> compileProgram(ModuleOp module, const RunOptions &options) {
  if (!compile(module, options))
    return nullptr;
  auto bytes = emitProgram(*module.getOps<plan::ProgramOp>().begin());
  if (failed(bytes)) {
    ADD_FAILURE() << "the program was not emitted";
    return nullptr;
  }
  auto program = moert::Program::verify(*bytes, "test");
  if (!program.ok()) {
    ADD_FAILURE() << program.status().message();
    return nullptr;
  }
  return *std::move(program);
}

std::optional<flow::Evaluation> runCompiled(ModuleOp module, const std::string &entry,
                                            const flow::Bindings &bindings, const RunOptions &options) {
  auto program = compileProgram(module, options);
  return program ? runProgram(program, entry, bindings, options) : std::nullopt;
}

std::optional<flow::Evaluation> runProgram(const std::shared_ptr<const moert::Program> &program,
                                           const std::string &entry, const flow::Bindings &bindings,
                                           const RunOptions &options) {
  TEST_ASSIGN(auto states, moert::States::create(program, bindings.setting.seed));
  for (size_t i = 0; i < states->size(); ++i)
    if (auto given = bindings.states.find(std::string(states->path(i))); given != bindings.states.end())
      fill(states->tensor(i), given->second);
  states->touch();
  TEST_ASSIGN(auto device, moert::Device::create(options.threads));
  moert::Session::Options session_options;
  session_options.seed = bindings.setting.seed;
  session_options.poison = options.poison;
  const flow::Symbols &symbols = bindings.setting.symbols;
  TEST_ASSIGN(auto session,
              moert::Session::open(program, states, device, entry, {symbols.D, symbols.N}, session_options));
  for (const fb::Port *port : *session->entry().inputs()) {
    TEST_ASSIGN(auto tensor, session->input(port->name()->string_view()));
    auto given = bindings.inputs.find(port->name()->str());
    if (given == bindings.inputs.end()) {
      ADD_FAILURE() << "entry '" << entry << "' wants an input '" << port->name()->str()
                    << "' that the evaluator does not";
      return std::nullopt;
    }
    fill(tensor, given->second);
  }
  for (auto &[key, value] : bindings.scalars)
    if (program->scalar(key))
      EXPECT_TRUE(session->setScalar(key, value).ok());
  if (auto status = session->run({bindings.setting.step, bindings.progress}); !status.ok()) {
    ADD_FAILURE() << status.message();
    return std::nullopt;
  }
  flow::Evaluation result;
  for (const fb::Port *port : *session->entry().outputs()) {
    TEST_ASSIGN(auto tensor, session->output(port->name()->string_view()));
    result.outputs[port->name()->str()] = read(tensor);
  }
  for (size_t i = 0; i < states->size(); ++i)
    result.assigned[std::string(states->path(i))] = read(states->tensor(i));
  return result;
}

std::vector<std::string> testTargets() {
  std::vector<std::string> targets;
  for (const kernels::Backend *backend : kernels::backends())
    llvm::append_range(targets, backend->hostTargets());
  return targets;
}

} // namespace moe::test
