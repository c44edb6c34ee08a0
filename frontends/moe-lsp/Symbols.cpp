#include "frontends/moe-lsp/Symbols.h"
#include "dialects/moe/Names.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Path.h"
#include <set>

using namespace llvm;
using namespace moe;
using namespace moe::lsp;

/// `%a#1` is a result of `%a`.
static StringRef valueName(const Token &token) {
  return token.name().take_until([](char c) { return c == '#'; });
}

ArrayRef<Statement> moe::lsp::statementsOf(const File &file, const Statement &header) {
  const Statement *end = file.statements.data() + file.statements.size();
  return {&header, std::find_if(&header + 1, end,
                                [](const Statement &each) { return each.kind == Statement::header; })};
}

std::pair<size_t, size_t> moe::lsp::rangeOf(const File &file, const Statement &header) {
  const size_t begin = file.offsetOf(file.tokens[header.begin].text);
  const Statement *next = statementsOf(file, header).end();
  if (next == file.statements.data() + file.statements.size())
    return {begin, file.text.size()};
  return {begin, file.offsetOf(file.tokens[next->begin].text)};
}

std::vector<NameUse> moe::lsp::parametersOf(const File &file, const Statement &header) {
  std::vector<NameUse> list;
  const size_t begin = file.offsetOf(file.tokens[header.begin].text);
  const Token &last = file.tokens[header.end - 1];
  const size_t end = file.offsetOf(last.text) + last.text.size();
  auto known = [&](StringRef name) {
    return any_of(list, [&](const NameUse &each) { return each.text == name; });
  };
  for (auto it = file.names.lower_bound(begin); it != file.names.end() && it->first < end; ++it)
    if (it->second.kind == Listener::Name::parameter)
      list.push_back(it->second);
  // In a layer's patterns, a name that no parameter has is bound.
  if (!file.tokens[header.word].is("moe.layer"))
    return list;
  size_t values = end; // where they begin: behind a '(' that no '<' encloses
  for (size_t i = header.begin, angles = 0; i < header.end; ++i) {
    angles += file.tokens[i].is("<");
    angles -= file.tokens[i].is(">") && angles;
    if (file.tokens[i].is("(") && !angles) {
      values = file.offsetOf(file.tokens[i].text);
      break;
    }
  }
  for (auto it = file.names.lower_bound(values); it != file.names.end() && it->first < end; ++it)
    if (it->second.kind == Listener::Name::size && it->second.text != "_" && !known(it->second.text))
      list.push_back(it->second);
  return list;
}

std::pair<const File *, const Statement *> moe::lsp::findLayer(const Analysis &analysis, StringRef name) {
  std::pair<const File *, const Statement *> declaration{nullptr, nullptr};
  for (auto &file : analysis.files)
    for (const Statement &each : file->statements)
      if (each.kind == Statement::header && file->tokens[each.word].is("moe.layer") &&
          file->declaredBy(each) == name) {
        if (file->tokens[each.end - 1].is("{"))
          return {file.get(), &each};
        declaration = {file.get(), &each};
      }
  return declaration;
}

static bool hasParameter(const File &file, const Statement &header, StringRef name) {
  return any_of(parametersOf(file, header), [&](const NameUse &each) { return each.text == name; });
}

/// The layers that a statement names.
static std::vector<StringRef> layersNamed(const File &file, size_t offset) {
  std::vector<StringRef> list;
  const Statement *statement = file.statementAt(offset);
  if (!statement)
    return list;
  StringRef text = statement->text(file.tokens);
  const size_t begin = file.offsetOf(text);
  for (auto it = file.names.lower_bound(begin); it != file.names.end() && it->first < begin + text.size();
       ++it)
    if (it->second.kind == Listener::Name::layer)
      list.push_back(it->second.text);
  return list;
}

/// The layer whose parameter a key names.
static std::pair<const File *, const Statement *> layerOfKey(const Analysis &analysis, const File &file,
                                                             const NameUse &key) {
  if (!key.layer.empty())
    return findLayer(analysis, key.layer);
  for (StringRef name : layersNamed(file, key.begin))
    if (auto found = findLayer(analysis, name);
        found.second && hasParameter(*found.first, *found.second, key.text))
      return found;
  return {nullptr, nullptr};
}

