// The plan dialect's registration, custom pieces of its assembly format, and the verifiers that keep its text
// as strict as the loader: counts, kinds and lifetimes that would not load are refused here, at their line.
#include "dialects/plan/Expr.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace plan;

template <typename Attr>
static ParseResult parseList(OpAsmParser &parser, AsmParser::Delimiter delimiter, ArrayAttr &list) {
  SmallVector<Attribute> items;
  auto item = [&]() -> ParseResult {
    Attribute attribute = Attr::parse(parser, {});
    if (attribute)
      items.push_back(attribute);
    return success(bool(attribute));
  };
  if (parser.parseCommaSeparatedList(delimiter, item))
    return failure();
  list = ArrayAttr::get(parser.getContext(), items);
  return success();
}
template <typename Attr>
static void printList(OpAsmPrinter &printer, StringRef open, StringRef close, ArrayAttr list) {
  printer << open;
  llvm::interleaveComma(list.getAsRange<Attr>(), printer, [&](Attr item) { item.print(printer); });
  printer << close;
}

static ParseResult parsePorts(OpAsmParser &parser, ArrayAttr &ports) {
  return parseList<PortAttr>(parser, AsmParser::Delimiter::Paren, ports);
}
static void printPorts(OpAsmPrinter &printer, Operation *, ArrayAttr ports) {
  printList<PortAttr>(printer, "(", ")", ports);
}
static ParseResult parseParams(OpAsmParser &parser, ArrayAttr &params) {
  return parseList<ParamAttr>(parser, AsmParser::Delimiter::Paren, params);
}
static void printParams(OpAsmPrinter &printer, Operation *, ArrayAttr params) {
  printList<ParamAttr>(printer, "(", ")", params);
}
static ParseResult parseArgs(OpAsmParser &parser, ArrayAttr &args) {
  return parseList<ArgAttr>(parser, AsmParser::Delimiter::Square, args);
}
static void printArgs(OpAsmPrinter &printer, Operation *, ArrayAttr args) {
  printList<ArgAttr>(printer, "[", "]", args);
}
static ParseResult parseUpdateList(OpAsmParser &parser, ArrayAttr &updates) {
  updates = ArrayAttr::get(parser.getContext(), {});
  if (failed(parser.parseOptionalKeyword("updates")))
    return success();
  return parseList<UpdateAttr>(parser, AsmParser::Delimiter::Paren, updates);
}
static void printUpdateList(OpAsmPrinter &printer, Operation *, ArrayAttr updates) {
  if (!updates.empty())
    printList<UpdateAttr>(printer, "updates (", ")", updates);
}
static ParseResult parseSavedList(OpAsmParser &parser, ArrayAttr &saved) {
  saved = ArrayAttr::get(parser.getContext(), {});
  if (failed(parser.parseOptionalKeyword("saved")))
    return success();
  return parseList<SavedAttr>(parser, AsmParser::Delimiter::Paren, saved);
}
static void printSavedList(OpAsmPrinter &printer, Operation *, ArrayAttr saved) {
  if (!saved.empty())
    printList<SavedAttr>(printer, "saved (", ")", saved);
}
static ParseResult parseCapacityList(OpAsmParser &parser, ArrayAttr &capacities) {
  capacities = ArrayAttr::get(parser.getContext(), {});
  if (failed(parser.parseOptionalKeyword("capacities")))
    return success();
  return parseList<CapacityAttr>(parser, AsmParser::Delimiter::Paren, capacities);
}
static void printCapacityList(OpAsmPrinter &printer, Operation *, ArrayAttr capacities) {
  if (!capacities.empty())
    printList<CapacityAttr>(printer, "capacities (", ")", capacities);
}

