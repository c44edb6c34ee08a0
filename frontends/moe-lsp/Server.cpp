// One thread reads the client's messages and answers them; the analyst's thread reads texts (Analyst.h) and publishes what it finds.
// Whatever a client asks is answered, of a document that is not open with nothing.
#include "frontends/moe-lsp/Server.h"
#include "frontends/moe-lsp/Analyst.h"
#include "frontends/moe-lsp/Complete.h"
#include "frontends/moe-lsp/Format.h"
#include "frontends/moe-lsp/Hover.h"
#include "frontends/moe-lsp/Symbols.h"
#include "runtime/base/Version.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/LSP/Transport.h"
#include "llvm/Support/Program.h"

using namespace llvm;
using namespace moe;
using namespace moe::lsp;
using json::Array;
using json::Object;
using llvm::lsp::Callback;

namespace {

/// Parameters of which only some members are looked at, or that LLVM's library has no structure for.
struct Any {
  json::Value value = nullptr;
  const Object *object() const { return value.getAsObject(); }
};
bool fromJSON(const json::Value &from, Any &to, json::Path) {
  to.value = from;
  return true;
}

/// A document's text, as the client has it.
struct Open {
  std::string uri, text;
  int64_t version = 0;
};

class Server {
public:
  explicit Server(llvm::lsp::JSONTransport &transport);
  LogicalResult run();

private:
  void initialize(const Any &params, Callback<json::Value> reply);
  void initialized(const Any &) {}
  void shutdown(const Any &, Callback<json::Value> reply);
  void configure(const Any &params);
  void open(const llvm::lsp::DidOpenTextDocumentParams &params);
  void change(const Any &params);
  void close(const llvm::lsp::DidCloseTextDocumentParams &params);
  void hover(const Any &params, Callback<json::Value> reply);
  void complete(const Any &params, Callback<json::Value> reply);
  void definition(const Any &params, Callback<json::Value> reply);
  void references(const Any &params, Callback<json::Value> reply);
  void prepareRename(const Any &params, Callback<json::Value> reply);
  void rename(const Any &params, Callback<json::Value> reply);
  void symbols(const Any &params, Callback<json::Value> reply);
  void hints(const Any &params, Callback<json::Value> reply);
  void format(const Any &params, Callback<json::Value> reply);

  void setOptions(const json::Value *options);
  void publish(const std::string &path, const Analysis &analysis);
  std::string uriOf(const std::string &path);
  Object location(const File &file, size_t begin, size_t end);
  /// The document that a request is about, and the place in it; no path where none is open.
  struct Asked {
    std::string path;
    Open *document = nullptr;
    llvm::lsp::Position position;
  };
  Asked asked(const Any &params);
  /// Runs what answers a request so that a fault of ours is an answer too.
  void answer(Callback<json::Value> &reply, function_ref<json::Value()> make);

  llvm::lsp::JSONTransport &transport;
  llvm::lsp::MessageHandler handler;
  llvm::lsp::OutgoingNotification<json::Value> publishDiagnostics;
  std::mutex uris;                       // guards the names of documents, which both threads ask for
  std::map<std::string, Open> documents; // by paths
  bool showsHints = false, notesInMessage = false, ended = false;
  std::unique_ptr<Analyst> analyst;
};

} // namespace

Server::Server(llvm::lsp::JSONTransport &transport)
    : transport(transport), handler(transport),
      publishDiagnostics(handler.outgoingNotification<json::Value>("textDocument/publishDiagnostics")),
      analyst(std::make_unique<Analyst>(
          [this](const std::string &path, std::shared_ptr<const Analysis> analysis) {
            publish(path, *analysis);
          })) {
  handler.method("initialize", this, &Server::initialize);
  handler.method("shutdown", this, &Server::shutdown);
  handler.notification("initialized", this, &Server::initialized);
  handler.notification("workspace/didChangeConfiguration", this, &Server::configure);
  handler.notification("textDocument/didOpen", this, &Server::open);
  handler.notification("textDocument/didChange", this, &Server::change);
  handler.notification("textDocument/didClose", this, &Server::close);
  handler.method("textDocument/hover", this, &Server::hover);
  handler.method("textDocument/completion", this, &Server::complete);
  handler.method("textDocument/definition", this, &Server::definition);
  handler.method("textDocument/references", this, &Server::references);
  handler.method("textDocument/prepareRename", this, &Server::prepareRename);
  handler.method("textDocument/rename", this, &Server::rename);
  handler.method("textDocument/documentSymbol", this, &Server::symbols);
  handler.method("textDocument/inlayHint", this, &Server::hints);
  handler.method("textDocument/formatting", this, &Server::format);
}

