// moe-lsp: the language server. Diagnostics, definitions, hovers and completion come from the dialects
// themselves.
#include "frontends/driver/Dialects.h"
#include "frontends/driver/LoadOptions.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include <vector>

int main(int argc, char **argv) {
  std::vector<char *> arguments(argv, argv + argc);
  if (int wrong = moe::loadFromCommandLine("moe-lsp", arguments))
    return wrong;
  argc = int(arguments.size());
  arguments.push_back(nullptr);
  argv = arguments.data();
  mlir::DialectRegistry registry;
  moe::registerDialects(registry);
  return mlir::failed(mlir::MlirLspServerMain(argc, argv, registry));
}
