// --moe-elaborate: interprets a model's body over records and writes one flow graph an entry.
//   1. The model's parameters get their values: defaults, or -D.
//   2. Entry `train`: the body with dropout and noise; objective and auxiliary losses, each times its weight;
//      their sum `loss`; its gradient in every trained parameter, and the optimiser's update.
//   3. Entry `main`: the body without noise and auxiliary losses, and without dropped rows.
//   4. Entry `as_trained`, if a routing has a capacity: the same with rows dropped as in training.
//   5. What nothing uses is removed, so that a loss of weight zero leaves nothing behind.
// The objective `erm` is the mean cross entropy of the result `logits` over the rows whose label is known.
#include "passes/language/Elaborate.h"
#include "dialects/flow/BatchHint.h"
#include "dialects/flow/Build.h"
#include "dialects/flow/BuildNn.h"
#include "dialects/flow/BuildOptimizer.h"
#include "dialects/flow/Declared.h"
#include "dialects/flow/Precision.h"
#include "dialects/moe/ExpandRoute.h"
#include "dialects/moe/Names.h"
#include "dialects/moe/Nearest.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "passes/language/CheckText.h"
#include "runtime/program/Names.h"
#include "runtime/train/CompileCommand.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace moe;

namespace {

constexpr size_t longestText = 4096; // that a program records

/// One elaboration: the model with its parameters bound.
class Elaboration {
public:
  Elaboration(ModuleOp module, const ElaborateOptions &options) : module(module), options(options) {}
  LogicalResult run();

private:
  LogicalResult findModel();
  LogicalResult checkObjective();
  LogicalResult bindParameters();
  LogicalResult recordLayer(ParamAttr param, ExprAttr written);
  InFlightDiagnostic wrongOption(const Twine &option);
  FailureOr<Binding> bindDefine(ParamAttr param, StringRef value, ExprAttr &written);
  LogicalResult buildEntry(StringRef name, flow::EntryKind kind, bool dropless = false);
  LogicalResult buildInputs(Expander &in);
  LogicalResult standardize(Expander &in);
  FailureOr<Value> channelNumbers(Expander &in, StringRef word, ExprAttr e, int64_t channels, Location at);
  LogicalResult buildTraining(Expander &in);
  LogicalResult buildInference(Expander &in);
  Location routeLocation(const Routing &route);
  void reportRoutings(Expander &in);
  FailureOr<Value> objectiveLoss(Expander &in);
  DictionaryAttr config(MLIRContext *context);

  ModuleOp module;
  const ElaborateOptions &options;
  ModelOp model;
  flow::ProgramOp program;
  bool limited = false; // a routing drops rows
  Env env;
  llvm::StringMap<std::string> layers; // of the program's records: layer parameters as they were written
  std::vector<NamedAttribute> labels;  // of the program's records: what auxiliary losses compare with
  std::vector<NamedAttribute> apart;   // of the program's records: see recordApart

  // An extent that data has to fit, the parameters' names that a trainer takes for it, and where it is.
  struct Fitted {
    SmallVector<StringRef, 2> names;
    std::string place;
    int64_t extent;
    ExprAttr written = {}; // of the image
  };
  std::vector<Fitted> fitted;
  void recordApart();
  bool elaborateWith(ArrayRef<StringRef> names, const llvm::StringMap<int64_t> &values,
                     std::vector<Fitted> &found);
};

} // namespace

LogicalResult Elaboration::findModel() {
  for (ModelOp each : module.getOps<ModelOp>()) {
    if (model) {
      InFlightDiagnostic diag = each.emitError()
                                << "expected one model in all files, found '@" << model.getSymName()
                                << "' and '@" << each.getSymName() << "'";
      diag.attachNote(model.getLoc()) << "the first is here";
      return diag;
    }
    model = each;
  }
  if (!model) {
    // The parser puts the module of a text before its first line.
    Location at = module.getLoc();
    if (auto file = at->findInstanceOf<FileLineColLoc>(); file && file.getLine() == 0)
      at = FileLineColLoc::get(file.getFilename(), 1, 1);
    return emitError(at)
           << "expected a model, found none: write 'moe.model @name(%image: image[3, 224, 224]) { "
              "... }'";
  }
  for (EntryOp entry : model.getBody().getOps<EntryOp>())
    return entry.emitError() << "entry '@" << entry.getSymName()
                             << "' is not compiled yet; only the model's own body is ('main')";
  return success();
}

