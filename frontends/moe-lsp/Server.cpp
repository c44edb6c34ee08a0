// One thread reads the client's messages and answers them; the analyst's thread reads texts (Analyst.h) and publishes what it finds.
// Whatever a client asks is answered, of a document that is not open with nothing.
#include "frontends/moe-lsp/Server.h"
#include "frontends/moe-lsp/Analyst.h"
#include "frontends/moe-lsp/Complete.h"
#include "frontends/moe-lsp/Format.h"
#include "frontends/moe-lsp/Hover.h"
#include "frontends/moe-lsp/Input.h"
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
  using Method = void (Server::*)(const Any &params, Callback<json::Value> reply);
  template <Method method> void inOrder(const Any &params, Callback<json::Value> reply);
  using Notification = void (Server::*)(const Any &params);
  template <Notification notification> void inOrder(const Any &params);

  template <llvm::lsp::ErrorCode code> void refuse(const Any &params, Callback<json::Value> reply);
  void initialize(const Any &params, Callback<json::Value> reply);
  void initialized(const Any &);
  void shutdown(const Any &, Callback<json::Value> reply);
  void configure(const Any &params);
  void open(const Any &params);
  void change(const Any &params);
  void save(const Any &params);
  void close(const Any &params);
  void filesChanged(const Any &params);
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
  void answer(Callback<json::Value> &reply, function_ref<Expected<json::Value>()> make);
  Analyses readWith(std::shared_ptr<const Analysis> analysis, const Symbol &symbol);

  llvm::lsp::JSONTransport &transport;
  llvm::lsp::MessageHandler handler;
  llvm::lsp::OutgoingNotification<json::Value> publishDiagnostics;
  std::mutex uris; // guards which documents are open and their addresses, for both threads
  std::map<std::string, Open> documents; // by paths
  Folder folder;                         // for this thread
  bool showsHints = false, notesInMessage = false, watches = false;
  enum { begins, serves, ends } state = begins;
  std::unique_ptr<Analyst> analyst;
};

} // namespace

Server::Server(llvm::lsp::JSONTransport &transport)
    : transport(transport), handler(transport),
      publishDiagnostics(handler.outgoingNotification<json::Value>("textDocument/publishDiagnostics")),
      folder([this](Folder::Take take) {
        for (auto &[path, document] : documents)
          take(path, document.text);
      }),
      analyst(std::make_unique<Analyst>(
          [this](const std::string &path, std::shared_ptr<const Analysis> analysis) {
            publish(path, *analysis);
          })) {
  handler.method(unreadable, this, &Server::refuse<llvm::lsp::ErrorCode::ParseError>);
  handler.method(noMessage, this, &Server::refuse<llvm::lsp::ErrorCode::InvalidRequest>);
  handler.method("initialize", this, &Server::initialize);
  handler.method("shutdown", this, &Server::inOrder<&Server::shutdown>);
  handler.notification("initialized", this, &Server::inOrder<&Server::initialized>);
  handler.notification("workspace/didChangeConfiguration", this, &Server::inOrder<&Server::configure>);
  handler.notification("workspace/didChangeWatchedFiles", this, &Server::inOrder<&Server::filesChanged>);
  handler.notification("textDocument/didOpen", this, &Server::inOrder<&Server::open>);
  handler.notification("textDocument/didChange", this, &Server::inOrder<&Server::change>);
  handler.notification("textDocument/didSave", this, &Server::inOrder<&Server::save>);
  handler.notification("textDocument/didClose", this, &Server::inOrder<&Server::close>);
  handler.method("textDocument/hover", this, &Server::inOrder<&Server::hover>);
  handler.method("textDocument/completion", this, &Server::inOrder<&Server::complete>);
  handler.method("textDocument/definition", this, &Server::inOrder<&Server::definition>);
  handler.method("textDocument/references", this, &Server::inOrder<&Server::references>);
  handler.method("textDocument/prepareRename", this, &Server::inOrder<&Server::prepareRename>);
  handler.method("textDocument/rename", this, &Server::inOrder<&Server::rename>);
  handler.method("textDocument/documentSymbol", this, &Server::inOrder<&Server::symbols>);
  handler.method("textDocument/inlayHint", this, &Server::inOrder<&Server::hints>);
  handler.method("textDocument/formatting", this, &Server::inOrder<&Server::format>);
}

