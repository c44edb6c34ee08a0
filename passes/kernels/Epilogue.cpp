// Turns the ops of a group around its root into steps; see Epilogue.h.
#include "passes/kernels/Epilogue.h"
#include "dialects/plan/FromFlow.h"

using namespace mlir;

namespace moe::kernels {

unsigned Epilogue::inputIndex(BlockArgument argument, const AxisMap &map,
                              std::optional<EpilogueInput::Lookup> lookup) {
  unsigned rank = cast<RankedTensorType>(root->getResult(0).getType()).getRank();
  SmallVector<flow::Extent> strides(rank, flow::Extent::constant(argument.getContext(), 0));
  SmallVector<flow::Extent> own =
      physicalStrides(argument.getType(), layouts.operand(argument.getArgNumber()));
  for (auto [i, axis] : llvm::enumerate(map))
    if (axis >= 0)
      strides[axis] = own[i];
  for (auto [i, input] : llvm::enumerate(allInputs))
    if (input.operand == argument.getArgNumber() && input.strides == strides && !input.draw &&
        input.lookup.has_value() == lookup.has_value() && (!lookup || input.lookup->index == lookup->index))
      return i;
  allInputs.push_back({argument.getArgNumber(), plan::elementOf(argument.getType()), strides, lookup});
  return allInputs.size() - 1;
}

/// The input that is a table's row for each row of the result.
FailureOr<unsigned> Epilogue::lookupIndex(flow::GatherOp gather, const AxisMap &map) {
  auto table = dyn_cast<BlockArgument>(gather.getTable()), index = dyn_cast<BlockArgument>(gather.getIndex());
  auto product = cast<flow::GroupedContractOp>(root);
  // Vectors lie along other axes than the rows, so that all lanes have one index.
  const bool byRow = cast<RankedTensorType>(gather.getIndex().getType()).getRank() == 1 && map.front() >= 0 &&
                     product.getOutAxes()[map.front()] == int64_t(product.getRow());
  if (!table || !index || !byRow || plan::elementOf(table.getType()) != plan::Element::f32)
    return gather.emitError(
        "expected a lookup of an operand's rows by an operand with an index for each row, "
        "after a grouped contraction in its group");
  EpilogueInput::Lookup lookup{
      inputIndex(index, {map.front()}), flow::Extent::of(table, 0),
      physicalStrides(table.getType(), layouts.operand(table.getArgNumber())).front()};
  AxisMap within(map);
  within.front() = -1;
  return inputIndex(table, within, lookup);
}

/// The input that is random numbers whose rows have an index.
FailureOr<unsigned> Epilogue::drawIndex(flow::RandomOp random, const AxisMap &map) {
  auto index = dyn_cast_if_present<BlockArgument>(random.getIndex());
  auto product = dyn_cast<flow::GroupedContractOp>(root);
  const bool inPlace =
      llvm::all_of(llvm::enumerate(map), [](auto axis) { return axis.value() == int64_t(axis.index()); });
  if (!index || !product || !inPlace || random.getKind() != flow::RandomKind::uniform ||
      cast<RankedTensorType>(index.getType()).getRank() != 1 ||
      product.getOutAxes().front() != int64_t(product.getRow()))
    return random.emitError(
        "expected uniform numbers with an index for each row, after a grouped contraction in "
        "its group");
  const flow::Extent zero = flow::Extent::constant(random.getContext(), 0);
  SmallVector<flow::Extent> extents = flow::extentsOf(random.getY()), strides(extents.size(), zero);
  flow::Extent behind = flow::Extent::constant(random.getContext(), 1);
  for (size_t axis = extents.size(); axis-- > 1;) {
    strides[axis] = behind;
    behind = behind * extents[axis];
  }
  EpilogueInput::Draw draw{inputIndex(index, {0}), int64_t(random.getStream()), behind};
  allInputs.push_back({index.getArgNumber(), plan::Element::i32, strides, {}, draw});
  return allInputs.size() - 1;
}

FailureOr<unsigned> Epilogue::stepOf(Value value, const AxisMap &map, std::map<Place, unsigned> &known) {
  const Place place{value.getAsOpaquePointer(), {map.begin(), map.end()}};
  if (auto found = known.find(place); found != known.end())
    return found->second;
  auto add = [&](EpilogueStep step) {
    allSteps.push_back(std::move(step));
    return known[place] = allSteps.size() - 1;
  };
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    if (plan::elementOf(argument.getType()) == plan::Element::i32)
      return emitError(group.getLoc())
             << "expected an epilogue over f32 and masks, found an operand of integers";
    return add({EpilogueStep::input, nullptr, inputIndex(argument, map)});
  }
  Operation *op = value.getDefiningOp();
  if (op == root) {
    for (auto [i, axis] : llvm::enumerate(map))
      if (axis != int64_t(i))
        return op->emitError(
            "expected its result in place, found it broadcast or transposed in its own group");
    return add({EpilogueStep::root, op});
  }
  if (auto number = dyn_cast<flow::NumberInterface>(op); number && number.number().value)
    return add({EpilogueStep::constant, op});
  if (std::optional<SmallVector<int64_t>> axes = flow::axesOfView(op)) {
    // The operand's axis map follows from the result's.
    AxisMap inner;
    for (int64_t axis : *axes)
      inner.push_back(axis < 0 ? -1 : map[axis]);
    FailureOr<unsigned> viewed = stepOf(op->getOperand(0), inner, known);
    if (succeeded(viewed))
      known[place] = *viewed;
    return viewed;
  }
  if (auto gather = dyn_cast<flow::GatherOp>(op); gather && isa<flow::GroupedContractOp>(root)) {
    FailureOr<unsigned> input = lookupIndex(gather, map);
    if (failed(input))
      return failure();
    return add({EpilogueStep::input, nullptr, *input});
  }
  if (auto random = dyn_cast<flow::RandomOp>(op)) {
    FailureOr<unsigned> input = drawIndex(random, map);
    if (failed(input))
      return failure();
    return add({EpilogueStep::input, nullptr, *input});
  }
  if (!op->hasTrait<flow::Elementwise>())
    return op->emitError("expected an elementwise op, copies along axes, a transpose or a constant after a "
                         "contraction in its group");
  EpilogueStep step{EpilogueStep::compute, op};
  for (Value operand : op->getOperands()) {
    FailureOr<unsigned> needed = stepOf(operand, map, known);
    if (failed(needed))
      return failure();
    step.operands.push_back(*needed);
  }
  return add(std::move(step));
}

