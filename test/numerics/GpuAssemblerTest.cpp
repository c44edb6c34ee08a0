// Kernels of a GPU as machine code: both assemblers, where they are installed, for each architecture; the cache of
// what they made; and what is reported if there is none, or if it refuses a kernel.
#include "frontends/driver/Dialects.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "passes/cuda/code/AssembleKernels.h"
#include "passes/cuda/code/GpuCode.h"
#include "passes/cuda/code/NvJitLink.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/program/cubins_generated.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <thread>
#if __has_include(<nvJitLink.h>)
#include <nvJitLink.h>
#endif

using namespace moe::cuda;
namespace files = std::filesystem;

namespace {

#if __has_include(<nvJitLink.h>)
TEST(NvJitLink, numbersAreTheToolkits) {
  EXPECT_EQ(NvJitLink::success, int(NVJITLINK_SUCCESS));
  EXPECT_EQ(NvJitLink::unrecognizedOption, int(NVJITLINK_ERROR_UNRECOGNIZED_OPTION));
  EXPECT_EQ(NvJitLink::unrecognizedArchitecture, int(NVJITLINK_ERROR_UNRECOGNIZED_ARCH));
  EXPECT_EQ(NvJitLink::unsupportedArchitecture, int(NVJITLINK_ERROR_UNSUPPORTED_ARCH));
  EXPECT_EQ(NvJitLink::inputPtx, int(NVJITLINK_INPUT_PTX));
}
#endif

/// An environment variable's value while this lives.
class Environment {
public:
  Environment(const char *name, const std::string &value) : name(name) {
    if (const char *before = std::getenv(name))
      old = before;
    setenv(name, value.c_str(), 1);
  }
  ~Environment() { old.empty() ? unsetenv(name) : setenv(name, old.c_str(), 1); }

private:
  const char *name;
  std::string old;
};

/// A folder that is removed with this.
class Folder {
public:
  Folder() {
    llvm::SmallString<64> made;
    EXPECT_FALSE(llvm::sys::fs::createUniqueDirectory("moe-test", made));
    path = std::string(made);
  }
  ~Folder() { files::remove_all(path); }
  std::string path;
};

class GpuAssembler : public testing::Test {
protected:
  GpuAssembler() : context(makeRegistry()) {}
  static mlir::DialectRegistry makeRegistry() {
    mlir::DialectRegistry registry;
    moe::registerProjectDialects(registry);
    return registry;
  }
  mlir::OwningOpRef<mlir::ModuleOp> parse() {
    return mlir::parseSourceFile<mlir::ModuleOp>(MOE_SOURCE_DIR "/test/numerics/inputs/gpu-kernels.mlir",
                                                 &context);
  }
  std::vector<PtxKernel> ptx(const Architecture &architecture) {
    auto module = parse();
    auto lowered = lowerGpu(*module);
    if (mlir::failed(lowered))
      return {};
    auto kernels = emitPtx(*lowered, architecture);
    return mlir::succeeded(kernels) ? *kernels : std::vector<PtxKernel>();
  }
  /// What the program is told of the errors.
  std::string errors;
  mlir::MLIRContext context;
  mlir::ScopedDiagnosticHandler handler{&context, [this](mlir::Diagnostic &diagnostic) {
                                          errors += diagnostic.str() + "\n";
                                          return mlir::success();
                                        }};
};

void checkCubins(const std::vector<PtxKernel> &kernels, const std::vector<Cubin> &cubins) {
  ASSERT_EQ(kernels.size(), cubins.size());
  for (size_t i = 0; i < kernels.size(); ++i) {
    SCOPED_TRACE(kernels[i].name);
    const Cubin &cubin = cubins[i];
    EXPECT_TRUE(llvm::StringRef(cubin.bytes)
                    .starts_with("\x7f"
                                 "ELF"));
    EXPECT_NE(cubin.bytes.find(kernels[i].name), std::string::npos);
    EXPECT_GE(cubin.resources.registers, 6u);
    EXPECT_LE(cubin.resources.registers, 64u);
    EXPECT_EQ(cubin.resources.stackBytes, 0u);
    EXPECT_EQ(cubin.resources.spillStoreBytes, 0u);
    EXPECT_EQ(cubin.resources.spillLoadBytes, 0u);
    const unsigned shared = llvm::StringSwitch<unsigned>(kernels[i].name)
                                .Case("block_sum", 32)
                                .Case("copy", 512)
                                .Case("histogram", 64)
                                .Case("reverse", 256)
                                .Default(0);
    EXPECT_EQ(cubin.resources.sharedBytes, shared);
  }
}

TEST_F(GpuAssembler, assemblesForEachArchitecture) {
  std::string error;
  auto assembler = Assembler::find(*architectureOf("sm_80"), error);
  if (!assembler)
    GTEST_SKIP() << error;
  Folder folder;
  for (const Architecture &architecture : architectures()) {
    SCOPED_TRACE(architecture.name.str());
    const std::vector<PtxKernel> kernels = ptx(architecture);
    ASSERT_EQ(kernels.size(), 10u);
    auto cubins = assembleKernels(kernels, architecture, *assembler, CubinCache(folder.path, 1 << 20));
    ASSERT_TRUE(mlir::succeeded(cubins)) << errors;
    checkCubins(kernels, *cubins);
  }
}

/// An architecture that no assembler of today knows.
constexpr Architecture future{"sm_999", "+ptx80"};

TEST_F(GpuAssembler, knowsArchitectures) {
  std::string error;
  auto assembler = Assembler::find(*architectureOf("sm_80"), error);
  if (!assembler)
    GTEST_SKIP() << error;
  for (const Architecture &architecture : architectures())
    EXPECT_TRUE(assembler->knows(architecture, error)) << error;
  EXPECT_FALSE(assembler->knows(future, error));
  EXPECT_NE(error.find("expected an assembler that knows the architecture sm_999, found " +
                       assembler->description()),
            std::string::npos)
      << error;
}

TEST_F(GpuAssembler, ptxasWhereThereIsNoLibrary) {
  auto program = llvm::sys::findProgramByName("ptxas", {"/usr/local/cuda/bin"});
  if (!program)
    program = llvm::sys::findProgramByName("ptxas");
  if (!program)
    GTEST_SKIP() << "no ptxas";
  Folder toolkit, folder;
  files::create_directories(toolkit.path + "/bin");
  files::create_symlink(*program, toolkit.path + "/bin/ptxas");
  Environment home("CUDA_HOME", toolkit.path);
  std::string error;
  auto assembler = Assembler::find(*architectureOf("sm_80"), error);
  ASSERT_TRUE(assembler) << error;
  EXPECT_TRUE(llvm::StringRef(assembler->description()).starts_with("ptxas ")) << assembler->description();
  for (const Architecture &architecture : architectures())
    EXPECT_TRUE(assembler->knows(architecture, error)) << error;
  EXPECT_FALSE(assembler->knows(future, error));
  EXPECT_NE(error.find("expected an assembler that knows the architecture sm_999, found ptxas"),
            std::string::npos)
      << error;
  const Architecture architecture = *architectureOf("sm_80");
  const std::vector<PtxKernel> kernels = ptx(architecture);
  auto cubins = assembleKernels(kernels, architecture, *assembler, CubinCache(folder.path, 1 << 20));
  ASSERT_TRUE(mlir::succeeded(cubins)) << errors;
  checkCubins(kernels, *cubins);
}

// Before anything is compiled, since no kernel could be assembled.
TEST_F(GpuAssembler, isNamedWhereItIsTooOld) {
  Folder toolkit;
  files::create_directories(toolkit.path + "/bin");
  const std::string old = toolkit.path + "/bin/ptxas";
  std::ofstream(old) << "#!/bin/sh\n[ \"$1\" = --version ] && echo 'release 9.0, V9.0' && exit\n"
                        "echo \"ptxas fatal : Value '$3' is not defined for option 'gpu-name'\"; exit 255\n";
  files::permissions(old, files::perms::all);
  std::string error;
  {
    Environment home("CUDA_HOME", toolkit.path);
    EXPECT_FALSE(Assembler::find(*architectureOf("sm_80"), error));
    EXPECT_EQ(error.find("expected an assembler that knows the architecture sm_80, found ptxas 9.0"), 0u)
        << error;
  }
  EXPECT_FALSE(Assembler::find(future, error));
  EXPECT_NE(error.find("expected an assembler"), std::string::npos) << error;
}

TEST_F(GpuAssembler, isNamedWhereItIsMissing) {
  Folder toolkit;
  Environment home("CUDA_HOME", toolkit.path);
  auto module = parse();
  EXPECT_TRUE(mlir::failed(compileForCuda(*module, *architectureOf("sm_90a"))));
  EXPECT_NE(
      errors.find("expected NVIDIA's assembler, the library libnvJitLink.so.13 or the program ptxas, in " +
                  toolkit.path),
      std::string::npos)
      << errors;
  EXPECT_NE(errors.find("pip install nvidia-nvjitlink nvidia-cuda-nvcc"), std::string::npos) << errors;
}

TEST_F(GpuAssembler, keepsThePtxOfARefusedKernel) {
  std::string error;
  auto assembler = Assembler::find(*architectureOf("sm_80"), error);
  if (!assembler)
    GTEST_SKIP() << error;
  Folder folder;
  const CubinCache cache(folder.path, 1 << 20);
  const Architecture architecture = *architectureOf("sm_90a");
  std::vector<PtxKernel> kernels = ptx(architecture);
  const size_t at = kernels[1].text.find("ret;");
  ASSERT_NE(at, std::string::npos);
  kernels[1].text.replace(at, 4, "no.such.instruction;");
  EXPECT_TRUE(mlir::failed(assembleKernels(kernels, architecture, *assembler, cache)));
  const std::string before = "kernel '" + kernels[1].name + "': the assembler refuses it; its PTX is in ";
  ASSERT_EQ(errors.compare(0, before.size(), before), 0) << errors;
  const std::string path = errors.substr(before.size(), errors.find(": ", before.size()) - before.size());
  std::ifstream kept(path);
  std::stringstream text;
  text << kept.rdbuf();
  EXPECT_EQ(text.str(), kernels[1].text) << path;
  files::remove(path);
}

TEST_F(GpuAssembler, targetsShareTheLowering) {
  std::string error, nvvm[2];
  if (!Assembler::find(*architectureOf("sm_80"), error))
    GTEST_SKIP() << error;
  const Architecture architecture = *architectureOf("sm_90a");
  Folder cache;
  Environment home("XDG_CACHE_HOME", cache.path);
  auto first = parse(), second = parse();
  auto cuda = compileForCuda(*first, architecture, {.nvvm = &nvvm[0]});
  ASSERT_TRUE(mlir::succeeded(cuda)) << errors;
  auto emulator = compileForEmulator(*second, architecture, *moe::host::cpuTarget("cpu:x86-64-v3", error),
                                     {.nvvm = &nvvm[1]});
  ASSERT_TRUE(mlir::succeeded(emulator)) << errors;
  EXPECT_NE(nvvm[0].find("nvvm.shfl.sync"), std::string::npos);
  EXPECT_EQ(nvvm[0], nvvm[1]);

  // The section for the driver.
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t *>(cuda->data()), cuda->size());
  ASSERT_TRUE(moe::cubins::VerifySizePrefixedModuleBuffer(verifier));
  const moe::cubins::Module &module = *moe::cubins::GetSizePrefixedModule(cuda->data());
  EXPECT_EQ(module.architecture()->str(), "sm_90a");
  ASSERT_EQ(module.kernels()->size(), 10u);
  const moe::cubins::Kernel &kernel = *module.kernels()->Get(0);
  EXPECT_EQ(kernel.name()->str(), "block_sum");
  EXPECT_EQ(kernel.threads(), 256u);
  EXPECT_EQ(kernel.shared(), 32u);
  ASSERT_EQ(kernel.params()->size(), 2u); // addresses of what it reads and of what it writes
  for (const moe::cubins::Param *param : *kernel.params()) {
    EXPECT_EQ(param->kind(), moe::cubins::ParamKind::pointer);
    EXPECT_EQ(param->bytes(), 8u);
  }
  EXPECT_GT(kernel.registers(), 0u);
  EXPECT_EQ(kernel.code()->Get(1), 'E');
  EXPECT_TRUE(files::exists(cache.path + "/moe/cubins"));
}

