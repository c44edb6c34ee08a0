#include "frontends/moe-lsp/Complete.h"
#include "dialects/moe/Words.h"
#include "frontends/driver/Context.h"
#include "frontends/moe-lsp/Pages.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/AsmParser/CodeComplete.h"
#include "mlir/IR/Diagnostics.h"
#include "passes/language/CheckText.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SourceMgr.h"
#include <set>

using namespace mlir;
using namespace moe;
using namespace moe::lsp;
using llvm::lsp::CompletionItem;
using llvm::lsp::CompletionItemKind;

namespace {

/// Takes down what the parser says may stand at the end of a text.
class Asked : public AsmParserCodeCompleteContext {
public:
  explicit Asked(SMLoc at) : AsmParserCodeCompleteContext(at) {}
  std::set<std::string> words;
  bool values = false;

  void completeDialectName(StringRef) override {}
  void completeOperationName(StringRef) override {}
  void appendSSAValueCompletion(StringRef, std::string) override { values = true; }
  void appendBlockCompletion(StringRef) override {}
  void completeExpectedTokens(ArrayRef<StringRef> tokens, bool) override {
    for (StringRef token : tokens)
      if (!token.empty() && (llvm::isAlpha(token.front()) || token.front() == '_'))
        words.insert(token.str());
  }
  void completeAttribute(const llvm::StringMap<Attribute> &) override {}
  void completeDialectAttributeOrAlias(const llvm::StringMap<Attribute> &) override {}
  void completeType(const llvm::StringMap<Type> &) override {}
  void completeDialectTypeOrAlias(const llvm::StringMap<Type> &) override {}
};

class Completer {
public:
  Completer(const File &file, size_t offset, ArrayRef<std::string> layers)
      : file(file), text(file.text), cursor(offset), offset(offset), layers(layers) {}
  std::vector<CompletionItem> run();

private:
  CompletionItem *add(std::string label, CompletionItemKind kind, std::string detail = "");
  void addOps(bool makesValue);
  void addValues();
  void addResults();
  void addLayers();
  void addKeys();
  void ask();
  bool isPath() const;

  const File &file;
  StringRef text;
  const size_t cursor;
  size_t offset; // where the word that is being written begins, with its mark
  ArrayRef<std::string> layers;
  const Statement *statement = nullptr, *header = nullptr;
  std::set<std::string> seen;
  std::vector<CompletionItem> items;
};

} // namespace

/// What is chosen takes the place of what is written of it, with its mark. Null where it is there already.
CompletionItem *Completer::add(std::string label, CompletionItemKind kind, std::string detail) {
  if (!seen.insert(label).second)
    return nullptr;
  CompletionItem &item = items.emplace_back();
  item.label = label;
  item.kind = kind;
  item.detail = std::move(detail);
  item.insertTextFormat = llvm::lsp::InsertTextFormat::PlainText;
  item.textEdit = llvm::lsp::TextEdit{file.lines.range(offset, cursor), std::move(label)};
  return &item;
}

/// The ops that make a value, or those that make none.
void Completer::addOps(bool makesValue) {
  std::unique_ptr<MLIRContext> context = makeContext();
  context->loadAllAvailableDialects();
  for (RegisteredOperationName op : context->getRegisteredOperations()) {
    const bool own = op.getDialectNamespace() == "moe";
    StringRef name = own ? op.stripDialect() : op.getStringRef();
    if (!isOp(name) || (!own && !op.hasInterface<ExpandInterface>()))
      continue;
    const Page *page = pageOf(name);
    if (op.hasTrait<OpTrait::ZeroResults>() == makesValue || (page && page->planned))
      continue;
    CompletionItem *item = add(name.str(), CompletionItemKind::Function, page ? page->syntax : "");
    if (item && page)
      item->documentation = llvm::lsp::MarkupContent{llvm::lsp::MarkupKind::Markdown, page->meaning};
  }
}

/// The values that the layer or model has made before.
void Completer::addValues() {
  if (!header)
    return;
  auto addResult = [&](StringRef name) { add(name.str(), CompletionItemKind::Variable); };
  for (size_t i = header->begin; i < header->end; ++i)
    if (file.tokens[i].kind == TokenKind::value)
      addResult(file.tokens[i].text);
  for (const Statement &each : file.statements)
    if (&each > header && &each < statement)
      for (StringRef result : each.results)
        addResult(result);
}

/// The values that a model may return, with a name for each: 'logits' is what an objective wants.
void Completer::addResults() {
  const size_t known = items.size();
  addValues();
  for (size_t i = known; i < items.size(); ++i) {
    items[i].label = "logits = " + items[i].label;
    items[i].textEdit->newText = items[i].label;
  }
}