FailureOr<Epilogue> Epilogue::of(flow::GroupOp group, Operation *root, const GroupLayouts &layouts) {
  Epilogue epilogue;
  epilogue.group = group;
  epilogue.root = root;
  epilogue.layouts = layouts;
  auto rootType = cast<RankedTensorType>(root->getResult(0).getType());
  std::map<Place, unsigned> known;
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
    FailureOr<unsigned> step = epilogue.stepOf(value, identity, known);
    if (failed(step))
      return failure();
    epilogue.allOutputs.push_back(
        {unsigned(i), plan::elementOf(type), physicalStrides(type, layouts.result(i)), *step});
  }
  epilogue.identity = yield->getNumOperands() == 1 && yield->getOperand(0) == root->getResult(0);
  return epilogue;
}

bool Epilogue::isShort() const {
  constexpr int kFew = 4;
  flow::GroupOp owner = group;
  int count = 0;
  for (Operation &op : owner.getBody().front()) {
    if (&op == root || isa<flow::NumberInterface, flow::YieldOp, flow::GatherOp>(op) || flow::axesOfView(&op))
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

Type Epilogue::typeOf(unsigned port) const {
  flow::GroupOp owner = group;
  return port < allInputs.size() ? owner.getInputs()[allInputs[port].operand].getType()
                                 : owner.getOutputs()[allOutputs[port - allInputs.size()].result].getType();
}

} // namespace moe::kernels
