#include "frontends/moe-lsp/Hover.h"
#include "frontends/moe-lsp/Pages.h"
#include "frontends/moe-lsp/Symbols.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;
using namespace moe;
using namespace moe::lsp;

/// How many lines of one kind an author reads.
static constexpr size_t maxLines = 12, maxScopes = 4;

/// 1536 as 1,536.
static std::string grouped(int64_t number) {
  std::string text = std::to_string(number);
  for (int64_t at = int64_t(text.size()) - 3; at > 0; at -= 3)
    text.insert(size_t(at), ",");
  return text;
}

static std::string countText(int64_t count) {
  return grouped(count) + (count == 1 ? " parameter" : " parameters");
}

static LineColumn placeOf(const File &file, const Token &token) {
  const size_t offset = file.offsetOf(token.text), line = file.lines.lineOf(offset);
  return {unsigned(line) + 1, unsigned(offset - file.lines.offset(unsigned(line) + 1, 1)) + 1};
}

static const Findings &findingsOf(const Analysis &analysis, const File &file) {
  for (auto [i, each] : enumerate(analysis.files))
    if (each.get() == &file)
      return analysis.findings[i];
  return analysis.findings.front();
}

/// "[197, 384]" where it is the same everywhere, else a line for each, with the paths where it is so.
static std::string inScopes(ArrayRef<InScope> list) {
  MapVector<StringRef, SmallVector<StringRef>> scopes; // by what is found there
  for (const InScope &each : list)
    scopes[each.text].push_back(each.scope);
  if (scopes.size() == 1)
    return ("`" + scopes.front().first + "`").str();
  std::string text;
  size_t shown = 0;
  for (auto &[what, where] : scopes) {
    if (++shown > maxLines)
      return text + "\n- and " + std::to_string(scopes.size() - maxLines) + " others";
    text += ("\n- `" + what + "` in ").str();
    SmallVector<std::string> names;
    for (StringRef scope : ArrayRef(where).take_front(maxScopes))
      names.push_back(scope.empty() ? "the model" : ("`" + scope + "`").str());
    text += join(names, ", ");
    if (where.size() > maxScopes)
      text += " and " + std::to_string(where.size() - maxScopes) + " more";
  }
  return text;
}

/// What a value of the op or argument at a token is, by its number.
static ArrayRef<InScope> foundAt(const Analysis &analysis, const File &file, const Token &token,
                                 unsigned number) {
  const Findings &found = findingsOf(analysis, file);
  auto it = found.values.find({placeOf(file, token), number});
  return it == found.values.end() ? ArrayRef<InScope>() : ArrayRef<InScope>(it->second);
}

/// What a value is in each application that reaches it; none where none does.
static ArrayRef<InScope> valuesOf(const Analysis &analysis, const File &file, const Statement &header,
                                  StringRef name) {
  for (const Statement &each : statementsOf(file, header)) {
    if (&each == &header) {
      for (size_t i = each.begin; i < each.end; ++i)
        if (file.tokens[i].text == ("%" + name).str())
          return foundAt(analysis, file, file.tokens[i], 0);
    } else if (each.word < each.end) {
      for (auto [number, result] : enumerate(each.results))
        if (result.drop_front() == name)
          return foundAt(analysis, file, file.tokens[each.word], unsigned(number));
    }
  }
  return {};
}

/// The parameters that one application of a layer or model has: the same in each, or several counts.
static std::vector<std::pair<std::string, int64_t>> countsOf(const Analysis &analysis, const File &file,
                                                             const Statement &header) {
  std::vector<std::pair<std::string, int64_t>> counts; // by scopes
  const Findings &found = findingsOf(analysis, file);
  auto entered = found.entered.find(placeOf(file, file.tokens[header.word]));
  if (entered == found.entered.end())
    return counts;
  for (auto &[scope, sizes] : entered->second) {
    int64_t count = 0;
    for (const Parameter &each : analysis.parameters)
      if (each.trained && (scope.empty() || StringRef(each.path).starts_with(scope + ".")))
        count += each.count();
    counts.emplace_back(scope, count);
  }
  return counts;
}

