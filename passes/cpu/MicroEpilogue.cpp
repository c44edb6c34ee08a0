// Takes a group's ops apart around its contraction and builds them on the accumulators; see MicroEpilogue.h.
// The scalar bodies are the ops' own (Compute interface), built on vectors.
#include "passes/cpu/MicroEpilogue.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace moe::cpu {

SmallVector<flow::Extent> physicalStrides(Type type, const Layout &layout) {
  SmallVector<flow::Extent> extents = flow::extentsOf(type);
  SmallVector<flow::Extent> strides(extents.size());
  flow::Extent stride = flow::Extent::constant(type.getContext(), 1);
  for (size_t i = extents.size(); i-- > 0;) {
    size_t axis = layout.empty() ? i : size_t(layout[i]);
    strides[axis] = stride;
    stride = stride * extents[axis];
  }
  return strides;
}

Epilogue::AxisMap Epilogue::through(Operation *op, const AxisMap &map) {
  // The map of a view's operand from the map of its result.
  std::optional<SmallVector<int64_t>> axes = flow::axesOfView(op);
  if (!axes)
    return map;
  AxisMap inner;
  for (int64_t axis : *axes)
    inner.push_back(axis < 0 ? -1 : map[axis]);
  return inner;
}

EpilogueInput Epilogue::inputOf(BlockArgument argument, const AxisMap &map) const {
  unsigned rank = cast<RankedTensorType>(root->getResult(0).getType()).getRank();
  SmallVector<flow::Extent> strides(rank, flow::Extent::constant(argument.getContext(), 0));
  SmallVector<flow::Extent> own =
      physicalStrides(argument.getType(), layouts.operand(argument.getArgNumber()));
  for (auto [i, axis] : llvm::enumerate(map))
    if (axis >= 0)
      strides[axis] = own[i];
  return {argument.getArgNumber(), plan::elementOf(argument.getType()), strides};
}

unsigned Epilogue::inputIndex(BlockArgument argument, const AxisMap &map) const {
  EpilogueInput wanted = inputOf(argument, map);
  for (auto [i, input] : llvm::enumerate(allInputs))
    if (input.operand == wanted.operand && input.strides == wanted.strides)
      return i;
  return allInputs.size();
}

LogicalResult Epilogue::collect(Value value, const AxisMap &map, std::set<Place> &seen) {
  if (!seen.insert({value.getAsOpaquePointer(), {map.begin(), map.end()}}).second)
    return success();
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    if (plan::elementOf(argument.getType()) == plan::Element::i32)
      return emitError(group.getLoc())
             << "expected an epilogue over f32 and masks, found an operand of integers";
    if (inputIndex(argument, map) == allInputs.size())
      allInputs.push_back(inputOf(argument, map));
    return success();
  }
  Operation *op = value.getDefiningOp();
  if (op == root) {
    for (auto [i, axis] : llvm::enumerate(map))
      if (axis != int64_t(i))
        return op->emitError(
            "expected its result in place, found it broadcast or transposed in its own group");
    return success();
  }
  if (isa<flow::ConstantOp>(op))
    return success();
  if (!flow::axesOfView(op) && !op->hasTrait<flow::Elementwise>())
    return op->emitError("expected an elementwise op, copies along axes, a transpose or a constant after a "
                         "contraction in its group");
  AxisMap inner = through(op, map);
  for (Value operand : op->getOperands())
    if (failed(collect(operand, inner, seen)))
      return failure();
  return success();
}

FailureOr<Epilogue> Epilogue::of(flow::GroupOp group, Operation *root, const GroupLayouts &layouts) {
  Epilogue epilogue;
  epilogue.group = group;
  epilogue.root = root;
  epilogue.layouts = layouts;
  auto rootType = cast<RankedTensorType>(root->getResult(0).getType());
  std::set<Place> seen;
  AxisMap identity;
  for (int64_t i = 0; i < rootType.getRank(); ++i)
    identity.push_back(i);
  Operation *yield = group.getBody().front().getTerminator();
  for (auto [i, value] : llvm::enumerate(yield->getOperands())) {
    auto type = cast<RankedTensorType>(value.getType());
    if (flow::extentsOf(type) != flow::extentsOf(rootType))
      return root->emitError("expected results of its group to have its shape ")
             << rootType << ", found " << type;
    if (plan::elementOf(type) == plan::Element::i32)
      return root->emitError("expected results of its group to be f32 or masks, found ") << type;
    if (failed(epilogue.collect(value, identity, seen)))
      return failure();
    epilogue.allOutputs.push_back(
        {unsigned(i), plan::elementOf(type), physicalStrides(type, layouts.result(i))});
  }
  epilogue.identity = yield->getNumOperands() == 1 && yield->getOperand(0) == root->getResult(0);
  return epilogue;
}