LogicalResult Elaboration::checkObjective() {
  if (options.objective != "erm") {
    SmallVector<StringRef> names{"erm"};
    for (ObjectiveOp each : module.getOps<ObjectiveOp>()) {
      names.push_back(each.getSymName());
      if (each.getSymName() == options.objective)
        return each.emitError() << "objectives as text are not compiled yet; use --objective=erm";
    }
    return wrongOption("--objective=" + options.objective)
           << "unknown objective" << didYouMean(options.objective, names)
           << "; there are: " << llvm::join(names, ", ");
  }
  if (!flow::parseOptimizerKind(options.optimizer))
    return wrongOption("--optimizer=" + options.optimizer)
           << "unknown optimizer" << didYouMean(options.optimizer, flow::optimizerNames())
           << "; there are: " << llvm::join(flow::optimizerNames(), ", ");
  return success();
}

/// What is wrong with an option of the command line has no place in a text: whoever prints it names the tool.
InFlightDiagnostic Elaboration::wrongOption(const Twine &option) {
  return emitError(UnknownLoc::get(module.getContext())) << option << ": ";
}

/// The first bracket of a -D value that has no partner, as an error; MLIR's reports them as those of its own.
static std::string wrongBrackets(StringRef value) {
  const StringRef opening = "([<", closing = ")]>";
  std::string open;
  for (char c : value) {
    if (opening.contains(c))
      open += c;
    else if (size_t kind = closing.find(c); kind == StringRef::npos)
      continue;
    else if (open.empty() || open.back() != opening[kind])
      return "expected '" + opening.substr(kind, 1).str() + "' before '" + c + "', found none";
    else
      open.pop_back();
  }
  if (open.empty())
    return "";
  return std::string("expected '") + closing[opening.find(open.back())] + "' that closes '" + open.back() +
         "', found the end";
}

/// A -D value is text on a command line: the parser's report is kept in `why`.
ExprAttr moe::parseDefine(StringRef value, MLIRContext *context, std::string &why) {
  why = wrongBrackets(value);
  if (std::optional<TextFault> fault = findFault(value); why.empty() && fault)
    why = fault->message;
  if (!why.empty())
    return {};
  ScopedDiagnosticHandler quiet(context, [&](Diagnostic &d) {
    if (why.empty())
      why = d.str();
    return success();
  });
  return dyn_cast_or_null<ExprAttr>(parseAttribute(("#moe.expr<" + value + ">").str(), context));
}

FailureOr<Binding> Elaboration::bindDefine(ParamAttr param, StringRef value, ExprAttr &written) {
  StringRef kind = param.getKind() == "numbers" ? "list of numbers" : param.getKind();
  std::string like = ("-D" + param.getName() + "=" + cast<ExprAttr>(param.getFallback()).str()).str();
  auto wrong = [&]() { return wrongOption("-D" + param.getName() + "=" + value); };
  if (value.trim().empty())
    return wrong() << "expected a " << kind << " such as " << like << ", found nothing";
  std::string why;
  if (ExprAttr expr = parseDefine(value, module.getContext(), why)) {
    ScopedDiagnosticHandler quiet(module.getContext(), [&](Diagnostic &d) {
      why = d.str();
      return success();
    });
    if (FailureOr<Binding> bound = env.bind(model, param, expr); succeeded(bound)) {
      written = expr;
      return bound;
    }
  }
  return wrong() << why << "; a " << kind << " is given as in " << like;
}

/// A layer is recorded as it was written, not as it was understood: its arguments may name sizes of the model
/// that a later command gives other values.
LogicalResult Elaboration::recordLayer(ParamAttr param, ExprAttr written) {
  std::string text = written.str();
  if (text.size() > longestText)
    return model.emitError() << "expected a layer of at most " << longestText << " characters for parameter '"
                             << param.getName() << "', as programs record it, found " << text.size();
  layers[param.getName()] = std::move(text);
  return success();
}

