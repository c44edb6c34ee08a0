// Reads a program file as a plan, for `moec disassemble`: the inverse of EmitProgram.cpp. The loader has
// verified every index in the file, so none is checked here.
#include "dialects/plan/Expr.h"
#include "passes/emit/EmitProgram.h"
#include "runtime/program/Launch.h"
#include "runtime/program/Program.h"

using namespace mlir;
namespace fb = moe::fb;

namespace moe {
namespace {

class Reader {
public:
  Reader(const moert::Program &program, MLIRContext *context)
      : program(program), table(program.table()), builder(context), context(context) {
    context->getOrLoadDialect<plan::PlanDialect>();
  }
  OwningOpRef<ModuleOp> run();

private:
  StringAttr text(const flatbuffers::String *value) {
    return value ? builder.getStringAttr(StringRef(value->c_str(), value->size())) : StringAttr();
  }
  /// V11: there are no others.
  int64_t symbol(uint32_t row) {
    return llvm::find(plan::symbolNames, StringRef(table.symbols()->Get(row)->c_str())) - plan::symbolNames;
  }
  plan::ExprAttr expr(uint32_t index) {
    SmallVector<int64_t> steps;
    for (const fb::ExprOp *step : *table.exprs()->Get(index)->ops())
      steps.append({static_cast<int64_t>(step->code()),
                    step->code() == fb::ExprCode::symbol ? symbol(uint32_t(step->value())) : step->value()});
    return plan::ExprAttr::get(context, steps);
  }
  ArrayAttr ports(const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> *list) {
    SmallVector<Attribute> ports;
    for (const fb::Port *port : *list) {
      SmallVector<plan::ExprAttr> shape;
      for (uint32_t extent : *port->shape())
        shape.push_back(expr(extent));
      ports.push_back(plan::PortAttr::get(context, text(port->name()),
                                          static_cast<plan::Element>(port->type()), shape, port->exposed()));
    }
    return builder.getArrayAttr(ports);
  }
  plan::ElementAttr element(fb::ElementType type) {
    return plan::ElementAttr::get(context, static_cast<plan::Element>(type));
  }
  void state(const fb::State &state);
  void entry(const fb::Entry &entry);
  void plan(const fb::Target &target, const fb::Plan &plan);
  Attribute work(const fb::Launch &launch);
  void launch(const fb::Target &target, const fb::Launch &launch, ArrayRef<Value> buffers, bool prepare);
  void target(const fb::Target &target, size_t index);