bool Epilogue::isShort() const {
  constexpr int kFew = 4;
  flow::GroupOp owner = group;
  int count = 0;
  for (Operation &op : owner.getBody().front()) {
    if (&op == root || isa<flow::ConstantOp, flow::YieldOp>(op) || flow::axesOfView(&op))
      continue;
    auto compute = dyn_cast<flow::ComputeInterface>(op);
    if (!compute || compute.effort() > flow::Effort::simple)
      return false;
    ++count;
  }
  return count <= kFew;
}

int Epilogue::accumulator() const {
  for (auto [i, output] : llvm::enumerate(allOutputs))
    if (output.element == plan::Element::f32)
      return i;
  return -1;
}

Value Epilogue::build(MicroCode &code, Value value, const AxisMap &map, Value sums,
                      llvm::function_ref<Value(unsigned)> read, std::map<Place, Value> &known) const {
  if (value == root->getResult(0))
    return sums;
  Value &result = known[{value.getAsOpaquePointer(), std::vector<int64_t>(map.begin(), map.end())}];
  if (result)
    return result;
  if (auto argument = dyn_cast<BlockArgument>(value))
    return result = read(inputIndex(argument, map));
  Operation *op = value.getDefiningOp();
  if (auto constant = dyn_cast<flow::ConstantOp>(op)) {
    Type element = getElementTypeOrSelf(op->getResult(0).getType());
    auto type = VectorType::get({code.lanes}, element);
    double number = constant.getValue().convertToDouble();
    Attribute splat = element.isF32() ? Attribute(code.b.getF32FloatAttr(number))
                                      : Attribute(code.b.getIntegerAttr(element, int64_t(number)));
    return result = arith::ConstantOp::create(code.b, code.loc, DenseElementsAttr::get(type, splat));
  }
  AxisMap inner = through(op, map);
  Values operands;
  for (Value operand : op->getOperands())
    operands.push_back(build(code, operand, inner, sums, read, known));
  if (flow::axesOfView(op))
    return known[{value.getAsOpaquePointer(), std::vector<int64_t>(map.begin(), map.end())}] = operands[0];
  Value built = cast<flow::ComputeInterface>(op).buildScalar(code.b, code.loc, operands);
  return known[{value.getAsOpaquePointer(), std::vector<int64_t>(map.begin(), map.end())}] = built;
}

Values Epilogue::emit(MicroCode &code, Value sums, llvm::function_ref<Value(unsigned)> read) const {
  flow::GroupOp owner = group;
  AxisMap map;
  for (int64_t i = 0, rank = cast<RankedTensorType>(root->getResult(0).getType()).getRank(); i < rank; ++i)
    map.push_back(i);
  std::map<Place, Value> known;
  Values results;
  for (Value value : owner.getBody().front().getTerminator()->getOperands())
    results.push_back(build(code, value, map, sums, read, known));
  return results;
}

Values Epilogue::bind(KernelBuilder &kernel) const {
  flow::GroupOp owner = group;
  Values ports;
  for (const EpilogueInput &input : allInputs) {
    flow::Extent elements = flow::elementsOf(owner.getInputs()[input.operand].getType());
    BufferRef ref{BufferRef::operand, input.operand};
    ports.push_back(kernel.buffer(plan::Access::read, input.element, ref, plan::fromExtent(elements)));
  }
  for (const EpilogueOutput &output : allOutputs) {
    flow::Extent elements = flow::elementsOf(owner.getOutputs()[output.result].getType());
    BufferRef ref{BufferRef::result, output.result};
    ports.push_back(kernel.buffer(plan::Access::write, output.element, ref, plan::fromExtent(elements)));
  }
  return ports;
}

void Epilogue::store(MicroCode &code, ArrayRef<Value> ports, Value sums, Value mask,
                     llvm::function_ref<Ix(unsigned)> where, llvm::function_ref<Ix(unsigned)> stride) const {
  Values values = emit(code, sums, [&](unsigned i) -> Value {
    Ix step = stride(i);
    if (allInputs[i].element == plan::Element::u8)
      return code.loadMask(ports[i], where(i), step, mask);
    if (step.is(0))
      return code.splat(code.loadScalar(ports[i], where(i)));
    return code.loadStrided(ports[i], where(i), step, mask);
  });
  for (auto [i, value] : llvm::enumerate(values)) {
    unsigned port = allInputs.size() + i;
    if (allOutputs[i].element == plan::Element::u8)
      code.storeMask(value, ports[port], where(port), stride(port), mask);
    else
      code.storeStrided(value, ports[port], where(port), stride(port), mask);
  }
}

void Epilogue::storeAt(MicroCode &code, ArrayRef<Value> ports, Value sums, Value mask, ArrayRef<Ix> at,
                       unsigned laneAxis) const {
  auto where = [&](unsigned port) {
    Ix offset = 0;
    for (auto [index, stride] : llvm::zip_equal(at, strides(port)))
      offset = code.add(offset, code.mul(index, code.size(stride)));
    return offset;
  };
  store(code, ports, sums, mask, where, [&](unsigned port) { return code.size(strides(port)[laneAxis]); });
}

} // namespace moe::cpu