LogicalResult Elaboration::bindParameters() {
  env.scope = module;
  llvm::StringMap<std::string> given;
  SmallVector<StringRef> names, layerNames;
  for (auto param : model.getParams().getAsRange<ParamAttr>()) {
    names.push_back(param.getName());
    if (param.getKind() == "layer")
      layerNames.push_back(param.getName());
  }
  for (auto &[written, value] : options.defines) {
    // A layer may be given as its parameter is declared: -D@head=@Deep.
    StringRef name = written;
    if (name.consume_front("@") && !llvm::is_contained(layerNames, name))
      name = written;
    if (auto [other, fresh] = given.try_emplace(name, value); !fresh && other->second != value)
      return wrongOption("-D" + written + "=" + value)
             << "expected one value of parameter '" << name << "', found '" << other->second << "' as well";
    if (!llvm::is_contained(names, name)) {
      InFlightDiagnostic diag = wrongOption("-D" + name + "=" + value)
                                << "model '@" << model.getSymName() << "' has no parameter '" << name << "'"
                                << didYouMean(name, names);
      if (!names.empty())
        diag << "; it has: " << llvm::join(names, ", ");
      return diag;
    }
  }
  for (auto param : model.getParams().getAsRange<ParamAttr>()) {
    Location place = param.getAt() ? Location(param.getAt()) : model.getLoc();
    if (llvm::is_contained({"objective", "source", "target", "gradients", "precision"}, param.getName()))
      return emitError(place) << "expected another name for parameter '" << param.getName()
                              << "': programs record their " << param.getName() << " under it";
    if (param.getName().starts_with("aux."))
      return emitError(place) << "expected another name for parameter '" << param.getName()
                              << "': programs record their auxiliary losses under such names";
    auto it = given.find(param.getName());
    auto written = cast<ExprAttr>(param.getFallback());
    FailureOr<Binding> value =
        it != given.end() ? bindDefine(param, it->second, written) : env.bind(model, param, written);
    if (failed(value) || (param.getKind() == "layer" && failed(recordLayer(param, written))))
      return failure();
    env.names[param.getName()] = *value;
  }
  return success();
}

LogicalResult Elaboration::buildInputs(Expander &in) {
  MLIRContext *context = module.getContext();
  flow::Extent batch = flow::Extent::batch(context);
  auto input = [&](StringRef name, ArrayRef<flow::Extent> extents, Type element, Location at) {
    auto op = flow::InputOp::create(in.builder, at, flow::tensorType(extents, element),
                                    in.builder.getStringAttr(name));
    in.lastBoundary = op;
    in.inputs[name] = op;
    return op.getY();
  };
  Block &body = model.getBody().front();
  if (body.getNumArguments() == 0)
    return model.emitError()
           << "expected at least one input such as '%image: image[3, 224, 224]', found none";
  for (auto [argument, attribute] :
       llvm::zip(body.getArguments(), model.getInputs().getAsRange<InputAttr>())) {
    auto named = dyn_cast<NameLoc>(argument.getLoc());
    std::string name = named ? named.getName().str() : "input" + std::to_string(argument.getArgNumber());
    if (failed(checkName(argument.getLoc(), "%", name)))
      return failure();
    if (name == "label" || name == "domain")
      return emitError(argument.getLoc()) << "expected another name for this input: '" << name << "' is the "
                                          << name << " that every training step is given";
    if (in.inputs.contains(name))
      return emitError(argument.getLoc())
             << "expected inputs of different names, found '" << name << "' twice";
    if (attribute.getKind() == "index")
      return emitError(argument.getLoc()) << "inputs of kind 'index' are not compiled yet";
    SmallVector<flow::Extent> extents{batch};
    SmallVector<int64_t> sample;
    int64_t count = 1;
    for (Attribute dim : attribute.getDims()) {
      FailureOr<int64_t> extent =
          env.positive(model, cast<ExprAttr>(dim), "an axis of input '" + name + "'", argument.getLoc());
      if (failed(extent))
        return failure();
      if (llvm::MulOverflow(count, *extent, count) || count > INT32_MAX)
        return emitError(argument.getLoc()) << "expected a sample of at most " << INT32_MAX
                                            << " elements for input '" << name << "', found more";
      sample.push_back(*extent);
      extents.push_back(flow::Extent::constant(context, *extent));
    }
    constexpr StringRef imageAxes[] = {"channels", "height", "width"};
    if (name == "image" && attribute.getKind() == "image")
      for (auto [key, extent, dim] : llvm::zip(imageAxes, sample, attribute.getDims()))
        fitted.push_back({{key, key == "channels" ? key : "size"}, "image", extent, cast<ExprAttr>(dim)});
    in.set(argument, Tensor{input(name, extents, in.builder.getF32Type(), argument.getLoc()), false, true});
  }
  if (in.training) {
    input("label", {batch}, in.builder.getI32Type(), model.getLoc());
    input("domain", {batch}, in.builder.getI32Type(), model.getLoc());
  }
  return success();
}

