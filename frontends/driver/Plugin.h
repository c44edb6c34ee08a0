// What a plugin is: a shared library that gives the compiler more ops, passes and targets. It is loaded by `--load
// FILE` of moec, moe-opt and moe-lsp, and has one exported function, which MOE_PLUGIN defines:
//
//     static void extend(moe::PluginRegistry &registry) {
//       registry.dialect<extra::ExtraDialect>();
//       registry.pass([] { return std::make_unique<ClipGradients>(); }, "after-elaborate");
//     }
//     MOE_PLUGIN("extra", extend)
//
// A plugin links the compiler's shared library (CMake: moe_add_plugin) and fits the build that it was
// compiled against, and no other. It is loaded once, before any context is made, and stays until the process
// ends: its dialects, passes and strings live as long as its code. `extend` is called once, and once before that in a
// process of its own, to see whether it ends well; it may keep nothing of `registry`.
#pragma once
#include "frontends/driver/PluginAbi.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/IR/OperationSupport.h"
#include "mlir/Pass/Pass.h"
#include "passes/kernels/Backend.h"
#include "passes/pipeline/Places.h"
#include "runtime/base/Version.h"
#include "llvm/Config/llvm-config.h"
#include <cstdint>
#include <string>
#include <vector>

namespace moe {

/// What a plugin adds. What is wrong with it is reported once `extend` has returned.
class PluginRegistry {
public:
  /// A dialect: ops of the language (moe::ExpandInterface), of the graph (all facts of FlowInterfaces.td), or
  /// both.
  template <typename Dialect> void dialect() {
    dialects.push_back({Dialect::getDialectNamespace().str(),
                        [](mlir::DialectRegistry &registry) { registry.insert<Dialect>(); }});
  }

  /// A pass over a module. Where a place is named ("after-elaborate"; Places.h), moec runs it there; moe-opt
  /// runs it by its flag. Passes of one place run in the order of these calls.
  void pass(PassMaker make, llvm::StringRef place = {}) { passes.push_back({std::move(make), place.str()}); }

  /// A back end (passes/kernels/Backend.h), whose targets `--target` takes from then on.
  void backend(const kernels::Backend &backend) { backends.push_back(&backend); }

  struct AddedDialect {
    std::string name;
    void (*insert)(mlir::DialectRegistry &registry);
  };
  struct AddedPass {
    PassMaker make;
    std::string place; // empty: none
  };
  std::vector<AddedDialect> dialects;
  std::vector<AddedPass> passes;
  std::vector<const kernels::Backend *> backends;
};

/// Registers an op with its dialect. One whose name is taken, or is not the dialect's, is left out, and
/// loading the plugin fails with its name.
void addOp(mlir::Dialect &dialect, llvm::StringRef name, void (*insert)(mlir::Dialect &dialect));
/// What a plugin's dialect calls to register its ops, in the place of addOperations, over whose second
/// definition of a name MLIR crashes.
template <typename... Ops> void addOps(mlir::Dialect &dialect) {
  (addOp(dialect, Ops::getOperationName(), mlir::RegisteredOperationName::insert<Ops>), ...);
}

/// The first three members stand at these places in every version, so that a plugin of another one can be
/// refused by its name.
struct Plugin {
  const char *name;
  const char *moe, *llvm; ///< the versions that it was compiled against
  const char *abi;        ///< which build of that version: the classes of two may differ
  void (*extend)(PluginRegistry &registry);
};

} // namespace moe

/// The exported function; once in a plugin, outside of namespaces.
#define MOE_PLUGIN(name, extend)                                                                             \
  extern "C" __attribute__((visibility("default"))) const moe::Plugin *moePlugin() {                         \
    static constexpr moe::Plugin plugin{name, moert::version(), LLVM_VERSION_STRING, moe::pluginAbi,         \
                                        extend};                                                             \
    return &plugin;                                                                                          \
  }
