// Evaluates the language's expressions. Sizes are 64-bit integers: overflow, a division that is not exact and
// a division by zero are errors that show the numbers, never a wrapped or rounded size.
#include "dialects/moe/Env.h"
#include "dialects/moe/Expander.h"
#include "dialects/moe/Nearest.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include <charconv>
#include <cmath>
#include <optional>
#include <vector>

using namespace mlir;
using namespace moe;

std::string moe::numberText(double number) {
  char buffer[40];
  std::string text(buffer, std::to_chars(buffer, buffer + sizeof buffer, number).ptr);
  // Digits alone would be read as a size, and be too large for one.
  const bool digits = text.find_first_not_of("-0123456789") == std::string::npos;
  return digits && std::fabs(number) >= 0x1p63 ? text + ".0" : text;
}

std::string Binding::str() const {
  if (auto *size = std::get_if<int64_t>(&is))
    return std::to_string(*size);
  if (auto *number = std::get_if<double>(&is))
    return numberText(*number);
  if (auto *list = std::get_if<Numbers>(&is)) {
    if (list->size() == 1)
      return numberText(list->front());
    return "[" + llvm::join(llvm::map_range(*list, numberText), ", ") + "]";
  }
  return "@" + std::get<std::shared_ptr<Closure>>(is)->layer.getSymName().str();
}

static SmallVector<StringRef> layerNames(Operation *scope) {
  SmallVector<StringRef> names;
  for (LayerOp layer : scope->getRegion(0).getOps<LayerOp>())
    names.push_back(layer.getSymName());
  return names;
}

static std::string nearParameter(StringRef word, const llvm::StringMap<Binding> &names) {
  SmallVector<StringRef> known(names.keys());
  llvm::sort(known);
  return didYouMean(word, known);
}

/// What a parameter is, in front of its value: "the number ".
static StringRef kindText(const Binding &binding) {
  return std::holds_alternative<std::shared_ptr<Closure>>(binding.is) ? "the layer "
         : std::holds_alternative<Numbers>(binding.is)                ? "the list "
                                                                      : "the number ";
}

static const char *sign(ExprKind kind) {
  switch (kind) {
  case ExprKind::Add:
    return "+";
  case ExprKind::Sub:
    return "-";
  case ExprKind::Mul:
    return "*";
  case ExprKind::Div:
    return "/";
  default:
    return "mod";
  }
}

static bool isArithmetic(ExprKind kind) {
  return kind == ExprKind::Add || kind == ExprKind::Sub || kind == ExprKind::Mul || kind == ExprKind::Div ||
         kind == ExprKind::Mod;
}

/// The values of both sides of an arithmetic expression, the left one first.
template <typename Number>
static FailureOr<std::pair<Number, Number>>
bothSides(ExprAttr e, llvm::function_ref<FailureOr<Number>(ExprAttr)> evaluate) {
  FailureOr<Number> a = evaluate(e.arg(0));
  if (failed(a))
    return failure();
  FailureOr<Number> b = evaluate(e.arg(1));
  if (failed(b))
    return failure();
  return std::pair(*a, *b);
}

