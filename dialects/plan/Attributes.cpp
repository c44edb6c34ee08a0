// Parsing and printing of the plan dialect's attributes. Inside an op they stand bare; elsewhere
// parseAttribute adds and demands the `<` and `>`, so that an attribute parser that stops early is an error
// and never a silent cut.
#include "dialects/plan/Expr.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace plan {

template <typename Enum>
static FailureOr<Enum> parseWord(AsmParser &parser, std::optional<Enum> (*symbolize)(StringRef),
                                 StringRef what) {
  StringRef word;
  SMLoc at = parser.getCurrentLocation();
  if (parser.parseKeyword(&word))
    return failure();
  if (std::optional<Enum> value = symbolize(word))
    return *value;
  return parser.emitError(at, "expected ") << what << ", found '" << word << "'", failure();
}
static FailureOr<Element> parseElement(AsmParser &parser) {
  return parseWord<Element>(parser, symbolizeElement, "an element type");
}

// Expressions are infix and left-associative; the parse of a print is the same postfix program.

namespace {
struct Operator {
  StringRef spelling;
  int precedence;
};
} // namespace
static Operator operatorOf(Code code) {
  switch (code) {
  case Code::add:
    return {" + ", 1};
  case Code::sub:
    return {" - ", 1};
  case Code::mul:
    return {" * ", 2};
  case Code::floordiv:
    return {" floordiv ", 2};
  case Code::ceildiv:
    return {" ceildiv ", 2};
  default:
    return {"", 3};
  }
}

void ExprAttr::print(AsmPrinter &printer) const {
  SmallVector<std::pair<std::string, int>> stack; // text and its precedence
  ArrayRef<int64_t> steps = getSteps();
  for (size_t i = 0; i + 1 < steps.size(); i += 2) {
    Code code = static_cast<Code>(steps[i]);
    if (code == Code::constant) {
      stack.push_back({std::to_string(steps[i + 1]), 3});
      continue;
    }
    if (code == Code::symbol) {
      stack.push_back({symbolNames[steps[i + 1]].str(), 3});
      continue;
    }
    Operator op = operatorOf(code);
    auto [b, below] = stack.pop_back_val();
    auto [a, above] = stack.pop_back_val();
    if (above < op.precedence)
      a = "(" + a + ")";
    if (below <= op.precedence)
      b = "(" + b + ")";
    stack.push_back({a + op.spelling.str() + b, op.precedence});
  }
  printer << stack.back().first;
}

// Nesting is bounded so that hostile text cannot exhaust the stack.
static ParseResult parseSum(AsmParser &parser, SmallVectorImpl<int64_t> &steps, int depth);

static ParseResult parsePrimary(AsmParser &parser, SmallVectorImpl<int64_t> &steps, int depth) {
  SMLoc at = parser.getCurrentLocation();
  if (depth > 200)
    return parser.emitError(at, "expected at most 200 nested parentheses in a size");
  if (succeeded(parser.parseOptionalLParen()))
    return failure(parseSum(parser, steps, depth + 1) || parser.parseRParen());
  int64_t value;
  OptionalParseResult number = parser.parseOptionalInteger(value);
  if (number.has_value()) {
    steps.append({static_cast<int64_t>(Code::constant), value});
    return *number;
  }
  StringRef word;
  if (succeeded(parser.parseOptionalKeyword(&word)))
    for (auto [i, name] : llvm::enumerate(symbolNames))
      if (word == name) {
        steps.append({static_cast<int64_t>(Code::symbol), static_cast<int64_t>(i)});
        return success();
      }
  return parser.emitError(at, "expected an integer, D, N or '(' in a size");
}

static ParseResult parseProduct(AsmParser &parser, SmallVectorImpl<int64_t> &steps, int depth) {
  if (parsePrimary(parser, steps, depth))
    return failure();
  for (;;) {
    Code code;
    if (succeeded(parser.parseOptionalStar()))
      code = Code::mul;
    else if (succeeded(parser.parseOptionalKeyword("floordiv")))
      code = Code::floordiv;
    else if (succeeded(parser.parseOptionalKeyword("ceildiv")))
      code = Code::ceildiv;
    else
      return success();
    if (parsePrimary(parser, steps, depth))
      return failure();
    steps.append({static_cast<int64_t>(code), 0});
  }
}

