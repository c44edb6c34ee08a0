// --moe-lower-to-plan: lowers a flow.program whose entries are grouped to a plan.program. The result has
//   - the states, scalars and entries of the program, which are common to all targets;
//   - for each target, its kernels, as functions in a nested module, and one plan per entry.
// EntryPlanner makes the plan of one entry; this file does what concerns the whole program.
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "passes/kernels/BindSymbols.h"
#include "passes/planning/EntryPlanner.h"
#include "passes/planning/Passes.h"
#include "runtime/base/Version.h"
#include "runtime/program/Philox.h"
#include <map>

using namespace mlir;

namespace moe {
namespace {

struct LowerToPlan : PassWrapper<LowerToPlan, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LowerToPlan)
  LowerToPlan() = default;
  LowerToPlan(const LowerToPlan &other) : PassWrapper(other) {}
  StringRef getArgument() const override { return "moe-lower-to-plan"; }
  StringRef getDescription() const override {
    return "decide buffers and launches, and emit kernels, for each target";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry
        .insert<plan::PlanDialect, arith::ArithDialect, func::FuncDialect, gpu::GPUDialect, LLVM::LLVMDialect,
                math::MathDialect, NVVM::NVVMDialect, scf::SCFDialect, vector::VectorDialect>();
  }

  void runOnOperation() override {
    for (flow::ProgramOp program : llvm::make_early_inc_range(getOperation().getOps<flow::ProgramOp>()))
      if (failed(lower(program)))
        return signalPassFailure();
  }

  LogicalResult lower(flow::ProgramOp program);
  LogicalResult states(flow::ProgramOp program);
  LogicalResult scalars(flow::ProgramOp program);
  LogicalResult entry(flow::EntryOp entry);
  LogicalResult target(flow::TargetOp target);
  std::unique_ptr<OpBuilder> builder;
};

plan::InitAttr initOf(flow::InitAttr init, StringRef path) {
  return plan::InitAttr::get(init.getContext(), static_cast<plan::InitKind>(init.getKind()),
                             init.getA().getValue(), init.getB().getValue(), moert::philoxStream(path));
}
static_assert(int(flow::InitKind::trunc_normal) == int(plan::InitKind::trunc_normal));
static_assert(int(flow::StateKind::average) == int(plan::StateKind::average));
static_assert(int(flow::ScalarKind::progress) == int(plan::ScalarKind::progress));

