// One plugin for every mistake that `--load` refuses: the environment variable MOE_BAD names the one that is
// made.
#include "dialects/flow/RandomCase.h"
#include "dialects/moe/MoeDialect.h"
#include "frontends/driver/Plugin.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <cstdlib>

using namespace mlir;

namespace {

llvm::StringRef mistake() {
  const char *name = getenv("MOE_BAD");
  return name ? name : "";
}

SmallVector<flow::Accumulator> badAccumulators(Operation *op) {
  MLIRContext *context = op->getContext();
  if (mistake() == "no-accumulators")
    return {};
  Type f32 = Float32Type::get(context);
  if (mistake() == "double-accumulator")
    return {{f32, 0}, {Float64Type::get(context), 0}};
  if (mistake() == "short-accumulator")
    return {{IntegerType::get(context, 16), 0}};
  if (mistake() == "whole-sum")
    return {{f32, 0}, {IntegerType::get(context, 32), 0}};
  if (mistake() == "double-at-times") // not in the one case that is drawn when the plugin is loaded
    return {{op->hasAttr("bad.later") ? Float64Type::get(context) : f32, 0}};
  return {{f32, 1}};
}

// An op of the graph by hand, with the facts that it is given as traits.
#define BAD_OP(Name, text, ...)                                                                              \
  struct Name : Op<Name, OpTrait::ZeroOperands, OpTrait::OneResult, OpTrait::ZeroRegions, ##__VA_ARGS__> {   \
    using Op::Op;                                                                                            \
    MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(Name)                                                       \
    static constexpr StringLiteral getOperationName() { return StringLiteral(text); }                        \
    static ArrayRef<StringRef> getAttributeNames() { return {}; }                                            \
    flow::GradientKind gradientKind() { return flow::GradientKind::inactive; }                               \
    flow::ComputeKind computeKind() { return kind; }                                                         \
    flow::Effort effort() { return flow::Effort::simple; }                                                   \
    void evaluate(ArrayRef<const flow::Array *>, MutableArrayRef<flow::Array>, const flow::Setting &) {}     \
    double errorFactor() { return 0; }                                                                       \
    SmallVector<flow::Accumulator> accumulators() { return badAccumulators(*this); }                         \
    bool sumsReals() { return mistake() == "late-sum" || mistake() == "whole-sum"; }                         \
    SmallVector<Value> buildCombine(OpBuilder &, Location, ValueRange x, ValueRange) { return x; }           \
    SmallVector<flow::Array> magnitude(ArrayRef<const flow::Array *>, ArrayRef<flow::Array>) { return {}; }  \
    static void buildRandomCase(flow::RandomCase &random);                                                   \
    static constexpr flow::ComputeKind kind =
#define BAD_END                                                                                              \
  ;                                                                                                          \
  }                                                                                                          \
  ;

using flow::ComputeKind;
BAD_OP(Once, "bad.op")
ComputeKind::generator BAD_END BAD_OP(Again, "bad.op") ComputeKind::generator BAD_END
    BAD_OP(Foreign, "moe.intruder") ComputeKind::generator BAD_END
    BAD_OP(Intruder, "moe.relu") ComputeKind::generator BAD_END
    BAD_OP(Costless, "bad.costless", flow::GradientInterface::Trait, flow::ComputeInterface::Trait,
           flow::EvaluateInterface::Trait) ComputeKind::generator BAD_END
    BAD_OP(Calculating, "bad.calculating", flow::Boundary,
           flow::EvaluateInterface::Trait) ComputeKind::generator BAD_END
    BAD_OP(Caseless, "bad.caseless", flow::GradientInterface::Trait, flow::ComputeInterface::Trait,
           flow::EvaluateInterface::Trait, flow::CostInterface::Trait,
           flow::TruthInterface::Trait) ComputeKind::generator BAD_END
    BAD_OP(Traitless, "bad.traitless", flow::GradientInterface::Trait, flow::ComputeInterface::Trait,
           flow::EvaluateInterface::Trait, flow::CostInterface::Trait,
           flow::TruthInterface::Trait) ComputeKind::elementwise BAD_END
    BAD_OP(Reducing, "bad.reducing", flow::GradientInterface::Trait, flow::ComputeInterface::Trait,
           flow::EvaluateInterface::Trait, flow::CostInterface::Trait, flow::TruthInterface::Trait,
           flow::ReductionInterface::Trait) ComputeKind::reduction BAD_END

    void Once::buildRandomCase(flow::RandomCase &) {}
void Again::buildRandomCase(flow::RandomCase &) {}
void Foreign::buildRandomCase(flow::RandomCase &) {}
void Intruder::buildRandomCase(flow::RandomCase &) {}
void Costless::buildRandomCase(flow::RandomCase &) {}
void Calculating::buildRandomCase(flow::RandomCase &) {}
void Caseless::buildRandomCase(flow::RandomCase &) {}
void Traitless::buildRandomCase(flow::RandomCase &random) {
  OperationState state(random.location, getOperationName());
  state.addTypes(flow::tensorType({}, random.builder.getF32Type()));
  random.result(random.builder.create(state)->getResult(0));
}
void Reducing::buildRandomCase(flow::RandomCase &random) {
  OperationState state(random.location, getOperationName());
  state.addTypes(flow::tensorType({}, random.builder.getF32Type()));
  const int64_t drawn = random.number(0, 7);
  static const int64_t first = drawn;
  if (drawn != first)
    state.addAttribute("bad.later", random.builder.getUnitAttr());
  random.result(random.builder.create(state)->getResult(0));
}