LogicalResult Server::run() {
  Error error = transport.run(handler);
  analyst.reset(); // nothing is published any more
  if (error) {
    errs() << "moe-lsp: error: " << toString(std::move(error)) << "\n";
    return failure();
  }
  return success(ended);
}

/// `inlayHints` and `notesInMessage`, as docs/editors.md has them.
void Server::setOptions(const json::Value *options) {
  const Object *object = options ? options->getAsObject() : nullptr;
  if (!object)
    return;
  showsHints = object->getBoolean("inlayHints").value_or(showsHints);
  notesInMessage = object->getBoolean("notesInMessage").value_or(notesInMessage);
}

void Server::initialize(const Any &params, Callback<json::Value> reply) {
  if (params.object()) {
    setOptions(params.object()->get("initializationOptions"));
    const json::Value *at = &params.value;
    for (StringRef key : {"capabilities", "textDocument", "publishDiagnostics"})
      at = at && at->getAsObject() ? at->getAsObject()->get(key) : nullptr;
    // An editor that does not show related places has them in the message.
    if (!at || !at->getAsObject() || !at->getAsObject()->getBoolean("relatedInformation").value_or(false))
      notesInMessage = true;
  }
  reply(Object{{"serverInfo", Object{{"name", "moe-lsp"}, {"version", moert::version()}}},
               {"capabilities",
                Object{{"textDocumentSync", Object{{"openClose", true}, {"change", 2}, {"save", false}}},
                       {"hoverProvider", true},
                       {"completionProvider",
                        Object{{"triggerCharacters", Array{"%", "@", "=", "(", "<", "[", ",", " "}}}},
                       {"definitionProvider", true},
                       {"referencesProvider", true},
                       {"renameProvider", Object{{"prepareProvider", true}}},
                       {"documentSymbolProvider", true},
                       {"inlayHintProvider", true},
                       {"documentFormattingProvider", true}}}});
}

void Server::shutdown(const Any &, Callback<json::Value> reply) {
  ended = true;
  reply(nullptr);
}

void Server::configure(const Any &params) {
  const json::Value *settings = params.object() ? params.object()->get("settings") : nullptr;
  if (settings && settings->getAsObject() && settings->getAsObject()->get("moe"))
    settings = settings->getAsObject()->get("moe");
  setOptions(settings);
}

void Server::open(const llvm::lsp::DidOpenTextDocumentParams &params) {
  const std::string path = params.textDocument.uri.file().str();
  {
    std::lock_guard<std::mutex> lock(uris);
    documents[path] = {params.textDocument.uri.uri().str(), params.textDocument.text,
                       params.textDocument.version};
  }
  analyst->update(path, params.textDocument.text, params.textDocument.version);
}

void Server::change(const Any &params) {
  llvm::lsp::DidChangeTextDocumentParams changes;
  json::Path::Root root;
  if (!llvm::lsp::fromJSON(params.value, changes, root)) {
    llvm::lsp::Logger::error("expected the changes of a document, found others");
    return;
  }
  const std::string path = changes.textDocument.uri.file().str();
  auto found = documents.find(path);
  if (found == documents.end())
    return;
  applyChanges(changes.contentChanges, found->second.text);
  found->second.version = changes.textDocument.version;
  analyst->update(path, found->second.text, found->second.version);
}

void Server::close(const llvm::lsp::DidCloseTextDocumentParams &params) {
  const std::string path = params.textDocument.uri.file().str();
  analyst->close(path);
  std::string uri;
  {
    std::lock_guard<std::mutex> lock(uris);
    auto found = documents.find(path);
    if (found == documents.end())
      return;
    uri = found->second.uri;
    documents.erase(found);
  }
  publishDiagnostics(Object{{"uri", uri}, {"diagnostics", Array{}}});
}

std::string Server::uriOf(const std::string &path) {
  {
    std::lock_guard<std::mutex> lock(uris);
    if (auto found = documents.find(path); found != documents.end())
      return found->second.uri;
  }
  Expected<llvm::lsp::URIForFile> uri = llvm::lsp::URIForFile::fromFile(path);
  if (uri)
    return uri->uri().str();
  consumeError(uri.takeError());
  return path;
}

