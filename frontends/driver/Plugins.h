// Loads plugins (Plugin.h) and holds them to what the compiler takes for granted of its own ops: nothing is
// defined twice, every op states every fact, every pass has a place that exists. A plugin that does not is
// refused by a message, before a model is read.
#pragma once
#include "mlir/IR/DialectRegistry.h"
#include "passes/pipeline/Places.h"
#include "runtime/base/Status.h"
#include <string>
#include <vector>

namespace moe {

struct LoadedPlugin {
  std::string name, path;
  std::vector<std::string> dialects;
  std::vector<void (*)(mlir::DialectRegistry &registry)> insert; // those dialects, in this order
  std::vector<PlacedPass> placed;
  std::string page; // of its ops, as mlir-tblgen -gen-op-doc makes it; empty where the plugin has none
};

/// Loads them in this order, before the first context is made. Registers their passes' flags.
moert::Status loadPlugins(const std::vector<std::string> &paths);

/// All that were loaded: a library cannot be given back, since its types live in contexts.
const std::vector<LoadedPlugin> &loadedPlugins();
/// The passes that all of them placed.
std::vector<PlacedPass> placedPasses();

/// For tools whose options another library parses: takes `--load FILE` and `--load=FILE` out of a command
/// line. usage: a last `--load` without its file.
moert::Status takeLoadOptions(std::vector<char *> &arguments, std::vector<std::string> &paths);

} // namespace moe
