// What can be checked before elaboration, at the author's line: every name in an expression is a parameter of
// the enclosing layer or a word that its attribute knows, every layer exists and gets as many arguments as it
// takes, no layer calls itself, names are fit to be recorded, a path names one op's parameters, and bodies
// end as they should. An op cannot see its parent while it is parsed, so the enclosing layer, model or
// objective checks all of its body.
#include "dialects/moe/Elsewhere.h"
#include "dialects/moe/MoeDialect.h"
#include "dialects/moe/Names.h"
#include "dialects/moe/Nearest.h"
#include "dialects/moe/Words.h"
#include "runtime/base/Printable.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace moe;

namespace {
/// Checks one body against the parameters that are in scope.
class NameChecker {
public:
  NameChecker(Operation *body, ArrayAttr params) : body(body), params(params) {}
  LogicalResult run();

private:
  LogicalResult declare();
  LogicalResult declareSizes(LayerOp layer);
  LogicalResult checkOp(Operation *user);
  LogicalResult visit(Operation *user, StringRef attribute, Attribute value, bool open);
  LogicalResult visitExpr(Operation *user, StringRef attribute, ExprAttr expr, bool open, bool whole);
  LogicalResult check(Operation *user, StringRef attribute, ExprAttr expr, bool open, bool whole);
  LogicalResult checkLayer(Operation *user, ExprAttr expr, bool open);
  bool isValue(StringRef name) const;
  SmallVector<StringRef> parameters(StringRef kind) const;
  /// Where to report what is wrong with the parameter that is looked at, or else with the op.
  Location place(Operation *user) const { return at ? Location(at) : user->getLoc(); }
  InFlightDiagnostic error(Operation *user) const { return at ? emitError(Location(at)) : user->emitError(); }

  Operation *body;
  ArrayAttr params;
  LocationAttr at; // of the parameter that is looked at
  llvm::StringMap<ParamAttr> known;
  SmallVector<StringRef> bound; // names of sizes that patterns bind
};
} // namespace

SmallVector<StringRef> NameChecker::parameters(StringRef kind) const {
  SmallVector<StringRef> list;
  for (auto param : params.getAsRange<ParamAttr>())
    if ((param.getKind() == "layer") == (kind == "layer"))
      list.push_back(param.getName());
  if (kind == "size")
    llvm::append_range(list, bound);
  return list;
}

/// The names that the patterns of a layer's values bind.
LogicalResult NameChecker::declareSizes(LayerOp layer) {
  ArrayAttr patterns = layer.getPatternsAttr();
  if (!patterns)
    return success();
  if (patterns.size() != layer.getBody().getNumArguments())
    return layer.emitError() << "expected a pattern or none for each of " << layer.getBody().getNumArguments()
                             << " values, found " << patterns.size();
  for (auto [place, argument] : llvm::zip(patterns, layer.getBody().getArguments())) {
    auto pattern = dyn_cast<ExprAttr>(place);
    if (!pattern)
      continue;
    at = argument.getLoc();
    llvm::scope_exit leave([&] { at = {}; });
    if (pattern.getKind() != ExprKind::List)
      return error(layer) << "expected a pattern such as [tokens, dim], found '" << pattern.str() << "'";
    for (Attribute each : pattern.getArgs()) {
      auto item = cast<ExprAttr>(each);
      bool size = item.getKind() == ExprKind::Number || item.getKind() == ExprKind::Name ||
                  item.getKind() >= ExprKind::Add;
      if (!size)
        return error(layer) << "expected a size in a pattern, found '" << item.str() << "'";
      if (item.getKind() != ExprKind::Name || item.isName("_"))
        continue;
      auto [it, fresh] = known.try_emplace(
          item.getText(), ParamAttr::get(layer.getContext(), "size", item.getText(), {}, at));
      if (fresh)
        bound.push_back(item.getText());
      else if (it->second.getKind() != "size")
        return error(layer) << "expected a size in a pattern, found " << it->second.getKind()
                            << " parameter '" << item.getText() << "'";
    }
  }
  return success();
}

