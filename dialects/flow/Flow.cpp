// The dialect, its attributes' texts, and the pieces of op formats that are written by hand.
#include "dialects/flow/Flow.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace flow;

static ParseResult parseInit(AsmParser &parser, InitAttr &init) {
  StringRef word;
  SMLoc at = parser.getCurrentLocation();
  double a = 0, b = 0;
  if (parser.parseKeyword(&word))
    return failure();
  auto kind = symbolizeInitKind(word);
  if (!kind)
    return parser.emitError(at, "expected constant, uniform, normal or trunc_normal, found '") << word << "'";
  if (parser.parseLParen() || parser.parseFloat(a))
    return failure();
  if (*kind != InitKind::constant && (parser.parseComma() || parser.parseFloat(b)))
    return failure();
  if (parser.parseRParen())
    return failure();
  init = InitAttr::get(parser.getContext(), *kind, a, b);
  return success();
}

static void printInit(AsmPrinter &printer, InitAttr init) {
  printer << stringifyInitKind(init.getKind()) << "(";
  printer.printFloat(init.getA().getValue());
  if (init.getKind() != InitKind::constant) {
    printer << ", ";
    printer.printFloat(init.getB().getValue());
  }
  printer << ")";
}
static void printInit(AsmPrinter &printer, Operation *, InitAttr init) { printInit(printer, init); }

static ParseResult parseExtentText(AsmParser &parser, ExtentAttr &extent) {
  auto parsed = Extent::parse(parser);
  if (failed(parsed))
    return failure();
  extent = ExtentAttr::get(parser.getContext(), *parsed);
  return success();
}
static void printExtentText(AsmPrinter &printer, Operation *, ExtentAttr extent) {
  extent.getExtent().print(printer.getStream());
}

#include "dialects/flow/FlowDialect.cpp.inc"
#include "dialects/flow/FlowEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/flow/FlowAttrs.cpp.inc"
#include "dialects/flow/FlowInterfaces.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/flow/FlowOps.cpp.inc"

void FlowDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/flow/FlowAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/flow/FlowOps.cpp.inc"
      >();
}

unsigned FlowDialect::symbolNumber(StringRef name) {
  std::lock_guard lock(symbolsMutex);
  auto [slot, fresh] = symbolNumbers.try_emplace(name, symbolNames.size());
  if (fresh)
    symbolNames.push_back(name.str());
  return slot->second;
}

StringRef FlowDialect::symbolName(unsigned number) {
  std::lock_guard lock(symbolsMutex);
  return symbolNames[number];
}

Operation *FlowDialect::materializeConstant(OpBuilder &builder, Attribute value, Type type,
                                            Location location) {
  auto number = dyn_cast<FloatAttr>(value);
  if (!number || !number.getType().isF64() || !isa<RankedTensorType>(type))
    return nullptr;
  return ConstantOp::create(builder, location, type, number);
}

Attribute DimsAttr::parse(AsmParser &parser, Type) {
  SmallVector<Extent> dims;
  auto one = [&]() -> ParseResult {
    auto extent = Extent::parse(parser);
    if (failed(extent))
      return failure();
    dims.push_back(*extent);
    return success();
  };
  if (parser.parseLess() || parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, one) ||
      parser.parseGreater())
    return {};
  return get(parser.getContext(), dims);
}

void DimsAttr::print(AsmPrinter &printer) const {
  printer << "<[";
  llvm::interleaveComma(getDims(), printer, [&](Extent extent) { extent.print(printer.getStream()); });
  printer << "]>";
}

LogicalResult DimsAttr::verifyEncoding(ArrayRef<int64_t> shape, Type,
                                       function_ref<InFlightDiagnostic()> emitError) const {
  if (shape.size() != getDims().size())
    return emitError() << "expected as many extents in #flow.dims as the tensor has axes, " << shape.size()
                       << ", found " << getDims().size();
  bool dynamic = false;
  for (auto [axis, size, extent] : llvm::enumerate(shape, getDims())) {
    auto constant = extent.constantValue();
    dynamic |= ShapedType::isDynamic(size);
    if (ShapedType::isDynamic(size) ? constant.has_value() : constant != size)
      return emitError() << "axis " << axis << ": expected "
                         << (ShapedType::isDynamic(size) ? "an expression over D and N"
                                                         : std::to_string(size))
                         << " in #flow.dims, found " << extent.str();
  }
  if (!dynamic)
    return emitError() << "expected no #flow.dims on a tensor of static shape";
  return success();
}

Attribute ExtentAttr::parse(AsmParser &parser, Type) {
  if (parser.parseLess())
    return {};
  auto extent = Extent::parse(parser);
  if (failed(extent) || parser.parseGreater())
    return {};
  return get(parser.getContext(), *extent);
}
void ExtentAttr::print(AsmPrinter &printer) const {
  printer << "<";
  getExtent().print(printer.getStream());
  printer << ">";
}

Attribute InitAttr::parse(AsmParser &parser, Type) {
  InitAttr init;
  if (parser.parseLess() || parseInit(parser, init) || parser.parseGreater())
    return {};
  return init;
}
void InitAttr::print(AsmPrinter &printer) const {
  printer << "<";
  printInit(printer, *this);
  printer << ">";
}

void ProgramOp::build(OpBuilder &builder, OperationState &state, StringRef name) {
  state.addAttribute(::mlir::SymbolTable::getSymbolAttrName(), builder.getStringAttr(name));
  state.addRegion()->emplaceBlock();
}

void TargetOp::build(OpBuilder &builder, OperationState &state, StringRef name) {
  state.getOrAddProperties<Properties>().name = builder.getStringAttr(name);
  state.addRegion()->emplaceBlock();
}

void EntryOp::build(OpBuilder &builder, OperationState &state, StringRef name, EntryKind kind) {
  state.addAttribute(::mlir::SymbolTable::getSymbolAttrName(), builder.getStringAttr(name));
  state.getOrAddProperties<Properties>().kind = EntryKindAttr::get(builder.getContext(), kind);
  state.addRegion()->emplaceBlock();
}