FailureOr<int64_t> Env::size(Operation *at, ExprAttr e) const {
  switch (e.getKind()) {
  case ExprKind::Number: {
    int64_t value;
    if (e.getText().getAsInteger(10, value))
      return at->emitError() << "expected a whole number as a size, found " << e.getText();
    return value;
  }
  case ExprKind::Name: {
    auto it = names.find(e.getText());
    if (it == names.end())
      return at->emitError() << "expected a size, found '" << e.getText() << "'"
                             << nearParameter(e.getText(), names);
    if (auto *value = std::get_if<int64_t>(&it->second.is))
      return *value;
    return at->emitError() << "expected a size, found '" << e.getText() << "', which is "
                           << kindText(it->second) << it->second.str();
  }
  case ExprKind::Size:
    if (body)
      return body->sizeOf(at, e);
    return at->emitError() << "expected sizes of values in the ops of a body only, found '" << e.str() << "'";
  default:
    if (!isArithmetic(e.getKind()))
      return at->emitError() << "expected a size, found '" << e.str() << "'";
  }
  auto sides = bothSides<int64_t>(e, [&](ExprAttr side) { return size(at, side); });
  if (failed(sides))
    return failure();
  auto [a, b] = *sides;
  int64_t result = 0;
  bool overflow = false;
  switch (e.getKind()) {
  case ExprKind::Add:
    overflow = llvm::AddOverflow(a, b, result);
    break;
  case ExprKind::Sub:
    overflow = llvm::SubOverflow(a, b, result);
    break;
  case ExprKind::Mul:
    overflow = llvm::MulOverflow(a, b, result);
    break;
  default:
    if (b <= 0 || a < 0)
      return at->emitError() << "expected a positive divisor of a size, found " << a << " "
                             << sign(e.getKind()) << " " << b << " in '" << e.str() << "'";
    if (e.getKind() == ExprKind::Div && a % b != 0)
      return at->emitError() << "expected an exact quotient, found " << a << " / " << b << " in '" << e.str()
                             << "'";
    result = e.getKind() == ExprKind::Div ? a / b : a % b;
  }
  if (overflow)
    return at->emitError() << "expected a size that fits into 64 bits, found " << a << " "
                           << sign(e.getKind()) << " " << b << " in '" << e.str() << "'";
  return result;
}

FailureOr<int64_t> Env::positive(Operation *at, ExprAttr e, StringRef what,
                                 std::optional<Location> place) const {
  FailureOr<int64_t> value = size(at, e);
  if (failed(value))
    return failure();
  // Extents of tensors are kept below 2^31, so that labels and indices of 32 bits reach every element of an
  // axis.
  if (*value < 1 || *value > INT32_MAX) {
    InFlightDiagnostic diag = emitError(place.value_or(at->getLoc()))
                              << "expected a size from 1 to " << INT32_MAX << " for " << what << ", found "
                              << *value;
    if (e.getKind() != ExprKind::Number)
      diag << " from '" << e.str() << "'";
    return diag;
  }
  return *value;
}

FailureOr<double> Env::number(Operation *at, ExprAttr e) const {
  switch (e.getKind()) {
  case ExprKind::Number: {
    double value;
    if (e.getText().getAsDouble(value))
      return at->emitError() << "expected a number, found " << e.getText();
    return value;
  }
  case ExprKind::Name: {
    auto it = names.find(e.getText());
    if (it == names.end() || std::holds_alternative<std::shared_ptr<Closure>>(it->second.is))
      return at->emitError() << "expected a number, found '" << e.getText() << "'"
                             << (it == names.end() ? nearParameter(e.getText(), names) : "");
    if (std::holds_alternative<Numbers>(it->second.is))
      return at->emitError() << "expected a number, found '" << e.getText() << "', which is the list "
                             << it->second.str() << "; an image's 'mean' and 'deviation' take lists";
    if (auto *value = std::get_if<int64_t>(&it->second.is))
      return double(*value);
    return std::get<double>(it->second.is);
  }
  case ExprKind::Size: {
    FailureOr<int64_t> value = size(at, e);
    return failed(value) ? FailureOr<double>(failure()) : double(*value);
  }
  default:
    if (!isArithmetic(e.getKind()))
      return at->emitError() << "expected a number, found '" << e.str() << "'";
  }
  auto sides = bothSides<double>(e, [&](ExprAttr side) { return number(at, side); });
  if (failed(sides))
    return failure();
  auto [a, b] = *sides;
  double result = e.getKind() == ExprKind::Add   ? a + b
                  : e.getKind() == ExprKind::Sub ? a - b
                  : e.getKind() == ExprKind::Mul ? a * b
                  : e.getKind() == ExprKind::Div ? a / b
                                                 : std::fmod(a, b);
  if (!holdsInFloat(result) || (result != 0 && float(result) == 0))
    return at->emitError() << "expected a finite number of 32-bit floating point"
                           << (holdsInFloat(result) ? " that is not so small that it would be 0, found "
                                                    : ", found ")
                           << numberText(a) << " " << sign(e.getKind()) << " " << numberText(b) << " in '"
                           << e.str() << "'";
  return result;
}

