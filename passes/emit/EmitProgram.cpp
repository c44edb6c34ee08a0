// Writes a plan as a program file. Every vector has the order of the ops, and each distinct size is stored
// once, in the order of first use. Nothing else determines the bytes: no time, no path of the compiler, no
// order of a hash table.
#include "passes/emit/EmitProgram.h"
#include "dialects/plan/Expr.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "runtime/program/Program.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
namespace fb = moe::fb;

namespace moe {

// The dialect's enumerations are cast to the schema's, so both must have the same values. The last ones are
// compared.
static_assert(int(plan::Element::bf16) == int(fb::ElementType::bf16));
static_assert(int(plan::StateKind::average) == int(fb::StateKind::average));
static_assert(int(plan::InitKind::trunc_normal) == int(fb::InitKind::trunc_normal));
static_assert(int(plan::ScalarKind::progress) == int(fb::ScalarKind::progress));
static_assert(int(plan::EntryKind::infer) == int(fb::EntryKind::infer));
static_assert(int(plan::Access::write) == int(fb::Access::write));
static_assert(int(plan::BufferKind::temporary) == int(fb::BufferKind::temporary));
static_assert(int(plan::ArgKind::held_i64) == int(fb::ArgKind::held_i64));
static_assert(int(plan::Part::update) == int(fb::Part::update));
static_assert(int(plan::ScalarParam::cell) == int(fb::ScalarParam::cell));
static_assert(int(plan::Code::ceildiv) == int(fb::ExprCode::ceildiv));
static_assert(int(plan::TargetKind::emulator) == int(fb::TargetKind::emulator));

Attribute bytesAttr(MLIRContext *context, StringRef name, ArrayRef<char> bytes) {
  auto type = RankedTensorType::get({static_cast<int64_t>(bytes.size())}, IntegerType::get(context, 8));
  return DenseI8ResourceElementsAttr::get(type, name,
                                          HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes, 64));
}

std::optional<ArrayRef<char>> bytesOf(Attribute attribute) {
  auto resource = llvm::dyn_cast_or_null<DenseResourceElementsAttr>(attribute);
  AsmResourceBlob *blob = resource ? resource.getRawHandle().getBlob() : nullptr;
  if (!blob)
    return std::nullopt;
  return blob->getData();
}

namespace {

class Emitter {
public:
  FailureOr<std::vector<uint8_t>> run(plan::ProgramOp program);

private:
  using Text = flatbuffers::Offset<flatbuffers::String>;
  Text text(StringRef value) { return builder.CreateSharedString(value.data(), value.size()); }
  Text text(std::optional<StringRef> value) { return value ? text(*value) : Text(); }
  uint32_t expr(plan::ExprAttr expr) { return exprs.insert({expr, exprs.size()}).first->second; }

  flatbuffers::Offset<fb::State> state(plan::StateOp op);
  flatbuffers::Offset<fb::Port> port(plan::PortAttr port);
  FailureOr<flatbuffers::Offset<fb::Entry>> entry(plan::EntryOp op);
  flatbuffers::Offset<fb::Kernel> kernel(plan::KernelOp op);
  FailureOr<flatbuffers::Offset<fb::Buffer>> buffer(plan::BufferOp op, plan::EntryOp entry);
  FailureOr<flatbuffers::Offset<fb::Launch>> launch(plan::LaunchOp op,
                                                    const llvm::DenseMap<Value, uint32_t> &buffers);
  FailureOr<flatbuffers::Offset<fb::Plan>> plan(plan::PlanOp op);
  FailureOr<flatbuffers::Offset<fb::Target>> target(plan::TargetOp op);
  std::pair<fb::Work, flatbuffers::Offset<void>> work(plan::LaunchOp op);
  FailureOr<uint32_t> section(plan::TargetOp op);