// The runtime says for which of them a program can be compiled.
TEST(GpuArchitectures, areThoseOfTheRuntime) {
  std::vector<std::string> here,
      there(moert::cuda::kArchitectures.begin(), moert::cuda::kArchitectures.end());
  for (const Architecture &each : architectures())
    here.push_back(each.name.str());
  EXPECT_EQ(here, there);
}

// The cache.

const Cubin sample{"cubin", {32, 1024, 0, 4, 8}};

std::string keyOf(const std::string &ptx) {
  return CubinCache::key(ptx, *architectureOf("sm_90a"), "nvJitLink 13.0");
}

TEST(CubinCacheTest, keepsWhatTheCodeDependsOn) {
  std::set<std::string> keys;
  for (const char *ptx : {"a", "b"})
    for (const Architecture &architecture : architectures())
      for (const char *tool : {"nvJitLink 13.0", "ptxas 13.0"})
        keys.insert(CubinCache::key(ptx, architecture, tool));
  EXPECT_EQ(keys.size(), 2 * architectures().size() * 2);
  Folder folder;
  const CubinCache cache(folder.path, 1 << 20);
  EXPECT_FALSE(cache.find(keyOf("a")));
  cache.store(keyOf("a"), sample);
  EXPECT_FALSE(cache.find(keyOf("b")));
  auto found = CubinCache(folder.path, 1 << 20).find(keyOf("a"));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->bytes, "cubin");
  EXPECT_EQ(found->resources.registers, 32u);
  EXPECT_EQ(found->resources.sharedBytes, 1024u);
  EXPECT_EQ(found->resources.spillLoadBytes, 8u);
}