/// A number for each channel of an image, as tensor<f32> where all are the same, else as [channels]. Three numbers are those of
/// red, green and blue: of an image in grey, which has one channel, they make their mean.
FailureOr<Value> Elaboration::channelNumbers(Expander &in, StringRef word, ExprAttr e, int64_t channels,
                                             Location at) {
  FailureOr<Numbers> numbers = env.numbers(model, e);
  if (failed(numbers))
    return failure();
  if (channels == 1 && numbers->size() == 3)
    numbers = Numbers{((*numbers)[0] + (*numbers)[1] + (*numbers)[2]) / 3};
  auto wrong = [&](const Twine &expected, const Twine &found) {
    return emitError(at) << "expected " << expected << " as '" << word << "', found " << found;
  };
  if (numbers->size() != 1 && int64_t(numbers->size()) != channels)
    return wrong("a number, or one for each of " + Twine(channels) + " channels", Twine(numbers->size()));
  for (double number : *numbers)
    if (word == "deviation" && !(float(number) > 0))
      return wrong("numbers above 0", numberText(number));
  OpBuilder &b = in.builder;
  if (llvm::all_equal(*numbers))
    return flow::number(b, at, numbers->front());
  SmallVector<Value> parts;
  for (double number : *numbers)
    parts.push_back(flow::constant(b, at, number, RankedTensorType::get({1}, b.getF32Type())));
  return flow::concat(b, at, parts, 0);
}

/// The images of the model, less their means and divided by their deviations.
LogicalResult Elaboration::standardize(Expander &in) {
  for (auto [argument, attribute] :
       llvm::zip(model.getBody().getArguments(), model.getInputs().getAsRange<InputAttr>())) {
    if (!attribute.getMean() && !attribute.getDeviation())
      continue;
    FailureOr<Tensor> x = in.tensor(model, argument);
    if (failed(x))
      return failure();
    Location at = argument.getLoc();
    SmallVector<flow::Extent> extents = flow::extentsOf(x->value);
    for (auto [word, e] :
         {std::pair("mean", attribute.getMean()), std::pair("deviation", attribute.getDeviation())}) {
      if (!e)
        continue;
      FailureOr<Value> numbers = channelNumbers(in, word, cast<ExprAttr>(e), x->sample().front(), at);
      if (failed(numbers))
        return failure();
      SmallVector<int64_t> axes;
      if (flow::rankOf(*numbers))
        axes.push_back(x->lead());
      Value each = flow::broadcast(in.builder, at, *numbers, extents, axes);
      x->value = word == StringRef("mean") ? flow::sub(in.builder, at, x->value, each)
                                           : flow::div(in.builder, at, x->value, each);
    }
    in.set(argument, Record{*x, at});
  }
  return success();
}

/// Removes what nothing uses. The inputs that the author declared stay, for they are every entry's signature;
/// `label` and `domain` are given to a training step, and only where something uses them.
static void eraseDead(Block &body) {
  llvm::StringSet<> assigned = flow::assignedPaths(body);
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body))) {
    auto input = dyn_cast<flow::InputOp>(op);
    bool given = input && (input.getName() == "label" || input.getName() == "domain");
    if (flow::isDead(&op, assigned) || (given && op.use_empty()))
      op.erase();
  }
}

FailureOr<Value> Elaboration::objectiveLoss(Expander &in) {
  auto *result = in.results.size() == 1 ? &in.results.front() : nullptr;
  for (auto &each : in.results)
    if (each.first == "logits")
      result = &each;
  if (!result)
    return model.emitError()
           << "expected a result named 'logits' for objective 'erm': write 'return logits = %value'";
  auto *logits = std::get_if<Tensor>(&result->second.is);
  if (!logits || !logits->batch || logits->experts || logits->rank() != 1) {
    InFlightDiagnostic diag = emitError(result->second.at)
                              << "expected scores [classes] of each sample as result '" << result->first
                              << "', found " << recordText(result->second);
    return diag;
  }
  fitted.push_back({{"classes"}, "scores", logits->last()});
  if (logits->last() == 1)
    emitWarning(result->second.at) << "result '" << result->first
                                   << "' has one class, whose cross entropy is always 0: objective 'erm' "
                                      "teaches it nothing";
  return flow::crossEntropy(in.builder,
                            NameLoc::get(in.builder.getStringAttr("objective erm"), model.getLoc()),
                            logits->value, in.inputs["label"]);
}

/// The parameters that the loss depends on by a path that gradients take, in order of appearance.
static std::vector<flow::ParameterOp> trained(Expander &in, Value loss) {
  llvm::DenseSet<Operation *> reached;
  SmallVector<Operation *> stack{loss.getDefiningOp()};
  while (!stack.empty()) {
    Operation *op = stack.pop_back_val();
    if (!op || isa<flow::StopGradientOp>(op) || !reached.insert(op).second)
      continue;
    for (Value operand : op->getOperands())
      stack.push_back(operand.getDefiningOp());
  }
  std::vector<flow::ParameterOp> list;
  for (auto &[path, value] : in.parameters) {
    auto parameter = value.getDefiningOp<flow::ParameterOp>();
    if (!parameter || parameter.getFrozen())
      continue;
    if (reached.contains(parameter))
      list.push_back(parameter);
    else // a warning, since an author may mean it; --moe-differentiate warns of what an op lets no derivative through
      emitWarning(parameter.getLoc())
          << "parameter '" << parameter.getPath()
          << "' is not trained: the loss does not depend on it, or only through a "
             "stop_gradient";
  }
  return list;
}