static ParseResult parseSum(AsmParser &parser, SmallVectorImpl<int64_t> &steps, int depth) {
  if (parseProduct(parser, steps, depth))
    return failure();
  for (;;) {
    Code code;
    if (succeeded(parser.parseOptionalPlus()))
      code = Code::add;
    else if (succeeded(parser.parseOptionalMinus()))
      code = Code::sub;
    else
      return success();
    if (parseProduct(parser, steps, depth))
      return failure();
    steps.append({static_cast<int64_t>(code), 0});
  }
}

Attribute ExprAttr::parse(AsmParser &parser, Type) {
  SmallVector<int64_t> steps;
  if (parseSum(parser, steps, 0))
    return {};
  return ExprAttr::get(parser.getContext(), steps);
}

void InitAttr::print(AsmPrinter &printer) const {
  auto number = [&](const APFloat &value) {
    printer.printAttributeWithoutType(FloatAttr::get(Float64Type::get(getContext()), value));
  };
  printer << stringifyInitKind(getKind()) << "(";
  number(getA());
  printer << ", ";
  number(getB());
  printer << ") stream " << getStream();
}

static ParseResult parseDouble(AsmParser &parser, APFloat &value) {
  FloatAttr attribute;
  if (parser.parseAttribute(attribute, Float64Type::get(parser.getContext())))
    return failure();
  value = attribute.getValue();
  return success();
}

Attribute InitAttr::parse(AsmParser &parser, Type) {
  FailureOr<InitKind> kind = parseWord<InitKind>(parser, symbolizeInitKind, "an initial rule");
  APFloat a(0.0), b(0.0);
  uint32_t stream;
  if (failed(kind) || parser.parseLParen() || parseDouble(parser, a) || parser.parseComma() ||
      parseDouble(parser, b) || parser.parseRParen() || parser.parseKeyword("stream") ||
      parser.parseInteger(stream))
    return {};
  return InitAttr::get(parser.getContext(), *kind, a, b, stream);
}

void PortAttr::print(AsmPrinter &printer) const {
  printer.printString(getName().getValue());
  printer << " " << stringifyElement(getElement()) << "[";
  llvm::interleaveComma(getShape(), printer, [&](ExprAttr extent) { extent.print(printer); });
  printer << (getExposed() ? "] exposed" : "]");
}

Attribute PortAttr::parse(AsmParser &parser, Type) {
  std::string name;
  if (parser.parseString(&name))
    return {};
  FailureOr<Element> element = parseElement(parser);
  SmallVector<ExprAttr> shape;
  auto extent = [&]() -> ParseResult {
    auto expr = llvm::cast_or_null<ExprAttr>(ExprAttr::parse(parser, {}));
    if (expr)
      shape.push_back(expr);
    return success(bool(expr));
  };
  if (failed(element) || parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, extent))
    return {};
  const bool exposed = succeeded(parser.parseOptionalKeyword("exposed"));
  return PortAttr::get(parser.getContext(), StringAttr::get(parser.getContext(), name), *element, shape,
                       exposed);
}

void ParamAttr::print(AsmPrinter &printer) const {
  printer << stringifyAccess(getAccess()) << " " << stringifyElement(getElement());
  if (getOver() >= 0)
    printer << " over " << getOver();
}
Attribute ParamAttr::parse(AsmParser &parser, Type) {
  FailureOr<Access> access = parseWord<Access>(parser, symbolizeAccess, "read or write");
  if (failed(access))
    return {};
  FailureOr<Element> element = parseElement(parser);
  if (failed(element))
    return {};
  int32_t over = -1;
  if (succeeded(parser.parseOptionalKeyword("over")) && parser.parseInteger(over))
    return {};
  return ParamAttr::get(parser.getContext(), *access, *element, over);
}

