// moe-lsp: the language server. What it serves is in Server.h; here is only the command line.
#include "frontends/driver/LoadOptions.h"
#include "frontends/moe-lsp/Server.h"
#include "runtime/base/Version.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"
#include <vector>

static constexpr char help[] =
    "Serves the model language to an editor on standard input and output, by the language server protocol.\n"
    "\n"
    "usage: moe-lsp [--load FILE]...\n"
    "\n"
    "  --load FILE   load a plugin: its ops are known to diagnostics, hovers and completion\n"
    "  --stdio       accepted, since editors give it; there is no other way\n"
    "  --version     print the version\n"
    "  --help        print this\n"
    "\n"
    "docs/editors.md says how editors are set up.\n";

int main(int argc, char **argv) {
  std::vector<char *> arguments(argv, argv + argc);
  if (int wrong = moe::loadFromCommandLine("moe-lsp", arguments))
    return wrong;
  for (size_t i = 1; i < arguments.size(); ++i) {
    llvm::StringRef argument = arguments[i];
    if (argument == "--help" || argument == "-h")
      return llvm::outs() << help, 0;
    if (argument == "--version")
      return llvm::outs() << "moe-lsp " << moert::version() << "\n", 0;
    if (argument != "--stdio") {
      moert::printFailure("moe-lsp",
                          moert::usageError("expected --load FILE, found '" + argument.str() + "'"));
      return 2;
    }
  }
  return moe::lsp::serve();
}