void Server::publish(const std::string &path, const Analysis &analysis) {
  Array list;
  const File &file = analysis.document();
  for (const Note &note : analysis.notes) {
    std::string message = note.message;
    Array related;
    for (const Related &each : note.related) {
      llvm::lsp::Range range;
      for (auto &other : analysis.files)
        if (other->path == each.path) {
          const size_t at = other->lines.offset(each.line, each.column);
          const Token *token = other->tokenAt(at);
          range = token ? other->lines.range(token->text) : other->lines.range(at, at);
        }
      related.push_back(Object{{"location", Object{{"uri", uriOf(each.path)}, {"range", range}}},
                               {"message", each.message}});
      if (notesInMessage)
        message += "\n" +
                   (each.path == path ? "line " + std::to_string(each.line)
                                      : each.path + ":" + std::to_string(each.line)) +
                   ": " + each.message;
    }
    Object entry{{"range", file.lines.range(note.begin, note.end)},
                 {"severity", int(note.severity)},
                 {"source", "moe"},
                 {"message", message}};
    if (!related.empty())
      entry["relatedInformation"] = std::move(related);
    if (note.unused)
      entry["tags"] = Array{int(llvm::lsp::DiagnosticTag::Unnecessary)};
    list.push_back(std::move(entry));
  }
  publishDiagnostics(
      Object{{"uri", uriOf(path)}, {"version", analysis.version}, {"diagnostics", std::move(list)}});
}

Server::Asked Server::asked(const Any &params) {
  Asked result;
  const Object *object = params.object();
  const Object *document = object ? object->getObject("textDocument") : nullptr;
  if (!document)
    return result;
  json::Path::Root root;
  llvm::lsp::URIForFile uri;
  if (const json::Value *text = document->get("uri"); !text || !llvm::lsp::fromJSON(*text, uri, root))
    return result;
  if (const json::Value *position = object->get("position"))
    (void)llvm::lsp::fromJSON(*position, result.position, root);
  result.path = uri.file().str();
  auto found = documents.find(result.path);
  result.document = found == documents.end() ? nullptr : &found->second;
  return result;
}

void Server::answer(Callback<json::Value> &reply, function_ref<json::Value()> make) {
  json::Value value = nullptr;
  CrashRecoveryContext guard;
  if (!guard.RunSafely([&] { value = make(); })) {
    reply(make_error<llvm::lsp::LSPError>("internal error: report it with the text",
                                          llvm::lsp::ErrorCode::InternalError));
    return;
  }
  reply(std::move(value));
}

void Server::hover(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> json::Value {
    Asked at = asked(params);
    auto analysis = at.document ? analyst->wait(at.path) : nullptr;
    if (!analysis)
      return nullptr;
    auto found = hoverAt(*analysis, analysis->document().lines.offset(at.position));
    return found ? json::Value(*found) : json::Value(nullptr);
  });
}

void Server::complete(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> json::Value {
    llvm::lsp::CompletionList list;
    Asked at = asked(params);
    if (!at.document)
      return list;
    // The text as it is now: what is half written needs no analysis.
    File file(at.path, at.document->text, isOp);
    std::vector<std::string> layers = layersOf({&file});
    list.items = completionsAt(file, file.lines.offset(at.position), layers);
    return list;
  });
}

Object Server::location(const File &file, size_t begin, size_t end) {
  return Object{{"uri", uriOf(file.path)}, {"range", file.lines.range(begin, end)}};
}

void Server::definition(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> json::Value {
    Asked at = asked(params);
    auto analysis = at.document ? analyst->wait(at.path) : nullptr;
    if (!analysis)
      return Array{};
    Array list;
    if (auto symbol = symbolAt(*analysis, analysis->document().lines.offset(at.position)))
      for (const Occurrence &each : occurrencesOf(*analysis, *symbol))
        if (each.declares)
          list.push_back(location(*each.file, each.begin, each.end));
    return list;
  });
}

void Server::references(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> json::Value {
    Asked at = asked(params);
    auto analysis = at.document ? analyst->wait(at.path) : nullptr;
    if (!analysis)
      return Array{};
    const Object *context = params.object()->getObject("context");
    const bool declaration = !context || context->getBoolean("includeDeclaration").value_or(true);
    Array list;
    if (auto symbol = symbolAt(*analysis, analysis->document().lines.offset(at.position)))
      for (const Occurrence &each : occurrencesOf(*analysis, *symbol))
        if (declaration || !each.declares)
          list.push_back(location(*each.file, each.begin, each.end));
    return list;
  });
}

