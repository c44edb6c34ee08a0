// Compiles a program of flow by the pipeline's own phases and runs an entry of it by the runtime's session,
// in process. Nothing is skipped that moec and moert do, but for files.
#pragma once
#include "dialects/flow/Evaluator.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/base/Result.h"
#include "runtime/device/Device.h"
#include "runtime/program/Program.h"
#include <memory>
#include <string>
#include <vector>

namespace moe {

struct RunOptions {
  std::string target =
      "cpu"; // what --target takes; it runs on the device of its kind, an emulator in checked mode
  int threads = 2;
  bool poison = true;
};

/// The device of the kind of a target.
moert::Result<std::shared_ptr<moert::Device>> openDeviceOf(const RunOptions &options);

/// The module as a verified program. The module is consumed.
moert::Result<std::shared_ptr<const moert::Program>> compileModule(mlir::ModuleOp module,
                                                                   const RunOptions &options = {});

/// What an entry of it gives for these bindings: outputs by name, and every state's value after the run by
/// path.
moert::Result<flow::Evaluation> runEntry(const std::shared_ptr<const moert::Program> &program,
                                         const std::string &entry, const flow::Bindings &bindings,
                                         const RunOptions &options = {});

/// The targets that this machine can run: "cpu", the level below the host's where there is one, and an emulated GPU
/// where its emulator is installed.
std::vector<std::string> hostTargets();

} // namespace moe