void ArgAttr::print(AsmPrinter &printer) const {
  printer << stringifyArgKind(getKind());
  if (!getValue())
    return;
  printer << " ";
  if (auto expr = llvm::dyn_cast<ExprAttr>(getValue()))
    expr.print(printer);
  else
    printer.printAttributeWithoutType(getValue());
}
Attribute ArgAttr::parse(AsmParser &parser, Type) {
  FailureOr<ArgKind> kind = parseWord<ArgKind>(parser, symbolizeArgKind, "a kind of launch argument");
  if (failed(kind))
    return {};
  MLIRContext *context = parser.getContext();
  Attribute value;
  switch (*kind) {
  case ArgKind::constant_i64: {
    IntegerAttr integer;
    if (parser.parseAttribute(integer, IntegerType::get(context, 64)))
      return {};
    value = integer;
    break;
  }
  case ArgKind::constant_f32: {
    FloatAttr number;
    if (parser.parseAttribute(number, Float32Type::get(context)))
      return {};
    value = number;
    break;
  }
  case ArgKind::extent:
    if (!(value = ExprAttr::parse(parser, {})))
      return {};
    break;
  case ArgKind::scalar_f32: {
    std::string key;
    if (parser.parseString(&key))
      return {};
    value = StringAttr::get(context, key);
    break;
  }
  case ArgKind::step_i64:
  case ArgKind::seed_i64:
  case ArgKind::held_i64:
    break;
  }
  return ArgAttr::get(context, *kind, value);
}

static ParseResult parseSizes(AsmParser &parser, SmallVectorImpl<ExprAttr> &sizes) {
  return parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&]() -> ParseResult {
    auto size = llvm::cast_or_null<ExprAttr>(ExprAttr::parse(parser, {}));
    sizes.push_back(size);
    return success(bool(size));
  });
}
// units D * N grain 2; or grid [N, 1, 1] block [256, 1, 1] shared 0; or copy; or fill 0.
ParseResult parseWorkAttr(AsmParser &parser, Attribute &work) {
  MLIRContext *context = parser.getContext();
  SMLoc at = parser.getCurrentLocation();
  if (succeeded(parser.parseOptionalKeyword("units"))) {
    auto units = llvm::cast_or_null<ExprAttr>(ExprAttr::parse(parser, {}));
    uint32_t grain = 1;
    if (!units || (succeeded(parser.parseOptionalKeyword("grain")) && parser.parseInteger(grain)))
      return failure();
    work = CpuWorkAttr::get(context, units, grain);
    return success();
  }
  if (succeeded(parser.parseOptionalKeyword("grid"))) {
    SmallVector<ExprAttr> grid, block;
    if (parseSizes(parser, grid) || parser.parseKeyword("block") || parseSizes(parser, block) ||
        parser.parseKeyword("shared"))
      return failure();
    auto shared = llvm::cast_or_null<ExprAttr>(ExprAttr::parse(parser, {}));
    if (!shared)
      return failure();
    work = GpuWorkAttr::get(context, grid, block, shared);
    return success();
  }
  if (succeeded(parser.parseOptionalKeyword("copy"))) {
    work = CopyWorkAttr::get(context);
    return success();
  }
  uint64_t bits;
  if (failed(parser.parseOptionalKeyword("fill")))
    return parser.emitError(at, "expected 'units', 'grid', 'copy' or 'fill': what the launch does");
  if (parser.parseInteger(bits))
    return failure();
  work = FillWorkAttr::get(context, bits);
  return success();
}
void printWorkAttr(AsmPrinter &printer, Attribute work) {
  auto sizes = [&](ArrayRef<ExprAttr> each) {
    printer << "[";
    llvm::interleaveComma(each, printer, [&](ExprAttr size) { size.print(printer); });
    printer << "]";
  };
  if (auto cpu = llvm::dyn_cast<CpuWorkAttr>(work)) {
    printer << "units ";
    cpu.getUnits().print(printer);
    if (cpu.getGrain() != 1)
      printer << " grain " << cpu.getGrain();
  } else if (auto gpu = llvm::dyn_cast<GpuWorkAttr>(work)) {
    printer << "grid ";
    sizes(gpu.getGrid());
    printer << " block ";
    sizes(gpu.getBlock());
    printer << " shared ";
    gpu.getShared().print(printer);
  } else if (auto fill = llvm::dyn_cast<FillWorkAttr>(work)) {
    printer << "fill " << fill.getBits();
  } else {
    printer << "copy";
  }
}

