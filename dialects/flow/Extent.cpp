// The normal form of sizes. An affine expression is converted to a sum of products (a map from factors to
// coefficients), and back to an affine expression whose terms are in the order of their printed factors, with
// the constant last. MLIR then makes equal expressions the same object.
#include "dialects/flow/Extent.h"
#include "dialects/flow/Flow.h"
#include "mlir/IR/OpImplementation.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include <map>

using namespace mlir;

namespace flow {
namespace {

constexpr StringRef batchSymbols[] = {"D", "N"};

/// The name of an affine symbol: the batch's come first, the others as the dialect numbers them.
StringRef nameOf(AffineSymbolExpr symbol) {
  const unsigned position = symbol.getPosition();
  if (position < std::size(batchSymbols))
    return batchSymbols[position];
  return symbol.getContext()->getOrLoadDialect<FlowDialect>()->symbolName(position - std::size(batchSymbols));
}

/// A term: its factors (symbols and quotients) in order, and a coefficient.
using Factors = SmallVector<AffineExpr, 4>;
struct Term {
  Factors factors;
  int64_t coefficient = 0;
};
/// Terms by the text of their factors; no coefficient is 0.
using Sum = std::map<std::string, Term>;

void printSum(raw_ostream &os, const Sum &sum);
Sum sumOf(AffineExpr expression);

std::string textOf(AffineExpr factor) {
  if (auto symbol = dyn_cast<AffineSymbolExpr>(factor))
    return nameOf(symbol).str();
  auto quotient = cast<AffineBinaryOpExpr>(factor);
  std::string text;
  llvm::raw_string_ostream os(text);
  os << (quotient.getKind() == AffineExprKind::FloorDiv ? "floor(" : "ceil(");
  printSum(os, sumOf(quotient.getLHS()));
  os << ", ";
  printSum(os, sumOf(quotient.getRHS()));
  os << ")";
  return text;
}

/// The order of factors: the batch's symbols come first, then all others by their text.
std::string rankOf(AffineExpr factor) {
  if (auto symbol = dyn_cast<AffineSymbolExpr>(factor);
      symbol && symbol.getPosition() < std::size(batchSymbols))
    return std::string(1, char('0' + symbol.getPosition()));
  return textOf(factor);
}

/// Coefficients saturate at -INT64_MAX and INT64_MAX; verifiers refuse a type with such a size (Verify.cpp).
int64_t addSaturated(int64_t a, int64_t b) {
  int64_t sum;
  if (llvm::AddOverflow(a, b, sum))
    return a < 0 ? -INT64_MAX : INT64_MAX;
  return std::max(sum, -INT64_MAX);
}
int64_t mulSaturated(int64_t a, int64_t b) {
  int64_t product;
  if (llvm::MulOverflow(a, b, product))
    return (a < 0) != (b < 0) ? -INT64_MAX : INT64_MAX;
  return std::max(product, -INT64_MAX);
}

void addTerm(Sum &sum, Factors factors, int64_t coefficient) {
  if (coefficient == 0)
    return;
  llvm::sort(factors, [](AffineExpr l, AffineExpr r) { return rankOf(l) < rankOf(r); });
  std::string key;
  for (AffineExpr factor : factors)
    key += rankOf(factor) + "*";
  Term &term = sum[key];
  term.factors = factors;
  term.coefficient = addSaturated(term.coefficient, coefficient);
  if (term.coefficient == 0)
    sum.erase(key);
}

void addScaled(Sum &sum, const Sum &other, const Term &by) {
  for (auto &[key, term] : other) {
    Factors factors = term.factors;
    llvm::append_range(factors, by.factors);
    addTerm(sum, factors, mulSaturated(term.coefficient, by.coefficient));
  }
}

Sum sumOf(AffineExpr expression) {
  Sum sum;
  if (auto constant = dyn_cast<AffineConstantExpr>(expression)) {
    addTerm(sum, {}, constant.getValue());
    return sum;
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expression);
  if (!binary) {
    addTerm(sum, {expression}, 1);
    return sum;
  }
  AffineExpr l = binary.getLHS(), r = binary.getRHS();
  switch (binary.getKind()) {
  case AffineExprKind::Add:
    addScaled(sum, sumOf(l), Term{{}, 1});
    addScaled(sum, sumOf(r), Term{{}, 1});
    break;
  case AffineExprKind::Mul: {
    Sum left = sumOf(l);
    for (auto &[key, term] : sumOf(r))
      addScaled(sum, left, term);
    break;
  }
  case AffineExprKind::Mod: // MLIR folds a - floor(a, b) * b to this
    addScaled(sum, sumOf(l), Term{{}, 1});
    addScaled(sum, sumOf(l.floorDiv(r) * r), Term{{}, -1});
    break;
  default:
    addTerm(sum, {expression}, 1);
  }
  return sum;
}

AffineExpr affineOf(const Sum &sum, MLIRContext *context) {
  AffineExpr result = getAffineConstantExpr(0, context);
  for (auto &[key, term] : llvm::reverse(sum)) { // the constant has the least key: it comes last
    AffineExpr product = getAffineConstantExpr(1, context);
    for (AffineExpr factor : term.factors)
      product = product * factor;
    result = result + product * term.coefficient;
  }
  return result;
}

void printTerm(raw_ostream &os, const Term &term, int64_t coefficient) {
  SmallVector<std::string> words;
  for (unsigned i = 0; i < term.factors.size(); ++i) {
    auto is = [&](unsigned at, unsigned position) {
      auto symbol =
          at < term.factors.size() ? dyn_cast<AffineSymbolExpr>(term.factors[at]) : AffineSymbolExpr(nullptr);
      return symbol && symbol.getPosition() == position;
    };
    bool lastD = is(i, 0) && !is(i + 1, 0);
    if (lastD && is(i + 1, 1)) {
      words.push_back("B");
      ++i;
      continue;
    }
    words.push_back(textOf(term.factors[i]));
  }
  if (coefficient != 1 || words.empty())
    words.push_back(std::to_string(coefficient));
  llvm::interleave(words, os, " * ");
}

void printSum(raw_ostream &os, const Sum &sum) {
  if (sum.empty()) {
    os << "0";
    return;
  }
  bool first = true;
  for (auto &[key, term] : llvm::reverse(sum)) {
    bool minus = term.coefficient < 0;
    if (!first)
      os << (minus ? " - " : " + ");
    else if (minus && !term.factors.empty())
      os << "0 - ";
    bool bare = first && term.factors.empty();
    printTerm(os, term, minus && !bare ? -term.coefficient : term.coefficient);
    first = false;
  }
}

std::optional<int64_t> value(AffineExpr expression, const Symbols &symbols) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expression))
    return constant.getValue();
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expression))
    return symbol.getPosition() == 0 ? symbols.D : symbol.getPosition() == 1 ? symbols.N : 1;
  auto binary = cast<AffineBinaryOpExpr>(expression);
  auto l = value(binary.getLHS(), symbols), r = value(binary.getRHS(), symbols);
  if (!l || !r)
    return std::nullopt;
  int64_t result;
  switch (binary.getKind()) {
  case AffineExprKind::Add:
    return llvm::AddOverflow(*l, *r, result) ? std::nullopt : std::optional(result);
  case AffineExprKind::Mul:
    return llvm::MulOverflow(*l, *r, result) ? std::nullopt : std::optional(result);
  default:
    if (*r <= 0)
      return std::nullopt;
    if (binary.getKind() == AffineExprKind::Mod)
      return *l - llvm::divideFloorSigned(*l, *r) * *r;
    return binary.getKind() == AffineExprKind::FloorDiv ? llvm::divideFloorSigned(*l, *r)
                                                        : llvm::divideCeilSigned(*l, *r);
  }
}