LogicalResult NameChecker::declare() {
  llvm::scope_exit leave([&] { at = {}; });
  for (auto param : params.getAsRange<ParamAttr>()) {
    at = param.getAt();
    if (failed(checkName(place(body), param.getKind() == "layer" ? "@" : "", param.getName())))
      return failure();
    StringRef name = param.getName();
    auto inName = [](char c) { return llvm::isAlnum(c) || StringRef("_.$").contains(c); };
    if (llvm::isDigit(name.front()) || !llvm::all_of(name, inName))
      return error(body) << "expected a parameter's name of letters, digits and '_', as '-D' takes it, "
                            "found '"
                         << (param.getKind() == "layer" ? "@" : "") << moert::printable(name, /*line=*/true)
                         << "'";
    if (!known.try_emplace(param.getName(), param).second)
      return error(body) << "expected parameters of different names, found '" << param.getName() << "' twice";
    if (isa<ModelOp, ObjectiveOp>(body) && !param.getFallback()) {
      bool layer = param.getKind() == "layer";
      return error(body) << "expected a default for parameter '" << (layer ? "@" : "") << param.getName()
                         << "' of a " << body->getName().stripDialect() << ": write '" << (layer ? "@" : "")
                         << param.getName()
                         << (layer || param.getKind() == "size" ? "" : (": " + param.getKind()).str())
                         << (layer ? " = @Layer'" : " = ...'");
    }
    if (param.getKind() == "numbers" && !isa<ModelOp>(body))
      return error(body) << "expected ': numbers' in a model only, whose images take lists as 'mean' and "
                            "'deviation'; found it for parameter '"
                         << param.getName() << "' of a " << body->getName().stripDialect();
    if (param.getKind() != "layer")
      continue;
    if (auto other = SymbolTable::lookupNearestSymbolFrom<LayerOp>(
            body->getParentOp(), StringAttr::get(body->getContext(), param.getName()))) {
      InFlightDiagnostic diag = error(body) << "layer parameter '@" << param.getName()
                                            << "' is spelt like a layer; rename one";
      diag.attachNote(other.getLoc()) << "declared here";
      return diag;
    }
  }
  return success();
}

static std::string elsewhere(Operation *user, StringRef attribute, StringRef word) {
  bool names = word.equals_insensitive("same") || word.equals_insensitive("valid");
  std::string hint = names ? valueElsewhere(user->getName().stripDialect(), attribute, word) : "";
  return hint.empty() ? "" : "; " + hint;
}

/// What to write for an initial value that there is not: another library's rule, or all of the language's.
static std::string initialHint(Operation *user, StringRef word, const Words &words) {
  std::string hint = initialElsewhere(word), all = hint.empty() ? "; there are: " : "; " + hint;
  if (hint.empty() && llvm::is_contained(words.calls, word))
    return ("; write '" + word + "(...)' with its numbers").str();
  if (!hint.empty())
    return all;
  SmallVector<StringRef> near(words.names);
  llvm::append_range(near, words.calls);
  bool hyper = isa<HyperOp>(user); // whose rule is no other op's
  SmallVector<std::string> list;
  for (StringRef each : words.names)
    if (hyper || each != "hyperfan_in")
      list.push_back(each.str());
  for (StringRef each : words.calls)
    if (hyper || each != "hyperfan_in")
      list.push_back((each + "(...)").str());
  return didYouMean(word, near) + all + llvm::join(list, ", ");
}