static ParseResult parseShape(OpAsmParser &parser, DenseI64ArrayAttr &shape) {
  SmallVector<int64_t> extents;
  auto extent = [&]() -> ParseResult { return parser.parseInteger(extents.emplace_back()); };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, extent))
    return failure();
  shape = DenseI64ArrayAttr::get(parser.getContext(), extents);
  return success();
}
static void printShape(OpAsmPrinter &printer, Operation *, DenseI64ArrayAttr shape) {
  printer << "[";
  llvm::interleaveComma(shape.asArrayRef(), printer);
  printer << "]";
}

static ParseResult parseExtent(OpAsmParser &parser, ExprAttr &extent) {
  if (parser.parseLSquare())
    return failure();
  extent = llvm::cast_or_null<ExprAttr>(ExprAttr::parse(parser, {}));
  return failure(!extent || parser.parseRSquare());
}
static void printExtent(OpAsmPrinter &printer, Operation *, ExprAttr extent) {
  printer << "[";
  extent.print(printer);
  printer << "]";
}

// (%0[D * N], %1[10]): a launch's buffers, each with the elements touched.
static ParseResult parseTouched(OpAsmParser &parser, SmallVectorImpl<OpAsmParser::UnresolvedOperand> &buffers,
                                ArrayAttr &extents) {
  SmallVector<Attribute> list;
  auto item = [&]() -> ParseResult {
    ExprAttr extent;
    if (parser.parseOperand(buffers.emplace_back()) || parseExtent(parser, extent))
      return failure();
    list.push_back(extent);
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Paren, item))
    return failure();
  extents = ArrayAttr::get(parser.getContext(), list);
  return success();
}
static void printTouched(OpAsmPrinter &printer, Operation *op, OperandRange buffers, ArrayAttr extents) {
  printer << "(";
  llvm::interleaveComma(llvm::zip_equal(buffers, extents.getAsRange<ExprAttr>()), printer, [&](auto pair) {
    printer << std::get<0>(pair);
    printExtent(printer, op, std::get<1>(pair));
  });
  printer << ")";
}

// scalars 4, or scalars [value, cell] where not all are values.
static ParseResult parseScalars(OpAsmParser &parser, ArrayAttr &scalars) {
  scalars = ArrayAttr::get(parser.getContext(), {});
  if (failed(parser.parseOptionalKeyword("scalars")))
    return success();
  if (succeeded(parser.parseOptionalLSquare())) {
    SmallVector<Attribute> list;
    do {
      Attribute param = ScalarParamAttr::parse(parser, {});
      if (!param)
        return failure();
      list.push_back(param);
    } while (succeeded(parser.parseOptionalComma()));
    scalars = ArrayAttr::get(parser.getContext(), list);
    return parser.parseRSquare();
  }
  SMLoc at = parser.getCurrentLocation();
  int64_t count;
  if (parser.parseInteger(count))
    return failure();
  if (count < 0 || count > 4096)
    return parser.emitError(at, "expected at most 4096 scalars, found ") << count;
  scalars = ArrayAttr::get(
      parser.getContext(),
      SmallVector<Attribute>(count, ScalarParamAttr::get(parser.getContext(), ScalarParam::value)));
  return success();
}
static void printScalars(OpAsmPrinter &printer, Operation *, ArrayAttr scalars) {
  if (scalars.empty())
    return;
  printer << "scalars ";
  if (llvm::all_of(scalars.getAsRange<ScalarParamAttr>(),
                   [](ScalarParamAttr param) { return param.getValue() == ScalarParam::value; }))
    printer << scalars.size();
  else
    printList<ScalarParamAttr>(printer, "[", "]", scalars);
}

static ParseResult parseWork(OpAsmParser &parser, Attribute &work) { return parseWorkAttr(parser, work); }
static void printWork(OpAsmPrinter &printer, Operation *, Attribute work) { printWorkAttr(printer, work); }

#include "dialects/plan/PlanDialect.cpp.inc"
#include "dialects/plan/PlanEnums.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/plan/PlanTypes.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/plan/PlanOps.cpp.inc"

