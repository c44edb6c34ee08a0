// What ops ask for while they expand: records, names, parameters, layers. Values of the program (parameters,
// recipe numbers) are made at the front of the entry, once each.
#include "dialects/moe/Expander.h"
#include "dialects/flow/Build.h"
#include "dialects/flow/BuildOptimizer.h"
#include "dialects/moe/Names.h"
#include "dialects/moe/Nearest.h"
#include "dialects/moe/Words.h"
#include "runtime/program/Philox.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace mlir;
using namespace moe;

/// Layers that come in as parameters can nest without end; text that people write does not come near this.
static constexpr size_t maxFrames = 200;

/// Of one entry. The largest models that people train have some thousands of ops.
static constexpr size_t maxOps = 250'000, maxSteps = 2'000'000;

std::string moe::shapeText(const Tensor &tensor) {
  std::string text;
  llvm::raw_string_ostream os(text);
  if (tensor.experts)
    os << tensor.type().getDimSize(0) << " experts of ";
  os << '[';
  llvm::interleaveComma(tensor.sample(), os);
  os << ']';
  return text;
}

std::string moe::recordText(const Record &record) {
  if (auto *t = std::get_if<Tensor>(&record.is))
    return shapeText(*t);
  if (auto *r = std::get_if<Routing>(&record.is))
    return "a routing " + (r->top ? "to " + std::to_string(r->top) + " of " : std::string("over ")) +
           std::to_string(r->experts) + " experts";
  if (auto *rows = std::get_if<Dispatched>(&record.is)) {
    std::string text;
    llvm::raw_string_ostream os(text);
    os << "rows [";
    llvm::interleaveComma(cast<RankedTensorType>(rows->value.getType()).getShape().drop_front(), os);
    os << "] that routing '" << rows->space->path << "' dispatched";
    return text;
  }
  return "a bundle of generated weights";
}

const Record *Expander::record(Value value) {
  auto it = frame().values.find(value);
  return it == frame().values.end() ? nullptr : &it->second;
}

FailureOr<Tensor> Expander::tensor(Operation *at, Value value) {
  const Record *found = record(value);
  if (!found)
    return at->emitError() << "expected a tensor, found a value that nothing has computed";
  if (auto *t = std::get_if<Tensor>(&found->is))
    return *t;
  InFlightDiagnostic diag = at->emitError() << "expected a tensor, found " << recordText(*found);
  if (std::holds_alternative<Dispatched>(found->is))
    diag << "; what is computed of each row belongs into the layer of 'experts'";
  noteMade(diag, value);
  return diag;
}

FailureOr<Dispatched> Expander::dispatched(Operation *at, Value value) {
  const Record *found = record(value);
  if (auto *rows = found ? std::get_if<Dispatched>(&found->is) : nullptr)
    return *rows;
  InFlightDiagnostic diag = at->emitError()
                            << "expected dispatched rows, found " << (found ? recordText(*found) : "nothing")
                            << "; 'dispatch %route, %x' makes them";
  noteMade(diag, value);
  return diag;
}

flow::Extent Expander::batch() {
  return weights.rows ? weights.rows->count : flow::Extent::batch(builder.getContext());
}

FailureOr<SmallVector<Tensor>> Expander::tensors(Operation *at, ValueRange values, ArrayAttr numbers) {
  SmallVector<Tensor> found;
  for (Value value : values) {
    FailureOr<Tensor> t = tensor(at, value);
    if (failed(t))
      return failure();
    found.push_back(*t);
  }
  if (!numbers)
    return found;
  if (found.empty())
    return at->emitError() << "expected a value among the operands of '" << at->getName().stripDialect()
                           << "', found numbers alone; write their result where it is used";
  SmallVector<Tensor> all;
  const Tensor &like = found.front();
  size_t next = 0;
  for (Attribute place : numbers) {
    auto e = dyn_cast<ExprAttr>(place);
    if (!e) {
      all.push_back(found[next++]);
      continue;
    }
    FailureOr<double> number = env().number(at, e);
    if (failed(number))
      return failure();
    all.push_back({flow::constant(builder, loc(at), *number, like.type()), like.experts, like.batch});
  }
  return all;
}