/// `open`: the layer is the value of a layer parameter, whose user may give the rest of its arguments.
LogicalResult NameChecker::checkLayer(Operation *user, ExprAttr e, bool open) {
  if (auto it = known.find(e.getText()); it != known.end() && it->second.getKind() == "layer")
    return success();
  auto layer = SymbolTable::lookupNearestSymbolFrom<LayerOp>(
      body->getParentOp(), StringAttr::get(body->getContext(), e.getText()));
  if (!layer) {
    SmallVector<StringRef> near = parameters("layer");
    for (LayerOp other : body->getParentRegion()->getOps<LayerOp>())
      near.push_back(other.getSymName());
    return error(user) << "unknown layer '@" << e.getText() << "'" << didYouMean(e.getText(), near);
  }
  size_t given = e.getArgs().size() - 1, all = layer.getParams().size();
  size_t positional = e.positional().size();
  llvm::StringSet<> named;
  for (Attribute arg : e.getArgs().drop_front()) {
    auto key = cast<ExprAttr>(arg);
    if (key.getKind() != ExprKind::Key)
      continue;
    SmallVector<StringRef> names;
    bool taken = false;
    for (auto [i, param] : llvm::enumerate(layer.getParams().getAsRange<ParamAttr>())) {
      names.push_back(param.getName());
      taken |= param.getName() == key.getText() && i < positional;
    }
    if (!llvm::is_contained(names, key.getText())) {
      InFlightDiagnostic diag = error(user) << "layer '@" << e.getText() << "' has no parameter '"
                                            << key.getText() << "'" << didYouMean(key.getText(), names);
      diag.attachNote(layer.getLoc()) << "declared here";
      return diag;
    }
    if (taken || !named.insert(key.getText()).second)
      return error(user) << "parameter '" << key.getText() << "' of layer '@" << e.getText()
                         << "' is given twice";
  }
  // What a chain ramps is given by the chain.
  auto chain = dyn_cast<ChainOp>(user);
  auto ramped = [&](ParamAttr param) {
    return chain && chain.getRamp() && *chain.getRamp() == param.getName() && param.getKind() == "number";
  };
  SmallVector<StringRef> missing, names;
  for (auto [i, param] : llvm::enumerate(layer.getParams().getAsRange<ParamAttr>())) {
    names.push_back(param.getName());
    if (!param.getFallback() && i >= positional && !named.contains(param.getName()) && !ramped(param))
      missing.push_back(param.getName());
  }
  if (given <= all && (missing.empty() || open))
    return success();
  InFlightDiagnostic diag = error(user) << "layer '@" << e.getText() << "' ";
  if (given > all && all == 0)
    diag << "takes no parameters, " << given << " given";
  else if (given > all)
    diag << "takes " << all << (all == 1 ? " parameter" : " parameters") << " ('" << llvm::join(names, "', '")
         << "'), " << given << " given";
  else
    diag << "needs " << (missing.size() == 1 ? "parameter" : "parameters") << " '"
         << llvm::join(missing, "', '") << "', which " << (missing.size() == 1 ? "is" : "are")
         << " not given";
  diag.attachNote(layer.getLoc()) << "declared here";
  return diag;
}

LogicalResult NameChecker::check(Operation *user, StringRef attribute, ExprAttr e, bool open, bool whole) {
  Words words = wordsOf(attribute);
  auto [names, calls] = words;
  bool initial = llvm::is_contained(calls, "constant");
  if (attribute == "axes" && whole) {
    ExprAttr odd;
    if (std::string wrong = wrongAxes(e, odd); !wrong.empty())
      return error(user) << wrong;
  }
  if (!whole && attribute != "on" && attribute != "when")
    names.clear();
  if (attribute == "patterns" && e.isName("_"))
    return success();
  if (e.getKind() == ExprKind::Name && !isWord(attribute, e, whole)) {
    auto it = known.find(e.getText());
    if (it != known.end() && it->second.getKind() == "layer")
      return error(user) << "expected a size or number, found layer '@" << e.getText()
                         << "'; a layer is written with '@'";
    if (it == known.end() && llvm::is_contained({"layer", "layers", "trunk", "target"}, attribute))
      return error(user) << "expected a layer, found '" << e.getText() << "'; a layer is written '@"
                         << e.getText() << "'";
    if (it == known.end() && initial && whole)
      return error(user) << "unknown initial value '" << e.getText() << "'"
                         << initialHint(user, e.getText(), words);
    if (it == known.end()) {
      std::string hint = elsewhere(user, attribute, e.getText());
      if (attribute == "numbers" && isValue(e.getText()))
        hint = ("; write '%" + e.getText() + "'").str();
      llvm::append_range(names, parameters("size"));
      return error(user) << "unknown " << (attribute.starts_with("init") ? "initial value" : "size or number")
                         << " '" << e.getText() << "'"
                         << (hint.empty() ? didYouMean(e.getText(), names) : hint);
    }
  }
  if (e.getKind() == ExprKind::Call && !llvm::is_contained(calls, e.getText())) {
    InFlightDiagnostic diag = error(user) << "unknown rule '" << e.getText() << "(...)'";
    if (std::string hint = initialElsewhere(e.getText()); initial && !hint.empty())
      return diag << "; " << hint;
    diag << didYouMean(e.getText(), calls);
    if (!calls.empty())
      diag << "; expected one of: " << llvm::join(calls, ", ");
    return diag;
  }
  return e.getKind() == ExprKind::Layer ? checkLayer(user, e, open) : success();
}