  flatbuffers::FlatBufferBuilder builder{1 << 16};
  llvm::MapVector<plan::ExprAttr, uint32_t> exprs;
  llvm::StringMap<uint32_t> states, scalars;
  SmallVector<plan::EntryOp> entries;
  llvm::DenseMap<StringAttr, uint32_t> kernels; // of the target being written
  std::vector<moert::Section> sections;
};

flatbuffers::Offset<fb::State> Emitter::state(plan::StateOp op) {
  plan::InitAttr rule = op.getInit();
  auto init = fb::CreateInit(builder, static_cast<fb::InitKind>(rule.getKind()),
                             rule.getA().convertToDouble(), rule.getB().convertToDouble(), rule.getStream());
  auto shape = builder.CreateVector(op.getShape().data(), op.getShape().size());
  Text path = text(op.getPath()), of = text(op.getOf());
  return fb::CreateState(builder, path, static_cast<fb::StateKind>(op.getKind()),
                         static_cast<fb::ElementType>(op.getElement()), shape, init, of);
}

flatbuffers::Offset<fb::Port> Emitter::port(plan::PortAttr port) {
  std::vector<uint32_t> shape;
  for (plan::ExprAttr extent : port.getShape())
    shape.push_back(expr(extent));
  Text name = text(port.getName().getValue());
  return fb::CreatePort(builder, name, static_cast<fb::ElementType>(port.getElement()),
                        builder.CreateVector(shape), port.getExposed());
}

FailureOr<flatbuffers::Offset<fb::Entry>> Emitter::entry(plan::EntryOp op) {
  std::vector<flatbuffers::Offset<fb::Port>> inputs, outputs;
  for (auto item : op.getInputs().getAsRange<plan::PortAttr>())
    inputs.push_back(port(item));
  for (auto item : op.getOutputs().getAsRange<plan::PortAttr>())
    outputs.push_back(port(item));
  std::vector<flatbuffers::Offset<fb::Saved>> saved;
  for (auto item : op.getSaved().getAsRange<plan::SavedAttr>()) {
    Text name = text(item.getName().getValue()), reason = text(item.getReason().getValue());
    saved.push_back(fb::CreateSaved(builder, name, expr(item.getBytes()), reason));
  }
  std::vector<flatbuffers::Offset<fb::Update>> updates;
  for (auto item : op.getUpdates().getAsRange<plan::UpdateAttr>()) {
    auto isPredicate = [&](plan::PortAttr port) { return port.getName() == item.getPredicate(); };
    auto ports = op.getOutputs().getAsRange<plan::PortAttr>();
    auto predicate = llvm::find_if(ports, isPredicate);
    if (predicate == ports.end())
      return op.emitError("expected an update's predicate among the entry's outputs, found '")
             << item.getPredicate().getValue() << "'";
    std::vector<uint32_t> changed;
    for (StringAttr path : item.getStates()) {
      auto state = states.find(path.getValue());
      if (state == states.end())
        return op.emitError("expected an update of states of the program, found '") << path.getValue() << "'";
      changed.push_back(state->second);
    }
    updates.push_back(
        fb::CreateUpdate(builder, std::distance(ports.begin(), predicate), builder.CreateVector(changed)));
  }
  std::vector<flatbuffers::Offset<fb::Capacity>> capacities;
  for (auto item : op.getCapacities().getAsRange<plan::CapacityAttr>()) {
    Text routing = text(item.getRouting().getValue());
    capacities.push_back(fb::CreateCapacity(builder, routing, expr(item.getRows()), item.getExperts(),
                                            item.getTop(), item.getFactor().convertToDouble(),
                                            item.getAlignment()));
  }
  Text name = text(op.getName()), objective = text(op.getObjective());
  auto in = builder.CreateVector(inputs), out = builder.CreateVector(outputs);
  auto kept = builder.CreateVector(saved);
  auto changed = builder.CreateVector(updates);
  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fb::Capacity>>> limits;
  if (!capacities.empty())
    limits = builder.CreateVector(capacities);
  return fb::CreateEntry(builder, name, static_cast<fb::EntryKind>(op.getKind()), in, out, objective,
                         op.getFlopsPerImage().convertToDouble(), kept, changed, limits);
}

flatbuffers::Offset<fb::Kernel> Emitter::kernel(plan::KernelOp op) {
  std::vector<flatbuffers::Offset<fb::KernelParam>> params;
  for (auto param : op.getParams().getAsRange<plan::ParamAttr>())
    params.push_back(fb::CreateKernelParam(builder, static_cast<fb::Access>(param.getAccess()),
                                           static_cast<fb::ElementType>(param.getElement()),
                                           param.getOver()));
  std::vector<fb::ScalarParam> scalarParams;
  for (auto param : op.getScalars().getAsRange<plan::ScalarParamAttr>())
    scalarParams.push_back(static_cast<fb::ScalarParam>(param.getValue()));
  Text symbol = text(op.getSymName()), kind = text(op.getKind());
  auto p = builder.CreateVector(params);
  return fb::CreateKernel(builder, symbol, p, builder.CreateVector(scalarParams), op.getScratch(), kind,
                          op.getThreads());
}

FailureOr<flatbuffers::Offset<fb::Buffer>> Emitter::buffer(plan::BufferOp op, plan::EntryOp entry) {
  uint32_t index = 0;
  auto portIndex = [&](ArrayAttr ports) -> LogicalResult {
    for (auto [i, port] : llvm::enumerate(ports.getAsRange<plan::PortAttr>()))
      if (port.getName() == op.getTargetAttr()) {
        index = i;
        return success();
      }
    return op.emitOpError("expected an input or output of entry '")
           << entry.getName() << "', found '" << *op.getTarget() << "'";
  };
  if (op.getKind() == plan::BufferKind::state) {
    auto found = states.find(*op.getTarget());
    if (found == states.end())
      return op.emitOpError("expected a state of the program, found '") << *op.getTarget() << "'";
    index = found->second;
  } else if (op.getKind() == plan::BufferKind::input) {
    if (failed(portIndex(entry.getInputs())))
      return failure();
  } else if (op.getKind() == plan::BufferKind::output) {
    if (failed(portIndex(entry.getOutputs())))
      return failure();
  }
  uint32_t first = 0, last = 0;
  if (op.getLive())
    first = (*op.getLive())[0], last = (*op.getLive())[1];
  uint32_t extent = expr(op.getExtent());
  Text name = text(op.getName());
  return fb::CreateBuffer(builder, static_cast<fb::BufferKind>(op.getKind()), index,
                          static_cast<fb::ElementType>(op.getElement()), extent, op.getAlignment(), first,
                          last, name);
}

std::pair<fb::Work, flatbuffers::Offset<void>> Emitter::work(plan::LaunchOp op) {
  const uint32_t kernel = op.getKernel() ? kernels.lookup(op.getKernelAttr().getAttr()) : 0;
  if (auto cpu = llvm::dyn_cast<plan::CpuWorkAttr>(op.getWork()))
    return {fb::Work::CpuKernel,
            fb::CreateCpuKernel(builder, kernel, expr(cpu.getUnits()), cpu.getGrain()).Union()};
  if (auto gpu = llvm::dyn_cast<plan::GpuWorkAttr>(op.getWork())) {
    auto sizes = [&](ArrayRef<plan::ExprAttr> each) {
      std::vector<uint32_t> out;
      for (plan::ExprAttr size : each)
        out.push_back(expr(size));
      return builder.CreateVector(out);
    };
    auto grid = sizes(gpu.getGrid()), block = sizes(gpu.getBlock());
    return {fb::Work::GpuKernel,
            fb::CreateGpuKernel(builder, kernel, grid, block, expr(gpu.getShared())).Union()};
  }
  if (auto fill = llvm::dyn_cast<plan::FillWorkAttr>(op.getWork()))
    return {fb::Work::Fill, fb::CreateFill(builder, fill.getBits()).Union()};
  return {fb::Work::Copy, fb::CreateCopy(builder).Union()};
}

FailureOr<flatbuffers::Offset<fb::Launch>> Emitter::launch(plan::LaunchOp op,
                                                           const llvm::DenseMap<Value, uint32_t> &buffers) {
  std::vector<uint32_t> touched, extents;
  for (Value buffer : op.getBuffers())
    touched.push_back(buffers.lookup(buffer));
  for (auto extent : op.getExtents().getAsRange<plan::ExprAttr>())
    extents.push_back(expr(extent));
  std::vector<fb::Arg> args;
  for (auto arg : op.getScalars().getAsRange<plan::ArgAttr>()) {
    int64_t value = 0;
    if (auto integer = llvm::dyn_cast_or_null<IntegerAttr>(arg.getValue())) {
      value = integer.getInt();
    } else if (auto number = llvm::dyn_cast_or_null<FloatAttr>(arg.getValue())) {
      value = number.getValue().bitcastToAPInt().getZExtValue();
    } else if (auto extent = llvm::dyn_cast_or_null<plan::ExprAttr>(arg.getValue())) {
      value = expr(extent);
    } else if (auto key = llvm::dyn_cast_or_null<StringAttr>(arg.getValue())) {
      auto found = scalars.find(key.getValue());
      if (found == scalars.end())
        return op.emitOpError("expected a scalar of the program, found ") << key;
      value = found->second;
    }
    args.push_back(fb::Arg(static_cast<fb::ArgKind>(arg.getKind()), value));
  }
  auto [kind, does] = work(op);
  uint32_t flops = expr(op.getFlops()), bytes = expr(op.getBytes());
  Text name = text(op.getOp()), path = text(op.getPath()), file = text(op.getFile());
  auto bufferVector = builder.CreateVector(touched), extentVector = builder.CreateVector(extents);
  auto argVector = builder.CreateVectorOfStructs(args);
  flatbuffers::Optional<fb::Part> part;
  if (std::optional<plan::Part> of = op.getPart())
    part = static_cast<fb::Part>(*of);
  return fb::CreateLaunch(builder, kind, does, bufferVector, extentVector, argVector, name, path, file,
                          op.getLine(), flops, bytes, part);
}

FailureOr<flatbuffers::Offset<fb::Plan>> Emitter::plan(plan::PlanOp op) {
  auto entry = llvm::find_if(entries, [&](plan::EntryOp entry) { return entry.getName() == op.getEntry(); });
  if (entry == entries.end())
    return op.emitOpError("expected an entry of the program, found '") << op.getEntry() << "'";
  std::vector<flatbuffers::Offset<fb::Buffer>> buffers;
  std::vector<flatbuffers::Offset<fb::Launch>> prepare, step;
  llvm::DenseMap<Value, uint32_t> indices;
  for (Operation &inner : op.getBody().front()) {
    if (auto item = llvm::dyn_cast<plan::BufferOp>(inner)) {
      indices[item.getBuffer()] = buffers.size();
      auto made = buffer(item, *entry);
      if (failed(made))
        return failure();
      buffers.push_back(*made);
    } else if (auto item = llvm::dyn_cast<plan::LaunchOp>(inner)) {
      auto made = launch(item, indices);
      if (failed(made))
        return failure();
      (item.getPrepare() ? prepare : step).push_back(*made);
    } else {
      return inner.emitOpError("expected only buffers and launches in a plan");
    }
  }
  auto b = builder.CreateVector(buffers);
  auto p = builder.CreateVector(prepare), s = builder.CreateVector(step);
  return fb::CreatePlan(builder, entry - entries.begin(), b, p, s);
}

FailureOr<uint32_t> Emitter::section(plan::TargetOp op) {
  std::optional<ArrayRef<char>> data = bytesOf(op.getCodeAttr());
  if (!data || data->empty())
    return op->emitOpError("expected code as a resource with at least one byte");
  sections.push_back({moert::sectionOf(static_cast<fb::TargetKind>(op.getKind())),
                      {reinterpret_cast<const uint8_t *>(data->data()), data->size()}});
  return static_cast<uint32_t>(sections.size());
}

FailureOr<flatbuffers::Offset<fb::Target>> Emitter::target(plan::TargetOp op) {
  kernels.clear();
  std::vector<flatbuffers::Offset<fb::Kernel>> kernelList;
  std::vector<flatbuffers::Offset<fb::Plan>> plans;
  for (auto item : op.getBody().getOps<plan::KernelOp>()) {
    kernels[item.getSymNameAttr()] = kernelList.size();
    kernelList.push_back(kernel(item));
  }
  for (auto item : op.getBody().getOps<plan::PlanOp>()) {
    auto made = plan(item);
    if (failed(made))
      return failure();
    plans.push_back(*made);
  }
  FailureOr<uint32_t> code = section(op);
  if (failed(code))
    return failure();
  std::vector<Text> features;
  for (auto feature : op.getFeatures().getAsRange<StringAttr>())
    features.push_back(text(feature.getValue()));
  Text name = text(op.getName()), level = text(op.getLevel());
  auto f = builder.CreateVector(features);
  auto p = builder.CreateVector(plans);
  return fb::CreateTarget(builder, static_cast<fb::TargetKind>(op.getKind()), name, level, f,
                          op.getMostElements(), builder.CreateVector(kernelList), p, *code);
}

FailureOr<std::vector<uint8_t>> Emitter::run(plan::ProgramOp program) {
  std::vector<flatbuffers::Offset<fb::State>> stateList;
  std::vector<flatbuffers::Offset<fb::Scalar>> scalarList;
  std::vector<flatbuffers::Offset<fb::Entry>> entryList;
  std::vector<flatbuffers::Offset<fb::Target>> targetList;
  for (auto op : program.getBody().getOps<plan::StateOp>()) {
    if (!states.insert({op.getPath(), stateList.size()}).second)
      return op.emitOpError("expected a path used once, found '") << op.getPath() << "' again";
    stateList.push_back(state(op));
  }
  for (auto op : program.getBody().getOps<plan::ScalarOp>()) {
    if (!scalars.insert({op.getKey(), scalarList.size()}).second)
      return op.emitOpError("expected a key used once, found '") << op.getKey() << "' again";
    Text key = text(op.getKey());
    scalarList.push_back(fb::CreateScalar(builder, key, static_cast<fb::ScalarKind>(op.getKind()),
                                          op.getFallback().convertToDouble()));
  }
  for (auto op : program.getBody().getOps<plan::EntryOp>()) {
    entries.push_back(op);
    auto built = entry(op);
    if (failed(built))
      return failure();
    entryList.push_back(*built);
  }
  for (auto op : program.getBody().getOps<plan::TargetOp>()) {
    auto made = target(op);
    if (failed(made))
      return failure();
    targetList.push_back(*made);
  }
  std::vector<flatbuffers::Offset<fb::KeyValue>> config;
  for (NamedAttribute choice : program.getConfig()) {
    auto value = llvm::dyn_cast<StringAttr>(choice.getValue());
    if (!value)
      return program.emitOpError("expected a string as config '") << choice.getName().getValue() << "'";
    Text key = text(choice.getName().getValue()), shown = text(value.getValue());
    config.push_back(fb::CreateKeyValue(builder, key, shown));
  }
  std::vector<flatbuffers::Offset<fb::Expr>> exprList;
  for (auto &[attribute, index] : exprs) {
    std::vector<fb::ExprOp> steps;
    ArrayRef<int64_t> flat = attribute.getSteps();
    for (size_t i = 0; i + 1 < flat.size(); i += 2)
      steps.push_back(fb::ExprOp(static_cast<fb::ExprCode>(flat[i]), flat[i + 1]));
    exprList.push_back(fb::CreateExpr(builder, builder.CreateVectorOfStructs(steps)));
  }
  Text name = text(program.getName()), optimizer = text(program.getOptimizer()),
       compiler = text(program.getCompiler());
  auto e = builder.CreateVector(exprList);
  auto sc = builder.CreateVector(scalarList);
  auto st = builder.CreateVector(stateList);
  auto en = builder.CreateVector(entryList);
  auto ta = builder.CreateVector(targetList);
  auto co = builder.CreateVector(config);
  std::vector<Text> symbols;
  for (StringRef symbol : plan::symbolNames)
    symbols.push_back(text(symbol));
  auto sy = builder.CreateVector(symbols);
  builder.Finish(fb::CreateProgram(builder, name, sy, e, sc, st, en, ta, optimizer, co, compiler),
                 fb::ProgramIdentifier());
  return moert::encodeProgram({builder.GetBufferPointer(), builder.GetSize()}, sections);
}

} // namespace

FailureOr<std::vector<uint8_t>> emitProgram(plan::ProgramOp program) { return Emitter().run(program); }

} // namespace moe
