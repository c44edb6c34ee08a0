// Reading goes on behind an error: MLIR's parser stops at the first one of a text, so the statement that has it is taken out and
// the text is read again.
//   1. An error's place names a statement (Tokens.h). An op is replaced by one that only makes its values, so that their uses are
//      no errors; an op without values is blanked. Lines stay where they are, so that places do.
//   2. A line that is half written takes what is behind it for its rest, so the parser stops there. Read without what is behind it,
//      it has an error of its own, which is the one to report, at its end.
//   3. Where the error is still there, the statement before is to blame: a bracket that it leaves open, or a value that it lacks.
//   4. A header in error takes its whole layer with it. What refers to it cannot be checked, so the text is only read from then on.
#pragma once
#include "dialects/moe/MoeDialect.h"
#include "passes/language/Tokens.h"
#include <optional>
#include <string>

namespace moe {

class Recovery {
public:
  Recovery(llvm::StringRef text, mlir::MLIRContext *context);
  /// The text without what was taken out.
  std::string text() const { return textWithout(nullptr, nullptr); }
  struct Fault {
    size_t place;   // in the original text
    bool redefines; // the values of the statement there have other definitions
  };
  /// Takes out the statements that one reading of the text found faults in, each once however many it has. Nothing happens where
  /// nothing is left to take out.
  void takeOut(llvm::ArrayRef<Fault> faults);
  /// The text up to the end of a statement and what closes its body: what is wrong from `begin` to `limit` is that statement's,
  /// which ends at `end`.
  struct Beginning {
    size_t begin, end, limit;
    std::string text; // empty where nothing but the body's '}' is behind the statement
  };
  /// That of the statement before the one at a place; none where no op or header in one piece is there.
  std::optional<Beginning> before(size_t place);
  /// Whether a text has changed since it was last asked.
  bool changed() { return std::exchange(isChanged, false); }
  /// Whether another op stands on a line for what was taken out.
  bool isReplaced(unsigned line) const;
  /// The parts of the text that were taken out, or all of it: from where to where.
  std::vector<std::pair<size_t, size_t>> unread(bool all) const;
  /// Whether a header is missing.
  bool broken() const { return isBroken; }
  /// Enters the ops that stand for others, and the bodies that miss some, into the faults of the context.
  void enter(mlir::ModuleOp module) const;

private:
  enum State { intact, replaced, blanked };
  struct Part {
    size_t begin, end; // characters
    unsigned line;     // of its first character
    Statement::Kind kind;
    llvm::SmallVector<llvm::StringRef, 2> results;
    State state = intact;
    bool mayHoldMore = false; // a line of it begins with a word
    bool restored = false;    // it was taken out by mistake once
    bool blamed = false;      // this reading has a fault of it
  };
  std::string textWithout(const Part *from, const Part *to) const;
  void takeOut(Fault fault);
  Part *partAt(size_t place);
  Part *split(Part *part, size_t place);
  Part *before(Part *part);
  void set(Part *part, State state);
  void breakItem(Part *part);

  llvm::StringRef original;
  std::vector<Token> tokens;
  std::vector<Part> parts;
  bool isChanged = false, isBroken = false;
};

/// Whether a word is the name of an op of the language, as it is written in a body.
bool isOpOfLanguage(llvm::StringRef word, mlir::MLIRContext *context);

} // namespace moe