std::optional<Symbol> moe::lsp::symbolAt(const Analysis &analysis, size_t offset) {
  const File &file = analysis.document();
  const Token *token = file.tokenAt(offset);
  const Statement *header = token ? file.headerOf(file.offsetOf(token->text)) : nullptr;
  if (!header)
    return std::nullopt;
  if (token->kind == TokenKind::value)
    return Symbol{Symbol::value, valueName(*token), &file, header};
  if (&file.tokens[header->word] + 1 == token && token->kind == TokenKind::symbol)
    return Symbol{file.tokens[header->word].is("moe.layer") ? Symbol::layer : Symbol::model, token->name(),
                  &file, header};
  auto found = file.names.find(file.offsetOf(token->name()));
  if (found == file.names.end()) {
    // Behind an op's word stands a path.
    const Statement *statement = file.statementAt(offset);
    if (token->kind == TokenKind::symbol && statement && statement->kind == Statement::op)
      return Symbol{Symbol::path, token->name(), &file, header};
    return std::nullopt;
  }
  const NameUse &use = found->second;
  if (use.kind == Listener::Name::word)
    return std::nullopt;
  if (use.kind == Listener::Name::key) {
    auto [other, layer] = layerOfKey(analysis, file, use);
    if (!layer || !hasParameter(*other, *layer, use.text))
      return std::nullopt;
    return Symbol{Symbol::parameter, use.text, other, layer};
  }
  if (hasParameter(file, *header, use.text))
    return Symbol{Symbol::parameter, use.text, &file, header};
  if (use.kind != Listener::Name::layer)
    return std::nullopt;
  auto [other, layer] = findLayer(analysis, use.text);
  return Symbol{Symbol::layer, use.text, other ? other : &file, layer};
}

std::vector<Occurrence> moe::lsp::occurrencesOf(const Analysis &analysis, const Symbol &symbol) {
  std::vector<Occurrence> list;
  auto add = [&](const File &file, size_t begin, bool declares) {
    list.push_back({&file, begin, begin + symbol.name.size(), declares});
  };
  const auto [begin, end] =
      symbol.header ? rangeOf(*symbol.file, *symbol.header) : std::pair<size_t, size_t>();
  if (symbol.kind == Symbol::value || symbol.kind == Symbol::path) {
    const File &file = *symbol.file;
    const TokenKind kind = symbol.kind == Symbol::value ? TokenKind::value : TokenKind::symbol;
    bool declared = false;
    for (auto [i, token] : enumerate(file.tokens)) {
      const size_t at = file.offsetOf(token.text);
      StringRef name = kind == TokenKind::value ? valueName(token) : token.name();
      if (at < begin || at >= end || token.kind != kind || name != symbol.name)
        continue;
      if (kind == TokenKind::symbol &&
          (file.names.count(file.offsetOf(name)) || i == symbol.header->word + 1))
        continue;
      const Statement *statement = file.statementAt(at);
      bool makes = statement == symbol.header || is_contained(statement->results, token.text);
      bool declares = kind == TokenKind::value
                          ? makes && i < std::max(statement->word, statement->begin + 1)
                          : !file.tokens[i - 1].is("shared") && !file.tokens[i - 1].is("assign");
      if (statement == symbol.header)
        declares = kind == TokenKind::value;
      add(file, file.offsetOf(name), declares && !std::exchange(declared, declared || declares));
    }
  } else {
    for (auto &each : analysis.files) {
      const File &file = *each;
      for (const Statement &statement : file.statements)
        if (symbol.kind != Symbol::parameter && statement.kind == Statement::header &&
            file.declaredBy(statement) == symbol.name)
          add(file, file.offsetOf(file.tokens[statement.word + 1].name()),
              &statement == symbol.header || !symbol.header);
      for (auto &[at, use] : file.names) {
        const bool inside = &file == symbol.file && at >= begin && at < end;
        if (use.text != symbol.name || use.kind == Listener::Name::word)
          continue;
        if (symbol.kind == Symbol::parameter) {
          if (use.kind == Listener::Name::key) {
            auto [other, layer] = layerOfKey(analysis, file, use);
            bool ramps = use.layer.empty() &&
                         is_contained(layersNamed(file, at), symbol.file->declaredBy(*symbol.header));
            if (layer == symbol.header || ramps)
              add(file, at, false);
          } else if (inside) {
            add(file, at, false);
          }
        } else if (symbol.kind == Symbol::layer && use.kind == Listener::Name::layer) {
          const Statement *header = file.headerOf(at);
          if (!header || !hasParameter(file, *header, use.text))
            add(file, at, false);
        }
      }
    }
    // A parameter is declared where its header has it first.
    if (symbol.kind == Symbol::parameter)
      for (const NameUse &parameter : parametersOf(*symbol.file, *symbol.header))
        for (Occurrence &each : list)
          each.declares |=
              each.file == symbol.file && parameter.text == symbol.name && each.begin == parameter.begin;
  }
  // The declaration first, the others in their order.
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i].declares)
      std::rotate(list.begin(), list.begin() + i, list.begin() + i + 1);
  return list;
}