FailureOr<Numbers> Env::numbers(Operation *at, ExprAttr e) const {
  if (e.getKind() == ExprKind::Name)
    if (auto it = names.find(e.getText()); it != names.end())
      if (auto *list = std::get_if<Numbers>(&it->second.is))
        return *list;
  const bool isList = e.getKind() == ExprKind::List;
  if (isList && e.getArgs().empty())
    return at->emitError() << "expected at least one number in a list, found '[]'";
  Numbers list;
  for (ExprAttr item : isList ? e.positional() : std::vector<ExprAttr>{e}) {
    FailureOr<double> value = number(at, item);
    if (failed(value))
      return failure();
    list.push_back(*value);
  }
  return list;
}

/// Whether the next argument of a layer, with this key or by its place, is for a number: a fraction of whole numbers is then one.
static bool nextIsNumber(const Closure &closure, StringRef key) {
  LayerOp layer = closure.layer;
  auto params = layer.getParams().getAsRange<ParamAttr>();
  size_t place = llvm::count_if(closure.args, [](const auto &arg) { return arg.first.empty(); });
  for (ParamAttr param : params) {
    if (key.empty() ? place == 0 : param.getName() == key)
      return param.getKind() == "number";
    place -= key.empty();
  }
  return false;
}

FailureOr<std::shared_ptr<Closure>> Env::layer(Operation *at, ExprAttr e) const {
  if (e.getKind() != ExprKind::Layer)
    return at->emitError() << "expected a layer, found '" << e.str() << "'; a layer is written '@name'";
  auto closure = std::make_shared<Closure>();
  if (auto it = names.find(e.getText()); it != names.end()) {
    auto *given = std::get_if<std::shared_ptr<Closure>>(&it->second.is);
    if (!given)
      return at->emitError() << "expected a layer, found parameter '" << e.getText() << "', which is "
                             << it->second.str();
    *closure = **given;
  } else {
    closure->layer =
        SymbolTable::lookupNearestSymbolFrom<LayerOp>(scope, StringAttr::get(at->getContext(), e.getText()));
    if (!closure->layer)
      return at->emitError() << "unknown layer '@" << e.getText() << "'"
                             << didYouMean(e.getText(), layerNames(scope));
  }
  for (Attribute a : e.getArgs().drop_front()) {
    auto arg = cast<ExprAttr>(a);
    bool key = arg.getKind() == ExprKind::Key;
    const std::string name = key ? arg.getText().str() : "";
    ExprAttr given = key ? arg.arg(0) : arg;
    if (given.getKind() != ExprKind::Layer && isArithmetic(given.getKind()) && nextIsNumber(*closure, name)) {
      FailureOr<double> value = number(at, given);
      if (failed(value))
        return failure();
      closure->args.emplace_back(name, Binding{*value});
      continue;
    }
    FailureOr<Binding> value = binding(at, given);
    if (failed(value))
      return failure();
    closure->args.emplace_back(name, *value);
  }
  return closure;
}

/// A size where all of it is one, else a number; or a layer.
FailureOr<Binding> Env::binding(Operation *at, ExprAttr e) const {
  if (e.getKind() == ExprKind::Layer) {
    FailureOr<std::shared_ptr<Closure>> value = layer(at, e);
    return failed(value) ? FailureOr<Binding>(failure()) : Binding{*value};
  }
  bool whole = true;
  e.walk([&](ExprAttr part) {
    if (part.getKind() == ExprKind::Number)
      whole &= part.getText().find_first_of(".e") == StringRef::npos;
    else if (part.getKind() == ExprKind::Name)
      if (auto it = names.find(part.getText()); it != names.end())
        whole &= !std::holds_alternative<double>(it->second.is);
  });
  if (whole) {
    FailureOr<int64_t> value = size(at, e);
    return failed(value) ? FailureOr<Binding>(failure()) : Binding{*value};
  }
  FailureOr<double> value = number(at, e);
  return failed(value) ? FailureOr<Binding>(failure()) : Binding{*value};
}

