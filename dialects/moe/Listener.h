// What an editor is told while a text is read and elaborated: where names stand, and what values, sizes and parameters are found
// to be. So a language server has each fact from the code that compiles, and needs no reader of its own.
#pragma once
#include "mlir/IR/Location.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>

namespace moe {
class Env;
struct Record;

class Listener {
public:
  /// What a name in an expression is: one of a size or number, of a layer, that of a parameter where a header declares it, that by
  /// which an argument is given to `layer`, or a word of the language.
  enum class Name { size, layer, parameter, key, word };

  virtual ~Listener() = default;
  /// `written` is the name without its mark, which stands at `at`. A name that is reported again at its place is what was reported
  /// last. `layer`: whose parameter a key is; empty for what a chain ramps, which is a parameter of the chain's layers.
  virtual void name(Name kind, llvm::StringRef written, mlir::Location at, llvm::StringRef layer) {}
  /// A part of a file's text, from one character to behind another, has errors that hide its names: some may not be told.
  virtual void unread(llvm::StringRef file, size_t begin, size_t end) {}
  /// A layer or model is entered: `scope` is the path of names that leads there, empty in the model.
  virtual void entered(mlir::Operation *body, const Env &env, llvm::StringRef scope) {}
  virtual void value(mlir::Value value, const Record &record, llvm::StringRef scope) {}
  /// A parameter or buffer that `owner` declares.
  virtual void parameter(mlir::Operation *owner, llvm::StringRef path, llvm::ArrayRef<int64_t> shape,
                         bool trained) {}
  /// Asked at each step of an elaboration, which ends where it is true.
  virtual bool stop() { return false; }
};

} // namespace moe