/// All layers, and the parameters of the header that are layers.
void Completer::addLayers() {
  if (header)
    for (size_t i = header->begin + 2; i < header->end; ++i) {
      const Token &token = file.tokens[i], &before = file.tokens[i - 1];
      if (token.kind == TokenKind::symbol && (before.is("<") || before.is(",")) &&
          file.offsetOf(token.text) < offset)
        if (i + 1 >= header->end || !file.tokens[i + 1].is("<"))
          add(token.text.str(), CompletionItemKind::TypeParameter);
    }
  StringRef own = header ? file.declaredBy(*header) : StringRef();
  for (const std::string &name : layers)
    if (name != own)
      add("@" + name, CompletionItemKind::Class);
}

/// Behind `@Layer<` or a comma in it: the keys of the layer's parameters that no argument is given by yet.
void Completer::addKeys() {
  std::vector<size_t> open; // the brackets around the place, by their tokens
  size_t end = 0;
  for (; end < file.tokens.size() && file.offsetOf(file.tokens[end].text) < offset; ++end) {
    const Token &token = file.tokens[end];
    if (statement && end < statement->begin)
      continue;
    if (token.is("<") || token.is("(") || token.is("["))
      open.push_back(end);
    else if ((token.is(">") || token.is(")") || token.is("]")) && !open.empty())
      open.pop_back();
  }
  if (open.empty() || !file.tokens[open.back()].is("<") || open.back() == 0)
    return;
  const Token &layer = file.tokens[open.back() - 1], &last = file.tokens[end - 1];
  if (layer.kind != TokenKind::symbol || !(last.is("<") || last.is(",")))
    return;
  std::set<StringRef> given; // by their keys
  size_t inOrder = 0;        // without keys, those of the first parameters
  bool key = false;
  for (size_t i = open.back() + 1, depth = 0; i < end; ++i) {
    const Token &token = file.tokens[i];
    depth += token.is("<") || token.is("(") || token.is("[");
    depth -= depth && (token.is(">") || token.is(")") || token.is("]"));
    if (depth)
      continue;
    if (token.is("=")) {
      key = true;
      given.insert(file.tokens[i - 1].name());
    } else if (token.is(",")) {
      inOrder += !std::exchange(key, false);
    }
  }
  for (const Statement &each : file.statements) {
    if (each.kind != Statement::header || file.declaredBy(each) != layer.name() || &each == header)
      continue;
    size_t depth = 0;
    for (size_t i = each.word + 2; i < each.end; ++i) {
      const Token &token = file.tokens[i], &before = file.tokens[i - 1];
      depth += token.is("<") || token.is("[");
      depth -= depth && (token.is(">") || token.is("]"));
      if (!depth)
        break;
      if (depth == 1 && (before.is("<") || before.is(",")) &&
          (token.kind == TokenKind::word || token.kind == TokenKind::symbol) &&
          !(inOrder ? inOrder-- : given.count(token.name())))
        add(token.text.str() + " = ", CompletionItemKind::Property, "a parameter of " + layer.text.str());
    }
  }
}

/// Whether a name at the place would be that of an op's parameters, a loss or a value that is exposed.
bool Completer::isPath() const {
  const Token *last = nullptr;
  for (const Token &token : file.tokens)
    if (file.offsetOf(token.text) < offset)
      last = &token;
  if (!last || !statement || statement->word >= statement->end)
    return true;
  return last == &file.tokens[statement->word] || last->is("shared") || last->is("frozen");
}

/// Whether a text ends in one of these words.
static bool endsIn(StringRef text, ArrayRef<StringRef> words) {
  return llvm::any_of(words, [&](StringRef word) { return text.ends_with((" " + word).str()); });
}

static TokenKind kindOfLast(StringRef text) {
  std::vector<Token> tokens = tokensOf(text.drop_front(text.rfind('\n') + 1));
  return tokens.empty() ? TokenKind::mark : tokens.back().kind;
}

/// Parses the header and what is written of the statement.
void Completer::ask() {
  std::string part;
  const size_t from = file.offsetOf(file.tokens[statement->begin].text);
  if (header && header != statement) {
    StringRef head = header->text(file.tokens);
    part = head.str() + (head.ends_with("{") ? "\n" : " {\n");
  }
  part += text.slice(from, offset).str();
  if (findFault(part) && findFault(part + ")>]})"))
    return;
  part += "\n";
  std::unique_ptr<MLIRContext> context = makeContext();
  languageOf(context.get());
  ScopedDiagnosticHandler quiet(context.get(), [](Diagnostic &) { return success(); });
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBufferCopy(part, "asked"), SMLoc());
  const char *end = sources.getMemoryBuffer(sources.getMainFileID())->getBufferEnd();
  Asked asked(SMLoc::getFromPointer(end - 1));
  Block block;
  (void)parseAsmSourceFile(sources, &block, ParserConfig(context.get(), /*verifyAfterParse=*/false), nullptr,
                           &asked);
  // The parser knows the names of a header, but not of which kind they are.
  std::set<std::string> sizes, layerNames;
  for (size_t i = header ? header->begin : 0; header && i < header->end; ++i) {
    const Token &token = file.tokens[i];
    if (token.kind == TokenKind::word || token.kind == TokenKind::symbol)
      (token.kind == TokenKind::word ? sizes : layerNames).insert(token.name().str());
  }
  StringRef last = StringRef(part).rtrim();
  const bool initial = asked.words.count("zeros");
  const bool noSize = initial || endsIn(last, {"over", "layer", "layers", "trunk", "for"});
  StringRef op = statement->word < statement->end ? file.tokens[statement->word].text : StringRef();
  // In some places a word of the language is always that word, whatever sizes are called.
  const Words always = endsIn(last, {"over"}) ? wordsOf("axes") : initial ? wordsOf("init") : Words();
  const bool newLine = text.take_front(offset).rtrim(" \t").ends_with("\n");
  for (const std::string &word : asked.words) {
    const bool layer = layerNames.count(word) && !sizes.count(word);
    if ((word == "attributes" && !sizes.count(word)) || word == "loc" || (word == "mod" && newLine) ||
        layer || (noSize && sizes.count(word) && !llvm::is_contained(always.names, word)) ||
        (StringRef(word).starts_with("hyperfan_in") && op != "hyper"))
      continue;
    add(word, sizes.count(word) ? CompletionItemKind::Constant : CompletionItemKind::Keyword);
  }
  if (asked.values)
    addValues();
}