FailureOr<int64_t> Expander::sizeOf(Operation *at, ExprAttr e) {
  auto expands = dyn_cast<ExpandInterface>(at);
  if (!expands || sizedNumber(e) >= expands.getSized().size())
    return at->emitError() << "expected sizes of values in the ops of a body only, found '" << e.str() << "'";
  Value value = expands.getSized()[sizedNumber(e)];
  FailureOr<Tensor> x = tensor(at, value);
  if (failed(x))
    return failure();
  auto wrong = [&](const Twine &expected) {
    InFlightDiagnostic diag = at->emitError() << "expected " << expected << " for '" << e.str() << "', found "
                                              << shapeText(*x);
    noteMade(diag, value);
    return diag;
  };
  StringRef word = cast<StringAttr>(e.getArgs()[1]).getValue();
  if (word == "experts")
    return x->experts ? FailureOr<int64_t>(x->type().getDimSize(0)) : wrong("a value that differs by expert");
  if (word == "tokens" && x->rank() < 2)
    return wrong("tokens [tokens, features]");
  int64_t rank = x->rank(), axis = word == "tokens" ? 0 : -1;
  if (word != "tokens" && word != "features" && word.getAsInteger(10, axis))
    return wrong("an axis");
  if (axis < -rank || axis >= rank)
    return wrong(rank ? "an axis from " + Twine(-rank) + " to " + Twine(rank - 1)
                      : Twine("at least one axis"));
  return x->sample()[axis < 0 ? axis + rank : axis];
}

FailureOr<Routing> Expander::routing(Operation *at, Value value) {
  const Record *found = record(value);
  if (!found)
    return at->emitError() << "expected a routing, found a value that nothing has computed";
  if (auto *r = std::get_if<Routing>(&found->is))
    return *r;
  InFlightDiagnostic diag = at->emitError()
                            << "expected a routing, found " << recordText(*found) << "; 'route' makes one";
  noteMade(diag, value);
  return diag;
}

void Expander::set(Value value, Tensor t) { set(value, Record{t, value.getLoc()}); }

void Expander::noteMade(InFlightDiagnostic &diag, Value value) {
  if (const Record *found = record(value))
    diag.attachNote(found->at) << "made here: " << recordText(*found);
}

LogicalResult moe::refuseExperts(Expander &in, Operation *op, StringRef instead) {
  InFlightDiagnostic diag = op->emitError()
                            << "'" << op->getName().stripDialect()
                            << "' is not compiled yet on a value that already differs by expert; put it "
                            << instead;
  in.noteMade(diag, op->getOperand(0));
  return diag;
}

std::string Expander::path(StringRef name) {
  return frame().scope.empty() ? name.str() : (frame().scope + "." + name).str();
}

/// Names have a limit, but layers in layers make longer ones of them.
static LogicalResult checkPath(Operation *at, StringRef path) {
  if (path.size() <= longestPath)
    return success();
  return at->emitError() << "expected a path of names of at most " << longestPath << " bytes, found '"
                         << path.take_front(60) << "...' of " << path.size() << "; use shorter names";
}

Location Expander::loc(Operation *op) {
  StringRef name;
  if (auto path = op->getAttrOfType<StringAttr>("path"))
    name = path.getValue();
  else if (auto label = op->getAttrOfType<StringAttr>("label"))
    name = label.getValue();
  std::string full = name.empty() ? frame().scope : path(name);
  Location author = op->getLoc();
  if (auto named = dyn_cast<NameLoc>(author))
    author = named.getChildLoc();
  return NameLoc::get(
      StringAttr::get(op->getContext(), op->getName().stripDialect() + (full.empty() ? "" : " ") + full),
      author);
}

FailureOr<int64_t> Expander::stream(Operation *op) {
  auto named = dyn_cast<NameLoc>(op->getLoc());
  if (!named)
    return op->emitError() << "'" << op->getName().stripDialect()
                           << "' draws random numbers by its name: write '%name = ...' instead of a number";
  std::string full = path(named.getName().getValue());
  // A layer that is applied again under the parameters of the first time draws numbers of its own.
  auto taken = [&](const std::string &name) {
    auto found = streams.find(moert::philoxStream(name));
    return found != streams.end() && found->second == name;
  };
  unsigned &times = ++drawn[full];
  if (frame().shared || frame().frozen) {
    std::string own = times == 1 ? full : full + "#" + std::to_string(times);
    while (taken(own))
      own = full + "#" + std::to_string(++times);
    full = own;
  }
  uint32_t hash = moert::philoxStream(full);
  auto [it, fresh] = streams.try_emplace(hash, full);
  if (!fresh)
    return op->emitError() << "expected random streams of their own, found that '" << full << "' and '"
                           << it->second << "' share one; rename one of them";
  return int64_t(hash);
}

