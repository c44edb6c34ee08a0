#include "frontends/moe-lsp/Analysis.h"
#include "dialects/moe/Env.h"
#include "dialects/moe/MoeDialect.h"
#include "dialects/moe/Record.h"
#include "frontends/driver/Context.h"
#include "frontends/driver/Plugins.h"
#include "mlir/IR/Diagnostics.h"
#include "passes/language/LinkFiles.h"
#include "passes/language/Recovery.h"
#include "passes/pipeline/Pipeline.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/SourceMgr.h"
#include <chrono>
#include <set>

using namespace mlir;
using namespace moe;
using namespace moe::lsp;

/// How long an elaboration may take before an editor is told that it was given up.
static constexpr std::chrono::seconds longest{3};

/// The registered ops do not change once plugins are loaded, so one context knows them for all texts.
bool moe::lsp::isOp(StringRef word) {
  static const llvm::StringSet<> *names = [] {
    auto *all = new llvm::StringSet<>();
    std::unique_ptr<MLIRContext> context = makeContext();
    context->loadAllAvailableDialects();
    for (RegisteredOperationName op : context->getRegisteredOperations())
      for (StringRef name : {op.getStringRef(), op.stripDialect()})
        if (isOpOfLanguage(name, context.get()))
          all->insert(name);
    return all;
  }();
  return names->contains(word);
}

int64_t Parameter::count() const {
  int64_t all = 1;
  for (int64_t extent : shape)
    all *= extent;
  return all;
}

File::File(std::string path, StringRef text, llvm::function_ref<bool(StringRef)> isOp)
    : path(std::move(path)), text(withLineFeeds(text)), lines(this->text), tokens(tokensOf(this->text)),
      statements(statementsOf(tokens, isOp)) {}

const Token *File::tokenAt(size_t offset) const {
  auto behind = llvm::upper_bound(tokens, text.data() + offset,
                                  [](const char *at, const Token &token) { return at < token.text.begin(); });
  const Token *found = nullptr;
  // The one before may end where the last begins, and the last is a mark.
  for (auto token = behind - std::min<ptrdiff_t>(2, behind - tokens.begin()); token != behind; ++token) {
    const size_t begin = offsetOf(token->text);
    if (offset < begin + token->text.size() ||
        (offset == begin + token->text.size() && token->kind != TokenKind::mark))
      found = &*token;
  }
  return found;
}

const Statement *File::statementAt(size_t offset) const {
  auto behind = llvm::upper_bound(statements, offset, [&](size_t at, const Statement &each) {
    return at < offsetOf(tokens[each.begin].text);
  });
  return behind == statements.begin() ? nullptr : &*std::prev(behind);
}

const Statement *File::headerOf(size_t offset) const {
  const Statement *found = statementAt(offset);
  while (found && found->kind != Statement::header)
    found = found == statements.data() ? nullptr : found - 1;
  return found;
}

StringRef File::declaredBy(const Statement &header) const {
  return header.word + 1 < header.end ? tokens[header.word + 1].name() : StringRef();
}

namespace {

/// Takes down what the reader and the elaboration find.
class Collector : public Listener {
public:
  Collector(Analysis &into, const std::function<bool()> &asked)
      : into(into), asked(asked), end(std::chrono::steady_clock::now() + longest) {
    for (auto [number, file] : llvm::enumerate(into.files))
      numbers[file->path] = number;
  }

  void name(Name kind, StringRef written, Location at, StringRef layer) override {
    if (auto [file, place] = placeOf(at); file) {
      size_t offset = (*file)->lines.offset(place.first, place.second);
      (*file)->names.insert_or_assign(offset, NameUse{kind, offset, written.str(), layer.str()});
    }
  }

  void unread(StringRef path, size_t begin, size_t end) override {
    if (auto found = numbers.find(path.str()); found != numbers.end())
      into.files[found->second]->unread.push_back({begin, end});
  }

