// moe-opt: reads a module of any of the project's dialects, runs passes on it, prints it. For tests and for
// looking.
#include "frontends/driver/Dialects.h"
#include "frontends/driver/LoadOptions.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"
#include <algorithm>
#include <string>
#include <vector>

int main(int argc, char **argv) {
  // Values are printed with the names that their author gave them, unless the command says otherwise.
  std::string names = "--mlir-use-nameloc-as-prefix";
  std::vector<char *> arguments(argv, argv + argc);
  if (int wrong = moe::loadFromCommandLine("moe-opt", arguments))
    return wrong;
  if (std::none_of(arguments.begin(), arguments.end(), [](llvm::StringRef argument) {
        return argument.ltrim('-').starts_with("mlir-use-nameloc-as-prefix");
      }))
    arguments.insert(arguments.begin() + 1, names.data());
  argc = int(arguments.size());
  arguments.push_back(nullptr);
  argv = arguments.data();
  mlir::DialectRegistry registry;
  moe::registerDialects(registry);
  mlir::registerTransformsPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "moe-opt: run passes on a module\n", registry));
}