// Parameters.

LogicalResult Expander::setDefault(DefaultOp op) {
  if (auto ops = wordsOf("op").names; !llvm::is_contained(ops, op.getOp()))
    return op.emitError() << "expected 'default linear' or 'default conv', found 'default " << op.getOp()
                          << "'" << didYouMean(op.getOp(), ops);
  // The rules are for ops that are still to come, whose values are others.
  for (ExprAttr rule : {op.getWeight(), op.getBias().value_or(ExprAttr())}) {
    ExprAttr size;
    if (rule)
      rule.walk([&](ExprAttr part) { size = part.getKind() == ExprKind::Size ? part : size; });
    if (size)
      return op.emitError() << "expected sizes of values in the ops of a body only, found '" << size.str()
                            << "'";
  }
  defaults[op.getOp()] = {op.getWeight(), op.getBias().value_or(ExprAttr()), &frames.front()};
  return success();
}

FailureOr<flow::InitAttr> Expander::initial(Operation *owner, ExprAttr rule, const Env &env, FanIn fan) {
  MLIRContext *context = owner->getContext();
  auto make = [&](flow::InitKind kind, double a, double b = 0) {
    return flow::InitAttr::get(context, kind, a, b);
  };
  auto noInputs = [&](StringRef word) {
    return owner->emitError() << "'" << word << "' needs inputs to count, and '"
                              << owner->getName().stripDialect() << "' has none; use normal or uniform";
  };
  if (!rule || rule.isName("torch")) { // reset_parameters: kaiming_uniform(a = sqrt 5) and the bias's rule,
                                       // both within 1 / sqrt(fan-in)
    if (!fan.in)
      return noInputs("torch");
    double bound = 1 / std::sqrt(double(fan.in));
    return make(flow::InitKind::uniform, -bound, bound);
  }
  if (rule.getKind() == ExprKind::Name) {
    if (rule.getText() == "zeros" || rule.getText() == "ones")
      return make(flow::InitKind::constant, rule.getText() == "ones");
    return owner->emitError() << "expected an initial value such as zeros or normal(0.02), found '"
                              << rule.getText() << "'";
  }
  if (rule.getKind() != ExprKind::Call)
    return owner->emitError() << "expected an initial value such as zeros or normal(0.02), found '"
                              << rule.str() << "'";
  SmallVector<double> args;
  for (ExprAttr arg : rule.positional()) {
    FailureOr<double> value = env.number(owner, arg);
    if (failed(value))
      return failure();
    args.push_back(*value);
  }
  StringRef word = rule.getText();
  size_t wanted = word == "uniform" ? 2 : 1;
  if (args.size() != wanted || rule.getArgs().size() != wanted)
    return owner->emitError() << "expected " << word << " with " << wanted
                              << (wanted == 1 ? " number" : " numbers") << ", found '" << rule.str() << "'";
  auto drawn = [&](double range) {
    if (!holdsInFloat(range))
      owner->emitError() << "expected initial values that 32-bit floating point holds, found '" << rule.str()
                         << "'";
    return holdsInFloat(range);
  };
  if (word == "constant")
    return make(flow::InitKind::constant, args[0]);
  if (word == "uniform") {
    if (args[0] >= args[1])
      return owner->emitError() << "expected uniform(low, high) with low below high, found '" << rule.str()
                                << "'";
    return drawn(args[1] - args[0]) ? make(flow::InitKind::uniform, args[0], args[1])
                                    : FailureOr<flow::InitAttr>(failure());
  }
  if (args[0] < 0)
    return owner->emitError() << "expected a deviation or gain that is not negative, found '" << rule.str()
                              << "'";
  if (word == "normal" || word == "trunc_normal") {
    if (!drawn(8 * args[0])) // no draw is farther out than 7 deviations
      return failure();
    return make(word == "normal" ? flow::InitKind::normal : flow::InitKind::trunc_normal, 0, args[0]);
  }
  if (word == "fan_in") {
    if (!fan.in)
      return noInputs(word);
    double bound = std::sqrt(3 * args[0] / double(fan.in));
    return make(flow::InitKind::uniform, -bound, bound);
  }
  return owner->emitError() << "'" << word << "' is a rule of 'hyper' only";
}