/// "591,360 parameters in each of 12 applications"
static std::string countsText(ArrayRef<std::pair<std::string, int64_t>> counts, bool model) {
  if (counts.empty())
    return "";
  int64_t least = counts.front().second, most = least;
  for (auto &each : counts)
    least = std::min(least, each.second), most = std::max(most, each.second);
  std::string text = least == most ? countText(most) : grouped(least) + " to " + countText(most);
  if (!model && counts.size() > 1)
    text += " in each of " + std::to_string(counts.size()) + " applications";
  return text;
}

static std::string valueText(const Analysis &analysis, const Symbol &symbol) {
  ArrayRef<InScope> found = valuesOf(analysis, *symbol.file, *symbol.header, symbol.name);
  std::string name = ("**%" + symbol.name + "**").str();
  if (found.empty())
    return name + " — its shape is not known: no application reaches it, or an error stands before it";
  std::string text = inScopes(found);
  return name + (text.front() == '\n' ? "\n" : ": ") + text;
}

static std::string sizeText(const Analysis &analysis, const Symbol &symbol) {
  const Findings &found = findingsOf(analysis, *symbol.file);
  auto entered = found.entered.find(placeOf(*symbol.file, symbol.file->tokens[symbol.header->word]));
  std::string name = ("**" + symbol.name + "**").str();
  std::vector<InScope> values;
  if (entered != found.entered.end())
    for (auto &[scope, sizes] : entered->second)
      if (auto it = sizes.find(symbol.name.str()); it != sizes.end())
        values.push_back({scope, it->second});
  if (values.empty())
    return name + " of '@" + symbol.file->declaredBy(*symbol.header).str() + "'";
  std::string text = inScopes(values);
  return name + (text.front() == '\n' ? "\n" : " = ") + text;
}

static std::string layerText(const Analysis &analysis, const Symbol &symbol) {
  if (!symbol.header)
    return ("**@" + symbol.name + "** — no file of the folder has this layer").str();
  StringRef head = symbol.header->text(symbol.file->tokens);
  std::string text = "```moe\n" + head.rtrim("{ ").str() + "\n```\n";
  auto counts = countsOf(analysis, *symbol.file, *symbol.header);
  if (!counts.empty())
    text += "\n" + countsText(counts, symbol.kind == Symbol::model);
  return text;
}

/// The parameters that the op of a path owns, or that a layer which it applies has.
static std::string pathText(const Analysis &analysis, const File &file, const Statement &statement,
                            StringRef name) {
  std::string text;
  int64_t total = 0;
  size_t lines = 0;
  auto add = [&](const Parameter &each) {
    total += each.trained ? each.count() : 0;
    if (++lines > maxLines)
      return;
    text += "- `" + each.path + "` [";
    ListSeparator comma;
    for (int64_t extent : each.shape)
      text += std::string(StringRef(comma)) + std::to_string(extent);
    text += std::string("]") + (each.trained ? "" : ", a buffer") + ": " + grouped(each.count()) + "\n";
  };
  const Findings &found = analysis.findings.front();
  auto own = found.parameters.find(placeOf(file, file.tokens[statement.word]));
  if (own != found.parameters.end()) {
    for (const Parameter &each : own->second)
      add(each);
  } else if (const Statement *header = file.headerOf(file.offsetOf(file.tokens[statement.begin].text))) {
    auto entered = found.entered.find(placeOf(file, file.tokens[header->word]));
    if (entered != found.entered.end())
      for (auto &[scope, sizes] : entered->second)
        for (const Parameter &each : analysis.parameters)
          if (StringRef(each.path).starts_with(scope.empty() ? (name + ".").str()
                                                             : scope + "." + name.str() + "."))
            add(each);
  }
  if (lines == 0)
    return "";
  if (lines > maxLines)
    text += "- and " + std::to_string(lines - maxLines) + " more\n";
  return ("**@" + name + "**: " + countText(total) + "\n\n").str() + text;
}

