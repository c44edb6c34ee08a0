// --moe-check-unused: warns of values, parameters and layers that nothing uses. A warning, since a text in
// the making is full of them; what is unused costs nothing in a program. Layers count as unused only beside a
// model: a file of layers alone is a library. What a value of -D names is used as well.
#include "passes/language/CheckUnused.h"
#include "dialects/moe/Words.h"
#include "passes/language/Elaborate.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace moe;

/// Names of sizes, numbers and layers that a body's expressions mention.
static llvm::StringSet<> mentioned(Operation *body) {
  llvm::StringSet<> names;
  body->walk([&](Operation *op) {
    for (NamedAttribute attribute : op->getAttrs())
      walkExpressions(attribute.getValue(), [&](ExprAttr e, bool whole) {
        bool name = e.getKind() == ExprKind::Name || e.getKind() == ExprKind::Layer;
        if (name && !isWord(attribute.getName(), e, whole))
          names.insert(e.getText());
      });
    if (auto chain = dyn_cast<ChainOp>(op); chain && chain.getRamp())
      names.insert(*chain.getRamp());
  });
  return names;
}

/// Names that the values of -D mention; a value that is wrong is reported where it is bound.
static llvm::StringSet<> mentioned(const Defines &defines, MLIRContext *context) {
  llvm::StringSet<> names;
  for (auto &[name, value] : defines) {
    std::string why;
    if (ExprAttr e = parseDefine(value, context, why))
      e.walk([&](ExprAttr part) {
        if (part.getKind() == ExprKind::Name || part.getKind() == ExprKind::Layer)
          names.insert(part.getText());
      });
  }
  return names;
}

static void checkParams(Operation *body, ArrayAttr params, const llvm::StringSet<> &given = {}) {
  llvm::StringSet<> names = mentioned(body);
  for (auto &name : given)
    names.insert(name.getKey());
  for (auto param : params.getAsRange<ParamAttr>())
    if (!names.contains(param.getName()))
      emitWarning(param.getAt() ? Location(param.getAt()) : body->getLoc())
          << "parameter '" << (param.getKind() == "layer" ? "@" : "") << param.getName() << "' of "
          << body->getName().stripDialect() << " '@" << SymbolTable::getSymbolName(body).getValue()
          << "' is not used";
}

static void checkValues(Operation *body) {
  body->walk([&](Operation *op) {
    // An op of several results is used if one of them is.
    if (op->getNumResults() && op->use_empty()) {
      auto name = dyn_cast<NameLoc>(op->getLoc());
      op->emitWarning() << "value" << (name ? " '%" + name.getName().getValue() + "'" : Twine()).str()
                        << " is not used";
    }
  });
  for (BlockArgument argument : body->getRegion(0).getArguments())
    if (argument.use_empty() && !body->getRegion(0).front().empty()) {
      auto name = dyn_cast<NameLoc>(argument.getLoc());
      emitWarning(argument.getLoc()) << "value"
                                     << (name ? " '%" + name.getName().getValue() + "'" : Twine()).str()
                                     << " is not used";
    }
}

void moe::checkUnused(ModuleOp module, const Defines &defines) {
  llvm::StringSet<> given = mentioned(defines, module.getContext()), used = given;
  bool model = false, offered = false;
  for (Operation &op : *module.getBody()) {
    if (!isa<LayerOp, ModelOp, ObjectiveOp>(op))
      continue;
    model |= isa<ModelOp>(op);
    for (auto &name : mentioned(&op))
      used.insert(name.getKey());
    checkValues(&op);
    if (auto layer = dyn_cast<LayerOp>(op)) {
      if (!layer.getBody().front().empty())
        checkParams(layer, layer.getParams());
    } else if (auto m = dyn_cast<ModelOp>(op)) {
      checkParams(m, m.getParams(), given);
      for (auto param : m.getParams().getAsRange<ParamAttr>())
        offered |= param.getKind() == "layer";
    } else if (auto o = dyn_cast<ObjectiveOp>(op)) {
      checkParams(o, o.getParams());
    }
  }
  // Where -D may give the model a layer, the layers that nothing names are there to be given.
  if (!model || offered)
    return;
  for (LayerOp layer : module.getOps<LayerOp>())
    if (!used.contains(layer.getSymName()))
      layer.emitWarning() << "layer '@" << layer.getSymName() << "' is not used";
}

namespace {
struct CheckUnused : PassWrapper<CheckUnused, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CheckUnused)
  StringRef getArgument() const override { return "moe-check-unused"; }
  StringRef getDescription() const override {
    return "warn of values, parameters and layers that nothing uses";
  }
  CheckUnused() = default;
  CheckUnused(const CheckUnused &other) : PassWrapper(other) {}
  explicit CheckUnused(const Defines &given) {
    for (auto &[name, value] : given)
      defines.push_back(name + "=" + value);
  }
  void runOnOperation() override {
    Defines given;
    for (const std::string &define : defines)
      given.emplace_back(StringRef(define).split('='));
    checkUnused(getOperation(), given);
    markAllAnalysesPreserved();
  }
  ListOption<std::string> defines{*this, "define", llvm::cl::desc("name=value: a parameter of the model")};
};
} // namespace

std::unique_ptr<Pass> moe::createCheckUnusedPass(const Defines &defines) {
  return std::make_unique<CheckUnused>(defines);
}

static PassRegistration<CheckUnused> registration;