FailureOr<Tensor> Expander::declare(Operation *owner, StringRef path, ArrayRef<int64_t> shape,
                                    flow::InitAttr init, bool shared, bool frozen, bool buffer) {
  const StringRef what = buffer ? "buffer" : "parameter";
  if (failed(checkPath(owner, path)))
    return failure();
  if (flow::isOptimizerState(path))
    return owner->emitError() << "expected another name for " << what << " '" << path
                              << "': optimizers keep states of their own under it; rename one of the names "
                                 "that it is made of";
  int64_t count = 1;
  for (int64_t extent : shape)
    if (llvm::MulOverflow(count, extent, count) || count > INT32_MAX) {
      InFlightDiagnostic diag = owner->emitError() << "expected a " << what << " of at most " << INT32_MAX
                                                   << " elements, found '" << path << "' of [";
      llvm::interleaveComma(shape, diag);
      return diag << "]";
    }
  auto type = RankedTensorType::get(shape, builder.getF32Type());
  auto it = declared.find(path);
  if (it == declared.end()) {
    if (init.getKind() != flow::InitKind::constant) {
      auto [other, fresh] = initialStreams.try_emplace(moert::philoxStream(path), path);
      if (!fresh) {
        InFlightDiagnostic diag = owner->emitError()
                                  << "expected initial values of their own, found that '" << path << "' and '"
                                  << other->second << "' share a random stream; rename one of them";
        diag.attachNote(declared[other->second].owner->getLoc()) << "the other one is here";
        return diag;
      }
    }
    Location at = loc(owner);
    Value value = atFront([&]() -> Value {
      StringAttr name = builder.getStringAttr(path);
      if (buffer)
        return flow::StateOp::create(builder, at, type, name, flow::StateKind::buffer, init, StringAttr());
      return flow::ParameterOp::create(builder, at, type, name, init, frozen);
    });
    if (!buffer)
      parameters.insert({builder.getStringAttr(path), value});
    if (Listener *listener = languageOf(owner->getContext()).listener)
      listener->parameter(owner, path, shape, !buffer);
    declared[path] = {owner, value};
    return Tensor{value};
  }
  Declared &first = it->second;
  if (bool(first.value.getDefiningOp<flow::StateOp>()) != buffer) {
    InFlightDiagnostic diag = owner->emitError()
                              << "expected '" << path << "' to be a " << what << ", found a "
                              << (buffer ? "parameter" : "buffer") << " of that name";
    diag.attachNote(first.owner->getLoc()) << "declared here";
    return diag;
  }
  if (!shared && !frozen) {
    InFlightDiagnostic diag = owner->emitError() << "parameter path '" << path << "' is used twice";
    diag.attachNote(first.owner->getLoc()) << "first used here";
    return diag;
  }
  auto old = cast<RankedTensorType>(first.value.getType());
  if (old != type) {
    InFlightDiagnostic diag = owner->emitError() << "expected " << what << " '" << path << "' of [";
    llvm::interleaveComma(old.getShape(), diag);
    diag << "], found a use of [";
    llvm::interleaveComma(shape, diag);
    diag << "]";
    diag.attachNote(first.owner->getLoc()) << "declared here";
    return diag;
  }
  return Tensor{frozen ? flow::stopGradient(builder, loc(owner), first.value) : first.value};
}

