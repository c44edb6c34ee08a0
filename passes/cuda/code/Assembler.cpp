#include "passes/cuda/code/Assembler.h"
#include "passes/cuda/code/NvJitLink.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <iterator>
#include <optional>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace moe::cuda {

/// Nothing is contracted: the PTX says which multiply-adds are fused.
llvm::StringRef Assembler::options() { return "-O3 -fmad=false"; }

namespace {

/// The number in front of `unit` in "Used 31 registers, 128 bytes smem".
unsigned numberBefore(llvm::StringRef text, llvm::StringRef unit) {
  llvm::StringRef before = text.take_front(text.find(unit)).rtrim();
  if (before.size() == text.rtrim().size())
    return 0;
  unsigned number = 0;
  before.take_back(before.size() - (before.find_last_not_of("0123456789") + 1)).getAsInteger(10, number);
  return number;
}

/// Both tools log a kernel's properties in the same words.
KernelResources resourcesOf(llvm::StringRef log) {
  KernelResources resources;
  for (llvm::StringRef line : llvm::split(log, '\n')) {
    if (line.contains("bytes stack frame")) {
      resources.stackBytes += numberBefore(line, " bytes stack frame");
      resources.spillStoreBytes += numberBefore(line, " bytes spill stores");
      resources.spillLoadBytes += numberBefore(line, " bytes spill loads");
    } else if (line.contains("Used ")) {
      resources.registers = std::max(resources.registers, numberBefore(line, " registers"));
      resources.sharedBytes = std::max(resources.sharedBytes, numberBefore(line, " bytes smem"));
    }
  }
  return resources;
}

std::string unknownArchitecture(llvm::StringRef tool, const Architecture &architecture) {
  return ("expected an assembler that knows the architecture " + architecture.name + ", found " + tool +
          "; the CUDA toolkit 13.0 knows it")
      .str();
}

class JitLinkAssembler : public Assembler {
public:
  static std::unique_ptr<Assembler> open(const std::string &path) {
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); // it stays open
    if (!library)
      return nullptr;
    auto made = std::make_unique<JitLinkAssembler>();
    NvJitLink &api = made->api;
    bool isWhole = true;
    auto get = [&](auto &function, const char *name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
      isWhole &= function != nullptr;
    };
    get(api.create, "nvJitLinkCreate");
    get(api.destroy, "nvJitLinkDestroy");
    get(api.addData, "nvJitLinkAddData");
    get(api.complete, "nvJitLinkComplete");
    get(api.getLinkedCubinSize, "nvJitLinkGetLinkedCubinSize");
    get(api.getLinkedCubin, "nvJitLinkGetLinkedCubin");
    get(api.getErrorLogSize, "nvJitLinkGetErrorLogSize");
    get(api.getErrorLog, "nvJitLinkGetErrorLog");
    get(api.getInfoLogSize, "nvJitLinkGetInfoLogSize");
    get(api.getInfoLog, "nvJitLinkGetInfoLog");
    get(api.version, "nvJitLinkVersion");
    unsigned major = 0, minor = 0;
    if (!isWhole || api.version(&major, &minor) != NvJitLink::success)
      return nullptr;
    made->name = "nvJitLink " + std::to_string(major) + "." + std::to_string(minor);
    // Two updates of a version have the same number; they differ in size.
    Dl_info info;
    uint64_t bytes = 0;
    if (dladdr(reinterpret_cast<void *>(api.create), &info) &&
        !llvm::sys::fs::file_size(info.dli_fname, bytes))
      made->name += " of " + std::to_string(bytes) + " bytes";
    return made;
  }

  std::string description() const override { return name; }

  bool knows(const Architecture &architecture, std::string &error) const override {
    NvJitLink::Handle handle = create(architecture, error);
    if (!handle)
      return false;
    api.destroy(&handle);
    return true;
  }