  const moert::Program &program;
  const fb::Program &table;
  OpBuilder builder;
  MLIRContext *context;
  Location loc = UnknownLoc::get(context);
};

void Reader::state(const fb::State &state) {
  const fb::Init &init = *state.init();
  auto rule = plan::InitAttr::get(context, static_cast<plan::InitKind>(init.kind()), llvm::APFloat(init.a()),
                                  llvm::APFloat(init.b()), init.stream());
  auto kind = plan::StateKindAttr::get(context, static_cast<plan::StateKind>(state.kind()));
  auto shape = builder.getDenseI64ArrayAttr(ArrayRef<int64_t>(state.shape()->data(), state.shape()->size()));
  plan::StateOp::create(builder, loc, text(state.path()), kind, element(state.type()), shape, rule,
                        text(state.of()));
}

void Reader::entry(const fb::Entry &entry) {
  SmallVector<Attribute> saved;
  for (const fb::Saved *item : *entry.saved())
    saved.push_back(
        plan::SavedAttr::get(context, text(item->name()), expr(item->bytes()), text(item->reason())));
  SmallVector<Attribute> updates;
  for (const fb::Update *update : *entry.updates()) {
    SmallVector<StringAttr> states;
    for (uint32_t state : *update->states())
      states.push_back(text(table.states()->Get(state)->path()));
    updates.push_back(
        plan::UpdateAttr::get(context, text(entry.outputs()->Get(update->predicate())->name()), states));
  }
  SmallVector<Attribute> capacities;
  if (entry.capacities())
    for (const fb::Capacity *each : *entry.capacities())
      capacities.push_back(plan::CapacityAttr::get(context, text(each->routing()), expr(each->rows()),
                                                   each->experts(), each->top(),
                                                   llvm::APFloat(each->factor()), each->alignment()));
  plan::EntryOp::create(builder, loc, text(entry.name()),
                        plan::EntryKindAttr::get(context, static_cast<plan::EntryKind>(entry.kind())),
                        ports(entry.inputs()), ports(entry.outputs()), text(entry.objective()),
                        builder.getF64FloatAttr(entry.flops_per_image()), builder.getArrayAttr(saved),
                        builder.getArrayAttr(updates), builder.getArrayAttr(capacities));
}

Attribute Reader::work(const fb::Launch &launch) {
  if (const fb::CpuKernel *cpu = launch.work_as_CpuKernel())
    return plan::CpuWorkAttr::get(context, expr(cpu->units()), cpu->grain());
  if (const fb::GpuKernel *gpu = launch.work_as_GpuKernel()) {
    auto sizes = [&](const flatbuffers::Vector<uint32_t> &rows) {
      return llvm::map_to_vector(rows, [&](uint32_t row) { return expr(row); });
    };
    return plan::GpuWorkAttr::get(context, sizes(*gpu->grid()), sizes(*gpu->block()), expr(gpu->shared()));
  }
  if (const fb::Fill *fill = launch.work_as_Fill())
    return plan::FillWorkAttr::get(context, fill->bits());
  return plan::CopyWorkAttr::get(context);
}

void Reader::launch(const fb::Target &target, const fb::Launch &launch, ArrayRef<Value> buffers,
                    bool prepare) {
  SmallVector<Value> touched;
  SmallVector<Attribute> extents, args;
  for (uint32_t buffer : *launch.buffers())
    touched.push_back(buffers[buffer]);
  for (uint32_t extent : *launch.extents())
    extents.push_back(expr(extent));
  for (const fb::Arg *arg : *launch.scalars()) {
    Attribute value;
    switch (arg->kind()) {
    case fb::ArgKind::constant_i64:
      value = builder.getI64IntegerAttr(arg->value());
      break;
    case fb::ArgKind::constant_f32:
      value = FloatAttr::get(
          builder.getF32Type(),
          llvm::APFloat(llvm::APFloat::IEEEsingle(), llvm::APInt(32, static_cast<uint32_t>(arg->value()))));
      break;
    case fb::ArgKind::extent:
      value = expr(arg->value());
      break;
    case fb::ArgKind::scalar_f32:
      value = text(table.scalars()->Get(arg->value())->key());
      break;
    case fb::ArgKind::step_i64:
    case fb::ArgKind::seed_i64:
    case fb::ArgKind::held_i64:
      break;
    }
    args.push_back(plan::ArgAttr::get(context, static_cast<plan::ArgKind>(arg->kind()), value));
  }
  FlatSymbolRefAttr kernel;
  if (const fb::Kernel *row = moert::kernelOf(target, launch))
    kernel = FlatSymbolRefAttr::get(text(row->symbol()));
  auto textOrEmpty = [&](const flatbuffers::String *value) {
    return value ? text(value) : builder.getStringAttr("");
  };
  plan::PartAttr part;
  if (launch.part())
    part = plan::PartAttr::get(context, static_cast<plan::Part>(*launch.part()));
  plan::LaunchOp::create(builder, loc, prepare ? builder.getUnitAttr() : UnitAttr(), kernel, touched,
                         builder.getArrayAttr(extents), builder.getArrayAttr(args), work(launch),
                         textOrEmpty(launch.op()), textOrEmpty(launch.path()), textOrEmpty(launch.file()),
                         builder.getI32IntegerAttr(launch.line()), expr(launch.flops()), expr(launch.bytes()),
                         part);
}

void Reader::plan(const fb::Target &target, const fb::Plan &plan) {
  OpBuilder::InsertionGuard guard(builder);
  const fb::Entry &entry = *table.entries()->Get(plan.entry());
  auto op = plan::PlanOp::create(builder, loc, text(entry.name()));
  builder.setInsertionPointToStart(&op.getBody().emplaceBlock());
  SmallVector<Value> buffers;
  for (const fb::Buffer *buffer : *plan.buffers()) {
    StringAttr name;
    DenseI64ArrayAttr live;
    switch (buffer->kind()) {
    case fb::BufferKind::state:
      name = text(table.states()->Get(buffer->index())->path());
      break;
    case fb::BufferKind::input:
      name = text(entry.inputs()->Get(buffer->index())->name());
      break;
    case fb::BufferKind::output:
      name = text(entry.outputs()->Get(buffer->index())->name());
      break;
    case fb::BufferKind::temporary:
      live = builder.getDenseI64ArrayAttr({buffer->first(), buffer->last()});
      break;
    }
    auto kind = plan::BufferKindAttr::get(context, static_cast<plan::BufferKind>(buffer->kind()));
    buffers.push_back(plan::BufferOp::create(
        builder, loc, plan::BufferType::get(context), kind, name, element(buffer->type()),
        expr(buffer->extent()), builder.getI32IntegerAttr(buffer->alignment()), live, text(buffer->name())));
  }
  for (const fb::Launch *item : *plan.prepare())
    launch(target, *item, buffers, true);
  for (const fb::Launch *item : *plan.step())
    launch(target, *item, buffers, false);
}

void Reader::target(const fb::Target &target, size_t index) {
  OpBuilder::InsertionGuard guard(builder);
  auto bytes = [&](uint32_t section, StringRef name) {
    std::span<const uint8_t> data = program.section(section);
    return bytesAttr(context, (name + Twine(index)).str(),
                     ArrayRef<char>(reinterpret_cast<const char *>(data.data()), data.size()));
  };
  SmallVector<StringRef> features;
  for (const flatbuffers::String *feature : *target.features())
    features.push_back(feature->c_str());
  auto kind = plan::TargetKindAttr::get(context, static_cast<plan::TargetKind>(target.kind()));
  auto op = plan::TargetOp::create(
      builder, loc, kind, text(target.name()), text(target.level()), builder.getStrArrayAttr(features),
      builder.getI64IntegerAttr(target.most_elements()), bytes(target.code(), "code"));
  builder.setInsertionPointToStart(&op.getBody().emplaceBlock());
  for (const fb::Kernel *kernel : *target.kernels()) {
    SmallVector<Attribute> params;
    for (const fb::KernelParam *param : *kernel->params())
      params.push_back(plan::ParamAttr::get(context, static_cast<plan::Access>(param->access()),
                                            static_cast<plan::Element>(param->type()), param->over()));
    SmallVector<Attribute> scalars;
    for (fb::ScalarParam param : *kernel->scalars())
      scalars.push_back(plan::ScalarParamAttr::get(context, static_cast<plan::ScalarParam>(param)));
    plan::KernelOp::create(builder, loc, text(kernel->symbol()), text(kernel->kind()),
                           builder.getArrayAttr(params), builder.getArrayAttr(scalars),
                           builder.getI32IntegerAttr(kernel->scratch()),
                           builder.getI32IntegerAttr(kernel->threads()));
  }
  for (const fb::Plan *item : *target.plans())
    plan(target, *item);
}

OwningOpRef<ModuleOp> Reader::run() {
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  builder.setInsertionPointToStart(module->getBody());
  SmallVector<NamedAttribute> config;
  for (const fb::KeyValue *choice : *table.config())
    config.push_back(builder.getNamedAttr(choice->key()->c_str(), text(choice->value())));
  auto op = plan::ProgramOp::create(builder, loc, text(table.name()), text(table.optimizer()),
                                    text(table.compiler()), builder.getDictionaryAttr(config));
  builder.setInsertionPointToStart(&op.getBody().emplaceBlock());
  for (const fb::State *item : *table.states())
    state(*item);
  for (const fb::Scalar *item : *table.scalars())
    plan::ScalarOp::create(builder, loc, text(item->key()),
                           plan::ScalarKindAttr::get(context, static_cast<plan::ScalarKind>(item->kind())),
                           builder.getF64FloatAttr(item->fallback()));
  for (const fb::Entry *item : *table.entries())
    entry(*item);
  for (auto [index, item] : llvm::enumerate(*table.targets()))
    target(*item, index);
  return module;
}

} // namespace

OwningOpRef<ModuleOp> readProgram(const moert::Program &program, MLIRContext *context) {
  return Reader(program, context).run();
}

} // namespace moe