static Error refused(const Twine &why, llvm::lsp::ErrorCode code = llvm::lsp::ErrorCode::RequestFailed) {
  return make_error<llvm::lsp::LSPError>(why.str(), code);
}

/// What is no message is answered as well.
template <llvm::lsp::ErrorCode code> void Server::refuse(const Any &, Callback<json::Value> reply) {
  reply(refused("expected a message of the language server protocol, found another text", code));
}

/// Only between 'initialize' and 'shutdown' is anything done.
template <Server::Method method> void Server::inOrder(const Any &params, Callback<json::Value> reply) {
  if (state == begins)
    return reply(refused("expected 'initialize' first", llvm::lsp::ErrorCode::ServerNotInitialized));
  if (state == ends)
    return reply(refused("expected 'exit' after 'shutdown'", llvm::lsp::ErrorCode::InvalidRequest));
  (this->*method)(params, std::move(reply));
}

template <Server::Notification notification> void Server::inOrder(const Any &params) {
  if (state == serves)
    (this->*notification)(params);
}

LogicalResult Server::run() {
  Error error = transport.run(handler);
  analyst.reset(); // nothing is published any more
  if (error) {
    errs() << "moe-lsp: error: " << toString(std::move(error)) << "\n";
    return failure();
  }
  return success(state == ends);
}

/// `inlayHints` and `notesInMessage`, as docs/editors.md has them.
void Server::setOptions(const json::Value *options) {
  const Object *object = options ? options->getAsObject() : nullptr;
  if (!object)
    return;
  showsHints = object->getBoolean("inlayHints").value_or(showsHints);
  notesInMessage = object->getBoolean("notesInMessage").value_or(notesInMessage);
}

/// What a client says of itself: the member of its capabilities that some keys lead to.
static bool isCapable(const Object &params, ArrayRef<StringRef> keys) {
  const Object *at = params.getObject("capabilities");
  for (StringRef key : keys.drop_back())
    at = at ? at->getObject(key) : nullptr;
  return at && at->getBoolean(keys.back()).value_or(false);
}