namespace {
/// Names of what a layer has each time that it is applied: a shared one's second application appends #2, and so on.
/// An author may have given such a name, which is passed over.
class Occurrences {
public:
  std::string of(StringRef path) {
    unsigned &count = seen[path];
    std::string name;
    do {
      ++count;
      name = count == 1 ? path.str() : moert::concat(path.str(), "#", count);
    } while (!taken.insert(name).second);
    return name;
  }

private:
  llvm::StringMap<unsigned> seen;
  llvm::StringSet<> taken;
};
} // namespace

Location Elaboration::routeLocation(const Routing &route) {
  return NameLoc::get(StringAttr::get(module.getContext(), "route " + route.path), model.getLoc());
}

/// What an evaluation counts: the rows of each expert, and the losses of routings.
void Elaboration::reportRoutings(Expander &in) {
  OpBuilder &b = in.builder;
  Occurrences names;
  for (const Routing &route : in.routings) {
    std::string name = names.of(route.path);
    if (!route.space)
      continue;
    Location at = routeLocation(route);
    auto [chosen, kept] = rowsOfExperts(b, at, route);
    flow::OutputOp::create(b, at, moert::concat(moert::kChosen, name), chosen);
    if (kept)
      flow::OutputOp::create(b, at, moert::concat(moert::kKept, name), kept);
  }
  // Where the program has an entry that drops rows as training does, the losses are that one's.
  if (in.dropless && limited)
    return;
  for (const AuxLoss &aux : in.losses)
    flow::OutputOp::create(b, aux.at, moert::concat(moert::kRoutingLoss, aux.path), aux.value);
}

LogicalResult Elaboration::buildTraining(Expander &in) {
  OpBuilder &b = in.builder;
  Location loc = NameLoc::get(b.getStringAttr("objective loss"), model.getLoc());
  FailureOr<Value> objective = objectiveLoss(in);
  if (failed(objective))
    return failure();
  Value loss = *objective;
  flow::OutputOp::create(b, loc, ("loss." + options.objective), loss);
  for (AuxLoss &aux : in.losses) {
    if (aux.path == options.objective)
      return emitError(aux.at) << "expected another name for this auxiliary loss: '" << aux.path
                               << "' is the objective's, and 'loss." << aux.path << "' its part of the loss";
    Value part = flow::mul(b, aux.at, aux.value, aux.weight);
    flow::OutputOp::create(b, aux.at, "loss." + aux.path, part);
    loss = flow::add(b, loc, loss, part);
    std::string record = "aux." + aux.path + ".labels";
    if (!aux.target.empty())
      labels.push_back(
          b.getNamedAttr(record, b.getStringAttr(aux.target + " " + std::to_string(aux.labels))));
    if (!aux.target.empty())
      fitted.push_back({aux.target == "domain" ? SmallVector<StringRef, 2>{"domains", "experts"}
                                               : SmallVector<StringRef, 2>{"classes"},
                        "aux." + aux.path, aux.labels});
  }
  flow::OutputOp::create(b, loc, "loss", loss);
  Occurrences names;
  for (const Routing &route : in.routings) {
    Location at = routeLocation(route);
    std::string name = names.of(route.path);
    flow::OutputOp::create(b, at, moert::concat(moert::kGateBalance, name), expertShares(b, at, route));
    if (Value dropped = droppedShare(b, at, route))
      flow::OutputOp::create(b, at, moert::concat(moert::kDropped, name), dropped);
  }
  std::vector<flow::ParameterOp> parameters = trained(in, loss);
  if (parameters.empty())
    return model.emitError() << "expected a loss that depends on a parameter that is not frozen, found none; "
                                "there is nothing to train";
  SmallVector<Value> wrt;
  SmallVector<Type> types;
  for (flow::ParameterOp parameter : parameters) {
    wrt.push_back(parameter);
    types.push_back(parameter.getType());
  }
  auto grad = flow::GradOp::create(b, loc, types, loss, wrt);
  Location update = NameLoc::get(b.getStringAttr(options.optimizer + " optimizer"), model.getLoc());
  flow::buildUpdate(b, update, *flow::parseOptimizerKind(options.optimizer), loss, parameters,
                    grad.getGradients(), in.assigned);
  return success();
}