void PlanDialect::initialize() {
  registerAttributes();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/plan/PlanTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/plan/PlanOps.cpp.inc"
      >();
}

LogicalResult StateOp::verify() {
  for (int64_t extent : getShape())
    if (extent < 1)
      return emitOpError("expected extents of at least 1, found ") << extent;
  return success();
}

LogicalResult KernelOp::verify() {
  auto params = llvm::to_vector(getParams().getAsRange<ParamAttr>());
  for (ParamAttr param : params) {
    if (param.getOver() < 0)
      continue;
    bool sound = param.getAccess() == Access::write && size_t(param.getOver()) < params.size();
    if (!sound || params[param.getOver()].getAccess() != Access::read ||
        params[param.getOver()].getElement() != param.getElement())
      return emitOpError("expected 'over' from a written parameter to a read one of its type, found over ")
             << param.getOver();
  }
  return success();
}

LogicalResult BufferOp::verify() {
  bool named =
      getKind() == BufferKind::state || getKind() == BufferKind::input || getKind() == BufferKind::output;
  if (named != getTarget().has_value())
    return emitOpError() << (named ? "expected the name of a state, input or output"
                                   : "expected no name of a port");
  if ((getKind() == BufferKind::temporary) != getLive().has_value())
    return emitOpError("expected a lifetime for a temporary, and for nothing else");
  if (!llvm::isPowerOf2_32(getAlignment()))
    return emitOpError("expected an alignment that is a power of two, found ") << getAlignment();
  if (getLive() && (getLive()->size() != 2 || (*getLive())[0] < 0 || (*getLive())[0] > (*getLive())[1]))
    return emitOpError("expected a lifetime [first, last] with first <= last");
  return success();
}

KernelOp LaunchOp::kernelOp() {
  auto target = (*this)->getParentOfType<TargetOp>();
  if (!target || !getKernelAttr())
    return nullptr;
  return llvm::dyn_cast_or_null<KernelOp>(SymbolTable::lookupSymbolIn(target, getKernelAttr()));
}

bool LaunchOp::writes(unsigned i) {
  if (!getKernelAttr())
    return i == 0; // of a copy or fill
  KernelOp kernel = kernelOp();
  // Without a kernel, or with another number of buffers, the verifier complains.
  return kernel && i < kernel.getParams().size() &&
         llvm::cast<ParamAttr>(kernel.getParams()[i]).getAccess() != Access::read;
}

