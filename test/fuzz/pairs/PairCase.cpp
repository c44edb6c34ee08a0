// Finds types that two ops have in common, and joins their cases; see PairCase.h.
#include "test/fuzz/pairs/PairCase.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Verifier.h"
#include <algorithm>
#include <cmath>
#include <map>

using namespace mlir;

namespace moe::test {
namespace {

const std::vector<std::string> sources = {"input", "parameter", "state", "scalar"};
const std::vector<std::string> sinks = {"output", "expose", "assign"};
constexpr int kDrawn = 120;

bool isSource(const std::string &name) { return llvm::is_contained(sources, name); }
bool isSink(const std::string &name) { return llvm::is_contained(sinks, name); }

/// One op at the batch that all pairs have, with extents of a few kinds, so that types meet.
FlowCase drawOp(const std::string &name, uint64_t seed,
                std::optional<SmallVector<flow::Extent>> wanted = {}) {
  FlowCase one;
  std::mt19937_64 random(seed);
  one.bindings.setting.symbols = {2, 3};
  one.bindings.setting.seed = 11;
  one.bindings.setting.step = 5;
  OpBuilder builder = one.atEnd();
  flow::RandomCase inner{builder, builder.getUnknownLoc(), random, one.bindings.setting.symbols, {}, {},
                         wanted};
  inner.few = {flow::Extent::batch(&context()), inner.constant(1), inner.constant(2), inner.constant(3)};
  RegisteredOperationName op = *RegisteredOperationName::lookup("flow." + name, &context());
  op.getInterface<flow::TruthInterface>()->buildRandomCase(inner);
  one.bindings.inputs = std::move(inner.inputs);
  return one;
}

Operation *opOf(FlowCase &one) { return one.output("y").getDefiningOp(); }
flow::InputOp inputOf(Operation *op, unsigned operand) {
  return op->getOperand(operand).getDefiningOp<flow::InputOp>();
}

/// What an op gives or takes: element type and rank.
using Kind = std::pair<const void *, int64_t>;
Kind kindOf(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  return {tensor.getElementType().getAsOpaquePointer(), tensor.getRank()};
}
bool isStaticFloat(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  return tensor.hasStaticShape() && tensor.getElementType().isF32();
}
bool isNumber(Type type) { return isStaticFloat(type) && cast<RankedTensorType>(type).getRank() == 0; }

struct Types {
  std::map<Type, std::vector<uint64_t>, bool (*)(Type, Type)> gives{less}, takes{less};
  static bool less(Type a, Type b) { return a.getAsOpaquePointer() < b.getAsOpaquePointer(); }
  std::set<Kind> givesKinds, takesKinds;
};

const Types &typesOf(const std::string &name) {
  static std::map<std::string, Types> known;
  auto [found, fresh] = known.try_emplace(name);
  Types &types = found->second;
  for (uint64_t seed = 0; fresh && seed < kDrawn; ++seed) {
    FlowCase one = drawOp(name, seed);
    Operation *op = opOf(one);
    types.gives[op->getResult(0).getType()].push_back(seed);
    types.givesKinds.insert(kindOf(op->getResult(0).getType()));
    for (Type type : op->getOperandTypes()) {
      types.takes[type].push_back(seed);
      types.takesKinds.insert(kindOf(type));
    }
  }
  return types;
}

/// The case's ops as part of another: inputs, unless they are replaced, and bindings with `prefix`. The value that
/// was the output "y".
Value addTo(FlowCase &all, FlowCase &one, const std::string &prefix, Value replaced, Value by) {
  IRMapping map;
  OpBuilder builder = all.atEnd();
  Value y;
  for (Operation &op : one.entry.getBody().front()) {
    if (auto output = dyn_cast<flow::OutputOp>(op)) {
      if (output.getName() == "y")
        y = map.lookup(output.getX());
      continue;
    }
    if (op.getNumResults() && op.getResult(0) == replaced) {
      map.map(replaced, by);
      continue;
    }
    Operation *copy = builder.clone(op, map);
    if (auto input = dyn_cast<flow::InputOp>(copy)) {
      const std::string name = input.getName().str();
      input.setName(prefix + name);
      all.bindings.inputs[prefix + name] = one.bindings.inputs.at(name);
    }
  }
  return y;
}

/// The input as another kind of boundary, with the same numbers.
Value asSource(FlowCase &all, const std::string &kind, flow::InputOp input, const flow::Array &numbers,
               const std::string &prefix) {
  OpBuilder b = all.atEnd();
  Location loc = b.getUnknownLoc();
  const std::string name = prefix + "source";
  auto init = flow::InitAttr::get(&context(), flow::InitKind::constant, 0);
  Type type = input.getY().getType();
  if (kind == "scalar") {
    all.bindings.scalars[name] = numbers.data[0];
    return flow::ScalarOp::create(b, loc, type, name, flow::ScalarKind::recipe, APFloat(0.0));
  }
  if (kind == "input") {
    all.bindings.inputs[name] = numbers;
    return flow::InputOp::create(b, loc, type, name);
  }
  all.bindings.states[name] = numbers;
  if (kind == "parameter")
    return flow::ParameterOp::create(b, loc, type, name, init, false);
  return flow::StateOp::create(b, loc, type, name, flow::StateKind::optimizer, init, StringAttr());
}

void addSink(FlowCase &all, const std::string &kind, Value value, const std::string &prefix) {
  OpBuilder b = all.atEnd();
  Location loc = b.getUnknownLoc();
  if (kind == "output") {
    flow::OutputOp::create(b, loc, prefix + "y", value);
    return;
  }
  if (kind == "expose") {
    flow::ExposeOp::create(b, loc, prefix + "y", value);
    flow::OutputOp::create(b, loc, prefix + "beside", flow::number(b, loc, 1));
    return;
  }
  const std::string path = prefix + "sink";
  auto init = flow::InitAttr::get(&context(), flow::InitKind::constant, 0);
  Value old =
      flow::StateOp::create(b, loc, value.getType(), path, flow::StateKind::optimizer, init, StringAttr());
  all.bindings.states[path] = flow::Array(cast<RankedTensorType>(value.getType()).getShape(), 0.5);
  (void)old;
  flow::AssignOp::create(b, loc, path, value);
}

void addStored(FlowCase &all, Stored stored, Value value, const std::string &prefix) {
  OpBuilder b = all.atEnd();
  if (stored == Stored::output)
    flow::OutputOp::create(b, b.getUnknownLoc(), prefix + "between", value);
  if (stored == Stored::exposed)
    flow::ExposeOp::create(b, b.getUnknownLoc(), prefix + "between", value);
}

FlowCase empty() {
  FlowCase all;
  all.bindings.setting = {{2, 3}, 11, 5};
  return all;
}

/// Boundary to boundary, or boundary and op.
std::optional<FlowCase> drawWithBoundary(const Pair &pair, std::mt19937_64 &random,
                                         const std::string &prefix) {
  for (int attempt = 0; attempt < 400; ++attempt) {
    FlowCase all = empty();
    const bool fromSource = isSource(pair.producer), toSink = isSink(pair.consumer);
    FlowCase op = drawOp(fromSource && toSink ? "exp" : fromSource ? pair.consumer : pair.producer, random());
    auto fits = [&](Type type) {
      return pair.producer == "scalar"                                  ? isNumber(type)
             : pair.producer == "parameter" || pair.producer == "state" ? isStaticFloat(type)
                                                                        : true;
    };
    if (!fromSource) {
      Value y = addTo(all, op, prefix + "a.", {}, {});
      if (pair.consumer == "assign" && !isStaticFloat(y.getType()))
        continue;
      addStored(all, pair.stored, y, prefix);
      addSink(all, pair.consumer, y, prefix);
      return std::move(all);
    }
    Operation *reader = opOf(op);
    for (unsigned i = 0; i < reader->getNumOperands(); ++i) {
      flow::InputOp input = inputOf(reader, i);
      if (!fits(input.getY().getType()) ||
          (pair.consumer == "assign" && !isStaticFloat(input.getY().getType())))
        continue;
      Value source =
          asSource(all, pair.producer, input, op.bindings.inputs.at(input.getName().str()), prefix);
      addStored(all, pair.stored, source, prefix);
      addSink(all, toSink ? pair.consumer : "output",
              toSink ? source : addTo(all, op, prefix + "b.", input.getY(), source), prefix);
      return std::move(all);
    }
  }
  return std::nullopt;
}

std::optional<FlowCase> join(FlowCase &producer, FlowCase &consumer, Stored stored,
                             const std::string &prefix) {
  Type type = producer.output("y").getType();
  Operation *reader = opOf(consumer);
  for (unsigned i = 0; i < reader->getNumOperands(); ++i) {
    if (reader->getOperand(i).getType() != type)
      continue;
    FlowCase all = empty();
    Value between = addTo(all, producer, prefix + "a.", {}, {});
    addStored(all, stored, between, prefix);
    Value y = addTo(all, consumer, prefix + "b.", inputOf(reader, i).getY(), between);
    addSink(all, "output", y, prefix);
    return std::move(all);
  }
  return std::nullopt;
}

} // namespace

std::string Pair::name() const {
  return producer + " -> " + consumer +
         (stored == Stored::output    ? ", stored"
          : stored == Stored::exposed ? ", exposed"
                                      : "");
}

std::vector<Pair> allPairs(std::string &why) {
  std::vector<std::string> ops;
  for (RegisteredOperationName op : computingOps()) {
    ops.push_back(op.stripDialect().str());
    if (typesOf(ops.back()).givesKinds.empty())
      why += " " + ops.back();
  }
  std::vector<Pair> pairs;
  auto add = [&](const std::string &producer, const std::string &consumer) {
    for (Stored stored : {Stored::no, Stored::output, Stored::exposed})
      if (!isSink(consumer) || stored == Stored::no ||
          consumer != (stored == Stored::output ? "output" : "expose"))
        pairs.push_back({producer, consumer, stored});
  };
  auto any = [](const std::map<Type, std::vector<uint64_t>, bool (*)(Type, Type)> &types,
                bool (*fits)(Type)) {
    return llvm::any_of(types, [&](auto &each) { return fits(each.first); });
  };
  for (const std::string &producer : ops) {
    for (const std::string &consumer : ops)
      if (llvm::any_of(typesOf(producer).givesKinds,
                       [&](const Kind &kind) { return typesOf(consumer).takesKinds.count(kind) > 0; }))
        add(producer, consumer);
    for (const std::string &sink : sinks)
      if (sink != "assign" || any(typesOf(producer).gives, isStaticFloat))
        add(producer, sink);
  }
  for (const std::string &source : sources) {
    for (const std::string &consumer : ops)
      if (!typesOf(consumer).takes.empty() &&
          (source == "input" || any(typesOf(consumer).takes, source == "scalar" ? isNumber : isStaticFloat)))
        add(source, consumer);
    for (const std::string &sink : sinks)
      add(source, sink);
  }
  return pairs;
}

std::optional<FlowCase> drawPair(const Pair &pair, uint64_t seed, const std::string &prefix) {
  std::mt19937_64 random(seed);
  if (isSource(pair.producer) || isSink(pair.consumer))
    return drawWithBoundary(pair, random, prefix);
  const Types &from = typesOf(pair.producer), &to = typesOf(pair.consumer);
  for (int attempt = 0; attempt < 3000; ++attempt) {
    // One of the two is drawn freely, the other for its type; or both are of a type that was met before.
    FlowCase producer = drawOp(pair.producer, random()), consumer = drawOp(pair.consumer, random());
    switch (attempt % 3) {
    case 0:
      consumer = drawOp(pair.consumer, random(), flow::extentsOf(producer.output("y")));
      break;
    case 1:
      if (Operation *reader = opOf(consumer); reader->getNumOperands())
        producer = drawOp(pair.producer, random(),
                          flow::extentsOf(reader->getOperand(random() % reader->getNumOperands())));
      break;
    default: {
      std::vector<Type> common;
      for (auto &each : from.gives)
        if (to.takes.count(each.first))
          common.push_back(each.first);
      if (common.empty())
        continue;
      llvm::sort(common, [&](Type a, Type b) { return from.gives.at(a) < from.gives.at(b); });
      Type type = common[random() % common.size()];
      auto &gives = from.gives.at(type), &takes = to.takes.at(type);
      producer = drawOp(pair.producer, gives[random() % gives.size()]);
      consumer = drawOp(pair.consumer, takes[random() % takes.size()]);
    }
    }
    if (auto found = join(producer, consumer, pair.stored, prefix))
      return found;
  }
  return std::nullopt;
}

FlowCase joined(ArrayRef<const FlowCase *> cases) {
  FlowCase all = empty();
  OpBuilder builder = all.atEnd();
  for (const FlowCase *one : cases) {
    IRMapping map;
    for (Operation &op : const_cast<FlowCase *>(one)->entry.getBody().front())
      builder.clone(op, map);
    all.bindings.inputs.insert(one->bindings.inputs.begin(), one->bindings.inputs.end());
    all.bindings.states.insert(one->bindings.states.begin(), one->bindings.states.end());
    all.bindings.scalars.insert(one->bindings.scalars.begin(), one->bindings.scalars.end());
  }
  // States and their new values belong to a training entry, which says how the step went.
  bool trains = false;
  for (Operation &op : all.entry.getBody().front())
    trains |= isa<flow::StateOp, flow::AssignOp>(op);
  if (trains) {
    all.entry.setKind(flow::EntryKind::train);
    OpBuilder b = all.atEnd();
    for (StringRef name : {"loss", "finite"})
      flow::OutputOp::create(b, b.getUnknownLoc(), name, flow::number(b, b.getUnknownLoc(), 1));
  }
  return all;
}

} // namespace moe::test
