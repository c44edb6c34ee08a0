// moe-opt: reads a module of any of the project's dialects, runs passes on it, prints it. For tests and for
// looking.
#include "dialects/flow/Flow.h"
#include "dialects/moe/MoeDialect.h"
#include "frontends/driver/Dialects.h"
#include "frontends/driver/LoadOptions.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"
#include <algorithm>
#include <string>
#include <vector>

using namespace mlir;

// MLIR's parser reports an op of a dialect that it does not know. Such an op stands inside of one of the project's
// own, so that its dialect is loaded before the report, when the tool's handler of diagnostics is registered
// already: a handler that is registered then is asked first, and may add to the report.
template <typename Dialect> static void addHint(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, Dialect *) {
    context->getDiagEngine().registerHandler([](Diagnostic &report) -> LogicalResult {
      const std::string message = report.str();
      const bool isUnknown =
          StringRef(message).starts_with("Dialect `") || StringRef(message).contains("unregistered dialect");
      const std::string hint = "--load adds a plugin's dialect";
      // Each of the project's dialects that is loaded has registered this handler.
      const bool isHinted =
          llvm::any_of(report.getNotes(), [&](Diagnostic &note) { return note.str() == hint; });
      if (isUnknown && !isHinted)
        report.attachNote(report.getLocation()) << hint;
      return failure();
    });
  });
}

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
  DialectRegistry registry;
  moe::registerDialects(registry);
  addHint<moe::MoeDialect>(registry);
  addHint<flow::FlowDialect>(registry);
  registerTransformsPasses();
  return asMainReturnCode(MlirOptMain(argc, argv, "moe-opt: run passes on a module\n", registry));
}
