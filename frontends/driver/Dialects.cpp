// Registers the project's dialects and those of MLIR that its passes make.
#include "frontends/driver/Dialects.h"
#include "dialects/moe/MoeDialect.h"

void moe::registerDialects(mlir::DialectRegistry &registry) {
  registry.insert<MoeDialect>();
  registry.insert<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::LLVM::LLVMDialect, mlir::math::MathDialect,
                  mlir::memref::MemRefDialect, mlir::scf::SCFDialect, mlir::vector::VectorDialect>();
}
