#include "passes/language/Recovery.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace moe;

bool moe::isOpOfLanguage(StringRef word, MLIRContext *context) {
  if (llvm::is_contained({"layer", "model", "objective"}, word))
    return false;
  auto known = [&](StringRef name) {
    auto op = RegisteredOperationName::lookup(name, context);
    return op && (op->hasInterface<ExpandInterface>() || name == EntryOp::getOperationName());
  };
  return known(word) || known(("moe." + word).str());
}

Recovery::Recovery(StringRef text, MLIRContext *context) : original(text), tokens(tokensOf(text)) {
  languageOf(context);
  unsigned line = 1;
  size_t counted = 0;
  for (const Statement &each :
       statementsOf(tokens, [&](StringRef word) { return isOpOfLanguage(word, context); })) {
    StringRef words = each.text(tokens);
    size_t begin = words.begin() - text.begin();
    line += text.slice(counted, begin).count('\n');
    counted = begin;
    Part &part = parts.emplace_back(Part{begin, begin + words.size(), line, each.kind, each.results});
    // A misspelt op without values reads as one more line of the op before it.
    for (size_t at = each.begin + 1; at < each.end; ++at)
      part.mayHoldMore |= tokens[at].first && tokens[at].kind == TokenKind::word &&
                          !(at + 1 < each.end && (tokens[at + 1].is("=") || tokens[at + 1].is(",")));
  }
}

/// The text as it is now, without the ops of some parts.
std::string Recovery::textWithout(const Part *from, const Part *to) const {
  std::string text;
  size_t at = 0;
  for (const Part &part : parts) {
    if (part.begin < at)
      continue;
    text += original.slice(at, part.begin);
    at = part.end;
    StringRef words = original.slice(part.begin, part.end);
    const bool left = &part >= from && &part < to && part.kind == Statement::op;
    const State state = left ? blanked : part.state;
    if (state == intact) {
      text += words;
      continue;
    }
    if (state == replaced) {
      SmallVector<StringRef> types(part.results.size(), "!moe.value");
      text += llvm::join(part.results, ", ") + " = \"builtin.unrealized_conversion_cast\"() : () -> (" +
              llvm::join(types, ", ") + ")";
    }
    for (char c : words)
      if (c == '\n' || state == blanked)
        text += c == '\n' || c == '\r' ? c : ' ';
  }
  return text + original.drop_front(at).str();
}

bool Recovery::isReplaced(unsigned line) const {
  return llvm::any_of(parts, [&](const Part &part) { return part.line == line && part.state == replaced; });
}

Recovery::Part *Recovery::partAt(size_t place) {
  auto behind = llvm::upper_bound(parts, place, [](size_t at, const Part &part) { return at < part.begin; });
  return behind == parts.begin() ? nullptr : &*std::prev(behind);
}

/// An op that makes no value and has a wrong name is read as a part of the statement before it: it begins a line.
Recovery::Part *Recovery::split(Part *part, size_t place) {
  if (part->kind != Statement::op || part->state != intact)
    return part;
  auto token = llvm::lower_bound(tokens, original.begin() + place,
                                 [](const Token &each, const char *at) { return each.text.begin() < at; });
  if (place <= part->begin || place >= part->end || token == tokens.end() ||
      token->text.begin() != original.begin() + place || !token->first || token->kind != TokenKind::word)
    return part;
  // Behind a comma, or another mark that something follows, the line goes on with the op.
  auto before = token;
  while (before != tokens.begin() && std::prev(before)->kind == TokenKind::comment)
    --before;
  if (before != tokens.begin() && std::prev(before)->kind == TokenKind::mark &&
      StringRef(",=([<*+-/").contains(std::prev(before)->text))
    return part;
  Part rest{place,
            part->end,
            part->line + unsigned(original.slice(part->begin, place).count('\n')),
            Statement::op,
            {}};
  part->end = part->begin + original.slice(part->begin, place).rtrim().size();
  return &*parts.insert(parts.begin() + (part - parts.data()) + 1, rest);
}

