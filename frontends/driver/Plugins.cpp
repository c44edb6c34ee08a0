#include "frontends/driver/Plugins.h"
#include "frontends/check/Facts.h"
#include "frontends/driver/Dialects.h"
#include "frontends/driver/Plugin.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/base/Files.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlir;

namespace moe {
namespace {

std::vector<LoadedPlugin> &plugins() {
  static std::vector<LoadedPlugin> all;
  return all;
}

// The loader's text begins with the path, which is in front of every message here.
std::string loaderError(const std::string &path) {
  const char *error = dlerror();
  StringRef text = error ? error : "unknown";
  if (text.consume_front(path))
    text.consume_front(": ");
  return text.str();
}

/// The library's description, and the page of its ops, if it has one; the library stays open.
moert::Status openPlugin(const std::string &path, const Plugin *&plugin, std::string &page) {
  if (path.empty())
    return moert::usageError("expected a plugin's file after --load, found none");
  if (std::string kind = moert::kindOfFile(path); !kind.empty())
    return moert::invalidInput(path, ": expected a plugin, found ", kind);
  if (access(path.c_str(), R_OK))
    return moert::invalidInput(path, ": expected a plugin, found none: ", strerror(errno));
  // Without a slash the loader would look in its own folders.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  // What is loaded already has its handle, and no second copy.
  if (void *before = dlopen(file.c_str(), RTLD_NOW | RTLD_NOLOAD)) {
    dlclose(before);
    for (const LoadedPlugin &other : plugins())
      if (void *same = dlopen(other.path.c_str(), RTLD_NOW | RTLD_NOLOAD)) {
        dlclose(same);
        if (same == before)
          return moert::usageError("expected each plugin once after --load, found '", path, "' again",
                                   other.path == file ? "" : "; it is " + other.path);
      }
  }
  void *library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return moert::invalidInput(
        path, ": expected a plugin, found a file that cannot be loaded: ", loaderError(file));
  auto describe = reinterpret_cast<const Plugin *(*)()>(dlsym(library, "moePlugin"));
  if (!describe)
    return moert::invalidInput(path,
                               ": expected a plugin, found a library without the function 'moePlugin', which "
                               "MOE_PLUGIN of frontends/driver/Plugin.h defines");
  plugin = describe();
  if (auto text = static_cast<const char *>(dlsym(library, "moePluginPage")))
    page = text;
  if (!plugin || !plugin->name || !*plugin->name || !plugin->moe || !plugin->llvm)
    return moert::invalidInput(path, ": expected the plugin's name and versions, found none");
  if (StringRef(plugin->moe) != moert::version() || StringRef(plugin->llvm) != LLVM_VERSION_STRING)
    return moert::invalidInput(path, ": expected plugin '", plugin->name, "' to be compiled for moe ",
                               moert::version(), " with LLVM ", LLVM_VERSION_STRING, ", found one for moe ",
                               plugin->moe, " with LLVM ", plugin->llvm, "; compile it again");
  if (!plugin->abi || strcmp(plugin->abi, pluginAbi))
    return moert::invalidInput(path, ": expected plugin '", plugin->name,
                               "' to be compiled against this build of moe ", moert::version(),
                               ", found one of another; compile it again");
  if (!plugin->extend)
    return moert::invalidInput(path, ": expected plugin '", plugin->name,
                               "' to have a function that extends the "
                               "compiler, found none");
  for (const LoadedPlugin &other : plugins())
    if (other.name == plugin->name)
      return moert::usageError("expected each plugin once after --load, found '", plugin->name, "' in ", path,
                               " and in ", other.path);
  return moert::okStatus();
}

/// Who has a dialect of that name; empty: nobody.
std::string ownerOf(StringRef dialect) {
  DialectRegistry ours;
  registerProjectDialects(ours);
  if (dialect == BuiltinDialect::getDialectNamespace() || llvm::is_contained(ours.getDialectNames(), dialect))
    return "the compiler";
  for (const LoadedPlugin &other : plugins())
    if (llvm::is_contained(other.dialects, dialect))
      return "plugin '" + other.name + "'";
  return "";
}

moert::Status wrongName(StringRef name, StringRef dialect) {
  return moert::invalidInput("expected ops of dialect '", dialect.str(), "' to be called '", dialect.str(),
                             ".NAME', found '", name.str(), "'");
}

/// What addOp has refused; empty: nothing.
std::string &misnamed() {
  static std::string error;
  return error;
}

/// Runs `load` in a process of its own: the loader crashes over a file that was cut off, MLIR over some
/// mistakes, and a plugin may. Whether it ended well; `how` says how it ended otherwise.
bool endsWell(llvm::function_ref<void()> load, std::string &how) {
  fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) // without room for a process the plugin is trusted
    return true;
  if (child == 0) {
    for (int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE})
      ::signal(signal, SIG_DFL);
    // What it says is said when it is loaded in earnest.
    if (int nowhere = open("/dev/null", O_WRONLY); nowhere >= 0)
      for (int stream : {STDOUT_FILENO, STDERR_FILENO})
        dup2(nowhere, stream);
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    load();
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR)
      return true;
  if (WIFSIGNALED(status))
    how = strsignal(WTERMSIG(status));
  else if (WEXITSTATUS(status))
    how = moert::concat("status ", WEXITSTATUS(status));
  return how.empty();
}

