// All that an editor is told of one version of a text: what `moec compile` reports of it, and what values, sizes and parameters
// are found to be. It comes from the compiler's own reader and elaboration, through their listener (dialects/moe/Listener.h).
#pragma once
#include "dialects/moe/Listener.h"
#include "frontends/moe-lsp/Folder.h"
#include "frontends/moe-lsp/Lines.h"
#include "passes/language/Tokens.h"
#include <functional>
#include <map>
#include <memory>

namespace moe::lsp {

/// A name in an expression or a header, at a place of its file's text.
struct NameUse {
  Listener::Name kind;
  size_t begin;
  std::string text, layer;
};

/// One file that was read: the document first, then those of its folder.
struct File {
  File(std::string path, llvm::StringRef text, llvm::function_ref<bool(llvm::StringRef)> isOp);
  std::string path, text; // whose lines end in '\n' or "\r\n", whatever they do for the client
  Lines lines;
  std::vector<Token> tokens;
  std::vector<Statement> statements;
  std::map<size_t, NameUse> names; // by their places
  std::vector<std::pair<size_t, size_t>>
      unread; // parts with errors that hide names, which are not in `names`

  size_t offsetOf(llvm::StringRef part) const { return size_t(part.begin() - text.data()); }
  /// The token at a place, or that ends there; null where there is none.
  const Token *tokenAt(size_t offset) const;
  /// The statement that a place belongs to, and the header above it; null where there is none.
  const Statement *statementAt(size_t offset) const;
  const Statement *headerOf(size_t offset) const;
  /// The name that a header declares: of a layer or model.
  llvm::StringRef declaredBy(const Statement &header) const;
};

struct Related {
  std::string path;
  unsigned line, column;
  std::string message;
};

/// A report at a place of the document.
struct Note {
  size_t begin, end;
  llvm::lsp::DiagnosticSeverity severity;
  std::string message;
  std::vector<Related> related;
  bool unused = false;
};

/// What something is in one application: `scope` is the path of names that leads there.
struct InScope {
  std::string scope, text;
};

struct Parameter {
  std::string path;
  std::vector<int64_t> shape;
  bool trained;
  int64_t count() const;
};

/// A place in a file: line and column, as MLIR counts them.
using LineColumn = std::pair<unsigned, unsigned>;

/// What elaboration found in one file.
struct Findings {
  std::map<std::pair<LineColumn, unsigned>, std::vector<InScope>>
      values; // by the place of their op or argument, and their number
  std::map<LineColumn, std::vector<Parameter>> parameters; // by the place of their op
  std::map<LineColumn, std::vector<std::pair<std::string, std::map<std::string, std::string>>>>
      entered; // by the place of a header: each scope, with the sizes there
};

class Analysis {
public:
  int64_t version = 0;
  std::vector<std::unique_ptr<File>> files; // never empty
  std::vector<Note> notes;
  std::vector<Findings> findings; // of each file
  std::vector<Parameter> parameters;
  bool stopped = false; // before its end, for a newer version
  bool folder = false;  // other files of the document's folder were looked at, or would be if they were there
  const File &document() const { return *files.front(); }
};

/// Reads a text with the files that belong to it. `stop` is asked again and again whether nobody waits for the result any more.
std::shared_ptr<const Analysis> analyse(Sources sources, int64_t version, const std::function<bool()> &stop);

/// Reads texts for the names in them alone.
std::shared_ptr<const Analysis> readNames(Sources sources);

/// Whether a word begins an op of the language, plugins' among them.
bool isOp(llvm::StringRef word);

} // namespace moe::lsp