void pushPostfix(SmallVectorImpl<Extent::Step> &steps, const Sum &sum);

void pushPostfix(SmallVectorImpl<Extent::Step> &steps, AffineExpr factor) {
  if (auto symbol = dyn_cast<AffineSymbolExpr>(factor)) {
    steps.push_back({Extent::Code::symbol, int64_t(symbol.getPosition())});
    return;
  }
  auto quotient = cast<AffineBinaryOpExpr>(factor);
  pushPostfix(steps, sumOf(quotient.getLHS()));
  pushPostfix(steps, sumOf(quotient.getRHS()));
  bool floor = quotient.getKind() == AffineExprKind::FloorDiv;
  steps.push_back({floor ? Extent::Code::floordiv : Extent::Code::ceildiv, 0});
}

void pushPostfix(SmallVectorImpl<Extent::Step> &steps, const Sum &sum) {
  if (sum.empty())
    steps.push_back({Extent::Code::constant, 0});
  bool first = true;
  for (auto &[key, term] : llvm::reverse(sum)) {
    bool minus = !first && term.coefficient < 0;
    int64_t coefficient = minus ? -term.coefficient : term.coefficient;
    for (auto [i, factor] : llvm::enumerate(term.factors)) {
      pushPostfix(steps, factor);
      if (i)
        steps.push_back({Extent::Code::mul, 0});
    }
    if (coefficient != 1 || term.factors.empty()) {
      steps.push_back({Extent::Code::constant, coefficient});
      if (!term.factors.empty())
        steps.push_back({Extent::Code::mul, 0});
    }
    if (!first)
      steps.push_back({minus ? Extent::Code::sub : Extent::Code::add, 0});
    first = false;
  }
}

} // namespace

