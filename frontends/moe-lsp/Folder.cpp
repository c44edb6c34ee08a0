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

/// All texts of a folder, in the order of their paths: of a file that is open, the editor's.
Folder::Beside Folder::filesOf(StringRef folder) {
  std::map<std::string, const std::string *> paths; // with the editor's texts
  std::error_code error;
  for (sys::fs::directory_iterator it(folder, error), end; it != end && !error && paths.size() < maxFiles;
       it.increment(error))
    if (StringRef(it->path()).ends_with(".mlir"))
      paths[it->path()] = nullptr;
  opened([&](const std::string &path, const std::string &text) {
    if (sys::path::parent_path(path) == folder && StringRef(path).ends_with(".mlir"))
      paths[path] = &text;
  });
  Beside list;
  for (auto &[each, text] : paths) {
    if (text) {
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
      std::string now = (*buffer)->getBuffer().str();
      Cached entry{changed, int64_t(status.getSize()), now, outlineOf(now)};
      found = cache.insert_or_assign(each, std::move(entry)).first;
    }
    list.push_back({each, found->second});
  }
  return list;
}

Sources Folder::gather(StringRef path, StringRef text, function_ref<const Beside &()> beside) {
  Sources sources{{{path.str(), text.str()}}};
  std::vector<SourceFile> &files = sources.files;
  Outline all = outlineOf(text);
  const bool library = !all.model && !all.defines.empty();
  const bool complete =
      all_of(all.declares, [&](const std::string &name) { return is_contained(all.defines, name); });
  if (!library && complete)
    return sources;
  sources.folder = true;
  auto add = [&](const std::pair<std::string, Cached> &file) {
    files.push_back({file.first, file.second.text});
    append_range(all.defines, file.second.outline.defines);
    append_range(all.declares, file.second.outline.declares);
    all.model |= file.second.outline.model;
  };
  auto has = [&](StringRef other) { return any_of(files, [&](auto &file) { return file.path == other; }); };
  const Beside &others = beside();
  if (library)
    for (auto &file : others)
      if (!has(file.first) && file.second.outline.model && file.second.outline.lacks(all)) {
        add(file);
        break;
      }
  for (bool more = true; std::exchange(more, false);)
    for (auto &file : others)
      if (!has(file.first) && !file.second.outline.model && all.lacks(file.second.outline)) {
        add(file);
        more = true;
      }
  return sources;
}

Sources Folder::withText(StringRef path, StringRef text) {
  Beside beside;
  return gather(path, text,
                [&]() -> const Beside & { return beside = filesOf(sys::path::parent_path(path)); });
}

std::vector<Sources> Folder::usersOf(StringRef path, StringRef layer) {
  const Beside beside = filesOf(sys::path::parent_path(path));
  std::vector<Sources> list;
  for (auto &file : beside) {
    const Outline &outline = file.second.outline;
    if (file.first == path || !is_contained(outline.declares, layer) || is_contained(outline.defines, layer))
      continue;
    Sources sources = gather(file.first, file.second.text, [&]() -> const Beside & { return beside; });
    if (any_of(sources.files, [&](const SourceFile &each) { return each.path == path; }))
      list.push_back(std::move(sources));
  }
  return list;
}
