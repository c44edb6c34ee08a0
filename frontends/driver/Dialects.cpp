// Every dialect that a text may hold: the project's own, and those that kernels are written in.
#include "frontends/driver/Dialects.h"
#include "dialects/flow/Flow.h"
#include "dialects/moe/MoeDialect.h"
#include "dialects/plan/Plan.h"
#include "frontends/driver/Plugins.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

void moe::registerProjectDialects(mlir::DialectRegistry &registry) {
  registry.insert<moe::MoeDialect, flow::FlowDialect, plan::PlanDialect>();
  registry.insert<mlir::arith::ArithDialect, mlir::cf::ControlFlowDialect, mlir::func::FuncDialect,
                  mlir::gpu::GPUDialect, mlir::LLVM::LLVMDialect, mlir::math::MathDialect,
                  mlir::memref::MemRefDialect, mlir::NVVM::NVVMDialect, mlir::scf::SCFDialect,
                  mlir::vector::VectorDialect>();
}

// Where there are texts or graphs there are plugins' ops: elaboration and rules make them, and errors name
// them, also where a text has none yet.
static void loadPluginDialects(mlir::MLIRContext *context) {
  for (const moe::LoadedPlugin &plugin : moe::loadedPlugins())
    for (const std::string &dialect : plugin.dialects)
      context->getOrLoadDialect(dialect);
}

void moe::registerDialects(mlir::DialectRegistry &registry) {
  registerProjectDialects(registry);
  if (loadedPlugins().empty())
    return;
  for (const LoadedPlugin &plugin : loadedPlugins())
    for (auto insert : plugin.insert)
      insert(registry);
  registry.addExtension(+[](mlir::MLIRContext *context, moe::MoeDialect *) { loadPluginDialects(context); });
  registry.addExtension(
      +[](mlir::MLIRContext *context, flow::FlowDialect *) { loadPluginDialects(context); });
}