Extent Extent::fromAffine(AffineExpr expression) {
  return Extent(affineOf(sumOf(expression), expression.getContext()));
}
Extent Extent::constant(MLIRContext *context, int64_t value) {
  return Extent(getAffineConstantExpr(value, context));
}
Extent Extent::symbol(MLIRContext *context, Symbol symbol) {
  return Extent(getAffineSymbolExpr(unsigned(symbol), context));
}
Extent Extent::symbol(MLIRContext *context, StringRef name) {
  assert(!name.empty() && name != "B" && name != "floor" && name != "ceil" && "words of a size's text");
  unsigned position = llvm::find(batchSymbols, name) - std::begin(batchSymbols);
  if (position == std::size(batchSymbols))
    position += context->getOrLoadDialect<FlowDialect>()->symbolNumber(name);
  return Extent(getAffineSymbolExpr(position, context));
}
Extent Extent::batch(MLIRContext *context) { return symbol(context, Symbol::D) * symbol(context, Symbol::N); }

Extent Extent::of(Type type, unsigned axis) {
  auto tensor = cast<RankedTensorType>(type);
  if (auto dims = dyn_cast_or_null<DimsAttr>(tensor.getEncoding()))
    return dims.getDims()[axis];
  assert(!tensor.isDynamicDim(axis) && "a dynamic extent without an expression");
  return constant(type.getContext(), tensor.getDimSize(axis));
}

