// From the language to flow: see Elaborate.cpp.
#pragma once
#include "dialects/moe/MoeDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace moe {

struct ElaborateOptions {
  std::vector<std::pair<std::string, std::string>>
      defines; // parameters of the model: {"classes", "7"}, {"ffn", "@Mlp"}
  std::string objective = "erm";
  std::string optimizer = "adam";
  std::map<std::string, std::string> digests; // of the sources' texts, by the files' names
  std::string batchHint;                      // flow::BatchHint's text; empty: the default batches
  std::string precision;                      // flow::Precision's name; empty: f32
  std::vector<std::string> plugins;           // files after --load
};

/// The value of a -D as an expression; null where it is none, which `why` then explains. Nothing is reported.
ExprAttr parseDefine(llvm::StringRef value, mlir::MLIRContext *context, std::string &why);

/// Replaces the module's model, layers and objectives by one flow.program with the entries `train` and
/// `main`.
llvm::LogicalResult elaborate(mlir::ModuleOp module, const ElaborateOptions &options);
std::unique_ptr<mlir::Pass> createElaboratePass(const ElaborateOptions &options);

} // namespace moe