std::vector<CompletionItem> Completer::run() {
  // What is being written: a name with its mark, or a word.
  size_t begin = std::min(offset, text.size());
  auto inWord = [](char c) { return llvm::isAlnum(c) || StringRef("_$.").contains(c); };
  while (begin > 0 && inWord(text[begin - 1]))
    --begin;
  const char mark = begin > 0 && StringRef("%@").contains(text[begin - 1]) ? text[begin - 1] : ' ';
  offset = begin - (mark != ' ');
  if (StringRef line = text.take_front(offset); line.drop_front(line.rfind('\n') + 1).contains("//"))
    return {};
  header = file.headerOf(offset);
  statement = nullptr;
  for (const Statement &each : file.statements)
    if (file.offsetOf(file.tokens[each.begin].text) < offset)
      statement = &each;
  StringRef before = text.take_front(offset);
  StringRef line = before.drop_front(before.rfind('\n') + 1).ltrim();
  // The beginning of a statement, and what stands behind the '=' of one.
  StringRef names = line.rtrim();
  const bool results = names.consume_back("=") && names.starts_with("%") && llvm::all_of(names, [&](char c) {
                         return inWord(c) || StringRef("%, -:").contains(c);
                       });
  const bool goesOn = statement && statement->kind == Statement::op;
  // A header goes on up to its '{'; a layer that is only declared ends with its values.
  const Token *last =
      statement && statement->kind == Statement::header ? &file.tokens[statement->end - 1] : nullptr;
  const bool inHeader = last && !last->is("{") && !last->is(")");
  const bool outside = !statement || statement->kind == Statement::close || (last && last->is(")"));
  if (!header || (line.empty() && outside)) {
    for (StringRef word : {"moe.layer", "moe.model"})
      if (const Page *page = pageOf(word))
        add(word.str(), CompletionItemKind::Keyword, page->syntax);
    if (!header)
      return items;
  }
  if (results)
    addOps(true);
  else if (mark == '@')
    (isPath() ? void() : addLayers());
  else if (mark == '%')
    addValues();
  else {
    if (statement && (goesOn || !line.empty()))
      ask();
    if (statement && statement->kind == Statement::op)
      addKeys();
    // What ends a body takes any of its values; the results of a model have names.
    StringRef begun = line.rtrim(" ,");
    if (begun != line && (begun == "yield" || begun.starts_with("yield %")))
      addValues();
    if (begun != line && begun == "return")
      addResults();
    if (line.empty() && !inHeader && !outside)
      addOps(false);
    StringRef written = before.rtrim();
    const bool furtherLine =
        statement && file.offsetOf(file.tokens[statement->begin].text) < size_t(line.begin() - text.begin());
    const bool inList = line.count('[') > line.count(']') || furtherLine;
    const bool argument = written.ends_with("=") && kindOfLast(written.drop_back()) == TokenKind::symbol;
    if (argument || endsIn(written, {"layer", "layers", "trunk", "for"}) ||
        (statement && statement->kind != Statement::header &&
         (written.ends_with("[") || written.ends_with("<") || (written.ends_with("*") && inList))))
      addLayers();
  }
  return items;
}

std::vector<CompletionItem> moe::lsp::completionsAt(const File &file, size_t offset,
                                                    ArrayRef<std::string> layers) {
  std::vector<CompletionItem> items = Completer(file, offset, layers).run();
  llvm::sort(items, [](const CompletionItem &a, const CompletionItem &b) { return a.label < b.label; });
  return items;
}

std::vector<std::string> moe::lsp::layersOf(ArrayRef<const File *> files) {
  std::vector<std::string> names;
  for (const File *file : files)
    for (const Statement &each : file->statements)
      if (each.kind == Statement::header && file->tokens[each.word].is("moe.layer") &&
          !file->declaredBy(each).empty())
        names.push_back(file->declaredBy(each).str());
  return names;
}