LogicalResult Elaboration::buildEntry(StringRef name, flow::EntryKind kind, bool dropless) {
  OpBuilder builder = OpBuilder::atBlockEnd(&program.getBody().front());
  auto entry = flow::EntryOp::create(builder, model.getLoc(), name, kind);
  Block &body = entry.getBody().front();
  bool training = kind == flow::EntryKind::train;
  Expander in(OpBuilder::atBlockEnd(&body), training, dropless);
  in.frames.emplace_back(env, "", nullptr);
  // An error inside a layer says where the layer was applied.
  ScopedDiagnosticHandler trace(module.getContext(), [&](Diagnostic &d) {
    if (d.getSeverity() == DiagnosticSeverity::Error) {
      unsigned shown = 0;
      for (Frame &frame : llvm::reverse(in.frames))
        if (frame.applied && ++shown <= 4)
          d.attachNote(frame.applied->getLoc()) << "applied here as '" << frame.scope << "'";
    }
    return failure(); // the next handler prints it
  });
  if (failed(buildInputs(in)) || failed(standardize(in)))
    return failure();
  if (Listener *listener = languageOf(module.getContext()).listener) {
    listener->entered(model, in.env(), "");
    for (Value argument : model.getBody().getArguments())
      if (const Record *found = in.record(argument))
        listener->value(argument, *found, "");
  }
  if (failed(in.interpret(model.getBody().front())))
    return failure();
  // Errors were reported, also where a model has nothing to return for one.
  if (in.lost || (in.results.empty() && languageOf(module.getContext()).faults.cut.contains(model)))
    return failure();
  if (failed(training ? buildTraining(in) : buildInference(in)))
    return failure();
  eraseDead(body);
  if (in.capacities.empty())
    return success();
  limited = true;
  if (dropless)
    return success();
  MLIRContext *context = module.getContext();
  SmallVector<Attribute> capacities;
  Occurrences names;
  for (const Capacity &each : in.capacities)
    capacities.push_back(flow::CapacityAttr::get(
        context, StringAttr::get(context, names.of(each.path)), flow::ExtentAttr::get(context, each.rows),
        each.experts, each.top, builder.getF64FloatAttr(each.factor), each.alignment));
  entry.setCapacitiesAttr(builder.getArrayAttr(capacities));
  return success();
}

LogicalResult Elaboration::buildInference(Expander &in) {
  auto outputs = [&] { return in.builder.getBlock()->getOps<flow::OutputOp>(); };
  SmallVector<flow::OutputOp> exposed = llvm::to_vector(outputs());
  for (auto &[result, record] : in.results) {
    auto *value = std::get_if<Tensor>(&record.is);
    if (!value || value->experts)
      return emitError(record.at) << "expected a tensor as result '" << result << "', found "
                                  << recordText(record);
    for (flow::OutputOp expose : exposed)
      if (expose.getName() == result) {
        InFlightDiagnostic error = emitError(expose.getLoc())
                                   << "expected a name that no result of the model has, found '" << result
                                   << "'; both are outputs of the entry";
        error.attachNote(record.at) << "the result is here";
        return error;
      }
    flow::OutputOp::create(in.builder, record.at, result, value->value);
  }
  SmallVector<flow::OutputOp> named = llvm::to_vector(outputs());
  reportRoutings(in);
  for (flow::OutputOp report : llvm::drop_begin(outputs(), named.size()))
    for (flow::OutputOp other : named)
      if (other.getName() == report.getName()) {
        InFlightDiagnostic error = emitError(other.getLoc())
                                   << "expected another name for this value: '" << other.getName()
                                   << "' is what evaluations count the rows of experts by, or their losses";
        error.attachNote(report.getLoc()) << "this is what is reported";
        return error;
      }
  return success();
}