template <typename Work> static Attribute parseOne(AsmParser &parser) {
  Attribute work;
  SMLoc at = parser.getCurrentLocation();
  if (failed(parseWorkAttr(parser, work)))
    return {};
  if (!llvm::isa<Work>(work))
    return parser.emitError(at, "expected work of the kind ") << Work::getMnemonic(), Attribute();
  return work;
}
Attribute CpuWorkAttr::parse(AsmParser &parser, Type) { return parseOne<CpuWorkAttr>(parser); }
Attribute GpuWorkAttr::parse(AsmParser &parser, Type) { return parseOne<GpuWorkAttr>(parser); }
Attribute CopyWorkAttr::parse(AsmParser &parser, Type) { return parseOne<CopyWorkAttr>(parser); }
Attribute FillWorkAttr::parse(AsmParser &parser, Type) { return parseOne<FillWorkAttr>(parser); }
void CpuWorkAttr::print(AsmPrinter &printer) const { printWorkAttr(printer, *this); }
void GpuWorkAttr::print(AsmPrinter &printer) const { printWorkAttr(printer, *this); }
void CopyWorkAttr::print(AsmPrinter &printer) const { printWorkAttr(printer, *this); }
void FillWorkAttr::print(AsmPrinter &printer) const { printWorkAttr(printer, *this); }

void UpdateAttr::print(AsmPrinter &printer) const {
  printer << "when ";
  printer.printString(getPredicate().getValue());
  printer << " [";
  llvm::interleaveComma(getStates(), printer, [&](StringAttr path) { printer.printString(path.getValue()); });
  printer << "]";
}
Attribute UpdateAttr::parse(AsmParser &parser, Type) {
  MLIRContext *context = parser.getContext();
  std::string predicate;
  SmallVector<StringAttr> states;
  auto state = [&]() -> ParseResult {
    std::string path;
    if (parser.parseString(&path))
      return failure();
    states.push_back(StringAttr::get(context, path));
    return success();
  };
  if (parser.parseKeyword("when") || parser.parseString(&predicate) ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, state))
    return {};
  return UpdateAttr::get(context, StringAttr::get(context, predicate), states);
}

void SavedAttr::print(AsmPrinter &printer) const {
  printer.printString(getName().getValue());
  printer << " bytes ";
  getBytes().print(printer);
  printer << " because ";
  printer.printString(getReason().getValue());
}
Attribute SavedAttr::parse(AsmParser &parser, Type) {
  MLIRContext *context = parser.getContext();
  std::string name, reason;
  if (parser.parseString(&name) || parser.parseKeyword("bytes"))
    return {};
  auto bytes = llvm::cast_or_null<ExprAttr>(ExprAttr::parse(parser, {}));
  if (!bytes || parser.parseKeyword("because") || parser.parseString(&reason))
    return {};
  return SavedAttr::get(context, StringAttr::get(context, name), bytes, StringAttr::get(context, reason));
}

void CapacityAttr::print(AsmPrinter &printer) const {
  printer.printString(getRouting().getValue());
  printer << " rows ";
  getRows().print(printer);
  printer << " experts " << getExperts() << " top " << getTop() << " factor ";
  printer.printAttributeWithoutType(FloatAttr::get(Float64Type::get(getContext()), getFactor()));
  printer << " alignment " << getAlignment();
}
Attribute CapacityAttr::parse(AsmParser &parser, Type) {
  MLIRContext *context = parser.getContext();
  std::string routing;
  if (parser.parseString(&routing) || parser.parseKeyword("rows"))
    return {};
  auto rows = llvm::cast_or_null<ExprAttr>(ExprAttr::parse(parser, {}));
  int64_t experts, top, alignment;
  APFloat factor(0.0);
  if (!rows || parser.parseKeyword("experts") || parser.parseInteger(experts) || parser.parseKeyword("top") ||
      parser.parseInteger(top) || parser.parseKeyword("factor") || parseDouble(parser, factor) ||
      parser.parseKeyword("alignment") || parser.parseInteger(alignment))
    return {};
  return CapacityAttr::get(context, StringAttr::get(context, routing), rows, experts, top, factor, alignment);
}

} // namespace plan