TEST(CubinCacheTest, takesNothingThatIsDamaged) {
  Folder folder;
  const CubinCache cache(folder.path, 1 << 20);
  cache.store(keyOf("a"), sample);
  const std::string path = folder.path + "/" + keyOf("a") + ".cubin";
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  const std::string whole = text.str();
  ASSERT_GT(whole.size(), 100u);
  auto write = [&](const std::string &name, const std::string &bytes) {
    std::ofstream(name, std::ios::binary | std::ios::trunc) << bytes;
  };
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] ^= 1;
    write(path, changed);
    EXPECT_FALSE(cache.find(keyOf("a"))) << "byte " << i;
    write(path, whole.substr(0, i));
    EXPECT_FALSE(cache.find(keyOf("a"))) << "the first " << i << " bytes";
  }
  write(folder.path + "/" + keyOf("b") + ".cubin", whole);
  EXPECT_FALSE(cache.find(keyOf("b"))) << "a file of another key";
  files::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(cache.find(keyOf("a"))) << "a pipe, which nobody writes to";
  files::remove(path);
  write(path, whole);
  EXPECT_TRUE(cache.find(keyOf("a")));
}

TEST(CubinCacheTest, isBounded) {
  Folder folder;
  const Cubin large{std::string(10000, 'x'), {}};
  const CubinCache cache(folder.path, 100000);
  for (int i = 0; i < 20; ++i)
    cache.store(keyOf(std::to_string(i)), large);
  // The oldest are removed first; what was used is not old.
  const auto now = files::file_time_type::clock::now();
  for (int i = 0; i < 20; ++i)
    files::last_write_time(folder.path + "/" + keyOf(std::to_string(i)) + ".cubin",
                           now - std::chrono::minutes(100 - i));
  EXPECT_TRUE(cache.find(keyOf("0")));
  std::ofstream(folder.path + "/killed.tmp") << "part";
  std::ofstream(folder.path + "/running.tmp") << "part";
  files::last_write_time(folder.path + "/killed.tmp", now - std::chrono::hours(2));
  cache.shrink();
  uint64_t total = 0;
  for (const auto &file : files::directory_iterator(folder.path))
    total += file.file_size();
  EXPECT_LE(total, 100000u);
  EXPECT_GE(total, 50000u);
  EXPECT_TRUE(cache.find(keyOf("0")));
  EXPECT_FALSE(cache.find(keyOf("1")));
  EXPECT_TRUE(cache.find(keyOf("19")));
  EXPECT_FALSE(files::exists(folder.path + "/killed.tmp"));
  EXPECT_TRUE(files::exists(folder.path + "/running.tmp"));
}

TEST(CubinCacheTest, hasManyWriters) {
  Folder folder;
  std::vector<std::thread> writers;
  std::atomic<int> wrong = 0;
  for (int writer = 0; writer < 4; ++writer)
    writers.emplace_back([&] {
      const CubinCache cache(folder.path, 20000);
      for (int i = 0; i < 200; ++i) {
        const std::string key = keyOf(std::to_string(i % 5));
        const std::string expected(3000, char('a' + i % 5));
        if (auto found = cache.find(key); found && found->bytes != expected)
          ++wrong;
        cache.store(key, {expected, {}});
        if (i % 20 == 0)
          cache.shrink();
      }
    });
  for (std::thread &writer : writers)
    writer.join();
  EXPECT_EQ(wrong, 0);
  for (const auto &file : files::directory_iterator(folder.path))
    EXPECT_EQ(file.path().extension(), ".cubin");
}

TEST(CubinCacheTest, isDispensable) {
  Folder folder;
  std::ofstream(folder.path + "/file") << "in the way";
  const CubinCache cache(folder.path + "/file/cubins", 1 << 20);
  cache.store(keyOf("a"), sample);
  EXPECT_FALSE(cache.find(keyOf("a")));
  cache.shrink();
}

} // namespace