  void entered(Operation *body, const Env &env, StringRef scope) override {
    Findings *found = findingsOf(body->getLoc());
    if (!found)
      return;
    std::map<std::string, std::string> sizes;
    for (auto &entry : env.names)
      sizes[entry.getKey().str()] = entry.second.str();
    auto &list = found->entered[place];
    if (fresh(scope))
      list.emplace_back(scope.str(), std::move(sizes));
  }

  void value(Value value, const Record &record, StringRef scope) override {
    Findings *found = findingsOf(value.getLoc());
    auto result = dyn_cast<OpResult>(value);
    number = result ? result.getResultNumber() : 0;
    if (found && fresh(scope))
      found->values[{place, number}].push_back({scope.str(), recordText(record)});
    number = 0;
  }

  void parameter(Operation *owner, StringRef path, ArrayRef<int64_t> shape, bool trained) override {
    Parameter made{path.str(), {shape.begin(), shape.end()}, trained};
    Findings *found = findingsOf(owner->getLoc());
    if (!known.insert("parameter " + made.path).second) // of an entry before
      return;
    if (found)
      found->parameters[place].push_back(made);
    into.parameters.push_back(std::move(made));
  }

  bool stop() override {
    if (++steps % 64)
      return false;
    into.stopped = asked();
    late = std::chrono::steady_clock::now() > end;
    return into.stopped || late;
  }

  bool late = false;

private:
  std::pair<std::unique_ptr<File> *, LineColumn> placeOf(Location at) {
    auto found = at->findInstanceOf<FileLineColLoc>();
    auto number = found ? numbers.find(found.getFilename().str()) : numbers.end();
    if (number == numbers.end())
      return {nullptr, {}};
    file = number->second;
    place = {found.getLine(), found.getColumn()};
    return {&into.files[file], place};
  }
  Findings *findingsOf(Location at) { return placeOf(at).first ? &into.findings[file] : nullptr; }
  /// Each entry of a program finds the same again.
  bool fresh(StringRef scope) {
    return known
        .insert(std::to_string(file) + " " + std::to_string(place.first) + " " +
                std::to_string(place.second) + " " + std::to_string(number) + " " + scope.str())
        .second;
  }

  Analysis &into;
  const std::function<bool()> &asked;
  std::chrono::steady_clock::time_point end;
  std::map<std::string, size_t> numbers; // of files, by their paths
  size_t file = 0, steps = 0;            // the file and place that was looked up last
  LineColumn place;
  unsigned number = 0;
  std::set<std::string> known;
};

/// Puts the compiler's diagnostics at places of the document.
class Reports {
public:
  explicit Reports(Analysis &into) : into(into) {
    const File &file = into.document();
    isLibrary = llvm::none_of(file.statements, [&](const Statement &each) {
      return each.kind == Statement::header && file.tokens[each.word].is("moe.model");
    });
  }
  void take(Diagnostic &d);

private:
  std::pair<size_t, size_t> span(size_t offset, StringRef message, bool unused) const;
  Analysis &into;
  bool isLibrary; // the document has layers alone
};

} // namespace

/// What of the text a report underlines: the token at its place; of something unused, its name.
std::pair<size_t, size_t> Reports::span(size_t offset, StringRef message, bool unused) const {
  const File &file = into.document();
  // What is unused or unknown is named by the message; the compiler's place may be that of its op.
  const bool named = unused || message.starts_with("unknown ");
  if (const Statement *at = named ? file.statementAt(offset) : nullptr) {
    StringRef name = message.split('\'').second.split('\'').first;
    // A parameter is reported where it stands, a value at the op that makes it.
    const size_t from = message.starts_with("parameter") || !unused ? offset : 0;
    for (size_t i = at->begin; i < at->end; ++i) {
      StringRef text = file.tokens[i].text;
      if ((text == name || ("@" + text).str() == name) && file.offsetOf(text) + text.size() > from)
        return {file.offsetOf(text), file.offsetOf(text) + text.size()};
    }
  }
  // The token there; behind the end of a line that lacks something, its last one.
  if (const Token *token = file.tokenAt(offset)) {
    const size_t begin = file.offsetOf(token->text);
    return {begin, begin + token->text.size()};
  }
  const bool inLine = offset > 0 && file.text[offset - 1] != '\n';
  return {offset - inLine, offset};
}