// The generated dispatchers go unused: the dialect's own, below, add the angle brackets.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunused-function"
#define GET_ATTRDEF_CLASSES
#include "dialects/plan/PlanAttrs.cpp.inc"
#pragma clang diagnostic pop

namespace plan {

void PlanDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/plan/PlanAttrs.cpp.inc"
      >();
}

Attribute PlanDialect::parseAttribute(DialectAsmParser &parser, Type type) const {
  StringRef mnemonic;
  SMLoc at = parser.getCurrentLocation();
  if (parser.parseKeyword(&mnemonic) || parser.parseLess())
    return {};
  Attribute attribute;
  if (mnemonic == "expr")
    attribute = ExprAttr::parse(parser, type);
  else if (mnemonic == "init")
    attribute = InitAttr::parse(parser, type);
  else if (mnemonic == "port")
    attribute = PortAttr::parse(parser, type);
  else if (mnemonic == "param")
    attribute = ParamAttr::parse(parser, type);
  else if (mnemonic == "arg")
    attribute = ArgAttr::parse(parser, type);
  else if (mnemonic == "saved")
    attribute = SavedAttr::parse(parser, type);
  else if (mnemonic == "update")
    attribute = UpdateAttr::parse(parser, type);
  else if (mnemonic == "capacity")
    attribute = CapacityAttr::parse(parser, type);
  else if (mnemonic == "element")
    attribute = ElementAttr::parse(parser, type);
  else if (mnemonic == "state_kind")
    attribute = StateKindAttr::parse(parser, type);
  else if (mnemonic == "scalar_kind")
    attribute = ScalarKindAttr::parse(parser, type);
  else if (mnemonic == "entry_kind")
    attribute = EntryKindAttr::parse(parser, type);
  else if (mnemonic == "target_kind")
    attribute = TargetKindAttr::parse(parser, type);
  else if (mnemonic == "buffer_kind")
    attribute = BufferKindAttr::parse(parser, type);
  else if (mnemonic == "scalar_param")
    attribute = ScalarParamAttr::parse(parser, type);
  else if (mnemonic == "part")
    attribute = PartAttr::parse(parser, type);
  else if (mnemonic == "cpu_work")
    attribute = CpuWorkAttr::parse(parser, type);
  else if (mnemonic == "gpu_work")
    attribute = GpuWorkAttr::parse(parser, type);
  else if (mnemonic == "copy_work")
    attribute = CopyWorkAttr::parse(parser, type);
  else if (mnemonic == "fill_work")
    attribute = FillWorkAttr::parse(parser, type);
  else
    return parser.emitError(at, "expected an attribute of the plan dialect, found '") << mnemonic << "'",
           Attribute();
  if (!attribute || parser.parseGreater())
    return {};
  return attribute;
}

void PlanDialect::printAttribute(Attribute attribute, DialectAsmPrinter &printer) const {
  llvm::TypeSwitch<Attribute>(attribute)
      .Case<ExprAttr, InitAttr, PortAttr, ParamAttr, ArgAttr, UpdateAttr, SavedAttr, CapacityAttr,
            ElementAttr, StateKindAttr, ScalarKindAttr, EntryKindAttr, TargetKindAttr, BufferKindAttr,
            ScalarParamAttr, PartAttr, CpuWorkAttr, GpuWorkAttr, CopyWorkAttr, FillWorkAttr>([&](auto known) {
        printer << decltype(known)::getMnemonic() << "<";
        known.print(printer);
        printer << ">";
      });
}

} // namespace plan