FailureOr<Tensor> Expander::generated(Operation *owner, StringRef path, ArrayRef<int64_t> shape, FanIn fan) {
  Bundle &bundle = *weights.bundle;
  StringRef relative = path.drop_front(weights.base.empty() ? 0 : weights.base.size() + 1);
  if (auto it = bundle.made.find(relative); it != bundle.made.end()) {
    ArrayRef<int64_t> old = it->second.type().getShape().drop_front();
    if (old == shape)
      return it->second;
    InFlightDiagnostic diag = owner->emitError() << "expected generated weight '" << relative << "' of [";
    llvm::interleaveComma(old, diag);
    diag << "], found a use of [";
    llvm::interleaveComma(shape, diag);
    diag << "]";
    diag.attachNote(bundle.at->getLoc()) << "generated here";
    return diag;
  }
  int64_t count = 1, width = bundle.rows.last();
  for (int64_t extent : shape)
    if (llvm::MulOverflow(count, extent, count))
      return owner->emitError() << "expected a generated weight of at most " << INT32_MAX
                                << " elements, found more";
  auto uniform = [&](double variance) {
    double bound = std::sqrt(3 * variance);
    return flow::InitAttr::get(owner->getContext(), flow::InitKind::uniform, -bound, bound);
  };
  // Hyperfan-in (Chang et al., 2020): the weight and the bias share the variance of the output, so each has
  // half. What multiplies a single element, such as a norm's scale, or is used as it is has one input.
  const double inputs = double(std::max<int64_t>(1, fan.in));
  double variance = bundle.gain / ((fan.bias ? 2.0 : (fan.withBias ? 2.0 : 1.0) * inputs) * double(width));
  flow::InitAttr init = bundle.hyperfan ? uniform(variance) : uniform(1.0 / (3 * double(width)));
  flow::InitAttr initBias = bundle.hyperfan
                                ? flow::InitAttr::get(owner->getContext(), flow::InitKind::constant)
                                : uniform(1.0 / (3 * double(width)));
  std::string out = bundle.path + ".out." + relative.str();
  FailureOr<Tensor> weight =
      declare(bundle.at, out + ".weight", {count, width}, init, bundle.shared, bundle.frozen);
  if (failed(weight))
    return failure();
  FailureOr<Tensor> bias = declare(bundle.at, out + ".bias", {count}, initBias, bundle.shared, bundle.frozen);
  if (failed(bias))
    return failure();
  Location at = loc(owner);
  SmallVector<flow::Extent> extents{flow::Extent::of(bundle.rows.value, 0)};
  for (int64_t extent : shape)
    extents.push_back(flow::Extent::constant(owner->getContext(), extent));
  Value flat =
      flow::add(builder, at, flow::linear(builder, at, bundle.rows.value, weight->value), bias->value);
  Tensor result{flow::reshape(builder, at, flat, extents), /*experts=*/true};
  bundle.made[relative] = result;
  return result;
}

FailureOr<Tensor> Expander::parameter(Operation *owner, StringRef suffix, ArrayRef<int64_t> shape,
                                      ExprAttr init, FanIn fan) {
  auto name = owner->getAttrOfType<StringAttr>("path");
  auto mode = owner->getAttrOfType<StringAttr>("mode");
  std::string full = path(name.getValue());
  if (!suffix.empty())
    full += "." + suffix.str();
  if (weights.bundle)
    return generated(owner, full, shape, fan);
  SmallVector<int64_t> all;
  if (weights.experts)
    all.push_back(weights.experts);
  llvm::append_range(all, shape);
  const Env *where = &env();
  if (auto it = defaults.find(fan.like.empty() ? owner->getName().stripDialect() : fan.like);
      !init && it != defaults.end()) {
    init = fan.bias ? it->second.bias : it->second.weight;
    where = &it->second.frame->env;
  }
  FailureOr<flow::InitAttr> value = initial(owner, init, *where, fan);
  if (failed(value))
    return failure();
  bool shared = frame().shared || (mode && mode.getValue() == "shared");
  bool frozen = frame().frozen || (mode && mode.getValue() == "frozen");
  FailureOr<Tensor> made = declare(owner, full, all, *value, shared, frozen);
  if (failed(made))
    return failure();
  made->experts = weights.experts != 0;
  return made;
}

FailureOr<Tensor> Expander::buffer(StateOp owner, ArrayRef<int64_t> shape) {
  FailureOr<flow::InitAttr> value = initial(owner, owner.getInit(), env(), {});
  if (failed(value))
    return failure();
  bool shared = frame().shared || (owner.getMode() && *owner.getMode() == "shared");
  FailureOr<Tensor> made =
      declare(owner, path(owner.getPath()), shape, *value, shared, /*frozen=*/frame().frozen,
              /*buffer=*/true);
  if (failed(made))
    return failure();
  return Tensor{flow::stopGradient(builder, loc(owner), made->value)};
}

