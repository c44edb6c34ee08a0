// The files beside a text that belong to it: those that have the layers which it declares without a body, and for a file of layers
// alone, the model that declares them.
#pragma once
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace moe::lsp {

struct SourceFile {
  std::string path, text;
};

/// A text, first, and what belongs to it. `folder`: others of its folder were looked at for it.
struct Sources {
  std::vector<SourceFile> files;
  bool folder = false;
};

class Folder {
public:
  using Take = llvm::function_ref<void(const std::string &path, const std::string &text)>;
  /// `opened` gives the documents that an editor has open, whose texts count, whatever their files have.
  explicit Folder(std::function<void(Take)> opened) : opened(std::move(opened)) {}
  /// Only files of the text's folder that end in .mlir are looked at.
  Sources withText(llvm::StringRef path, llvm::StringRef text);
  /// The files of a folder that declare a layer and have its body from the file at `path`; each with all that belongs to it.
  std::vector<Sources> usersOf(llvm::StringRef path, llvm::StringRef layer);

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
  using Beside = std::vector<std::pair<std::string, Cached>>;
  static Outline outlineOf(llvm::StringRef text);
  Beside filesOf(llvm::StringRef folder);
  static Sources gather(llvm::StringRef path, llvm::StringRef text,
                        llvm::function_ref<const Beside &()> beside);

  std::function<void(Take)> opened;
  std::map<std::string, Cached> cache;
};

} // namespace moe::lsp
