// The rules by which an entry's values get buffers:
//   1. Each input, parameter and state has a buffer. The result of a reshape or an identity is in its
//      operand's buffer.
//   2. A group's result that is an output of the entry is written directly to the output's buffer. If this is
//      not possible (the value is an input, parameter or state, or is already written to another output or
//      state), planning adds a group that copies it.
//   3. A group's result that is assigned to a state is written directly over the old value if nothing reads
//      the old value afterwards: no later group, and the writing group only if its kernel works in place.
//      Otherwise the result is a temporary, which is copied to the state after all groups.
//   4. All other results are temporaries. A result reuses the buffer of an operand that no later group reads,
//      if size, type and layout are equal and the kernel works in place.
//   5. In an inference entry, launches that read only parameters and prepared buffers, and whose scalars are
//      constant, belong to `prepare`: they run only after parameters have changed.
//   6. A flow.expose is not an output of the entry, so a group that only flow.expose ops need is not run.
// A buffer is live from the first launch that touches it to the last.
#include "passes/planning/EntryPlanner.h"
#include "dialects/flow/Purpose.h"
#include "passes/kernels/Layouts.h"

using namespace mlir;

namespace moe {

static bool isIdentity(Operation *op) {
  return llvm::isa<flow::ReshapeOp>(op) || op->hasTrait<flow::Identity>();
}
static bool isBoundaryValue(Value value) {
  return llvm::isa<flow::InputOp, flow::ParameterOp, flow::StateOp>(value.getDefiningOp());
}

Value EntryPlanner::baseOf(Value value) const {
  while (isIdentity(value.getDefiningOp()))
    value = value.getDefiningOp()->getOperand(0);
  return value;
}

Value EntryPlanner::copy(Value value, Operation *before) {
  OpBuilder builder(entry.getContext());
  if (before)
    builder.setInsertionPoint(before);
  else
    builder.setInsertionPointToEnd(&entry.getBody().front());
  auto group = flow::GroupOp::create(builder, value.getLoc(), TypeRange(value.getType()), ValueRange(value));
  Block &block = group.getBody().emplaceBlock();
  Value inner = block.addArgument(value.getType(), value.getLoc());
  builder.setInsertionPointToStart(&block);
  Value same = flow::StopGradientOp::create(builder, value.getLoc(), value.getType(), inner);
  flow::YieldOp::create(builder, value.getLoc(), same);
  return group.getResult(0);
}

unsigned EntryPlanner::newBuffer(plan::BufferKind kind, StringRef target, Type type, StringRef name) {
  buffers.push_back({kind, target.str(), name.str(), plan::elementOf(type), plan::elementsOf(type)});
  return buffers.size() - 1;
}

unsigned EntryPlanner::boundaryBuffer(Value value) {
  auto found = bufferOf.find(value);
  if (found != bufferOf.end())
    return found->second;
  Operation *op = value.getDefiningOp();
  unsigned index;
  if (auto input = llvm::dyn_cast<flow::InputOp>(op)) {
    index = newBuffer(plan::BufferKind::input, input.getName(), value.getType(), "");
  } else {
    auto parameter = llvm::dyn_cast<flow::ParameterOp>(op);
    StringRef path = parameter ? parameter.getPath() : llvm::cast<flow::StateOp>(op).getPath();
    auto [place, added] = states.try_emplace(path, buffers.size());
    index = added ? newBuffer(plan::BufferKind::state, path, value.getType(), "") : place->second;
  }
  bufferOf[value] = index;
  return index;
}

// Collects the groups that outputs and assignments need. Every op of the entry must be a boundary op, an
// identity or a group.
LogicalResult EntryPlanner::collect() {
  llvm::DenseSet<Operation *> needed; // by outputs and assignments
  for (Operation &op : llvm::reverse(entry.getBody().front()))
    if (llvm::isa<flow::OutputOp, flow::AssignOp>(op) ||
        llvm::any_of(op.getUsers(), [&](Operation *user) { return needed.contains(user); }))
      needed.insert(&op);
  for (Operation &op : entry.getBody().front()) {
    if (llvm::isa<flow::InputOp, flow::ParameterOp, flow::StateOp, flow::OutputOp, flow::AssignOp,
                  flow::ExposeOp>(op) ||
        isIdentity(&op))
      continue;
    if (auto group = llvm::dyn_cast<flow::GroupOp>(op)) {
      if (needed.contains(&op)) {
        positions[&op] = positions.size();
        groups.push_back(group);
      }
      continue;
    }
    return op.emitOpError("expected to be inside a group when an entry is planned");
  }
  return success();
}

// Decides for each output and assignment which group's result is written directly to its buffer, and adds
// copies for the others (rules 2 and 3).
void EntryPlanner::assignDestinations() {
  auto settle = [&](Operation *op, Value value) {
    Value from = baseOf(value);
    bool direct = !isBoundaryValue(from) && !destination.count(from) && kernels::physicalLayout(from).empty();
    if (!direct) {
      Value copied = copy(value, nullptr);
      positions[copied.getDefiningOp()] = positions.size();
      groups.push_back(llvm::cast<flow::GroupOp>(copied.getDefiningOp()));
      op->setOperand(0, copied);
      from = copied;
    }
    destination[from] = op;
  };
  auto outputs = llvm::to_vector(entry.getBody().getOps<flow::OutputOp>());
  auto assigns = llvm::to_vector(entry.getBody().getOps<flow::AssignOp>());
  // A value that is both a result of the model and exposed is written directly to the result; the exposed
  // output gets the copy.
  for (bool exposed : {false, true})
    for (flow::OutputOp output : outputs)
      if (output.getExposed() == exposed)
        settle(output, output.getX());
  for (flow::AssignOp assign : assigns)
    settle(assign, assign.getX());
}

// Whether a result and an operand of the group may be in one buffer. A kernel states for each parameter that
// it writes at most one parameter that it may share a buffer with, and this holds for all launches of the
// kernel. If the answer is yes, the pairs of parameters are recorded in `sharing`.
bool EntryPlanner::tryShare(const kernels::GroupCode &code, unsigned result, unsigned operand) {
  if (!llvm::is_contained(code.inPlace, std::make_pair(result, operand)))
    return false;
  Sharing added;
  for (const kernels::LaunchSpec &spec : code.launches)
    for (auto [w, written] : llvm::enumerate(spec.buffers))
      for (auto [r, read] : llvm::enumerate(spec.buffers)) {
        if (written.kind != kernels::BufferRef::result || written.index != result)
          continue;
        if (read.kind != kernels::BufferRef::operand || read.index != operand)
          continue;
        for (const Sharing *known : {&sharing, &added}) {
          auto found = known->find({spec.symbol, unsigned(w)});
          if (found != known->end() && found->second != r)
            return false;
        }
        added[{spec.symbol, unsigned(w)}] = r;
      }
  sharing.merge(added);
  return true;
}

bool EntryPlanner::mayOverwriteState(flow::GroupOp group, unsigned result, unsigned state,
                                     const kernels::GroupCode &code) {
  for (auto &[value, buffer] : bufferOf)
    if (buffer == state && lastUse.lookup(value) > position(group))
      return false;
  std::optional<unsigned> reading;
  for (auto [i, operand] : llvm::enumerate(group.getInputs())) {
    auto found = bufferOf.find(baseOf(operand));
    if (found == bufferOf.end() || found->second != state)
      continue;
    if (reading)
      return false;
    reading = i;
  }
  return !reading || tryShare(code, result, *reading);
}

bool EntryPlanner::mayReuse(flow::GroupOp group, unsigned result, unsigned operand,
                            const kernels::GroupLayouts &layouts) const {
  Value from = baseOf(group.getInputs()[operand]), to = group.getResult(result);
  const Buffer &buffer = buffers[bufferOf.lookup(from)];
  if (buffer.kind != plan::BufferKind::temporary || buffer.occupant != from)
    return false;
  if (lastUse.lookup(from) != position(group) || destination.count(from))
    return false;
  if (buffer.element != plan::elementOf(to.getType()) || buffer.extent != plan::elementsOf(to.getType()))
    return false;
  if (layouts.operand(operand) != layouts.result(result))
    return false;
  for (auto [i, other] : llvm::enumerate(group.getInputs()))
    if (i != operand && baseOf(other) == from)
      return false;
  return true;
}

unsigned EntryPlanner::placeResult(flow::GroupOp group, unsigned result, const kernels::GroupCode &code,
                                   const kernels::GroupLayouts &layouts) {
  Value value = group.getResult(result);
  std::string name = plan::originOf(group.getLoc()).path;
  if (auto output = llvm::dyn_cast_or_null<flow::OutputOp>(destination.lookup(value)))
    return newBuffer(plan::BufferKind::output, output.getName(), value.getType(), "");
  if (auto assign = llvm::dyn_cast_or_null<flow::AssignOp>(destination.lookup(value))) {
    auto state = states.find(assign.getPath());
    if (state == states.end()) { // nothing reads the state
      unsigned index = newBuffer(plan::BufferKind::state, assign.getPath(), value.getType(), "");
      states[assign.getPath()] = index;
      return index;
    }
    if (mayOverwriteState(group, result, state->second, code))
      return state->second;
    Value copied = copy(value, nullptr);
    positions[copied.getDefiningOp()] = positions.size();
    lastUse[value] = position(copied.getDefiningOp());
    destination.erase(value);
    destination[copied] = assign;
    finalCopies.push_back(llvm::cast<flow::GroupOp>(copied.getDefiningOp()));
    return newBuffer(plan::BufferKind::temporary, "", value.getType(), name);
  }
  for (auto [written, read] : code.inPlace)
    if (written == result && mayReuse(group, result, read, layouts) && tryShare(code, result, read))
      return bufferOf.lookup(baseOf(group.getInputs()[read]));
  return newBuffer(plan::BufferKind::temporary, "", value.getType(), name);
}

// A group that only passes on its operand, or only makes one constant, needs no kernel: its result is copied or
// filled. Not where the result is a state: what changes states must be a kernel, which can be held back.
std::optional<kernels::GroupCode> EntryPlanner::transferOf(flow::GroupOp group,
                                                           const kernels::GroupLayouts &layouts) const {
  Block &body = group.getBody().front();
  Operation &op = body.front();
  if (group.getNumResults() != 1 || op.getNextNode() != body.getTerminator() ||
      llvm::isa_and_nonnull<flow::AssignOp>(destination.lookup(group.getResult(0))))
    return std::nullopt;
  MLIRContext *context = group.getContext();
  const Type type = group.getResult(0).getType();
  kernels::LaunchSpec launch;
  launch.buffers = {{kernels::BufferRef::result, 0}};
  launch.extents = {plan::elementsOf(type)};
  launch.flops = plan::constant(context, 0);
  launch.bytes = plan::fromExtent(flow::bytesOf(type));
  if (op.hasTrait<flow::Identity>() && op.getOperand(0) == body.getArgument(0) &&
      op.getOperand(0).getType() == type && layouts.operand(0) == layouts.result(0)) {
    launch.op = "copy";
    launch.buffers.push_back({kernels::BufferRef::operand, 0});
    launch.extents.push_back(launch.extents[0]);
    launch.bytes = plan::fromExtent(flow::bytesOf(type) * flow::Extent::constant(context, 2));
    launch.work = plan::CopyWorkAttr::get(context);
  } else if (auto constant = llvm::dyn_cast<flow::ConstantOp>(op)) {
    const double value = constant.getValue().convertToDouble();
    const bool isFloat = plan::elementOf(type) == plan::Element::f32;
    launch.op = "fill";
    launch.work = plan::FillWorkAttr::get(context, isFloat ? llvm::bit_cast<uint32_t>(float(value))
                                                           : uint32_t(int32_t(value)));
  } else {
    return std::nullopt;
  }
  kernels::GroupCode code;
  code.launches.push_back(std::move(launch));
  return code;
}

std::optional<plan::Part> EntryPlanner::partOf(flow::GroupOp group) const {
  if (!hasParts)
    return std::nullopt;
  if (updates.contains(group) || group.use_empty()) // a copy to a state has no users
    return plan::Part::update;
  return forward.contains(group) ? plan::Part::forward : plan::Part::backward;
}

LogicalResult EntryPlanner::planGroup(flow::GroupOp group) {
  kernels::GroupLayouts layouts;
  for (Value operand : group.getInputs())
    layouts.operands.push_back(kernels::physicalLayout(operand));
  for (Value result : group.getResults())
    layouts.results.push_back(kernels::physicalLayout(result));
  kernels::GroupCode groupCode;
  if (std::optional<kernels::GroupCode> transfer = transferOf(group, layouts)) {
    groupCode = std::move(*transfer);
  } else {
    const bool updates = code.holdsUpdates() && llvm::any_of(group.getResults(), [&](Value result) {
                           return llvm::isa_and_nonnull<flow::AssignOp>(destination.lookup(result));
                         });
    KnownGroups::Map &alike = updates ? known.updates : known.others;
    kernels::StructuralKey key(group, layouts);
    auto made = alike.find(key);
    if (made == alike.end()) {
      FailureOr<kernels::GroupCode> emitted =
          updates ? code.emitUpdate(group, layouts) : code.emit(group, layouts);
      if (failed(emitted))
        return failure();
      made = alike.emplace(std::move(key), std::move(*emitted)).first;
    }
    groupCode = made->second;
  }

  SmallVector<unsigned> operands, results, temporaries;
  for (Value operand : group.getInputs()) {
    Value from = baseOf(operand);
    operands.push_back(isBoundaryValue(from) ? boundaryBuffer(from) : bufferOf.lookup(from));
  }
  for (unsigned i = 0; i < group.getNumResults(); ++i) {
    results.push_back(placeResult(group, i, groupCode, layouts));
    bufferOf[group.getResult(i)] = results.back();
    buffers[results.back()].occupant = group.getResult(i);
  }
  plan::Origin origin = plan::originOf(group.getLoc());
  for (const kernels::Temporary &temporary : groupCode.temporaries) {
    temporaries.push_back(buffers.size());
    buffers.push_back({plan::BufferKind::temporary, "", temporary.name, temporary.element, temporary.extent});
  }
  for (const kernels::LaunchSpec &spec : groupCode.launches) {
    Launch launch;
    launch.origin = origin;
    launch.part = partOf(group);
    for (kernels::BufferRef ref : spec.buffers)
      launch.buffers.push_back(ref.kind == kernels::BufferRef::operand  ? operands[ref.index]
                               : ref.kind == kernels::BufferRef::result ? results[ref.index]
                                                                        : temporaries[ref.index]);
    launch.spec = spec;
    launches.push_back(std::move(launch));
  }
  return success();
}

// Where kernels ask for themselves whether updates are held back, a step ends with a launch that tells those of later
// steps, after it has left out an update.
void EntryPlanner::holdUpdates() {
  llvm::SetVector<StringAttr> predicates;
  for (flow::AssignOp assign : entry.getBody().getOps<flow::AssignOp>())
    if (StringAttr when = assign.getWhenAttr())
      predicates.insert(when);
  if (predicates.empty() || !code.holdsUpdates())
    return;
  Launch launch;
  launch.spec = code.emitHold(entry.getContext(), predicates.size());
  for (StringAttr predicate : predicates) {
    auto found = llvm::find_if(buffers, [&](const Buffer &buffer) {
      return buffer.kind == plan::BufferKind::output && buffer.target == predicate.getValue();
    });
    assert(found != buffers.end() && "the entry's verifier asks for the predicate's output");
    launch.buffers.push_back(found - buffers.begin());
  }
  launch.origin = plan::originOf(entry.getLoc());
  if (hasParts)
    launch.part = plan::Part::update;
  launches.push_back(std::move(launch));
}

// Decides which launches belong to `prepare` (rule 5), puts these first, and computes the buffers' lifetimes.
void EntryPlanner::order() {
  llvm::StringMap<const kernels::Kernel *> byName;
  for (const kernels::Kernel &kernel : code.kernels())
    byName[kernel.symbol] = &kernel;
  auto writes = [&](const Launch &launch, unsigned i) {
    return launch.spec.symbol.empty() ? i == 0 // of a copy or fill
                                      : byName[launch.spec.symbol]->params[i].first != plan::Access::read;
  };
  bool infer = entry.getKind() == flow::EntryKind::infer;
  SmallVector<unsigned> writers(buffers.size()); // how many launches write each buffer
  for (const Launch &launch : launches)
    for (auto [i, buffer] : llvm::enumerate(launch.buffers))
      writers[buffer] += writes(launch, i);
  for (Launch &launch : launches) {
    launch.prepare = infer;
    for (auto [i, index] : llvm::enumerate(launch.buffers)) {
      const Buffer &buffer = buffers[index];
      bool fixed = buffer.kind == plan::BufferKind::state || buffer.prepared;
      bool own = buffer.kind == plan::BufferKind::temporary && writers[index] == 1 &&
                 plan::constantValue(buffer.extent);
      launch.prepare &= writes(launch, i) ? own : fixed;
    }
    for (plan::ArgAttr arg : launch.spec.scalars)
      launch.prepare &= arg.getKind() == plan::ArgKind::constant_i64 ||
                        arg.getKind() == plan::ArgKind::constant_f32 ||
                        (arg.getKind() == plan::ArgKind::extent &&
                         plan::constantValue(llvm::cast<plan::ExprAttr>(arg.getValue())));
    if (launch.prepare)
      for (auto [i, index] : llvm::enumerate(launch.buffers))
        if (writes(launch, i))
          buffers[index].prepared = true;
  }
  std::vector<Launch> ordered;
  for (bool prepare : {true, false})
    for (Launch &launch : launches)
      if (launch.prepare == prepare)
        ordered.push_back(std::move(launch));
  launches = std::move(ordered);
  int64_t prepares = llvm::count_if(launches, [](const Launch &launch) { return launch.prepare; });
  for (auto [number, launch] : llvm::enumerate(launches))
    for (unsigned index : launch.buffers) {
      if (buffers[index].first < 0)
        buffers[index].first = number;
      buffers[index].last = number;
    }
  for (Buffer &buffer : buffers)
    if (buffer.first >= 0 && buffer.first < prepares && buffer.last >= prepares)
      buffer.last = launches.size() - 1;
}

LogicalResult EntryPlanner::plan() {
  if (failed(collect()))
    return failure();
  assignDestinations();
  Block &block = entry.getBody().front();
  hasParts = llvm::any_of(block, [](Operation &op) { return flow::markedPart(&op).has_value(); });
  if (hasParts) {
    forward = flow::forwardOps(block);
    updates = flow::opsLeadingTo<flow::AssignOp>(block);
  }
  for (flow::GroupOp group : groups)
    for (Value operand : group.getInputs()) {
      Value from = baseOf(operand);
      lastUse[from] = std::max(lastUse.lookup(from), position(group));
      if (isBoundaryValue(from))
        boundaryBuffer(from);
    }
  for (flow::GroupOp group : groups)
    if (failed(planGroup(group)))
      return failure();
  for (size_t i = 0; i < finalCopies.size(); ++i)
    if (failed(planGroup(finalCopies[i])))
      return failure();
  holdUpdates();
  order();
  return success();
}

void EntryPlanner::build(OpBuilder &builder) {
  OpBuilder::InsertionGuard guard(builder);
  MLIRContext *context = builder.getContext();
  auto op = plan::PlanOp::create(builder, entry.getLoc(), builder.getStringAttr(entry.getSymName()));
  builder.setInsertionPointToStart(&op.getBody().emplaceBlock());
  SmallVector<Value> values(buffers.size());
  for (auto [i, buffer] : llvm::enumerate(buffers)) {
    if (buffer.first < 0)
      continue; // nothing touches it
    bool temporary = buffer.kind == plan::BufferKind::temporary;
    values[i] = plan::BufferOp::create(
        builder, entry.getLoc(), plan::BufferType::get(context),
        plan::BufferKindAttr::get(context, buffer.kind),
        temporary ? StringAttr() : builder.getStringAttr(buffer.target),
        plan::ElementAttr::get(context, buffer.element), buffer.extent, builder.getI32IntegerAttr(64),
        temporary ? builder.getDenseI64ArrayAttr({buffer.first, buffer.last}) : DenseI64ArrayAttr(),
        buffer.name.empty() ? StringAttr() : builder.getStringAttr(buffer.name));
  }
  for (const Launch &launch : launches) {
    SmallVector<Value> touched;
    for (unsigned buffer : launch.buffers)
      touched.push_back(values[buffer]);
    SmallVector<Attribute> extents(launch.spec.extents.begin(), launch.spec.extents.end());
    SmallVector<Attribute> scalars(launch.spec.scalars.begin(), launch.spec.scalars.end());
    plan::LaunchOp::create(
        builder, entry.getLoc(), launch.prepare ? builder.getUnitAttr() : UnitAttr(),
        launch.spec.symbol.empty() ? FlatSymbolRefAttr()
                                   : FlatSymbolRefAttr::get(context, launch.spec.symbol),
        touched, builder.getArrayAttr(extents), builder.getArrayAttr(scalars), launch.spec.work,
        builder.getStringAttr(launch.spec.op), builder.getStringAttr(launch.origin.path),
        builder.getStringAttr(launch.origin.file), builder.getI32IntegerAttr(launch.origin.line),
        launch.spec.flops, launch.spec.bytes,
        launch.part ? plan::PartAttr::get(context, *launch.part) : plan::PartAttr());
  }
}

} // namespace moe