Value Expander::findBuffer(StringRef path) const {
  auto it = declared.find(path);
  return it == declared.end() || !it->second.value.getDefiningOp<flow::StateOp>() ? Value()
                                                                                  : it->second.value;
}

bool Expander::isParameter(StringRef path) const { return declared.contains(path) && !findBuffer(path); }

Value Expander::atFront(llvm::function_ref<Value()> make) {
  OpBuilder::InsertionGuard guard(builder);
  if (lastBoundary)
    builder.setInsertionPointAfter(lastBoundary);
  else
    builder.setInsertionPointToStart(builder.getInsertionBlock());
  Value value = make();
  lastBoundary = value.getDefiningOp();
  return value;
}

Value Expander::progress() {
  if (!progressValue)
    progressValue = atFront([&] {
      return flow::scalar(builder, builder.getUnknownLoc(), "progress", flow::ScalarKind::progress);
    });
  return progressValue;
}

Value Expander::scalar(StringRef key, double fallback) {
  Value &value = scalars[key];
  if (!value)
    value = atFront([&] {
      return flow::scalar(builder, builder.getUnknownLoc(), key, flow::ScalarKind::recipe, fallback);
    });
  return value;
}

// Layers.

FailureOr<SmallVector<Record>> Expander::records(Operation *at, ValueRange values) {
  SmallVector<Record> list;
  for (Value value : values) {
    const Record *found = record(value);
    if (!found)
      return at->emitError() << "expected a value, found one that nothing has computed";
    list.push_back(*found);
  }
  return list;
}

/// How much one op of the text is each time that it is interpreted: itself, its operands and the parts of its
/// expressions.
static size_t weightOfStep(Operation &op) {
  size_t weight = 1 + op.getNumOperands();
  for (NamedAttribute attribute : op.getAttrs())
    walkExpressions(attribute.getValue(), [&](ExprAttr, bool) { ++weight; });
  return weight;
}

/// A few lines can say more than any machine holds, since layers apply layers. The count of steps bounds the
/// time that a text may take, and the count of the graph's ops, whose names are paths, the memory.
LogicalResult Expander::countStep(Operation &op) {
  auto [weight, fresh] = stepWeights.try_emplace(&op);
  if (fresh)
    weight->second = weightOfStep(op);
  steps += weight->second + frame().scope.size() / 64;
  stopped = languageOf(op.getContext()).listener && languageOf(op.getContext()).listener->stop();
  if (stopped)
    return failure();
  if (steps <= maxSteps && made.ops <= maxOps)
    return success();
  stopped = true;
  InFlightDiagnostic diag = op.emitError() << "expected a model of at most ";
  if (made.ops > maxOps)
    return diag << maxOps << " ops when its layers are applied, found more";
  return diag << maxSteps << " steps when its layers are applied, found more";
}

bool Expander::isLost(Operation &op) {
  if (wrong.contains(&op) || languageOf(op.getContext()).faults.ops.contains(&op))
    return true;
  // What ends a body hands on what is lost as well.
  return !isa<YieldOp, ReturnOp>(op) && llvm::any_of(op.getOperands(), [&](Value operand) {
    const Record *found = record(operand);
    return found && found->lost();
  });
}

void Expander::lose(Operation &op) {
  lost = true;
  for (Value result : op.getResults())
    set(result, Record{{}, result.getLoc()});
}