/// The trainer takes a parameter called `width` that has the image's width for the one that sets it. Whether
/// it does shows where that parameter has another value: extents that do not follow are recorded. The image's
/// extents are expressions, which are evaluated again. Those of scores come out of layers, so the model is
/// elaborated again, once for all parameters that are in question; and where the new values do not compile
/// together, once for each. What comes behind a failure is not known, and not recorded.
void Elaboration::recordApart() {
  SmallVector<StringRef> asked; // parameters that something other than the image seems to follow
  llvm::StringMap<int64_t> changed;
  Builder b(module.getContext());
  auto record = [&](StringRef name, StringRef place) {
    apart.push_back(b.getNamedAttr(("%apart." + name + "." + place).str(), b.getStringAttr("")));
  };
  ScopedDiagnosticHandler quiet(module.getContext(), [](Diagnostic &) { return success(); });
  for (StringRef name : {"channels", "height", "width", "size", "classes", "domains", "experts"}) {
    auto bound = env.names.find(name);
    const int64_t *size = bound == env.names.end() ? nullptr : std::get_if<int64_t>(&bound->second.is);
    if (!size)
      continue;
    // Parameters that are changed together must not be taken for each other.
    int64_t value = changed[name] = *size + 1 + int64_t(asked.size());
    bool image = false, other = false;
    for (const Fitted &each : fitted) {
      if (each.extent != *size || !llvm::is_contained(each.names, name))
        continue;
      other |= !each.written;
      if (!each.written || image)
        continue;
      Env with = env;
      with.names[name] = Binding{value};
      FailureOr<int64_t> extent = with.size(model, each.written);
      if (succeeded(extent) && *extent != value) {
        record(name, each.place);
        image = true;
      }
    }
    if (other)
      asked.push_back(name);
  }
  auto probe = [&](ArrayRef<StringRef> names) {
    std::vector<Fitted> found;
    bool compiles = elaborateWith(names, changed, found);
    if (!compiles && names.size() > 1)
      return false;
    for (StringRef name : names) {
      llvm::SetVector<StringRef> places;
      for (auto [mine, other] : llvm::zip(fitted, found))
        if (!mine.written && mine.extent == std::get<int64_t>(env.names[name].is) &&
            llvm::is_contained(mine.names, name) && mine.place == other.place &&
            other.extent != changed[name])
          places.insert(mine.place);
      for (StringRef place : places)
        record(name, place);
    }
    return true;
  };
  if (!asked.empty() && !probe(asked))
    for (StringRef name : asked)
      probe(name);
}

/// Elaborates the training entry with other values of `names`; all parameters are given, as by the trainer's
/// command. `found` are the extents that it came to; false where it did not come to its end.
bool Elaboration::elaborateWith(ArrayRef<StringRef> names, const llvm::StringMap<int64_t> &values,
                                std::vector<Fitted> &found) {
  ElaborateOptions other = options;
  other.defines.clear();
  for (auto param : model.getParams().getAsRange<ParamAttr>()) {
    StringRef key = param.getName();
    other.defines.emplace_back(key, llvm::is_contained(names, key) ? std::to_string(values.lookup(key))
                                    : param.getKind() == "layer"   ? layers[key]
                                                                   : env.names[key].str());
  }
  Elaboration probe(module, other);
  llvm::SaveAndRestore deaf(languageOf(module.getContext()).listener, static_cast<Listener *>(nullptr));
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  probe.program = flow::ProgramOp::create(builder, model.getLoc(), model.getSymName());
  bool done = succeeded(probe.findModel()) && succeeded(probe.bindParameters()) &&
              succeeded(probe.buildEntry("train", flow::EntryKind::train));
  probe.program.erase();
  found = std::move(probe.fitted);
  return done;
}

/// Names for a command line: separated by blanks, quoted where a name needs it.
static std::string commandWords(const llvm::SetVector<StringRef> &names) {
  std::string all;
  for (StringRef name : names)
    all += (all.empty() ? "" : " ") + moert::shellWord(name.str());
  return all;
}

/// The files that the module's symbols are from. The model's own file alone where all of them are more than a program may record, and none where
/// that is.
static llvm::SetVector<StringRef> sourceFiles(ModuleOp module, ModelOp model) {
  llvm::SetVector<StringRef> names;
  for (Operation &op : *module.getBody())
    if (auto file = op.getLoc()->findInstanceOf<FileLineColLoc>())
      names.insert(file.getFilename().getValue());
  if (commandWords(names).size() <= longestText)
    return names;
  llvm::SetVector<StringRef> own;
  if (auto file = model.getLoc()->findInstanceOf<FileLineColLoc>())
    own.insert(file.getFilename().getValue());
  return commandWords(own).size() <= longestText ? own : llvm::SetVector<StringRef>();
}

