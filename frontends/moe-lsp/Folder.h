// The files beside a text that belong to it: those that have the layers which it declares without a body, and for a file of layers
// alone, the model that declares them.
#pragma once
#include "llvm/ADT/StringRef.h"
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace moe::lsp {

struct SourceFile {
  std::string path, text;
};

class Folder {
public:
  /// `opened` gives the text of a document that an editor has open, or null.
  explicit Folder(std::function<const std::string *(llvm::StringRef path)> opened)
      : opened(std::move(opened)) {}
  /// The text itself, first, and what belongs to it. Only files of its folder that end in .mlir are looked at.
  std::vector<SourceFile> withText(llvm::StringRef path, llvm::StringRef text);

private:
  /// What a text has: layers with a body, layers without one, and whether a model.
  struct Outline {
    std::vector<std::string> defines, declares;
    bool model = false;
    bool lacks(const Outline &other) const;
  };
  struct Cached {
    int64_t changed, size;
    std::string text;
    Outline outline;
  };
  static Outline outlineOf(llvm::StringRef text);
  std::vector<std::pair<std::string, Cached>> others(llvm::StringRef path);

  std::function<const std::string *(llvm::StringRef path)> opened;
  std::map<std::string, Cached> cache;
};

} // namespace moe::lsp