LogicalResult Expander::step(Operation &op) {
  for (StringRef attribute : {"path", "label"})
    if (auto name = op.getAttrOfType<StringAttr>(attribute); name && failed(checkPath(&op, path(name))))
      return failure();
  auto expands = dyn_cast<ExpandInterface>(op);
  if (!expands)
    return op.emitError() << notOfTheLanguage(op.getName().getStringRef(), op.getContext());
  if (failed(expands.expand(*this)))
    return failure();
  Listener *listener = languageOf(op.getContext()).listener;
  // Offsets within a sample stay below 2^31: an axis count is no protection, since axes multiply.
  for (Value result : op.getResults()) {
    const Record *found = record(result);
    auto *tensor = found ? std::get_if<Tensor>(&found->is) : nullptr;
    int64_t count = tensor && tensor->experts ? tensor->type().getDimSize(0) : 1;
    for (int64_t extent : tensor ? tensor->sample() : ArrayRef<int64_t>())
      if (llvm::MulOverflow(count, extent, count) || count > INT32_MAX)
        return op.emitError() << "expected a value of at most " << INT32_MAX << " elements a sample, found "
                              << shapeText(*tensor);
    if (listener && found)
      listener->value(result, *found, frame().scope);
  }
  return success();
}

LogicalResult Expander::interpret(Block &body) {
  for (Operation &op : body) {
    if (isa<EntryOp>(op))
      break;
    if (failed(countStep(op)))
      return failure();
    if (isLost(op)) {
      lose(op);
    } else if (failed(step(op))) {
      if (stopped)
        return failure();
      if (!std::exchange(quiet, false))
        wrong.insert(&op);
      lose(op);
    }
  }
  return success();
}

FailureOr<SmallVector<Record>> Expander::apply(Operation *at, StringRef name, const Closure &closure,
                                               ArrayRef<Record> inputs) {
  LayerOp layer = closure.layer;
  Block &body = layer.getBody().front();
  auto declared = [&](InFlightDiagnostic &diag) { diag.attachNote(layer.getLoc()) << "declared here"; };
  if (body.empty()) {
    InFlightDiagnostic diag = at->emitError()
                              << "layer '@" << layer.getSymName()
                              << "' is only declared; name the file that has its body as well";
    declared(diag);
    return diag;
  }
  if (inputs.size() != body.getNumArguments()) {
    InFlightDiagnostic diag = at->emitError()
                              << "layer '@" << layer.getSymName() << "' takes " << body.getNumArguments()
                              << " values, " << inputs.size() << " given";
    declared(diag);
    return diag;
  }
  const Faults &faults = languageOf(at->getContext()).faults;
  auto anyLost = [](ArrayRef<Record> records) {
    return llvm::any_of(records, [](const Record &record) { return record.lost(); });
  };
  if (faults.ops.contains(layer) || anyLost(inputs))
    return quiet = true, failure();
  if (frames.size() > maxFrames)
    return stopped = true, at->emitError()
                               << "expected layers to nest at most " << maxFrames
                               << " deep, found more; does '@" << layer.getSymName() << "' call itself?";
  FailureOr<Env> env = enter(at, closure, inputs);
  if (failed(env))
    return failure();
  auto mode = at->getAttrOfType<StringAttr>("mode");
  Frame next(std::move(*env), path(name), at);
  next.shared = frame().shared || (mode && mode.getValue() == "shared");
  next.frozen = frame().frozen || (mode && mode.getValue() == "frozen");
  for (auto [argument, record] : llvm::zip(body.getArguments(), inputs))
    next.values.insert_or_assign(argument, record);
  if (Listener *listener = languageOf(at->getContext()).listener) {
    listener->entered(layer, next.env, next.scope);
    for (auto [argument, record] : llvm::zip(body.getArguments(), inputs))
      listener->value(argument, record, next.scope);
  }
  frames.push_back(std::move(next));
  LogicalResult result = interpret(body);
  SmallVector<Record> yields = std::move(frame().yields);
  frames.pop_back();
  if (failed(result))
    return failure();
  if (anyLost(yields) || (yields.empty() && faults.cut.contains(layer)))
    return quiet = true, failure();
  return yields;
}

LogicalResult Expander::bindResults(Operation *at, ArrayRef<Record> records, const Closure &closure) {
  if (records.size() != at->getNumResults()) {
    InFlightDiagnostic diag = at->emitError()
                              << "layer '@" << LayerOp(closure.layer).getSymName() << "' yields "
                              << records.size() << " values, " << at->getNumResults() << " named here";
    diag.attachNote(LayerOp(closure.layer).getLoc()) << "declared here";
    return diag;
  }
  for (auto [value, record] : llvm::zip(at->getResults(), records))
    set(value, Record{record.is, value.getLoc()});
  return success();
}
