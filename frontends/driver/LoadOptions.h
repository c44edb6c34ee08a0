// `--load FILE` of moe-opt and moe-lsp, whose command lines MLIR reads: plugins are loaded before it does,
// since the flags of their passes are among its options.
#pragma once
#include "frontends/driver/Plugins.h"
#include "runtime/base/Failure.h"
#include "llvm/Support/CommandLine.h"

namespace moe {

/// For `--help` alone: what it names has been taken out by then.
inline llvm::cl::list<std::string> loadOption("load",
                                              llvm::cl::desc("load a plugin: more ops, passes and targets"),
                                              llvm::cl::value_desc("file"));

/// Takes the option out and loads the plugins. 0, or the exit status of a failure, which it prints.
inline int loadFromCommandLine(const std::string &tool, std::vector<char *> &arguments) {
  std::vector<std::string> paths;
  moert::Status status = takeLoadOptions(arguments, paths);
  if (status.ok())
    status = loadPlugins(paths);
  if (!status.ok())
    moert::printFailure(tool, status);
  return status.exitCode();
}

} // namespace moe