/// Whether a value of the body has the name.
bool NameChecker::isValue(StringRef name) const {
  auto named = [&](Location at) {
    auto found = dyn_cast<NameLoc>(at);
    return found && found.getName() == name;
  };
  bool found =
      llvm::any_of(body->getRegion(0).getArguments(), [&](BlockArgument a) { return named(a.getLoc()); });
  body->walk([&](Operation *op) { found |= op->getNumResults() && named(op->getLoc()); });
  return found;
}

LogicalResult NameChecker::visit(Operation *user, StringRef attribute, Attribute value, bool open) {
  if (auto list = dyn_cast<ArrayAttr>(value)) {
    for (Attribute item : list)
      if (failed(visit(user, attribute, item, open)))
        return failure();
    return success();
  }
  if (auto param = dyn_cast<ParamAttr>(value)) {
    at = param.getAt();
    llvm::scope_exit leave([&] { at = {}; });
    return param.getFallback() ? visit(user, attribute, param.getFallback(), true) : success();
  }
  if (auto input = dyn_cast<InputAttr>(value)) {
    for (Attribute dim : input.getDims())
      if (failed(visit(user, attribute, dim, open)))
        return failure();
    for (Attribute each : {input.getMean(), input.getDeviation()})
      if (each && failed(visit(user, attribute, each, open)))
        return failure();
    return success();
  }
  auto e = dyn_cast<ExprAttr>(value);
  return e ? visitExpr(user, attribute, e, open, true) : success();
}

/// `whole`: see isWord.
LogicalResult NameChecker::visitExpr(Operation *user, StringRef attribute, ExprAttr e, bool open,
                                     bool whole) {
  if (failed(check(user, attribute, e, open, whole)))
    return failure();
  for (Attribute arg : e.getArgs())
    if (auto part = dyn_cast<ExprAttr>(arg);
        part && failed(visitExpr(user, attribute, part, open || e.getKind() == ExprKind::Layer, false)))
      return failure();
  return success();
}

LogicalResult NameChecker::checkOp(Operation *user) {
  if (auto concat = dyn_cast<ConcatOp>(user); concat && concat.getX().empty())
    return user->emitError() << "expected at least one value to concatenate";
  if (auto prepend = dyn_cast<PrependOp>(user); prepend && prepend.getX().size() < 2)
    return user->emitError() << "expected at least two values, 'prepend %tokens, %x', found "
                             << prepend.getX().size();
  for (NamedAttribute a : user->getAttrs())
    if (failed(visit(user, a.getName(), a.getValue(), false)))
      return failure();
  return success();
}

LogicalResult NameChecker::run() {
  if (failed(declare()))
    return failure();
  if (auto layer = dyn_cast<LayerOp>(body); layer && failed(declareSizes(layer)))
    return failure();
  bool right = true; // one error an op
  body->walk([&](Operation *user) { right &= succeeded(checkOp(user)); });
  return success(right);
}

/// The names that an op of a body gives: its own, its path's, its results'.
static LogicalResult verifyNames(Operation *user) {
  for (StringRef attribute : {"sym_name", "path", "label"}) {
    auto name = user->getAttrOfType<StringAttr>(attribute);
    if (!name)
      continue;
    if (failed(checkName(user->getLoc(), "@", name.getValue())))
      return failure();
    if (attribute != "sym_name" && name.getValue().contains('.'))
      return user->emitError() << "expected a name without dots, found '@" << name.getValue()
                               << "'; dots part the names of a path";
  }
  if (auto names = user->getAttrOfType<ArrayAttr>("names"))
    for (auto name : names.getAsRange<StringAttr>())
      if (failed(checkName(user->getLoc(), "", name.getValue())))
        return failure();
  return success();
}

/// Whether ops of the body could not be read.
static bool isIncomplete(Operation *body) {
  const Faults &faults = languageOf(body->getContext()).faults;
  return faults.cut.contains(body) ||
         llvm::any_of(faults.ops, [&](Operation *op) { return body->isProperAncestor(op); });
}