/// Loads a plugin's dialects into a context of their own and looks at their ops.
moert::Status checkDialects(const LoadedPlugin &plugin) {
  DialectRegistry registry;
  registerProjectDialects(registry);
  for (const LoadedPlugin &other : plugins())
    for (auto insert : other.insert)
      insert(registry);
  for (auto insert : plugin.insert)
    insert(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  for (StringRef name : {"moe", "flow"})
    context.getOrLoadDialect(name);
  for (const std::string &name : plugin.dialects)
    context.getOrLoadDialect(name);
  if (!misnamed().empty())
    return moert::invalidInput(misnamed());
  for (RegisteredOperationName op : context.getRegisteredOperations()) {
    StringRef name = op.getStringRef(), owner = op.getDialect().getNamespace();
    if (!llvm::is_contained(plugin.dialects, owner))
      continue;
    if (name.split('.').first != owner)
      return wrongName(name, owner);
    MOERT_TRY(checkFacts(op));
  }
  return moert::okStatus();
}

moert::Status addDialects(const PluginRegistry &added, LoadedPlugin &plugin) {
  for (const PluginRegistry::AddedDialect &dialect : added.dialects) {
    if (std::string owner = ownerOf(dialect.name); !owner.empty())
      return moert::invalidInput("expected a dialect of its own, found '", dialect.name, "', which ", owner,
                                 " has");
    if (llvm::is_contained(plugin.dialects, dialect.name))
      return moert::invalidInput("expected each dialect once, found '", dialect.name, "' twice");
    plugin.dialects.push_back(dialect.name);
    plugin.insert.push_back(dialect.insert);
  }
  return checkDialects(plugin);
}

moert::Status addPasses(const PluginRegistry &added, LoadedPlugin &plugin) {
  llvm::StringSet<> flags;
  for (const PluginRegistry::AddedPass &one : added.passes) {
    std::unique_ptr<Pass> pass = one.make ? one.make() : nullptr;
    if (!pass)
      return moert::invalidInput("expected a pass, found none");
    const std::string flag = pass->getArgument().str();
    if (flag.empty())
      return moert::invalidInput("expected a pass with a flag (getArgument), found '", pass->getName().str(),
                                 "' without one");
    if (PassInfo::lookup(flag) || PassPipelineInfo::lookup(flag) || !flags.insert(flag).second)
      return moert::invalidInput("expected a pass of its own, found '--", flag, "', which there is already");
    if (std::optional<StringRef> op = pass->getOpName(); op && *op != ModuleOp::getOperationName())
      return moert::invalidInput("expected pass '--", flag, "' to run on '",
                                 ModuleOp::getOperationName().str(), "', found one for '", op->str(), "'");
    if (one.place.empty())
      continue;
    std::optional<Place> place = placeNamed(one.place);
    if (!place)
      return moert::invalidInput("expected a place of the pipeline for pass '--", flag, "', one of ",
                                 placeNames(), "; found '", one.place, "'");
    plugin.placed.push_back({*place, one.make});
  }
  for (const PluginRegistry::AddedPass &one : added.passes)
    registerPass(one.make);
  return moert::okStatus();
}

/// Whether a back end has that name and parses it, or says why it does not.
moert::Status checkTarget(const kernels::Backend &backend, const std::string &name) {
  const std::string whose = "back end '" + backend.name().str() + "'";
  if (StringRef(name).split(':').first != backend.name())
    return moert::invalidInput("expected the targets of ", whose, " to be called '", backend.name().str(),
                               "' or '", backend.name().str(), ":LEVEL', found '", name, "'");
  std::string error;
  if (!backend.parse(name, error) && error.empty())
    return moert::invalidInput("expected ", whose, " to make its target '", name,
                               "' or to say why not, found neither");
  return moert::okStatus();
}

moert::Status checkBackend(const kernels::Backend &backend) {
  const std::string name = backend.name().str();
  if (name.empty())
    return moert::invalidInput("expected a back end with a name, found one without");
  if (StringRef(name).contains(':'))
    return moert::invalidInput(
        "expected a back end's name without ':', which is in front of a level, found '", name, "'");
  for (const kernels::Backend *other : kernels::backends())
    if (other->name() == name)
      return moert::invalidInput("expected a back end of its own, found '", name,
                                 "', which there is already");
  const std::vector<std::string> targets = backend.targets();
  if (targets.empty())
    return moert::invalidInput("expected targets of back end '", name, "', found none");
  for (const std::string &target : targets)
    MOERT_TRY(checkTarget(backend, target));
  for (const std::string &target : backend.hostTargets())
    if (!llvm::is_contained(targets, target))
      return moert::invalidInput("expected back end '", name,
                                 "' to name this machine's targets among all of its own, found '", target,
                                 "' there alone");
  return moert::okStatus();
}

moert::Status addBackends(const PluginRegistry &added) {
  for (const kernels::Backend *backend : added.backends) {
    MOERT_TRY(checkBackend(*backend));
    kernels::addBackend(*backend);
  }
  return moert::okStatus();
}

moert::Status loadPlugin(const std::string &path) {
  const Plugin *plugin = nullptr;
  std::string page;
  MOERT_TRY(openPlugin(path, plugin, page));
  PluginRegistry added;
  plugin->extend(added);
  LoadedPlugin loaded{plugin->name,   path.find('/') == std::string::npos ? "./" + path : path, {}, {}, {},
                      std::move(page)};
  const std::string context = path + ": plugin '" + loaded.name + "'";
  MOERT_TRY(addDialects(added, loaded).in(context));
  MOERT_TRY(addPasses(added, loaded).in(context));
  MOERT_TRY(addBackends(added).in(context));
  plugins().push_back(std::move(loaded));
  return moert::okStatus();
}

} // namespace

