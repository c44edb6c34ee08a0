// Every dialect that a text may hold: the project's own, and those that kernels are written in.
#include "frontends/driver/Dialects.h"
#include "dialects/flow/Flow.h"
#include "dialects/moe/MoeDialect.h"
#include "dialects/plan/Plan.h"
#include "frontends/driver/Plugins.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

void moe::registerProjectDialects(mlir::DialectRegistry &registry) {
  registry.insert<moe::MoeDialect, flow::FlowDialect, plan::PlanDialect>();
  registry.insert<mlir::arith::ArithDialect, mlir::cf::ControlFlowDialect, mlir::func::FuncDialect,
                  mlir::LLVM::LLVMDialect, mlir::math::MathDialect, mlir::memref::MemRefDialect,
                  mlir::scf::SCFDialect, mlir::vector::VectorDialect>();
}

void moe::registerDialects(mlir::DialectRegistry &registry) {
  registerProjectDialects(registry);
  for (const LoadedPlugin &plugin : loadedPlugins())
    for (auto insert : plugin.insert)
      insert(registry);
}