LogicalResult LaunchOp::verify() {
  if (auto cpu = llvm::dyn_cast<CpuWorkAttr>(getWork())) {
    if (auto units = constantValue(cpu.getUnits()); units && (*units < 0 || *units > INT32_MAX))
      return emitOpError("expected 0 to ") << INT32_MAX << " units of work, found " << *units;
    if (cpu.getGrain() == 0)
      return emitOpError("expected a grain of at least 1, found 0");
  } else if (auto gpu = llvm::dyn_cast<GpuWorkAttr>(getWork())) {
    if (gpu.getGrid().size() != 3 || gpu.getBlock().size() != 3)
      return emitOpError("expected a grid and blocks of three axes");
  }
  if (getBuffers().size() != getExtents().size())
    return emitOpError("expected an extent a buffer, found ")
           << getExtents().size() << " for " << getBuffers().size();
  for (auto [i, buffer] : llvm::enumerate(getBuffers()))
    if (!buffer.getDefiningOp<BufferOp>())
      return emitOpError("expected the result of a buffer op as buffer ") << i;
  const bool runs = llvm::isa<CpuWorkAttr, GpuWorkAttr>(getWork());
  if (runs != bool(getKernelAttr()))
    return emitOpError() << (runs ? "expected a kernel to run" : "expected no kernel of a copy or fill");
  for (auto [i, buffer] : llvm::enumerate(getBuffers()))
    if (writes(i) && buffer.getDefiningOp<BufferOp>().getKind() == BufferKind::input)
      return emitOpError("expected a writable buffer as buffer ") << i << ", found an input";
  if (!runs) {
    const bool copies = llvm::isa<CopyWorkAttr>(getWork());
    if (getBuffers().size() != (copies ? 2 : 1) || !getScalars().empty())
      return emitOpError() << (copies ? "expected a copy from one buffer to another"
                                      : "expected a fill of one buffer")
                           << ", without scalars";
    if (copies && (getExtents()[0] != getExtents()[1] || getBuffers()[0] == getBuffers()[1]))
      return emitOpError("expected a copy of as many elements as it writes, to another buffer");
    if (copies && getBuffers()[0].getDefiningOp<BufferOp>().getElement() !=
                      getBuffers()[1].getDefiningOp<BufferOp>().getElement())
      return emitOpError("expected a copy between buffers of one element type");
    return success();
  }
  KernelOp kernel = kernelOp();
  if (!kernel)
    return emitOpError("expected a kernel of the target, found @") << *getKernel();
  auto mismatch = [&](size_t expected, StringRef what, size_t found) {
    auto error = emitOpError("expected ") << expected << " " << what << ", found " << found;
    error.attachNote(kernel.getLoc()) << "the kernel is declared here";
    return error;
  };
  if (kernel.getParams().size() != getBuffers().size())
    return mismatch(kernel.getParams().size(), "buffers", getBuffers().size());
  if (kernel.getScalars().size() != getScalars().size())
    return mismatch(kernel.getScalars().size(), "scalars", getScalars().size());
  auto params = llvm::to_vector(kernel.getParams().getAsRange<ParamAttr>());
  for (auto [i, buffer, param] : llvm::enumerate(getBuffers(), params)) {
    auto op = buffer.getDefiningOp<BufferOp>();
    if (op.getElement() != param.getElement())
      return emitOpError("expected ") << stringifyElement(param.getElement()) << " as buffer " << i
                                      << ", found " << stringifyElement(op.getElement());
  }
  // A buffer that is written may stand once, or twice where the kernel says that the two may share it.
  for (size_t i = 0; i < params.size(); ++i)
    for (size_t j = 0; j < params.size(); ++j)
      if (i != j && getBuffers()[i] == getBuffers()[j] && params[i].getAccess() != Access::read &&
          params[i].getOver() != int32_t(j))
        return emitOpError("expected buffer ")
               << i << ", which is written, to be no other, found it as buffer " << j;
  return success();
}

// A temporary's lifetime covers every launch that touches it, prepare's launches come before the step's, and
// what prepare made no step changes.
LogicalResult PlanOp::verify() {
  int64_t index = 0;
  bool step = false;
  llvm::SmallPtrSet<Operation *, 8> prepared;
  for (LaunchOp launch : getBody().getOps<LaunchOp>()) {
    if (launch.getPrepare() && step)
      return launch.emitOpError("expected prepare launches before those of the step");
    step |= !launch.getPrepare();
    for (auto [i, buffer] : llvm::enumerate(launch.getBuffers())) {
      auto op = buffer.getDefiningOp<BufferOp>();
      if (!op || !op.getLive())
        continue;
      if (!step)
        prepared.insert(op);
      else if (prepared.contains(op) && launch.writes(i)) {
        auto error = launch.emitOpError("expected a step to read what prepare made for all steps, found it "
                                        "written as buffer ")
                     << i;
        error.attachNote(op.getLoc()) << "prepare made this one";
        return error;
      }
      ArrayRef<int64_t> live = *op.getLive();
      if (index < live[0] || index > live[1]) {
        auto error = launch.emitOpError("expected launch ")
                     << index << " inside the lifetimes of its temporaries";
        error.attachNote(op.getLoc()) << "this one lives from " << live[0] << " to " << live[1];
        return error;
      }
    }
    ++index;
  }
  return success();
}