std::vector<Occurrence> moe::lsp::occurrencesOf(const Analyses &all, const Symbol &symbol) {
  std::vector<Occurrence> list;
  std::set<std::pair<std::string, size_t>> known;
  for (auto &analysis : all)
    for (const Occurrence &each : occurrencesOf(*analysis, symbol))
      if (known.insert({each.file->path, each.begin}).second)
        list.push_back(each);
  return list;
}

/// "line 3", or "line 3 of layers.mlir" where that is not the document.
static std::string lineText(const Analyses &all, const File &file, size_t offset) {
  std::string text = "line " + std::to_string(file.lines.lineOf(offset) + 1);
  return file.path == all.front()->document().path ? text
                                                   : text + " of " + sys::path::filename(file.path).str();
}

/// Where a symbol may stand in a part of a text that could not be read; empty where it does in none.
static std::string behindError(const Analyses &all, const Symbol &symbol) {
  const auto [begin, end] =
      symbol.header ? rangeOf(*symbol.file, *symbol.header) : std::pair<size_t, size_t>();
  for (auto &analysis : all)
    for (auto &file : analysis->files)
      for (auto [i, token] : enumerate(file->tokens)) {
        const size_t at = file->offsetOf(token.text);
        if (token.name() != symbol.name || file->names.count(file->offsetOf(token.name())) ||
            none_of(file->unread, [&](auto part) { return part.first <= at && at < part.second; }))
          continue;
        // A parameter's name stands in its layer, and elsewhere as a key and where a chain ramps it.
        const bool inside = file.get() == symbol.file && at >= begin && at < end;
        const bool key = (i + 1 < file->tokens.size() && file->tokens[i + 1].is("=")) ||
                         (i > 0 && file->tokens[i - 1].is("ramp"));
        const bool mayBe =
            symbol.kind == Symbol::layer
                ? token.kind == TokenKind::symbol
                : (token.kind == TokenKind::word || token.kind == TokenKind::symbol) && (inside || key);
        if (mayBe)
          return lineText(all, *file, at);
      }
  return "";
}

/// An error that texts have when a symbol has another name, and had not before: the name means something else somewhere.
static std::string newError(const Analyses &all, const Symbol &symbol, StringRef name) {
  std::map<std::string, std::vector<Occurrence>> places; // by files, the last one first
  for (const Occurrence &each : occurrencesOf(all, symbol))
    places[each.file->path].push_back(each);
  for (auto &[path, list] : places)
    llvm::sort(list, [](const Occurrence &a, const Occurrence &b) { return a.begin > b.begin; });
  auto errorsOf = [](const Sources &sources) {
    std::vector<std::string> list;
    for (const Note &note : readNames(sources)->notes)
      if (note.severity == llvm::lsp::DiagnosticSeverity::Error)
        list.push_back(note.message);
    return list;
  };
  for (auto &analysis : all) {
    Sources now, then;
    for (auto &file : analysis->files) {
      std::string text = file->text;
      for (const Occurrence &each : places[file->path])
        text.replace(each.begin, each.end - each.begin, name.str());
      now.files.push_back({file->path, file->text});
      then.files.push_back({file->path, std::move(text)});
    }
    std::vector<std::string> before = errorsOf(now), after = errorsOf(then);
    if (after.size() > before.size())
      for (const std::string &error : after)
        if (!is_contained(before, error))
          return ("with the name '" + name + "' there is an error: " + error).str();
  }
  return "";
}