/// Numbers take sizes; else the kinds must agree. `fallback` is set where the value is the parameter's own
/// default: there the author may have meant a parameter of another kind.
static FailureOr<Binding> convert(Operation *at, ParamAttr param, Binding value, ExprAttr fallback = {}) {
  StringRef kind = param.getKind();
  if (kind == "number" && std::holds_alternative<int64_t>(value.is))
    value.is = double(std::get<int64_t>(value.is));
  bool fits = kind == "size"     ? std::holds_alternative<int64_t>(value.is)
              : kind == "number" ? std::holds_alternative<double>(value.is)
                                 : std::holds_alternative<std::shared_ptr<Closure>>(value.is);
  if (fits)
    return value;
  InFlightDiagnostic diag = at->emitError() << "expected a " << kind << " for parameter '" << param.getName()
                                            << "', found " << value.str();
  if (kind == "size" && fallback && std::holds_alternative<double>(value.is))
    diag << "; a number is written '" << param.getName() << ": number = " << fallback.str() << "'";
  return diag;
}

namespace {
/// While it lives, errors are held; then they are reported at the place where a parameter is declared.
class ReportedAtParameter {
public:
  explicit ReportedAtParameter(ParamAttr param) : place(param.getAt()) {
    if (place)
      hold.emplace(param.getContext(), [this](Diagnostic &d) {
        held.push_back(std::move(d));
        return success();
      });
  }
  ~ReportedAtParameter() {
    hold.reset();
    for (Diagnostic &d : held) {
      InFlightDiagnostic diag = emitError(Location(place)) << d.str();
      for (Diagnostic &note : d.getNotes())
        diag.attachNote(note.getLocation()) << note.str();
    }
  }

private:
  LocationAttr place;
  std::optional<ScopedDiagnosticHandler> hold;
  std::vector<Diagnostic> held;
};
} // namespace

FailureOr<Binding> Env::bind(Operation *at, ParamAttr param, ExprAttr e) const {
  std::optional<ReportedAtParameter> reported;
  if (e == param.getFallback())
    reported.emplace(param);
  if (param.getKind() == "numbers") {
    FailureOr<Numbers> list = numbers(at, e);
    return failed(list) ? FailureOr<Binding>(failure()) : Binding{*list};
  }
  bool layer = e.getKind() == ExprKind::Layer;
  // What has no value is reported as what the parameter takes. A number may be a fraction of whole numbers.
  if (param.getKind() == "number" && !layer) {
    FailureOr<double> value = number(at, e);
    return failed(value) ? FailureOr<Binding>(failure()) : Binding{*value};
  }
  if (param.getKind() == "layer" && !layer && e.getKind() != ExprKind::Number)
    return at->emitError() << "expected a layer, found '" << e.str() << "'";
  FailureOr<Binding> value = binding(at, e);
  return failed(value) ? value : convert(at, param, *value, e == param.getFallback() ? e : ExprAttr());
}

/// A layer's value as its header has it: `%x: [tokens, dim]`.
static std::string headerText(BlockArgument argument, ExprAttr pattern) {
  auto named = dyn_cast<NameLoc>(argument.getLoc());
  return (named ? "%" + named.getName().str() : "value " + std::to_string(argument.getArgNumber())) + ": " +
         pattern.str();
}

namespace {
/// The patterns of a layer's values, held against what the layer is applied to.
class Patterns {
public:
  Patterns(Operation *at, LayerOp layer, ArrayRef<Record> inputs) : at(at), layer(layer), inputs(inputs) {}
  /// Names that no parameter has become sizes.
  LogicalResult bind(Env &env);
  /// All else is compared, once the parameters have their values.
  LogicalResult compare(const Env &env);

private:
  InFlightDiagnostic wrong(unsigned input, ExprAttr pattern);
  LogicalResult
  each(llvm::function_ref<LogicalResult(unsigned input, ExprAttr pattern, ExprAttr item, int64_t extent)>
           visit);
  bool isParameter(StringRef name) {
    return llvm::any_of(layer.getParams().getAsRange<ParamAttr>(),
                        [&](ParamAttr each) { return each.getName() == name; });
  }

  Operation *at;
  LayerOp layer;
  ArrayRef<Record> inputs;
};
} // namespace

InFlightDiagnostic Patterns::wrong(unsigned input, ExprAttr pattern) {
  return at->emitError() << "layer '@" << layer.getSymName() << "' takes '"
                         << headerText(layer.getBody().getArgument(input), pattern) << "', found "
                         << recordText(inputs[input]);
}

