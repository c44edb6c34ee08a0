// `moec compile`: reads and links the texts, runs the pipeline, and writes the program, which the runtime's
// own loader has accepted by then; or prints the IR of the phase that was asked for.
#include "frontends/driver/Context.h"
#include "frontends/driver/Diagnostics.h"
#include "frontends/driver/Files.h"
#include "frontends/driver/Targets.h"
#include "frontends/moec/Tool.h"
#include "passes/emit/EmitProgram.h"
#include "passes/language/LinkFiles.h"
#include "runtime/program/Program.h"
#include "runtime/program/Verify.h"
#include "runtime/train/CompileCommand.h"
#include "llvm/Support/SourceMgr.h"

using namespace mlir;

namespace moe {

// Reads, links and lowers the texts up to options.to.
static moert::Result<OwningOpRef<ModuleOp>> lowerFiles(MLIRContext *context, llvm::SourceMgr &sources,
                                                       const ToolDiagnostics &diagnostics,
                                                       PipelineOptions options,
                                                       const std::vector<std::string> &inputs) {
  std::vector<std::unique_ptr<llvm::MemoryBuffer>> files;
  for (const std::string &path : inputs) {
    MOERT_ASSIGN(std::unique_ptr<llvm::MemoryBuffer> file, readText(path));
    options.digests[file->getBufferIdentifier().str()] = moert::textDigest(file->getBuffer());
    files.push_back(std::move(file));
  }
  OwningOpRef<ModuleOp> module =
      parseFiles(std::move(files), sources, context, elaborateOptions(options));
  if (!module)
    return moert::Status(moert::Code::invalid_input, "");
  Phase reached = Phase::parse;
  std::string plugin;
  if (failed(runPipeline(*module, options, &reached, &plugin))) {
    if (!plugin.empty())
      return moert::invalidInput("expected the plugin's pass --", plugin,
                                 " to succeed, found that it failed");
    if (reached <= Phase::simplify)
      return moert::Status(diagnostics.wrongOption() ? moert::Code::usage : moert::Code::invalid_input, "");
    return moert::internalError(
        "phase '", phaseName(reached).str(),
        "' failed, which is the compiler's fault; --reproducer=FILE keeps what it was given");
  }
  return module;
}

// A kernel keeps some rows of what it works on in a thread's scratch memory. The sizes of a text may make
// them longer than any program may ask for: that is told at the line of the first launch that does.
static LogicalResult checkScratch(plan::ProgramOp program) {
  WalkResult result = program.walk([&](plan::LaunchOp launch) {
    plan::KernelOp kernel = launch.kernelOp();
    if (!kernel || uint32_t(kernel.getScratch()) <= moert::kMaxScratch)
      return WalkResult::advance();
    emitError(FileLineColLoc::get(launch.getContext(), launch.getFile(), launch.getLine(), 1))
        << "expected work whose rows take at most " << moert::kMaxScratch
        << " bytes of memory a thread, found " << kernel.getScratch()
        << (kernel.getScratch() == INT32_MAX ? " or more" : "")
        << (launch.getPath().empty() ? "" : (" for '@" + launch.getPath() + "'").str())
        << "; make the last axis of its values shorter, or its channels fewer";
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

moert::Status compileFiles(const PipelineOptions &options, const std::vector<std::string> &inputs,
                           const std::string &output) {
  MOERT_TRY(checkTargets(options.targets, options.to == Phase::emit));
  std::unique_ptr<MLIRContext> context = makeContext();
  llvm::SourceMgr sources;
  ToolDiagnostics diagnostics(sources, context.get());
  MOERT_ASSIGN(OwningOpRef<ModuleOp> module,
               lowerFiles(context.get(), sources, diagnostics, options, inputs));
  if (options.to != Phase::emit) {
    std::string text;
    llvm::raw_string_ostream os(text);
    module->print(os, OpPrintingFlags().printNameLocAsPrefix());
    os << "\n";
    return writeWhole(output, ArrayRef<char>(text.data(), text.size()), /*text=*/true);
  }
  plan::ProgramOp program = *module->getOps<plan::ProgramOp>().begin();
  if (failed(checkScratch(program)))
    return {moert::Code::invalid_input, ""};
  FailureOr<std::vector<uint8_t>> bytes = emitProgram(program);
  if (failed(bytes))
    return {moert::Code::internal, ""};
  if (auto verified = moert::Program::verify(*bytes, output); !verified)
    return moert::internalError("the compiled program does not verify, which is the compiler's fault: ",
                                verified.status().message());
  return writeWhole(output, ArrayRef<char>(reinterpret_cast<const char *>(bytes->data()), bytes->size()),
                    /*text=*/false);
}

moert::Status evaluateFiles(const PipelineOptions &options, const std::vector<std::string> &inputs,
                            const EvaluateOptions &evaluation) {
  std::unique_ptr<MLIRContext> context = makeContext();
  llvm::SourceMgr sources;
  ToolDiagnostics diagnostics(sources, context.get());
  MOERT_ASSIGN(OwningOpRef<ModuleOp> module,
               lowerFiles(context.get(), sources, diagnostics, options, inputs));
  return evaluateModule(*module, evaluation, inputs);
}

} // namespace moe