// The arithmetic is on sums, since the folding of affine expressions does not check for overflow.
Extent Extent::operator+(Extent other) const {
  Sum sum = sumOf(expr);
  addScaled(sum, sumOf(other.expr), Term{{}, 1});
  return Extent(affineOf(sum, getContext()));
}
Extent Extent::operator-(Extent other) const {
  Sum sum = sumOf(expr);
  addScaled(sum, sumOf(other.expr), Term{{}, -1});
  return Extent(affineOf(sum, getContext()));
}
Extent Extent::operator*(Extent other) const {
  Sum left = sumOf(expr), sum;
  for (auto &[key, term] : sumOf(other.expr))
    addScaled(sum, left, term);
  return Extent(affineOf(sum, getContext()));
}
Extent Extent::operator+(int64_t other) const { return *this + constant(getContext(), other); }
Extent Extent::operator-(int64_t other) const { return *this - constant(getContext(), other); }
Extent Extent::operator*(int64_t other) const { return *this * constant(getContext(), other); }
Extent Extent::floordiv(int64_t other) const { return floordiv(constant(getContext(), other)); }
Extent Extent::ceildiv(int64_t other) const { return ceildiv(constant(getContext(), other)); }
Extent Extent::floordiv(Extent other) const {
  if (auto exact = exactQuotient(other))
    return *exact;
  return fromAffine(expr.floorDiv(other.expr));
}
Extent Extent::ceildiv(Extent other) const {
  if (auto exact = exactQuotient(other))
    return *exact;
  return fromAffine(expr.ceilDiv(other.expr));
}

std::optional<Extent> Extent::exactQuotient(Extent other) const {
  Sum divisor = sumOf(other.expr), result;
  if (divisor.size() != 1)
    return other == *this && !isConstant(0) ? std::optional(constant(getContext(), 1)) : std::nullopt;
  const Term &by = divisor.begin()->second;
  for (auto &[key, term] : sumOf(expr)) {
    if (term.coefficient % by.coefficient)
      return std::nullopt;
    Factors left = term.factors;
    for (AffineExpr factor : by.factors) {
      auto found = llvm::find(left, factor);
      if (found == left.end())
        return std::nullopt;
      left.erase(found);
    }
    addTerm(result, left, term.coefficient / by.coefficient);
  }
  return Extent(affineOf(result, getContext()));
}

std::optional<int64_t> Extent::constantValue() const {
  if (auto constant = dyn_cast_or_null<AffineConstantExpr>(expr))
    return constant.getValue();
  return std::nullopt;
}
std::optional<int64_t> Extent::evaluate(const Symbols &symbols) const { return value(expr, symbols); }

SmallVector<StringRef> Extent::openSymbols() const {
  SmallVector<StringRef> names;
  expr.walk([&](AffineExpr part) {
    if (auto symbol = dyn_cast<AffineSymbolExpr>(part);
        symbol && symbol.getPosition() >= std::size(batchSymbols))
      if (StringRef name = nameOf(symbol); !llvm::is_contained(names, name))
        names.push_back(name);
  });
  return names;
}

Extent Extent::bind(const llvm::StringMap<int64_t> &values) const {
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
    auto found = values.find(nameOf(symbol));
    return found == values.end() ? *this : constant(getContext(), found->second);
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return *this;
  const Extent l = Extent(binary.getLHS()).bind(values), r = Extent(binary.getRHS()).bind(values);
  switch (binary.getKind()) {
  case AffineExprKind::Add:
    return l + r;
  case AffineExprKind::Mul:
    return l * r;
  case AffineExprKind::Mod:
    return l - l.floordiv(r) * r;
  case AffineExprKind::FloorDiv:
    return l.floordiv(r);
  default:
    return l.ceildiv(r);
  }
}

void Extent::print(raw_ostream &stream) const { printSum(stream, sumOf(expr)); }
std::string Extent::str() const {
  std::string text;
  llvm::raw_string_ostream stream(text);
  print(stream);
  return text;
}

SmallVector<Extent::Step> Extent::postfix() const {
  SmallVector<Step> steps;
  pushPostfix(steps, sumOf(expr));
  return steps;
}

namespace {
/// sum := product (('+' | '-') product)*; product := atom ('*' atom)*;
/// atom := integer | B | symbol | floor(sum, sum) | ceil(sum, sum) | (sum)
struct Reader {
  AsmParser &parser;
  int depth = 0;

  FailureOr<Extent> sum() {
    auto left = product();
    while (succeeded(left)) {
      bool minus = succeeded(parser.parseOptionalMinus());
      if (!minus && failed(parser.parseOptionalPlus()))
        return left;
      auto right = product();
      if (failed(right))
        return failure();
      left = minus ? *left - *right : *left + *right;
    }
    return failure();
  }