void Server::prepareRename(const Any &params, Callback<json::Value> reply) {
  std::string wrong;
  json::Value found = nullptr;
  Asked at = asked(params);
  if (auto analysis = at.document ? analyst->wait(at.path) : nullptr) {
    const File &file = analysis->document();
    const size_t offset = file.lines.offset(at.position);
    if (auto symbol = symbolAt(*analysis, offset)) {
      wrong = whyNot(*analysis, *symbol, symbol->name);
      for (const Occurrence &each : occurrencesOf(*analysis, *symbol))
        if (each.file == &file && each.begin <= offset + 1 && offset <= each.end)
          found = Object{{"range", file.lines.range(each.begin, each.end)}, {"placeholder", symbol->name}};
    }
  }
  if (!wrong.empty())
    return reply(make_error<llvm::lsp::LSPError>(wrong, llvm::lsp::ErrorCode::RequestFailed));
  reply(std::move(found));
}

void Server::rename(const Any &params, Callback<json::Value> reply) {
  auto refuse = [&](const std::string &why) {
    reply(make_error<llvm::lsp::LSPError>(why, llvm::lsp::ErrorCode::RequestFailed));
  };
  Asked at = asked(params);
  auto analysis = at.document ? analyst->wait(at.path) : nullptr;
  auto symbol = analysis ? symbolAt(*analysis, analysis->document().lines.offset(at.position)) : std::nullopt;
  if (!symbol)
    return refuse("expected a value, a layer or a size to rename, found none here");
  StringRef name = params.object()->getString("newName").value_or("").trim();
  // An author may write the mark as well.
  if (symbol->kind == Symbol::value)
    name.consume_front("%");
  else
    name.consume_front("@");
  if (std::string why = whyNot(*analysis, *symbol, name); !why.empty())
    return refuse(why);
  std::map<std::string, Array> changes;
  for (const Occurrence &each : occurrencesOf(*analysis, *symbol))
    changes[uriOf(each.file->path)].push_back(
        Object{{"range", each.file->lines.range(each.begin, each.end)}, {"newText", name}});
  Object all;
  for (auto &[uri, edits] : changes)
    all[uri] = std::move(edits);
  reply(Object{{"changes", std::move(all)}});
}

void Server::symbols(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> json::Value {
    Asked at = asked(params);
    auto analysis = at.document ? analyst->wait(at.path) : nullptr;
    Array list;
    if (analysis)
      for (llvm::lsp::DocumentSymbol &each : symbolsOf(*analysis))
        list.push_back(each);
    return list;
  });
}

void Server::hints(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> json::Value {
    Array list;
    Asked at = asked(params);
    auto analysis = showsHints && at.document ? analyst->wait(at.path) : nullptr;
    if (!analysis)
      return list;
    const File &file = analysis->document();
    llvm::lsp::Range range({0, 0}, {int(file.lines.count()), 0});
    json::Path::Root root;
    if (const json::Value *part = params.object()->get("range"))
      (void)llvm::lsp::fromJSON(*part, range, root);
    for (const llvm::lsp::InlayHint &each :
         hintsOf(*analysis, file.lines.offset(range.start), file.lines.offset(range.end)))
      list.push_back(each);
    return list;
  });
}

void Server::format(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> json::Value {
    Asked at = asked(params);
    if (!at.document)
      return Array{};
    const std::string &old = at.document->text, made = formatted(old);
    if (old == made)
      return Array{};
    // Only the lines from the first to the last that change.
    size_t begin = 0, end = 0;
    const size_t most = std::min(old.size(), made.size());
    while (begin < most && old[begin] == made[begin])
      ++begin;
    begin = StringRef(old).take_front(begin).rfind('\n') + 1;
    while (end < most - begin && old[old.size() - 1 - end] == made[made.size() - 1 - end])
      ++end;
    while (end > 0 && old[old.size() - end - 1] != '\n')
      --end;
    Lines lines(old);
    return Array{Object{{"range", lines.range(begin, old.size() - end)},
                        {"newText", made.substr(begin, made.size() - end - begin)}}};
  });
}

int moe::lsp::serve() {
  sys::ChangeStdinToBinary();
  CrashRecoveryContext::Enable();
  llvm::lsp::JSONTransport transport(stdin, outs());
  Server server(transport);
  return succeeded(server.run()) ? 0 : 1;
}