// Writes the parameters and states of all entries, in the order of first appearance. Entries share those of
// one path.
LogicalResult LowerToPlan::states(flow::ProgramOp program) {
  llvm::StringMap<plan::StateOp> known;
  std::map<uint32_t, StringRef>
      streams; // the path of each random stream; a DenseMap could not have every number
  auto add = [&](Operation *op, StringRef path, plan::StateKind kind, flow::InitAttr init, StringAttr of) {
    auto type = llvm::cast<RankedTensorType>(op->getResult(0).getType());
    auto rule = initOf(init, path);
    if (plan::StateOp before = known.lookup(path)) {
      if (before.getKind() == kind && before.getInit() == rule && before.getShape() == type.getShape())
        return success();
      auto error = op->emitOpError("expected '")
                   << path << "' with one shape and initial rule in all entries";
      error.attachNote(before.getLoc()) << "it differs here";
      return failure();
    }
    if (rule.getKind() != plan::InitKind::constant) {
      auto [other, fresh] = streams.try_emplace(rule.getStream(), path);
      if (!fresh)
        return LogicalResult(op->emitOpError("expected a path whose random stream is its own, found '")
                             << path << "' with that of '" << other->second << "'; rename one");
    }
    known[path] = plan::StateOp::create(*builder, op->getLoc(), builder->getStringAttr(path),
                                        plan::StateKindAttr::get(&getContext(), kind),
                                        plan::ElementAttr::get(&getContext(), plan::elementOf(type)),
                                        builder->getDenseI64ArrayAttr(type.getShape()), rule, of);
    return success();
  };
  WalkResult result = program.walk([&](Operation *op) {
    LogicalResult added = success();
    if (auto parameter = llvm::dyn_cast<flow::ParameterOp>(op))
      added = add(op, parameter.getPath(), plan::StateKind::parameter, parameter.getInit(), StringAttr());
    else if (auto state = llvm::dyn_cast<flow::StateOp>(op))
      added = add(op, state.getPath(), static_cast<plan::StateKind>(state.getKind()), state.getInit(),
                  state.getOfAttr());
    return failed(added) ? WalkResult::interrupt() : WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

LogicalResult LowerToPlan::scalars(flow::ProgramOp program) {
  llvm::StringMap<plan::ScalarOp> known;
  WalkResult result = program.walk([&](flow::ScalarOp op) {
    auto kind = static_cast<plan::ScalarKind>(op.getKind());
    if (plan::ScalarOp before = known.lookup(op.getKey())) {
      if (before.getKind() == kind && before.getFallback() == op.getFallback())
        return WalkResult::advance();
      auto error = op.emitOpError("expected '") << op.getKey() << "' with one kind and fallback everywhere";
      error.attachNote(before.getLoc()) << "it differs here";
      return WalkResult::interrupt();
    }
    known[op.getKey()] =
        plan::ScalarOp::create(*builder, op.getLoc(), op.getKeyAttr(),
                               plan::ScalarKindAttr::get(&getContext(), kind), op.getFallbackAttr());
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

LogicalResult LowerToPlan::entry(flow::EntryOp entry) {
  auto port = [&](StringRef name, Type type, bool exposed = false) {
    SmallVector<plan::ExprAttr> shape;
    for (flow::Extent extent : flow::extentsOf(type))
      shape.push_back(plan::fromExtent(extent));
    return plan::PortAttr::get(&getContext(), builder->getStringAttr(name), plan::elementOf(type), shape,
                               exposed);
  };
  SmallVector<Attribute> inputs, outputs;
  for (flow::InputOp input : entry.getBody().getOps<flow::InputOp>())
    inputs.push_back(port(input.getName(), input.getType()));
  for (flow::OutputOp output : entry.getBody().getOps<flow::OutputOp>())
    outputs.push_back(port(output.getName(), output.getX().getType(), output.getExposed()));
  llvm::MapVector<StringAttr, SmallVector<StringAttr>> changes; // by predicate
  for (flow::AssignOp assign : entry.getBody().getOps<flow::AssignOp>())
    if (StringAttr when = assign.getWhenAttr())
      changes[when].push_back(assign.getPathAttr());
  SmallVector<Attribute> updates;
  for (auto &[when, states] : changes)
    updates.push_back(plan::UpdateAttr::get(&getContext(), when, states));
  auto flops = entry->getAttrOfType<FloatAttr>("flops_per_image");
  // The values that rematerialisation keeps for the backward part, with the reasons.
  SmallVector<Attribute> saved;
  if (auto kept = entry->getAttrOfType<ArrayAttr>("flow.saved"))
    for (auto item : kept.getAsRange<DictionaryAttr>()) {
      std::string name = item.getAs<StringAttr>("op").getValue().drop_front(StringRef("flow.").size()).str();
      if (auto path = item.getAs<StringAttr>("path"); path)
        name += " " + path.str();
      saved.push_back(
          plan::SavedAttr::get(&getContext(), builder->getStringAttr(name),
                               plan::fromExtent(item.getAs<flow::ExtentAttr>("bytes").getExtent()),
                               item.getAs<StringAttr>("why")));
    }
  SmallVector<Attribute> capacities;
  if (ArrayAttr limits = entry.getCapacitiesAttr())
    for (auto each : limits.getAsRange<flow::CapacityAttr>())
      capacities.push_back(plan::CapacityAttr::get(
          &getContext(), each.getRouting(), plan::fromExtent(each.getRows().getExtent()), each.getExperts(),
          each.getTop(), each.getFactor().getValue(), each.getAlignment()));
  auto kind = entry.getKind() == flow::EntryKind::train ? plan::EntryKind::train : plan::EntryKind::infer;
  auto program = entry->getParentOfType<flow::ProgramOp>();
  plan::EntryOp::create(*builder, entry.getLoc(), builder->getStringAttr(entry.getSymName()),
                        plan::EntryKindAttr::get(&getContext(), kind), builder->getArrayAttr(inputs),
                        builder->getArrayAttr(outputs),
                        kind == plan::EntryKind::train ? program->getAttrOfType<StringAttr>("objective")
                                                       : StringAttr(),
                        flops ? flops : builder->getF64FloatAttr(0), builder->getArrayAttr(saved),
                        builder->getArrayAttr(updates), builder->getArrayAttr(capacities));
  return success();
}

LogicalResult LowerToPlan::target(flow::TargetOp target) {
  std::string error;
  std::unique_ptr<kernels::Target> machine = kernels::parseTarget(target.getName(), error);
  if (!machine)
    return target.emitError() << error;
  // Fusion has bound them; what was written since, or by hand, may have others.
  if (failed(kernels::bindSymbols(target, machine->symbols())))
    return failure();
  for (auto other : builder->getInsertionBlock()->getOps<plan::TargetOp>())
    if (other.getName() == machine->backend() && other.getLevel() == machine->level())
      return target.emitOpError("expected targets of different machines, found '")
             << target.getName() << "' and '"
             << other->getAttrOfType<StringAttr>(kernels::targetNameAttr).getValue() << "', which both are '"
             << other.getName() << "' of level '" << other.getLevel() << "'";
  OpBuilder::InsertionGuard guard(*builder);
  SmallVector<StringRef> features(machine->features().begin(), machine->features().end());
  auto op = plan::TargetOp::create(
      *builder, target.getLoc(), plan::TargetKindAttr::get(&getContext(), machine->kind()),
      builder->getStringAttr(machine->backend()), builder->getStringAttr(machine->level()),
      builder->getStrArrayAttr(features), builder->getI64IntegerAttr(machine->mostElements()), Attribute());
  op->setAttr(kernels::targetNameAttr, builder->getStringAttr(target.getName()));
  builder->setInsertionPointToStart(&op.getBody().emplaceBlock());
  std::unique_ptr<kernels::KernelSet> code = machine->begin(&getContext());
  KnownGroups known;
  Sharing sharing;
  std::vector<std::unique_ptr<EntryPlanner>> planners;
  for (flow::EntryOp entry : target.getBody().getOps<flow::EntryOp>()) {
    planners.push_back(std::make_unique<EntryPlanner>(entry, *code, known, sharing));
    if (failed(planners.back()->plan()))
      return failure();
  }
  for (const kernels::Kernel &kernel : code->kernels()) {
    SmallVector<Attribute> params;
    for (auto [i, param] : llvm::enumerate(kernel.params)) {
      auto over = sharing.find({kernel.symbol, unsigned(i)});
      params.push_back(plan::ParamAttr::get(&getContext(), param.first, param.second,
                                            over == sharing.end() ? -1 : int32_t(over->second)));
    }
    // If a kernel needs more scratch than a program may have, frontends/moec/Compile.cpp reports this at the
    // author's line of a launch. The number saturates here.
    uint64_t scratch = std::min<uint64_t>(kernel.scratch, INT32_MAX);
    SmallVector<Attribute> scalars;
    for (plan::ScalarParam param : kernel.scalars)
      scalars.push_back(plan::ScalarParamAttr::get(&getContext(), param));
    plan::KernelOp::create(*builder, target.getLoc(), kernel.symbol, kernel.kind,
                           builder->getArrayAttr(params), builder->getArrayAttr(scalars), uint32_t(scratch),
                           kernel.threads);
  }
  for (const auto &planner : planners)
    planner->build(*builder);
  builder->insert(code->take().release());
  return success();
}

LogicalResult LowerToPlan::lower(flow::ProgramOp program) {
  SmallVector<flow::TargetOp> targets(program.getBody().getOps<flow::TargetOp>());
  if (targets.empty())
    return program.emitOpError(
        "expected entries inside of a flow.target, which --moe-form-groups makes; found none");
  builder = std::make_unique<OpBuilder>(program);
  NamedAttrList config(program->getAttrOfType<DictionaryAttr>("config"));
  SmallVector<StringRef> names; // recorded so that the trainer can print the compile command again
  for (flow::TargetOp target : targets)
    names.push_back(target.getName());
  config.set("target", builder->getStringAttr(llvm::join(names, " ")));
  auto op =
      plan::ProgramOp::create(*builder, program.getLoc(), builder->getStringAttr(program.getSymName()),
                              program->getAttrOfType<StringAttr>("optimizer"),
                              builder->getStringAttr(moert::version()), config.getDictionary(&getContext()));
  builder->setInsertionPointToStart(&op.getBody().emplaceBlock());
  // States, scalars and ports are the same for every target.
  if (failed(states(program)) || failed(scalars(program)))
    return failure();
  auto namesOf = [](flow::TargetOp target) {
    SmallVector<StringRef> names;
    for (flow::EntryOp entry : target.getBody().getOps<flow::EntryOp>())
      names.push_back(entry.getSymName());
    return names;
  };
  for (flow::TargetOp other : llvm::drop_begin(targets))
    if (namesOf(other) != namesOf(targets.front())) {
      auto error = other.emitOpError("expected the entries of the other targets");
      error.attachNote(targets.front().getLoc()) << "it differs from this one";
      return error;
    }
  for (flow::EntryOp item : targets.front().getBody().getOps<flow::EntryOp>())
    if (failed(entry(item)))
      return failure();
  for (flow::TargetOp each : targets)
    if (failed(target(each)))
      return failure();
  program.erase();
  return success();
}

PassRegistration<LowerToPlan> registration;

} // namespace

std::unique_ptr<Pass> createLowerToPlanPass() { return std::make_unique<LowerToPlan>(); }

} // namespace moe
