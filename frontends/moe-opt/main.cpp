// moe-opt: reads a module of any of the project's dialects, runs passes on it, prints it. For tests and for
// looking.
#include "frontends/driver/Dialects.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  moe::registerDialects(registry);
  mlir::registerTransformsPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "moe-opt: run passes on a module\n", registry));
}