/// Whether a parameter stands for a layer: its header has it with '@'.
static bool isLayerParameter(const Analysis &analysis, const Symbol &symbol) {
  if (symbol.kind != Symbol::parameter || !symbol.header)
    return false;
  return any_of(parametersOf(*symbol.file, *symbol.header), [&](const NameUse &each) {
    return each.text == symbol.name && each.begin > 0 && symbol.file->text[each.begin - 1] == '@';
  });
}

/// What has a name that a layer or the parameter of a layer shall have: they are written alike.
static std::string takenBy(const Analyses &all, const Symbol &symbol, StringRef name) {
  const bool layer = symbol.kind == Symbol::layer;
  for (auto &analysis : all)
    for (auto &file : analysis->files)
      for (const Statement &each : file->statements) {
        if (each.kind != Statement::header || each.word >= each.end)
          continue;
        const size_t at = file->offsetOf(file->tokens[each.begin].text);
        if (file->declaredBy(each) == name)
          return (file->tokens[each.word].is("moe.layer") ? "a layer '@" : "a model '@") + name.str() +
                 "' in " + lineText(all, *file, at);
        for (size_t i = each.word + 2; layer && i < each.end; ++i)
          if (file->tokens[i].kind == TokenKind::symbol && file->tokens[i].name() == name &&
              hasParameter(*file, each, name))
            return "a parameter '@" + name.str() + "' of '@" + file->declaredBy(each).str() + "' in " +
                   lineText(all, *file, at);
      }
  return "";
}

std::string moe::lsp::whyNot(const Analyses &all, const Symbol &symbol, StringRef name) {
  const Analysis &analysis = *all.front();
  const bool parameter = symbol.kind == Symbol::parameter;
  if (symbol.kind == Symbol::path)
    return "the name of an op's parameters is a key of checkpoints; change it in the text where that is "
           "meant";
  if (symbol.kind == Symbol::model)
    return "programs record the name of a model; change it in the text where that is meant";
  auto fits = [&](char c) {
    return isAlnum(c) || c == '_' || (!parameter && (c == '$' || c == '.' || c == '-'));
  };
  if (name.empty() || isDigit(name.front()) || !all_of(name, fits) || name.size() > longestName ||
      (symbol.kind == Symbol::layer && name.contains('-')))
    return ("expected a name of letters, digits and '_' that begins with no digit, found '" + name + "'")
        .str();
  if (name == "_")
    return "'_' is any size, and no name; expected a name of letters and digits";
  // Values are found whatever is wrong with a text.
  if (symbol.kind != Symbol::value)
    if (std::string line = behindError(all, symbol); !line.empty())
      return ("'" + symbol.name + "' stands in " + line +
              " as well, which cannot be read; correct that line first")
          .str();
  if (name == symbol.name)
    return "";
  Symbol other = symbol;
  other.name = name;
  if (symbol.kind != Symbol::layer && symbol.header && !occurrencesOf(analysis, other).empty())
    return ("'" + name + "' is another name in '@" + symbol.file->declaredBy(*symbol.header) + "' already")
        .str();
  const bool ofLayers = symbol.kind == Symbol::layer || isLayerParameter(analysis, symbol);
  if (std::string other = ofLayers ? takenBy(all, symbol, name) : ""; !other.empty())
    return "there is " + other + " already";
  if (!parameter)
    return newError(all, symbol, name);
  // One word ramps a parameter of all layers of a chain.
  for (const Occurrence &each : occurrencesOf(analysis, symbol)) {
    auto use = each.file->names.find(each.begin);
    if (use == each.file->names.end() || use->second.kind != Listener::Name::key ||
        !use->second.layer.empty())
      continue;
    for (StringRef layer : layersNamed(*each.file, each.begin))
      if (auto found = findLayer(analysis, layer); found.second && found.second != symbol.header &&
                                                   hasParameter(*found.first, *found.second, symbol.name))
        return ("a chain ramps '" + symbol.name + "' of layer '@" + layer +
                "' as well; rename both in the text")
            .str();
  }
  return newError(all, symbol, name);
}