Recovery::Part *Recovery::before(Part *part) {
  while (part != parts.data()) {
    --part;
    if (part->kind == Statement::header)
      return nullptr;
    if (part->kind == Statement::op && part->state == intact)
      return part;
  }
  return nullptr;
}

std::optional<Recovery::Beginning> Recovery::before(size_t place) {
  const Part *part = partAt(place), *last = part;
  if (!part || part->kind == Statement::header || (part->kind == Statement::close && place > part->begin))
    return std::nullopt;
  do {
    if (last == parts.data())
      return std::nullopt;
    --last;
  } while (last->state == blanked);
  if (last->state != intact || (last->kind != Statement::op && last->kind != Statement::header))
    return std::nullopt;
  const Part *const end = parts.data() + parts.size(), *next = part;
  while (next != end && (next->kind == Statement::op || next->state == blanked))
    ++next;
  Beginning found{last->begin, last->end, next == end ? original.size() : next->begin, ""};
  if (part->kind != Statement::close)
    found.text = textWithout(
        last + 1, std::find_if(next, end, [](const Part &each) { return each.kind == Statement::header; }));
  return found;
}

void Recovery::set(Part *part, State state) {
  isChanged |= part->state != state;
  part->state = state;
}

/// Blanks the layer or model that a part belongs to.
void Recovery::breakItem(Part *part) {
  isBroken = true;
  while (part != parts.data() && part->kind != Statement::header)
    --part;
  do
    set(part, blanked);
  while (++part != parts.data() + parts.size() && part->kind != Statement::header);
}

void Recovery::takeOut(ArrayRef<Fault> faults) {
  for (Part &part : parts)
    part.blamed = false;
  for (Fault fault : faults)
    takeOut(fault);
}

void Recovery::takeOut(Fault fault) {
  const auto [place, redefines] = fault;
  Part *part = partAt(place);
  if (!part)
    return;
  part = split(part, place);
  if (std::exchange(part->blamed, true))
    return;
  if (part->kind == Statement::header || part->kind == Statement::entry)
    return breakItem(part);
  if (part->kind == Statement::op && part->state == intact)
    return set(part, part->results.empty() || redefines ? blanked : replaced);
  if (Part *other = before(part)) {
    if (part->kind == Statement::op && !part->restored && !redefines) {
      part->restored = true;
      set(part, intact);
    }
    return set(other, other->results.empty() ? blanked : replaced);
  }
  if (part->kind == Statement::op && part->state == replaced)
    return set(part, blanked);
  breakItem(part);
}

std::vector<std::pair<size_t, size_t>> Recovery::unread(bool all) const {
  if (all)
    return {{0, original.size()}};
  std::vector<std::pair<size_t, size_t>> list;
  for (const Part &part : parts)
    if (part.state != intact)
      list.push_back({part.begin, part.end});
  return list;
}

void Recovery::enter(ModuleOp module) const {
  Faults &faults = languageOf(module.getContext()).faults;
  llvm::DenseSet<unsigned> lines, headers; // of ops that stand for others; of bodies that miss some
  unsigned header = 0;
  for (const Part &part : parts) {
    if (part.kind == Statement::header)
      header = part.line;
    if (part.state == replaced)
      lines.insert(part.line);
    if (part.state == blanked || (part.state == replaced && part.mayHoldMore))
      headers.insert(header);
  }
  auto isAt = [](Operation &op, const llvm::DenseSet<unsigned> &lines) {
    auto place = op.getLoc()->findInstanceOf<FileLineColLoc>();
    return place && lines.contains(place.getLine());
  };
  for (Operation &item : *module.getBody()) {
    if (isAt(item, headers))
      faults.cut.insert(&item);
    item.walk([&](UnrealizedConversionCastOp op) {
      if (isAt(*op, lines))
        faults.ops.insert(op);
    });
  }
}