  bool assemble(llvm::StringRef ptx, const Architecture &architecture, Cubin &cubin,
                std::string &error) const override {
    NvJitLink::Handle handle = create(architecture, error);
    if (!handle)
      return false;
    llvm::scope_exit destroy([&] { api.destroy(&handle); });
    const std::string text = ptx.str(); // ends with a zero, which is part of the data
    int result = api.addData(handle, NvJitLink::inputPtx, text.c_str(), text.size() + 1, "kernel.ptx");
    if (result == NvJitLink::success)
      result = api.complete(handle);
    if (result != NvJitLink::success) {
      error = log(handle, api.getErrorLogSize, api.getErrorLog);
      if (error.empty())
        error = "result " + std::to_string(result);
      return false;
    }
    size_t bytes = 0;
    if (api.getLinkedCubinSize(handle, &bytes) != NvJitLink::success) {
      error = name + " gave no code";
      return false;
    }
    cubin.bytes.resize(bytes);
    if (api.getLinkedCubin(handle, cubin.bytes.data()) != NvJitLink::success) {
      error = name + " gave no code";
      return false;
    }
    cubin.resources = resourcesOf(log(handle, api.getInfoLogSize, api.getInfoLog));
    return true;
  }

private:
  /// A new link; null after an error.
  NvJitLink::Handle create(const Architecture &architecture, std::string &error) const {
    const std::string arch = "-arch=" + architecture.name.str();
    // The last option is to keep the library from writing files of its own; old libraries know neither.
    const char *values[] = {arch.c_str(), "-O3", "-fma=0", "-verbose", "-no-cache"};
    NvJitLink::Handle handle = nullptr;
    int result = api.create(&handle, std::size(values), values);
    if (result == NvJitLink::unrecognizedOption)
      result = api.create(&handle, std::size(values) - 1, values);
    if (result == NvJitLink::success)
      return handle;
    error = result == NvJitLink::unrecognizedArchitecture || result == NvJitLink::unsupportedArchitecture
                ? unknownArchitecture(name, architecture)
                : name + " cannot be used (result " + std::to_string(result) + ")";
    return nullptr;
  }

  static std::string log(NvJitLink::Handle handle, int (*size)(NvJitLink::Handle, size_t *),
                         int (*get)(NvJitLink::Handle, char *)) {
    size_t bytes = 0;
    if (size(handle, &bytes) != NvJitLink::success || bytes == 0)
      return "";
    std::string text(bytes, '\0');
    if (get(handle, text.data()) != NvJitLink::success)
      return "";
    return llvm::StringRef(text.c_str()).trim().str();
  }

  NvJitLink api;
  std::string name;
};

/// A file in memory, which programs that this one starts find under the same name, so that a killed compiler leaves
/// nothing behind, and no folder has to be writable.
class MemoryFile {
public:
  explicit MemoryFile(llvm::StringRef bytes = "") : descriptor(memfd_create("moe-kernel", 0)) {
    while (descriptor >= 0 && !bytes.empty()) {
      const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
      if (written < 0 && errno != EINTR)
        close();
      else
        bytes = bytes.drop_front(written < 0 ? 0 : size_t(written));
    }
  }
  MemoryFile(const MemoryFile &) = delete;
  ~MemoryFile() { close(); }
  bool exists() const { return descriptor >= 0; }
  std::string name() const { return "/proc/self/fd/" + std::to_string(descriptor); }
  std::string read() const {
    std::string bytes;
    char part[1 << 14];
    for (ssize_t got; (got = ::pread(descriptor, part, sizeof part, off_t(bytes.size()))) != 0;)
      if (got > 0)
        bytes.append(part, size_t(got));
      else if (errno != EINTR)
        return "";
    return bytes;
  }

private:
  void close() {
    if (descriptor >= 0)
      ::close(std::exchange(descriptor, -1));
  }
  int descriptor;
};

class PtxasAssembler : public Assembler {
public:
  static std::unique_ptr<Assembler> open(const std::string &program) {
    if (!llvm::sys::fs::can_execute(program))
      return nullptr;
    auto made = std::make_unique<PtxasAssembler>();
    made->program = program;
    std::string text;
    if (!made->run({"--version"}, text))
      return nullptr;
    // The last line that begins with "Cuda compilation tools" has release and version.
    llvm::StringRef version = llvm::StringRef(text).split("release ").second.split('\n').first;
    made->name = "ptxas " + version.str();
    return made;
  }

  std::string description() const override { return name; }

  bool knows(const Architecture &architecture, std::string &error) const override {
    Cubin nothing;
    const std::string text = ".version 7.0\n.target sm_80\n.address_size 64\n";
    if (assemble(text, architecture, nothing, error))
      return true;
    if (llvm::StringRef(error).contains("gpu-name"))
      error = unknownArchitecture(name, architecture);
    return false;
  }