static LogicalResult verifyPaths(Operation *body) {
  llvm::StringMap<Operation *> owners, labels;
  auto verifyPath = [&](Operation *user) -> LogicalResult {
    if (failed(verifyNames(user)))
      return failure();
    if (auto label = user->getAttrOfType<StringAttr>("label")) {
      auto key = (user->getName().getStringRef() + label.getValue()).str();
      if (auto [it, fresh] = labels.try_emplace(key, user); !fresh) {
        auto diag = user->emitError();
        if (isa<AssignOp>(user))
          diag << "buffer '@" << label.getValue() << "' is assigned twice in a step";
        else
          diag << "expected a name of its own for each " << user->getName().stripDialect() << ", found '@"
               << label.getValue() << "' twice";
        diag.attachNote(it->second->getLoc()) << "first used here";
        return diag;
      }
    }
    auto path = user->getAttrOfType<StringAttr>("path"), mode = user->getAttrOfType<StringAttr>("mode");
    if (!path)
      return success();
    if (mode && mode.getValue() == "shared" && !owners.contains(path.getValue())) {
      if (isIncomplete(body))
        return success();
      SmallVector<StringRef> names = llvm::to_vector(owners.keys());
      llvm::sort(names);
      return user->emitError() << "'shared @" << path.getValue() << "': no earlier op owns these parameters"
                               << didYouMean(path.getValue(), names);
    }
    auto [it, fresh] = owners.try_emplace(path.getValue(), user);
    if (fresh || mode)
      return success();
    InFlightDiagnostic diag = user->emitError()
                              << "parameter path '" << path.getValue() << "' is used twice; say '"
                              << user->getName().stripDialect() << " shared @" << path.getValue()
                              << "' if both use the same parameters";
    diag.attachNote(it->second->getLoc()) << "first used here";
    return diag;
  };
  bool right = true;
  body->walk<WalkOrder::PreOrder>([&](Operation *user) { right &= succeeded(verifyPath(user)); });
  return success(right);
}

/// The body ends with one `Last`; after it only entries may follow.
template <typename Last> static LogicalResult verifyEnd(Operation *op, bool entries, bool several = false) {
  StringRef word = Last::getOperationName().drop_front(4);
  Operation *end = nullptr;
  for (Operation &each : op->getRegion(0).front()) {
    bool last = isa<Last>(each);
    if (isa<EntryOp>(each) ? !(entries && end) : end && !(several && last))
      return each.emitError() << "expected nothing " << (end ? "after" : "of this kind before") << " '"
                              << word << "'";
    if (isa<LayerOp, ModelOp, ObjectiveOp>(each) || (!last && isa<YieldOp, ReturnOp, UpdateOp>(each)))
      return each.emitError() << "expected no '" << each.getName().stripDialect() << "' inside a "
                              << op->getName().stripDialect();
    if (last)
      end = &each;
  }
  if (end || languageOf(op->getContext()).faults.cut.contains(op))
    return success();
  return op->emitError() << "expected its body to end with '" << word << "'";
}

/// The layers that a layer's body names, each with an op that names it; parameters that are layers are left
/// out.
static SmallVector<std::pair<Operation *, Operation *>> callsOf(LayerOp layer,
                                                                const llvm::StringMap<Operation *> &layers) {
  llvm::StringSet<> params;
  for (auto param : layer.getParams().getAsRange<ParamAttr>())
    params.insert(param.getName());
  llvm::MapVector<Operation *, Operation *> calls;
  layer.getBody().walk([&](Operation *user) {
    for (NamedAttribute a : user->getAttrs())
      a.getValue().walk([&](ExprAttr e) {
        if (e.getKind() != ExprKind::Layer || params.contains(e.getText()))
          return;
        if (Operation *callee = layers.lookup(e.getText()))
          calls.insert({callee, user});
      });
  });
  return calls.takeVector();
}

/// `path` is a cycle of layers, each of which calls the next, and the last the first. The report is about the
/// one that the text has first.
static LogicalResult reportCycle(ArrayRef<Operation *> path, const llvm::StringMap<Operation *> &layers) {
  size_t first = 0;
  for (size_t i = 1; i < path.size(); ++i)
    if (path[i]->isBeforeInBlock(path[first]))
      first = i;
  size_t before = (first + path.size() - 1) % path.size();
  auto layer = cast<LayerOp>(path[first]), last = cast<LayerOp>(path[before]);
  for (auto [callee, user] : callsOf(last, layers)) {
    if (callee != layer)
      continue;
    InFlightDiagnostic diag = user->emitError() << "layer '@" << layer.getSymName() << "' calls itself";
    if (last != layer)
      diag << " through '@" << last.getSymName() << "'";
    diag << "; its stack would have no end";
    diag.attachNote(layer.getLoc()) << "declared here";
    return diag;
  }
  return success();
}

