#include "frontends/moe-lsp/Folder.h"
#include "passes/language/Tokens.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace llvm;
using namespace moe;
using namespace moe::lsp;

/// A folder of more, or of larger, texts is no folder of models.
static constexpr size_t maxFiles = 500, maxSize = size_t(1) << 20;

bool Folder::Outline::lacks(const Outline &other) const {
  return any_of(declares, [&](const std::string &name) {
    return !is_contained(defines, name) && is_contained(other.defines, name);
  });
}

Folder::Outline Folder::outlineOf(StringRef text) {
  Outline outline;
  std::vector<Token> tokens = tokensOf(text);
  for (const Statement &each : statementsOf(tokens, [](StringRef) { return false; })) {
    if (each.kind != Statement::header)
      continue;
    outline.model |= tokens[each.word].is("moe.model");
    if (!tokens[each.word].is("moe.layer") || each.word + 1 >= each.end)
      continue;
    auto &list = tokens[each.end - 1].is("{") ? outline.defines : outline.declares;
    list.push_back(tokens[each.word + 1].name().str());
  }
  return outline;
}

std::vector<std::pair<std::string, Folder::Cached>> Folder::others(StringRef path) {
  std::vector<std::string> paths;
  std::error_code error;
  StringRef folder = sys::path::parent_path(path);
  for (sys::fs::directory_iterator it(folder, error), end; it != end && !error && paths.size() < maxFiles;
       it.increment(error))
    if (StringRef(it->path()).ends_with(".mlir") && it->path() != path)
      paths.push_back(it->path());
  llvm::sort(paths);
  std::vector<std::pair<std::string, Cached>> list;
  for (const std::string &each : paths) {
    if (const std::string *text = opened(each)) {
      list.push_back({each, {0, 0, *text, outlineOf(*text)}});
      continue;
    }
    sys::fs::file_status status;
    if (sys::fs::status(each, status) || !sys::fs::is_regular_file(status) || status.getSize() > maxSize)
      continue;
    const int64_t changed = status.getLastModificationTime().time_since_epoch().count();
    auto found = cache.find(each);
    if (found == cache.end() || found->second.changed != changed ||
        found->second.size != int64_t(status.getSize())) {
      auto buffer = MemoryBuffer::getFile(each);
      if (!buffer)
        continue;
      std::string text = (*buffer)->getBuffer().str();
      Cached entry{changed, int64_t(status.getSize()), text, outlineOf(text)};
      found = cache.insert_or_assign(each, std::move(entry)).first;
    }
    list.push_back({each, found->second});
  }
  return list;
}

std::vector<SourceFile> Folder::withText(StringRef path, StringRef text) {
  std::vector<SourceFile> files{{path.str(), text.str()}};
  Outline all = outlineOf(text);
  const bool library = !all.model && !all.defines.empty();
  const bool complete =
      all_of(all.declares, [&](const std::string &name) { return is_contained(all.defines, name); });
  if (!library && complete)
    return files;
  auto beside = others(path);
  auto add = [&](const std::pair<std::string, Cached> &file) {
    files.push_back({file.first, file.second.text});
    append_range(all.defines, file.second.outline.defines);
    append_range(all.declares, file.second.outline.declares);
    all.model |= file.second.outline.model;
  };
  auto has = [&](StringRef other) { return any_of(files, [&](auto &file) { return file.path == other; }); };
  if (library)
    for (auto &file : beside)
      if (file.second.outline.model && file.second.outline.lacks(all)) {
        add(file);
        break;
      }
  for (bool more = true; std::exchange(more, false);)
    for (auto &file : beside)
      if (!has(file.first) && !file.second.outline.model && all.lacks(file.second.outline)) {
        add(file);
        more = true;
      }
  return files;
}