/// What was chosen at compile time, for the program's records.
DictionaryAttr Elaboration::config(MLIRContext *context) {
  Builder b(context);
  SmallVector<NamedAttribute> list{b.getNamedAttr("objective", b.getStringAttr(options.objective))};
  llvm::SetVector<StringRef> files = sourceFiles(module, model);
  SmallVector<std::string> digests; // all or none
  for (StringRef file : files)
    if (auto found = options.digests.find(file.str()); found != options.digests.end())
      digests.push_back(found->second);
  if (!files.empty())
    list.push_back(b.getNamedAttr("source", b.getStringAttr(commandWords(files))));
  if (std::string all = llvm::join(digests, " ");
      !all.empty() && digests.size() == files.size() && all.size() <= longestText)
    list.push_back(b.getNamedAttr("%source", b.getStringAttr(all)));
  if (!options.batchHint.empty())
    list.push_back(b.getNamedAttr(flow::BatchHint::key, b.getStringAttr(options.batchHint)));
  if (!options.precision.empty())
    list.push_back(b.getNamedAttr(flow::precisionKey, b.getStringAttr(options.precision)));
  llvm::SetVector<StringRef> plugins(options.plugins.begin(), options.plugins.end());
  if (std::string words = commandWords(plugins); !words.empty() && words.size() <= longestText)
    list.push_back(b.getNamedAttr("%load", b.getStringAttr(words)));
  for (auto param : model.getParams().getAsRange<ParamAttr>())
    list.push_back(b.getNamedAttr(param.getName(), b.getStringAttr(param.getKind() == "layer"
                                                                       ? layers[param.getName()]
                                                                       : env.names[param.getName()].str())));
  list.insert(list.end(), labels.begin(), labels.end());
  list.insert(list.end(), apart.begin(), apart.end());
  return b.getDictionaryAttr(list);
}

LogicalResult Elaboration::run() {
  if (failed(findModel()) || failed(checkObjective()) || failed(bindParameters()))
    return failure();
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  program = flow::ProgramOp::create(builder, model.getLoc(), model.getSymName());
  program->setAttr("objective", builder.getStringAttr(options.objective));
  program->setAttr("optimizer", builder.getStringAttr(options.optimizer));
  if (failed(buildEntry("train", flow::EntryKind::train)) ||
      failed(buildEntry("main", flow::EntryKind::infer, /*dropless=*/true)) ||
      (limited && failed(buildEntry(moert::kAsTrained, flow::EntryKind::infer)))) {
    program.erase();
    return failure();
  }
  recordApart();
  program->setAttr("config", config(module.getContext()));
  for (Operation &op : llvm::make_early_inc_range(*module.getBody()))
    if (isa<ModelOp, LayerOp, ObjectiveOp>(op))
      op.erase();
  return success();
}

LogicalResult moe::elaborate(ModuleOp module, const ElaborateOptions &options) {
  return Elaboration(module, options).run();
}

namespace {
struct ElaboratePass : PassWrapper<ElaboratePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ElaboratePass)
  ElaboratePass() = default;
  ElaboratePass(const ElaboratePass &other)
      : PassWrapper(other), digests(other.digests), plugins(other.plugins) {}
  explicit ElaboratePass(const ElaborateOptions &options)
      : digests(options.digests), plugins(options.plugins) {
    for (auto &[name, value] : options.defines)
      defines.push_back(name + "=" + value);
    objective = options.objective;
    optimizer = options.optimizer;
    batchHint = options.batchHint;
    precision = options.precision;
  }
  StringRef getArgument() const override { return "moe-elaborate"; }
  StringRef getDescription() const override { return "from the model language to flow, one graph an entry"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<flow::FlowDialect>();
  }
  void runOnOperation() override {
    ElaborateOptions options;
    for (const std::string &define : defines) {
      auto [name, value] = StringRef(define).split('=');
      if (name.empty() || !StringRef(define).contains('=')) {
        emitError(UnknownLoc::get(&getContext())) << "expected -Dname=value, found '-D" << define << "'";
        return signalPassFailure();
      }
      options.defines.emplace_back(name, value);
    }
    options.objective = objective;
    options.optimizer = optimizer;
    options.digests = digests;
    options.batchHint = batchHint;
    options.precision = precision;
    options.plugins = plugins;
    if (failed(elaborate(getOperation(), options)))
      signalPassFailure();
  }
  ListOption<std::string> defines{*this, "define", llvm::cl::desc("name=value: a parameter of the model")};
  Option<std::string> objective{*this, "objective", llvm::cl::desc("what is minimised"),
                                llvm::cl::init("erm")};
  Option<std::string> optimizer{*this, "optimizer", llvm::cl::desc("adam, adamw or sgd"),
                                llvm::cl::init("adam")};
  Option<std::string> batchHint{*this, "batch-hint",
                                llvm::cl::desc("the batches to plan for: train=5x64,infer=1x64")};
  Option<std::string> precision{*this, "precision", llvm::cl::desc("of products on GPUs: f32 or tf32")};
  std::map<std::string, std::string> digests;
  std::vector<std::string> plugins;
};
} // namespace

std::unique_ptr<Pass> moe::createElaboratePass(const ElaborateOptions &options) {
  return std::make_unique<ElaboratePass>(options);
}

static PassRegistration<ElaboratePass> registration;