std::optional<llvm::lsp::Hover> moe::lsp::hoverAt(const Analysis &analysis, size_t offset) {
  const File &file = analysis.document();
  const Token *token = file.tokenAt(offset);
  if (!token || token->kind == TokenKind::comment)
    return std::nullopt;
  llvm::lsp::Hover hover(file.lines.range(token->text));
  std::string &text = hover.contents.value;
  if (std::optional<Symbol> symbol = symbolAt(analysis, offset)) {
    const Statement *statement = file.statementAt(offset);
    switch (symbol->kind) {
    case Symbol::value:
      text = valueText(analysis, *symbol);
      break;
    case Symbol::parameter:
      text = sizeText(analysis, *symbol);
      break;
    case Symbol::layer:
    case Symbol::model:
      text = layerText(analysis, *symbol);
      break;
    case Symbol::path:
      text = pathText(analysis, file, *statement, symbol->name);
      break;
    }
    if (text.empty())
      return std::nullopt;
    return hover;
  }
  const Statement *statement = file.statementAt(offset);
  if (token->kind != TokenKind::word || !statement || statement->word >= statement->end)
    return std::nullopt;
  // An op's word, and its options and keywords too.
  const Page *page = pageOf(file.tokens[statement->word].text);
  if (!page)
    return std::nullopt;
  text = "```moe\n" + page->syntax + "\n```\n\n" + page->meaning;
  if (&file.tokens[statement->word] == token && !page->rest.empty())
    text += "\n" + page->rest;
  return hover;
}

std::vector<llvm::lsp::DocumentSymbol> moe::lsp::symbolsOf(const Analysis &analysis) {
  const File &file = analysis.document();
  std::vector<llvm::lsp::DocumentSymbol> list;
  for (const Statement &header : file.statements) {
    StringRef name = file.declaredBy(header);
    if (header.kind != Statement::header || name.empty())
      continue;
    auto [begin, end] = rangeOf(file, header);
    end = begin + StringRef(file.text).slice(begin, end).rtrim().size();
    const bool model = file.tokens[header.word].is("moe.model");
    llvm::lsp::DocumentSymbol symbol(
        "@" + name, model ? llvm::lsp::SymbolKind::Class : llvm::lsp::SymbolKind::Function,
        file.lines.range(begin, end), file.lines.range(file.tokens[header.word + 1].text));
    symbol.detail = countsText(countsOf(analysis, file, header), model);
    for (const Statement &each : statementsOf(file, header)) {
      if (each.kind != Statement::op)
        continue;
      for (auto [number, result] : enumerate(each.results)) {
        const Token *token = find_if(ArrayRef(file.tokens).slice(each.begin),
                                     [&](const Token &t) { return t.text == result; });
        llvm::lsp::DocumentSymbol value(result, llvm::lsp::SymbolKind::Variable,
                                        file.lines.range(each.text(file.tokens)),
                                        file.lines.range(token->text));
        ArrayRef<InScope> found;
        if (each.word < each.end)
          found = foundAt(analysis, file, file.tokens[each.word], unsigned(number));
        if (!found.empty())
          value.detail =
              found.front().text +
              (all_of(found, [&](auto &f) { return f.text == found.front().text; }) ? "" : ", ...");
        symbol.children.push_back(std::move(value));
      }
    }
    list.push_back(std::move(symbol));
  }
  return list;
}

std::vector<llvm::lsp::InlayHint> moe::lsp::hintsOf(const Analysis &analysis, size_t begin, size_t end) {
  const File &file = analysis.document();
  std::vector<llvm::lsp::InlayHint> hints;
  for (const Statement &each : file.statements) {
    const size_t at = file.offsetOf(file.tokens[each.begin].text);
    const bool header = each.kind == Statement::header;
    if (at < begin || at >= end || (!header && each.word >= each.end))
      continue;
    unsigned number = 0; // of the op's value
    for (size_t i = each.begin, last = header ? each.end : each.word; i < last; ++i) {
      const Token &token = file.tokens[i];
      if (token.kind != TokenKind::value || (header && i + 1 < last && file.tokens[i + 1].is("=")))
        continue;
      SmallVector<StringRef> shapes;
      for (const InScope &found : header ? foundAt(analysis, file, token, 0)
                                         : foundAt(analysis, file, file.tokens[each.word], number++))
        if (!is_contained(shapes, found.text))
          shapes.push_back(found.text);
      if (shapes.empty())
        continue;
      llvm::lsp::InlayHint hint(llvm::lsp::InlayHintKind::Type,
                                file.lines.position(file.offsetOf(token.text) + token.text.size()));
      hint.label =
          ": " + join(ArrayRef(shapes).take_front(2), " or ") + (shapes.size() > 2 ? " or others" : "");
      hints.push_back(std::move(hint));
    }
  }
  return hints;
}