moert::Status loadPlugins(const std::vector<std::string> &paths) {
  for (const std::string &path : paths) {
    std::string how;
    if (!endsWell([&] { (void)loadPlugin(path); }, how))
      return moert::invalidInput(
          path, ": expected a plugin that can be loaded, found one that ends the process: ", how,
          "; a file that was cut off does so, and a dialect that gives addOperations an op twice");
    MOERT_TRY(loadPlugin(path));
  }
  return moert::okStatus();
}

void addOp(Dialect &dialect, StringRef name, void (*insert)(Dialect &dialect)) {
  if (name.split('.').first != dialect.getNamespace())
    misnamed() = wrongName(name, dialect.getNamespace()).message();
  else if (RegisteredOperationName::lookup(name, dialect.getContext()))
    misnamed() = "expected each op once, found '" + name.str() + "' defined twice";
  else
    insert(dialect);
}

const std::vector<LoadedPlugin> &loadedPlugins() { return plugins(); }

std::vector<PlacedPass> placedPasses() {
  std::vector<PlacedPass> all;
  for (const LoadedPlugin &plugin : plugins())
    llvm::append_range(all, plugin.placed);
  return all;
}

moert::Status takeLoadOptions(std::vector<char *> &arguments, std::vector<std::string> &paths) {
  for (size_t i = 1; i < arguments.size();) {
    StringRef argument = arguments[i];
    if (argument == "--") // what follows are files
      break;
    if (!argument.consume_front("--load") && !argument.consume_front("-load")) {
      ++i;
      continue;
    }
    if (argument.consume_front("=") && !argument.empty()) {
      paths.push_back(argument.str());
      arguments.erase(arguments.begin() + i);
    } else if (argument.empty()) {
      if (i + 1 == arguments.size() || StringRef(arguments[i]).ends_with("="))
        return moert::usageError("expected a plugin's file after --load, found none");
      paths.push_back(arguments[i + 1]);
      arguments.erase(arguments.begin() + i, arguments.begin() + i + 2);
    } else {
      ++i; // another option, such as --load-dialect-plugin
    }
  }
  return moert::okStatus();
}

} // namespace moe