struct BadDialect : Dialect {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(BadDialect)
  explicit BadDialect(MLIRContext *context) : Dialect("bad", context, TypeID::get<BadDialect>()) {
    if (mistake() == "op-twice")
      moe::addOps<Once, Again>(*this);
    if (mistake() == "op-twice-to-mlir")
      addOperations<Once, Again>();
    if (mistake() == "foreign-op")
      moe::addOps<Foreign>(*this);
    if (mistake() == "foreign-op-to-mlir")
      addOperations<Foreign>();
    if (mistake() == "ours-to-mlir") // before the language's own, or after
      addOperations<Intruder>();
    if (mistake() == "factless")
      addOperations<Once>();
    if (mistake() == "costless")
      addOperations<Costless>();
    if (mistake() == "calculating")
      addOperations<Calculating>();
    if (mistake() == "traitless")
      addOperations<Traitless>();
    if (mistake() == "caseless")
      addOperations<Caseless>();
    if (llvm::is_contained({"no-accumulators", "double-accumulator", "short-accumulator", "late-sum",
                            "double-at-times", "whole-sum"},
                           mistake()))
      addOperations<Reducing>();
  }
  static constexpr StringLiteral getDialectNamespace() { return StringLiteral("bad"); }
};

template <char... letters> struct NamedDialect : Dialect {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(NamedDialect)
  explicit NamedDialect(MLIRContext *context)
      : Dialect(getDialectNamespace(), context, TypeID::get<NamedDialect>()) {}
  static StringRef getDialectNamespace() {
    static constexpr char name[] = {letters..., 0};
    return name;
  }
};
using FlowAgain = NamedDialect<'f', 'l', 'o', 'w'>;
using BuiltinAgain = NamedDialect<'b', 'u', 'i', 'l', 't', 'i', 'n'>;
using ExtraAgain = NamedDialect<'e', 'x', 't', 'r', 'a'>;

template <typename Root> struct BadPass : PassWrapper<BadPass<Root>, OperationPass<Root>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(BadPass)
  StringRef getArgument() const final {
    return mistake() == "pass-of-ours" ? "moe-simplify" : mistake() == "flagless" ? "" : "bad-pass";
  }
  void runOnOperation() final {
    if (mistake() == "failing")
      this->signalPassFailure();
  }
};

std::unique_ptr<Pass> makePass() { return std::make_unique<BadPass<ModuleOp>>(); }

// Everything of a target is asked of the CPU's.
class BadBackend : public moe::kernels::Backend {
public:
  StringRef name() const override {
    return mistake() == "nameless-backend"  ? ""
           : mistake() == "colon-backend"   ? "bad:end"
           : mistake() == "backend-of-ours" ? "cpu"
                                            : "badend";
  }
  std::vector<std::string> targets() const override {
    if (mistake() == "targetless-backend")
      return {};
    return {"badend", mistake() == "foreign-target" ? "badendless" : "badend:far"};
  }
  std::vector<std::string> hostTargets() const override {
    return {mistake() == "host-target" ? "badend:near" : "badend"};
  }
  std::unique_ptr<moe::kernels::Target> parse(StringRef name, std::string &error) const override {
    if (name == "badend")
      return moe::kernels::parseTarget("cpu:x86-64-v3", error);
    if (mistake() != "silent-target")
      error = "expected a machine that is far away";
    return nullptr;
  }
  std::unique_ptr<moe::kernels::Target> ofLevel(StringRef, std::string &) const override { return nullptr; }
};

void extend(moe::PluginRegistry &registry) {
  if (mistake() == "talkative") {
    printf("out of bad\n");
    fflush(stdout);
  }
  static const BadBackend backend;
  registry.backend(backend);
  if (mistake() == "backend-twice")
    registry.backend(backend);
  if (mistake() == "dialect-of-ours")
    return registry.dialect<FlowAgain>();
  if (mistake() == "dialect-of-mlir")
    return registry.dialect<BuiltinAgain>();
  if (mistake() == "dialect-of-extra")
    return registry.dialect<ExtraAgain>();
  registry.dialect<BadDialect>();
  if (mistake() == "dialect-twice")
    registry.dialect<BadDialect>();
  if (mistake() == "no-pass")
    return registry.pass([] { return std::unique_ptr<Pass>(); });
  if (mistake() == "pass-of-function")
    return registry.pass([] { return std::unique_ptr<Pass>(std::make_unique<BadPass<func::FuncOp>>()); });
  registry.pass(makePass, mistake() == "place" ? "after-lunch" : "before-fuse");
  if (mistake() == "pass-twice")
    registry.pass(makePass);
}

} // namespace

extern "C" const void *moePlugin() {
  static moe::Plugin plugin{"bad", moert::version(), LLVM_VERSION_STRING, moe::pluginAbi, extend};
  // What a plugin stated before there was more than one build of a version.
  static const struct {
    const char *name, *moe, *llvm;
    void (*extend)(moe::PluginRegistry &registry);
  } earlier{"bad", moert::version(), LLVM_VERSION_STRING, extend};
  if (mistake() == "earlier")
    return &earlier;
  if (mistake() == "build")
    plugin.abi = "0123456789abcdef assertions";
  if (mistake() == "buildless")
    plugin.abi = nullptr;
  if (mistake() == "version")
    plugin.moe = "0.0.9";
  if (mistake() == "llvm")
    plugin.llvm = "21.1.0";
  if (mistake() == "nameless")
    plugin.name = "";
  if (mistake() == "idle")
    plugin.extend = nullptr;
  if (mistake() == "called-extra")
    plugin.name = "extra";
  return mistake() == "nothing" ? nullptr : &plugin;
}