  FailureOr<Extent> product() {
    auto left = atom();
    while (succeeded(left) && succeeded(parser.parseOptionalStar())) {
      auto right = atom();
      if (failed(right))
        return failure();
      left = *left * *right;
    }
    return left;
  }

  FailureOr<Extent> atom() {
    MLIRContext *context = parser.getContext();
    SMLoc at = parser.getCurrentLocation();
    if (++depth > 64)
      return parser.emitError(at, "expected a size nested at most 64 deep"), failure();
    struct Leave {
      int &depth;
      ~Leave() { --depth; }
    } leave{depth};
    int64_t number;
    if (auto result = parser.parseOptionalInteger(number); result.has_value()) {
      if (failed(*result))
        return failure();
      return Extent::constant(context, number);
    }
    if (succeeded(parser.parseOptionalLParen())) {
      auto inner = sum();
      if (failed(inner) || failed(parser.parseRParen()))
        return failure();
      return inner;
    }
    StringRef word;
    if (failed(parser.parseOptionalKeyword(&word)))
      return parser.emitError(at, "expected a size over B, D, N and other symbols"), failure();
    if (word == "B")
      return Extent::batch(context);
    if (word != "floor" && word != "ceil") {
      if (word.find_first_of("$.") == StringRef::npos)
        return Extent::symbol(context, word);
      return parser.emitError(at, "expected a symbol of letters, digits and underscores, found '")
                 << word << "'",
             failure();
    }
    bool floor = word == "floor";
    if (failed(parser.parseLParen()))
      return failure();
    auto l = sum();
    if (failed(l) || failed(parser.parseComma()))
      return failure();
    SMLoc divisorAt = parser.getCurrentLocation();
    auto r = sum();
    if (failed(r) || failed(parser.parseRParen()))
      return failure();
    if (auto constant = r->constantValue(); constant && *constant <= 0)
      return parser.emitError(divisorAt, "expected a positive divisor, found ") << *constant, failure();
    return floor ? l->floordiv(*r) : l->ceildiv(*r);
  }
};
} // namespace

FailureOr<Extent> Extent::parse(AsmParser &parser) { return Reader{parser}.sum(); }

ElementTypes elementTypesOf(Type type) {
  Type element = getElementTypeOrSelf(type);
  Type storage = element.isInteger(1) ? Type(IntegerType::get(element.getContext(), 8)) : element;
  return {storage, element, element};
}

int64_t storageBytes(Type type) { return elementTypesOf(type).storage.getIntOrFloatBitWidth() / 8; }

SmallVector<Extent> extentsOf(Type type) {
  SmallVector<Extent> extents;
  for (unsigned axis = 0, rank = cast<RankedTensorType>(type).getRank(); axis < rank; ++axis)
    extents.push_back(Extent::of(type, axis));
  return extents;
}

RankedTensorType tensorType(ArrayRef<Extent> extents, Type element) {
  SmallVector<int64_t> shape;
  bool dynamic = false;
  for (Extent extent : extents) {
    auto constant = extent.constantValue();
    dynamic |= !constant;
    shape.push_back(constant ? *constant : ShapedType::kDynamic);
  }
  Attribute encoding;
  if (dynamic)
    encoding = DimsAttr::get(element.getContext(), extents);
  return RankedTensorType::get(shape, element, encoding);
}

RankedTensorType withElement(Type type, Type element) {
  auto tensor = cast<RankedTensorType>(type);
  return RankedTensorType::get(tensor.getShape(), element, tensor.getEncoding());
}

Extent productOf(ArrayRef<Extent> extents, MLIRContext *context) {
  Extent product = Extent::constant(context, 1);
  for (Extent extent : extents)
    product = product * extent;
  return product;
}

} // namespace flow
