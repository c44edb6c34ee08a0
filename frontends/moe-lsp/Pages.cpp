#include "frontends/moe-lsp/Pages.h"
#include "frontends/driver/Plugins.h"
#include "llvm/ADT/StringExtras.h"
#include <map>

using namespace llvm;
using namespace moe;
using namespace moe::lsp;

static constexpr char opsPage[] =
#include "frontends/OpsPage.inc"
    ;

/// A cell of a table, without the escapes that it needs there.
static std::string cell(StringRef text) {
  std::string plain = text.trim().str();
  for (size_t at = 0; (at = plain.find("\\|", at)) != std::string::npos;)
    plain.erase(at, 1);
  return plain;
}

/// The op's word in a line of syntax: `%y = linear @name(%x) ...`.
static std::string wordOf(StringRef syntax) {
  if (syntax.starts_with("%"))
    syntax = syntax.split(" = ").second;
  syntax.consume_front("moe.");
  return syntax.take_while([](char c) { return isAlnum(c) || c == '_' || c == '.'; }).str();
}

/// Reads rows of tables with a syntax in their first cell, and sections that are named like an op.
static void readPage(StringRef text, std::map<std::string, Page> &pages) {
  std::string *section = nullptr;
  bool fenced = false, planned = false;
  while (!text.empty()) {
    auto [line, rest] = text.split('\n');
    text = rest;
    fenced ^= line.starts_with("```");
    if (!fenced && line.starts_with("| `")) {
      auto [syntax, meaning] = line.drop_front(3).split("` | ");
      meaning = meaning.rtrim().drop_back(meaning.rtrim().ends_with("|"));
      Page page{cell(syntax), cell(meaning), "", planned};
      if (size_t below = page.meaning.find("; see [below]"); below != std::string::npos)
        page.meaning.resize(below);
      pages[wordOf(page.syntax)] = page;
      section = nullptr;
    } else if (!fenced && line.starts_with("#")) {
      StringRef name = line.ltrim("#").trim();
      planned = line == "## Planned";
      auto found = pages.find(name.str());
      section = line.starts_with("### ") && found != pages.end() ? &found->second.rest : nullptr;
    } else if (section) {
      *section += (line + "\n").str();
    }
  }
}

/// Reads what mlir-tblgen -gen-op-doc makes of a plugin's ops: of each the name, the summary and the description.
static void readPluginPage(StringRef text, std::map<std::string, Page> &pages) {
  Page *page = nullptr;
  bool fenced = false, over = false; // within a block of code; behind the description
  while (!text.empty()) {
    auto [line, rest] = text.split('\n');
    text = rest;
    if (line.starts_with("```"))
      fenced = !fenced;
    else if (fenced)
      continue;
    else if (StringRef heading = line; heading.consume_front("### `")) {
      const std::string name = heading.split('`').first.str();
      page = &(pages[name] = Page{name + " ...", "", ""});
      over = false;
    } else if (line.starts_with("#") || line.starts_with("Traits:") || line.starts_with("Interfaces:") ||
               line.starts_with("Effects:")) {
      over = true;
    } else if (page && !over && page->meaning.empty() && line.starts_with("_")) {
      page->meaning = line.trim('_').str();
    } else if (page && !over && line != "Syntax:" && !(line.empty() && page->rest.empty())) {
      page->rest += (line + "\n").str();
    }
  }
}

const Page *moe::lsp::pageOf(StringRef op) {
  static const std::map<std::string, Page> *pages = [] {
    auto *all = new std::map<std::string, Page>();
    readPage(opsPage, *all);
    for (const LoadedPlugin &plugin : loadedPlugins())
      readPluginPage(plugin.page, *all);
    return all;
  }();
  op.consume_front("moe.");
  auto found = pages->find(op.str());
  return found == pages->end() ? nullptr : &found->second;
}