void Server::initialize(const Any &params, Callback<json::Value> reply) {
  if (state != begins)
    return reply(refused("expected 'initialize' once", llvm::lsp::ErrorCode::InvalidRequest));
  state = serves;
  if (params.object()) {
    setOptions(params.object()->get("initializationOptions"));
    // An editor that does not show related places has them in the message.
    if (!isCapable(*params.object(), {"textDocument", "publishDiagnostics", "relatedInformation"}))
      notesInMessage = true;
    watches = isCapable(*params.object(), {"workspace", "didChangeWatchedFiles", "dynamicRegistration"});
  }
  reply(Object{{"serverInfo", Object{{"name", "moe-lsp"}, {"version", moert::version()}}},
               {"capabilities",
                Object{{"textDocumentSync", Object{{"openClose", true}, {"change", 2}, {"save", true}}},
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

/// A file that a document uses may change outside of the editor.
void Server::initialized(const Any &) {
  if (!watches)
    return;
  auto request = handler.outgoingRequest<json::Value, Any>(
      "client/registerCapability", [](json::Value, Expected<Any> result) {
        if (!result)
          llvm::lsp::Logger::error("files are not watched: {0}", toString(result.takeError()));
      });
  request(Object{{"registrations",
                  Array{Object{{"id", "files"},
                               {"method", "workspace/didChangeWatchedFiles"},
                               {"registerOptions",
                                Object{{"watchers", Array{Object{{"globPattern", "**/*.mlir"}}}}}}}}}},
          "files");
}

void Server::shutdown(const Any &, Callback<json::Value> reply) {
  state = ends;
  reply(nullptr);
}

void Server::configure(const Any &params) {
  const json::Value *settings = params.object() ? params.object()->get("settings") : nullptr;
  if (settings && settings->getAsObject() && settings->getAsObject()->get("moe"))
    settings = settings->getAsObject()->get("moe");
  setOptions(settings);
}

/// The path of a document's address; empty where it is none of a file.
static std::string pathOf(const json::Value *address) {
  json::Path::Root root;
  llvm::lsp::URIForFile uri;
  if (!address || !llvm::lsp::fromJSON(*address, uri, root))
    return "";
  StringRef path = uri.file();
  if (path.starts_with("//localhost/")) // 'file://localhost/folder' is 'file:///folder'
    path = path.drop_front(StringRef("//localhost").size());
  return path.str();
}

/// The part of a notification that names its document, and the document's path; null where it names no file.
static const Object *documentOf(const Any &params, std::string &path) {
  const Object *document = params.object() ? params.object()->getObject("textDocument") : nullptr;
  path = document ? pathOf(document->get("uri")) : "";
  return path.empty() ? nullptr : document;
}

void Server::open(const Any &params) {
  std::string path;
  const Object *document = documentOf(params, path);
  std::optional<StringRef> text = document ? document->getString("text") : std::nullopt;
  if (!text)
    return llvm::lsp::Logger::error("expected the address of a file and its text");
  const int64_t version = document->getInteger("version").value_or(0);
  {
    std::lock_guard<std::mutex> lock(uris);
    documents[path] = {document->getString("uri").value_or("").str(), text->str(), version};
  }
  analyst->update(path, text->str(), version);
}

void Server::change(const Any &params) {
  std::string path;
  const Object *document = documentOf(params, path);
  auto found = documents.find(path);
  std::vector<llvm::lsp::TextDocumentContentChangeEvent> changes;
  json::Path::Root root;
  const json::Value *list = document ? params.object()->get("contentChanges") : nullptr;
  if (!list || !json::fromJSON(*list, changes, root))
    return llvm::lsp::Logger::error("expected the changes of a document, found others");
  if (found == documents.end())
    return;
  applyChanges(changes, found->second.text);
  // Clients that count no versions send none.
  found->second.version = document->getInteger("version").value_or(found->second.version + 1);
  analyst->update(path, found->second.text, found->second.version);
}

void Server::save(const Any &params) {
  if (std::string path; documentOf(params, path))
    analyst->changedOnDisk(path);
}

void Server::filesChanged(const Any &params) {
  const Array *changes = params.object() ? params.object()->getArray("changes") : nullptr;
  for (const json::Value &each : changes ? *changes : Array())
    if (const Object *change = each.getAsObject())
      if (std::string path = pathOf(change->get("uri")); !path.empty())
        analyst->changedOnDisk(path);
}

void Server::close(const Any &params) {
  std::string path, uri;
  if (!documentOf(params, path))
    return;
  analyst->close(path);
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
  // Nothing is sent of a document that was closed meanwhile: close() takes it out before it sends that there are none.
  std::lock_guard<std::mutex> lock(uris);
  if (auto found = documents.find(path); found != documents.end())
    publishDiagnostics(
        Object{{"uri", found->second.uri}, {"version", analysis.version}, {"diagnostics", std::move(list)}});
}

Server::Asked Server::asked(const Any &params) {
  Asked result;
  if (!documentOf(params, result.path))
    return result;
  json::Path::Root root;
  if (const json::Value *position = params.object()->get("position"))
    (void)llvm::lsp::fromJSON(*position, result.position, root);
  auto found = documents.find(result.path);
  result.document = found == documents.end() ? nullptr : &found->second;
  return result;
}

void Server::answer(Callback<json::Value> &reply, function_ref<Expected<json::Value>()> make) {
  std::optional<Expected<json::Value>> value;
  CrashRecoveryContext guard;
  if (!guard.RunSafely([&] { value.emplace(make()); }))
    return reply(refused("internal error: report it with the text", llvm::lsp::ErrorCode::InternalError));
  reply(std::move(*value));
}

void Server::hover(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> Expected<json::Value> {
    Asked at = asked(params);
    auto analysis = at.document ? analyst->wait(at.path) : nullptr;
    if (!analysis)
      return nullptr;
    auto found = hoverAt(*analysis, analysis->document().lines.offset(at.position));
    return found ? json::Value(*found) : json::Value(nullptr);
  });
}

void Server::complete(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> Expected<json::Value> {
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

/// What may have a symbol: the document, with the files that belong to it; of a layer, the others of the folder that use it as well.
Analyses Server::readWith(std::shared_ptr<const Analysis> analysis, const Symbol &symbol) {
  Analyses all{std::move(analysis)};
  if (symbol.kind == Symbol::layer && symbol.header)
    for (Sources &user : folder.usersOf(symbol.file->path, symbol.name))
      all.push_back(readNames(std::move(user)));
  return all;
}

Object Server::location(const File &file, size_t begin, size_t end) {
  return Object{{"uri", uriOf(file.path)}, {"range", file.lines.range(begin, end)}};
}

void Server::definition(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> Expected<json::Value> {
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
  answer(reply, [&]() -> Expected<json::Value> {
    Asked at = asked(params);
    auto analysis = at.document ? analyst->wait(at.path) : nullptr;
    if (!analysis)
      return Array{};
    const Object *context = params.object()->getObject("context");
    const bool declaration = !context || context->getBoolean("includeDeclaration").value_or(true);
    Array list;
    auto symbol = symbolAt(*analysis, analysis->document().lines.offset(at.position));
    if (!symbol)
      return list;
    const Analyses all = readWith(analysis, *symbol);
    for (const Occurrence &each : occurrencesOf(all, *symbol))
      if (declaration || !each.declares)
        list.push_back(location(*each.file, each.begin, each.end));
    return list;
  });
}

void Server::prepareRename(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> Expected<json::Value> {
    Asked at = asked(params);
    auto analysis = at.document ? analyst->wait(at.path) : nullptr;
    if (!analysis)
      return nullptr;
    const File &file = analysis->document();
    const size_t offset = file.lines.offset(at.position);
    auto symbol = symbolAt(*analysis, offset);
    if (!symbol)
      return nullptr;
    if (std::string why = whyNot(readWith(analysis, *symbol), *symbol, symbol->name); !why.empty())
      return refused(why);
    for (const Occurrence &each : occurrencesOf(*analysis, *symbol))
      if (each.file == &file && each.begin <= offset + 1 && offset <= each.end)
        return Object{{"range", file.lines.range(each.begin, each.end)}, {"placeholder", symbol->name}};
    return nullptr;
  });
}

void Server::rename(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> Expected<json::Value> {
    Asked at = asked(params);
    auto analysis = at.document ? analyst->wait(at.path) : nullptr;
    auto symbol =
        analysis ? symbolAt(*analysis, analysis->document().lines.offset(at.position)) : std::nullopt;
    if (!symbol)
      return refused("expected a value, a layer or a size to rename, found none here");
    StringRef name = params.object()->getString("newName").value_or("").trim();
    // An author may write the mark as well.
    name.consume_front(symbol->kind == Symbol::value ? "%" : "@");
    const Analyses all = readWith(analysis, *symbol);
    if (std::string why = whyNot(all, *symbol, name); !why.empty())
      return refused(why);
    std::map<std::string, Array> changes;
    for (const Occurrence &each : occurrencesOf(all, *symbol))
      changes[uriOf(each.file->path)].push_back(
          Object{{"range", each.file->lines.range(each.begin, each.end)}, {"newText", name}});
    Object edits;
    for (auto &[uri, list] : changes)
      edits[uri] = std::move(list);
    return Object{{"changes", std::move(edits)}};
  });
}

void Server::symbols(const Any &params, Callback<json::Value> reply) {
  answer(reply, [&]() -> Expected<json::Value> {
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
  answer(reply, [&]() -> Expected<json::Value> {
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
  answer(reply, [&]() -> Expected<json::Value> {
    Asked at = asked(params);
    if (!at.document)
      return Array{};
    const std::string old = withLineFeeds(at.document->text), made = formatted(old);
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
  llvm::lsp::JSONTransport transport(std::make_unique<Input>(stdin), outs());
  Server server(transport);
  return succeeded(server.run()) ? 0 : 1;
}