LogicalResult Patterns::each(
    llvm::function_ref<LogicalResult(unsigned input, ExprAttr pattern, ExprAttr item, int64_t extent)>
        visit) {
  ArrayAttr patterns = layer.getPatternsAttr();
  for (unsigned i = 0; patterns && i < patterns.size(); ++i) {
    auto pattern = dyn_cast<ExprAttr>(patterns[i]);
    auto *tensor = std::get_if<Tensor>(&inputs[i].is);
    if (!pattern)
      continue;
    if (!tensor || tensor->rank() != pattern.getArgs().size()) {
      InFlightDiagnostic diag = wrong(i, pattern);
      diag.attachNote(inputs[i].at) << "made here: " << recordText(inputs[i]);
      diag.attachNote(layer.getLoc()) << "declared here";
      return diag;
    }
    for (auto [item, extent] : llvm::zip(pattern.getArgs(), tensor->sample()))
      if (auto e = cast<ExprAttr>(item); !e.isName("_") && failed(visit(i, pattern, e, extent)))
        return failure();
  }
  return success();
}

LogicalResult Patterns::bind(Env &env) {
  return each([&](unsigned, ExprAttr, ExprAttr item, int64_t extent) {
    if (item.getKind() == ExprKind::Name && !isParameter(item.getText()))
      env.names.try_emplace(item.getText(), Binding{extent});
    return success();
  });
}

LogicalResult Patterns::compare(const Env &env) {
  return each([&](unsigned input, ExprAttr pattern, ExprAttr item, int64_t extent) -> LogicalResult {
    FailureOr<int64_t> size = env.size(layer, item);
    if (failed(size) || *size == extent)
      return size;
    InFlightDiagnostic diag = wrong(input, pattern);
    if (item.getKind() != ExprKind::Number)
      diag << "; " << item.str() << " is " << *size;
    diag.attachNote(inputs[input].at) << "made here: " << recordText(inputs[input]);
    diag.attachNote(layer.getLoc()) << "declared here";
    return diag;
  });
}

FailureOr<Env> moe::enter(Operation *at, const Closure &closure, ArrayRef<Record> inputs) {
  LayerOp layer = closure.layer;
  Env env;
  env.scope = layer->getParentOp();
  auto note = [&](InFlightDiagnostic &diag) { diag.attachNote(layer.getLoc()) << "declared here"; };
  SmallVector<ParamAttr> params(layer.getParams().getAsRange<ParamAttr>());
  size_t next = 0;
  for (auto &[name, value] : closure.args) {
    ParamAttr param;
    if (name.empty()) {
      if (next == params.size()) {
        InFlightDiagnostic diag = at->emitError() << "layer '@" << layer.getSymName() << "' takes up to "
                                                  << params.size() << " parameters, more are given";
        note(diag);
        return diag;
      }
      param = params[next++];
    } else {
      for (ParamAttr each : params)
        if (each.getName() == name)
          param = each;
      if (!param) {
        InFlightDiagnostic diag = at->emitError() << "layer '@" << layer.getSymName()
                                                  << "' has no parameter '" << name << "'";
        note(diag);
        return diag;
      }
    }
    FailureOr<Binding> bound = convert(at, param, value);
    if (failed(bound))
      return failure();
    if (!env.names.try_emplace(param.getName(), *bound).second)
      return at->emitError() << "parameter '" << param.getName() << "' of layer '@" << layer.getSymName()
                             << "' is given twice";
  }
  Patterns patterns(at, layer, inputs);
  if (failed(patterns.bind(env)))
    return failure();
  for (ParamAttr param : params) {
    if (env.names.contains(param.getName()))
      continue;
    if (!param.getFallback()) {
      InFlightDiagnostic diag = at->emitError() << "layer '@" << layer.getSymName() << "' needs parameter '"
                                                << param.getName() << "', which is not given";
      note(diag);
      return diag;
    }
    FailureOr<Binding> bound = env.bind(layer, param, cast<ExprAttr>(param.getFallback()));
    if (failed(bound))
      return failure();
    env.names.try_emplace(param.getName(), *bound);
  }
  if (failed(patterns.compare(env)))
    return failure();
  return env;
}