void Reports::take(Diagnostic &d) {
  Note note;
  note.message = d.str();
  note.severity = d.getSeverity() == DiagnosticSeverity::Error ? llvm::lsp::DiagnosticSeverity::Error
                  : d.getSeverity() == DiagnosticSeverity::Warning
                      ? llvm::lsp::DiagnosticSeverity::Warning
                      : llvm::lsp::DiagnosticSeverity::Information;
  const File &file = into.document();
  auto at = d.getLocation()->findInstanceOf<FileLineColLoc>();
  auto relate = [&](Location where, StringRef message) {
    if (auto place = where->findInstanceOf<FileLineColLoc>())
      note.related.push_back({place.getFilename().str(), place.getLine(), place.getColumn(), message.str()});
  };
  const bool elsewhere = at && at.getFilename() != file.path;
  if (elsewhere && note.severity != llvm::lsp::DiagnosticSeverity::Error)
    return; // a warning of another file belongs there
  // A file of layers alone offers them, to others than the model that was found.
  if (isLibrary && StringRef(note.message).starts_with("layer '@") &&
      StringRef(note.message).ends_with("is not used"))
    return;
  note.unused = StringRef(note.message).ends_with("is not used");
  size_t offset = at && !elsewhere ? file.lines.offset(at.getLine(), at.getColumn()) : 0;
  std::tie(note.begin, note.end) = span(offset, note.message, note.unused);
  if (elsewhere)
    relate(d.getLocation(), "in this file");
  for (Diagnostic &each : d.getNotes())
    relate(each.getLocation(), each.str());
  into.notes.push_back(std::move(note));
}

static std::shared_ptr<const Analysis> read(Sources sources, int64_t version, bool elaborates,
                                            const std::function<bool()> &stop) {
  auto analysis = std::make_shared<Analysis>();
  analysis->version = version;
  analysis->folder = sources.folder;
  std::vector<std::unique_ptr<llvm::MemoryBuffer>> buffers;
  for (SourceFile &source : sources.files) {
    std::string text = source.text;
    if (StringRef(text).starts_with(byteOrderMark)) // blanks in its place keep all places
      text.replace(0, byteOrderMark.size(), byteOrderMark.size(), ' ');
    buffers.push_back(llvm::MemoryBuffer::getMemBufferCopy(text, source.path));
    analysis->files.push_back(std::make_unique<File>(std::move(source.path), source.text, isOp));
  }
  analysis->findings.resize(analysis->files.size());

  std::unique_ptr<MLIRContext> context = makeContext();
  Collector collector(*analysis, stop);
  languageOf(context.get()).listener = &collector;
  Reports reports(*analysis);
  ScopedDiagnosticHandler handler(context.get(), [&](Diagnostic &d) {
    reports.take(d);
    return success();
  });
  PipelineOptions options;
  options.to = Phase::differentiate;
  options.placed = placedPasses();
  llvm::SourceMgr manager;
  OwningOpRef<ModuleOp> module =
      parseFiles(std::move(buffers), manager, context.get(), elaborateOptions(options));
  // A file of layers alone is a library, which is complete without a model.
  const bool library = module && !module->getBody()->empty() && module->getOps<ModelOp>().empty();
  if (module && !library && elaborates)
    (void)runPipeline(*module, options);
  if (collector.late)
    analysis->notes.push_back(
        {0,
         0,
         llvm::lsp::DiagnosticSeverity::Information,
         "the model is so large that not all of it was checked while you write; 'moec compile' "
         "checks it",
         {}});
  return analysis;
}

std::shared_ptr<const Analysis> moe::lsp::analyse(Sources sources, int64_t version,
                                                  const std::function<bool()> &stop) {
  return read(std::move(sources), version, /*elaborates=*/true, stop);
}

std::shared_ptr<const Analysis> moe::lsp::readNames(Sources sources) {
  return read(std::move(sources), 0, /*elaborates=*/false, [] { return true; });
}