  bool assemble(llvm::StringRef ptx, const Architecture &architecture, Cubin &cubin,
                std::string &error) const override {
    MemoryFile input(ptx), output;
    if (!input.exists() || !output.exists()) {
      error = "no memory for the files of ptxas: " + std::string(std::strerror(errno));
      return false;
    }
    const std::string arch = "-arch=" + architecture.name.str();
    std::string log;
    const std::string from = input.name(), to = output.name();
    if (!run({"-v", "-O3", "-fmad=false", arch, from, "-o", to}, log)) {
      error = log.empty() ? "ptxas failed" : log;
      // Its lines are of a file that is gone when they are read; what keeps the text has another name.
      for (size_t at = 0; (at = error.find(from, at)) != std::string::npos;)
        error.replace(at, from.size(), "kernel.ptx");
      return false;
    }
    cubin.bytes = output.read();
    cubin.resources = resourcesOf(log);
    if (cubin.bytes.empty())
      error = "ptxas gave no code";
    return error.empty();
  }

private:
  bool run(std::vector<llvm::StringRef> arguments, std::string &log) const {
    MemoryFile output;
    if (!output.exists()) {
      log = "no memory for the files of ptxas: " + std::string(std::strerror(errno));
      return false;
    }
    const std::string to = output.name();
    arguments.insert(arguments.begin(), program);
    std::string message;
    const int status = llvm::sys::ExecuteAndWait(program, arguments, std::nullopt,
                                                 {llvm::StringRef(""), to, to}, 0, 0, &message);
    log = llvm::StringRef(output.read()).trim().str();
    if (!message.empty())
      log += (log.empty() ? "" : "\n") + message;
    return status == 0;
  }

  std::string program, name;
};

/// Folders of the toolkit: what the environment names, or else where it is installed by default.
std::vector<std::string> toolkitFolders(bool &isNamed) {
  for (const char *variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char *value = std::getenv(variable); value && *value) {
      isNamed = true;
      return {value};
    }
  isNamed = false;
  std::vector<std::string> folders{"/usr/local/cuda"};
  // The packages of Python, in the environment that is active.
  if (const char *environment = std::getenv("VIRTUAL_ENV")) {
    std::error_code error;
    for (llvm::sys::fs::directory_iterator it(llvm::Twine(environment) + "/lib", error), end;
         it != end && !error; it.increment(error))
      for (const char *package : {"cu13", "nvjitlink", "cuda_nvcc"})
        folders.push_back(it->path() + "/site-packages/nvidia/" + package);
  }
  return folders;
}

} // namespace

std::unique_ptr<Assembler> Assembler::find(const Architecture &architecture, std::string &error) {
  bool isNamed = false;
  const std::vector<std::string> folders = toolkitFolders(isNamed);
  std::string unknown; // why an assembler that there is cannot be taken
  auto fits = [&](const std::unique_ptr<Assembler> &found) {
    return found && found->knows(architecture, unknown);
  };
  for (const char *file : {"libnvJitLink.so.13", "libnvJitLink.so.12"}) {
    for (const std::string &folder : folders)
      for (const char *below : {"/lib64/", "/lib/", "/targets/x86_64-linux/lib/"})
        if (auto found = JitLinkAssembler::open(folder + below + file); fits(found))
          return found;
    if (!isNamed)
      if (auto found = JitLinkAssembler::open(file); fits(found))
        return found;
  }
  for (const std::string &folder : folders)
    if (auto found = PtxasAssembler::open(folder + "/bin/ptxas"); fits(found))
      return found;
  if (!isNamed)
    if (auto program = llvm::sys::findProgramByName("ptxas"))
      if (auto found = PtxasAssembler::open(*program); fits(found))
        return found;
  if (!unknown.empty()) {
    error = std::move(unknown);
    return nullptr;
  }
  error = "expected NVIDIA's assembler, the library libnvJitLink.so.13 or the program ptxas, in " +
          llvm::join(folders, ", ") + (isNamed ? "" : " or where libraries and programs are found") +
          "; it comes with the CUDA toolkit 13.0 (set CUDA_HOME to its folder), or by "
          "'pip install nvidia-nvjitlink nvidia-cuda-nvcc' (set CUDA_HOME to its folder "
          "site-packages/nvidia/cu13)";
  return nullptr;
}

} // namespace moe::cuda