/// A layer whose body names itself, directly or through others, has no end. Layers that come in as parameters
/// are left to elaboration, which limits how deep they nest. The text's first layer looks at all of them,
/// once.
static LogicalResult verifyAcyclic(LayerOp first) {
  for (Operation *before = first->getPrevNode(); before; before = before->getPrevNode())
    if (isa<LayerOp>(before))
      return success();
  llvm::StringMap<Operation *> layers;
  for (auto layer : first->getParentRegion()->getOps<LayerOp>())
    layers.try_emplace(layer.getSymName(), layer);
  struct Visit {
    Operation *layer;
    SmallVector<std::pair<Operation *, Operation *>> calls;
    size_t next = 0;
  };
  std::vector<Visit> stack;
  llvm::DenseSet<Operation *> seen, open;
  auto enter = [&](Operation *layer) {
    seen.insert(layer);
    open.insert(layer);
    stack.push_back({layer, callsOf(cast<LayerOp>(layer), layers)});
  };
  for (auto root : first->getParentRegion()->getOps<LayerOp>()) {
    if (!seen.contains(root))
      enter(root);
    while (!stack.empty()) {
      Visit &top = stack.back();
      if (top.next == top.calls.size()) {
        open.erase(top.layer);
        stack.pop_back();
        continue;
      }
      Operation *callee = top.calls[top.next++].first;
      if (open.contains(callee)) {
        SmallVector<Operation *> cycle;
        for (Visit &visit : stack)
          if (!cycle.empty() || visit.layer == callee)
            cycle.push_back(visit.layer);
        return reportCycle(cycle, layers);
      }
      if (!seen.contains(callee))
        enter(callee);
    }
  }
  return success();
}

template <typename Op> static LogicalResult verifyPlaces(Op op, size_t count) {
  ArrayAttr numbers = op.getNumbersAttr();
  size_t values = op.getValues().size();
  size_t open = numbers ? llvm::count_if(numbers, [](Attribute a) { return isa<UnitAttr>(a); }) : count;
  if ((numbers ? numbers.size() : count) != count || open != values)
    return op.emitError() << "expected " << count << " values or numbers, found " << values << " values"
                          << (numbers ? " that do not fit the places of the numbers" : "");
  return success();
}
LogicalResult AddOp::verify() { return verifyPlaces(*this, 2); }
LogicalResult SubOp::verify() { return verifyPlaces(*this, 2); }
LogicalResult MulOp::verify() { return verifyPlaces(*this, 2); }
LogicalResult DivOp::verify() { return verifyPlaces(*this, 2); }
LogicalResult WhereOp::verify() { return verifyPlaces(*this, 3); }

LogicalResult ExpertsOp::verify() {
  if (bool(getLayer()) != bool(getLayers()))
    return success();
  return emitError() << "expected either 'layer @Layer', for all experts, or 'layers [2 * @A, @B]', found "
                     << (getLayer() ? "both" : "neither");
}

/// Names, paths and the end of a body: each is looked at, whatever is wrong with the others.
template <typename Last, typename Op>
static LogicalResult verifyBody(Op op, bool entries, bool several = false) {
  languageOf(op->getContext()).faults.checked.insert(op);
  bool right = succeeded(NameChecker(op, op.getParams()).run());
  right &= succeeded(verifyPaths(op));
  const bool declaration = isa<LayerOp>(op) && op.getBody().front().empty();
  return success((declaration || succeeded(verifyEnd<Last>(op, entries, several))) && right);
}

LogicalResult LayerOp::verifyRegions() {
  // A cycle is looked for in any case: what is wrong elsewhere must not hide that a layer calls itself.
  LogicalResult body = verifyBody<YieldOp>(*this, false), acyclic = verifyAcyclic(*this);
  return success(succeeded(body) && succeeded(acyclic));
}
LogicalResult ModelOp::verifyRegions() {
  if (getBody().front().empty())
    return emitError() << "expected a body: a model is no declaration";
  return verifyBody<ReturnOp>(*this, true);
}
LogicalResult ObjectiveOp::verifyRegions() { return verifyBody<UpdateOp>(*this, false, true); }
LogicalResult EntryOp::verifyRegions() { return verifyEnd<ReturnOp>(*this, false); }
