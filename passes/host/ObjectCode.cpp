// Compiles kernels to machine code:
//   1. Distribute the functions over a fixed number of modules, which the steps 1 and 2 process in parallel
//      if the context has threads. Lower vector, scf, arith and math to the llvm dialect, unless they are in it
//      already; mathematical functions become polynomials.
//   2. LLVM optimises each module and writes it as an object file. Its loop vectorisers are off, since the
//      kernels are vectorised already. It must not assume library functions: a loop that copies must not
//      become a call.
//   3. lld links the object files into one shared object, within this process.
//   4. Check that the shared object depends on nothing else.
#include "passes/host/ObjectCode.h"
#include "lld/Common/Driver.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"
#include "passes/kernels/math/ApproximateMath.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ELF.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Support/thread.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/InstCombine/InstCombine.h"
#include "llvm/Transforms/Scalar/EarlyCSE.h"
#include "llvm/Transforms/Scalar/IndVarSimplify.h"
#include "llvm/Transforms/Scalar/LICM.h"
#include "llvm/Transforms/Scalar/LoopPassManager.h"
#include "llvm/Transforms/Scalar/LoopRotation.h"
#include "llvm/Transforms/Scalar/SimplifyCFG.h"
#include "llvm/Transforms/Vectorize/VectorCombine.h"
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

LLD_HAS_DRIVER(elf)

using namespace mlir;

namespace moe::host {
namespace {

// The number of modules is the same on every machine, so that the bytes do not depend on its number of cores.
constexpr size_t batches = 8;

LogicalResult lowerToLlvmDialect(ModuleOp module) {
  PassManager all(module.getContext());
  all.enableVerifier(false);
  OpPassManager &pm = all.nest<ModuleOp>(); // for each of the modules
  OpPassManager &functions = pm.nest<func::FuncOp>();
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
  functions.addPass(createLoopInvariantCodeMotionPass());
  functions.addPass(kernels::createApproximateMathPass());
  functions.addPass(arith::createArithExpandOpsPass({.includeBf16 = true}));
  ConvertVectorToLLVMPassOptions vectors;
  vectors.vectorTransposeLowering = vector::VectorTransposeLowering::Shuffle16x16;
  pm.addPass(createConvertVectorToLLVMPass(vectors));
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createUBToLLVMConversionPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  return all.run(module);
}

std::unique_ptr<llvm::TargetMachine> makeMachine(const CpuTarget &target, std::string &error) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
  });
  llvm::Triple triple("x86_64-unknown-linux-gnu");
  const llvm::Target *backend = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!backend)
    return nullptr;
  return std::unique_ptr<llvm::TargetMachine>(
      backend->createTargetMachine(triple, target.cpu, target.llvmFeatures, {}, llvm::Reloc::PIC_,
                                   std::nullopt, llvm::CodeGenOptLevel::Default));
}

/// What LLVM has to do for kernels. They are single functions that call nothing, whose values are in registers
/// and whose loops are unrolled and vectorised already; so inlining, promotion of memory to registers, loop
/// vectorisation and most of what else the default pipelines do finds nothing, yet takes half of the
/// optimiser's time. What remains matters:
/// - addresses are combined, then equal ones made one, before loops are looked at: otherwise an epilogue's
///   vectors are kept in memory;
/// - without simpler induction variables weight gradients of convolutions take 2 % longer.
llvm::ModulePassManager kernelPasses() {
  llvm::LoopPassManager loops;
  loops.addPass(llvm::LoopRotatePass());
  loops.addPass(llvm::LICMPass(llvm::LICMOptions()));
  llvm::FunctionPassManager functions;
  functions.addPass(llvm::InstCombinePass());
  functions.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));
  functions.addPass(llvm::createFunctionToLoopPassAdaptor(std::move(loops), /*UseMemorySSA=*/true));
  functions.addPass(llvm::createFunctionToLoopPassAdaptor(llvm::IndVarSimplifyPass(/*WidenIndVars=*/false)));
  functions.addPass(llvm::VectorCombinePass());
  functions.addPass(llvm::InstCombinePass());
  functions.addPass(llvm::SimplifyCFGPass());
  llvm::ModulePassManager modules;
  modules.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(functions), /*EagerlyInvalidate=*/true));
  return modules;
}

struct Batch {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module;
  llvm::SmallVector<char, 0> object;
  std::string error;
};

void generateCode(Batch &batch, const CpuTarget &target) {
  std::unique_ptr<llvm::TargetMachine> machine = makeMachine(target, batch.error);
  if (!machine)
    return;
  llvm::Module &module = *batch.module;
  module.setDataLayout(machine->createDataLayout());
  module.setTargetTriple(machine->getTargetTriple());
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", target.cpu);
    function.addFnAttr("target-features", target.llvmFeatures);
    function.addFnAttr("prefer-vector-width", std::to_string(target.vectorBytes * 8));
    function.addFnAttr("no-builtins");
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graph;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder passes(machine.get());
  llvm::TargetLibraryInfoImpl library(machine->getTargetTriple());
  library.disableAllFunctions();
  functions.registerPass([&] { return llvm::TargetLibraryAnalysis(library); });
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(graph);
  passes.registerFunctionAnalyses(functions);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, functions, graph, modules);
  kernelPasses().run(module, modules);
  llvm::raw_svector_ostream stream(batch.object);
  llvm::legacy::PassManager codegen;
  if (machine->addPassesToEmitFile(codegen, stream, nullptr, llvm::CodeGenFileType::ObjectFile)) {
    batch.error = "the x86 back end cannot write objects";
    return;
  }
  codegen.run(module);
}

// The linker's files are in memory and are named by descriptor, so that a killed compiler leaves no files,
// and no writable folder is needed. If the system refuses the memory, moec reports that, and it is no
// internal error.
[[noreturn]] void noRoom() {
  llvm::report_fatal_error(llvm::Twine("object code: ") + std::strerror(errno), /*gen_crash_diag=*/false);
}

struct Descriptor {
  int number = -1;
  Descriptor() = default;
  explicit Descriptor(int opened) : number(opened) {
    if (number < 0)
      noRoom();
  }
  Descriptor(Descriptor &&other) noexcept : number(std::exchange(other.number, -1)) {}
  Descriptor &operator=(Descriptor &&other) noexcept {
    std::swap(number, other.number);
    return *this;
  }
  ~Descriptor() { close(); }
  void close() {
    if (number >= 0)
      ::close(std::exchange(number, -1));
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(number); }
};

Descriptor fileInMemory(llvm::ArrayRef<char> bytes) {
  Descriptor file(memfd_create("moe-kernels", MFD_CLOEXEC));
  while (!bytes.empty()) {
    ssize_t written = ::write(file.number, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR)
      noRoom();
    bytes = bytes.drop_front(written < 0 ? 0 : size_t(written));
  }
  return file;
}

// The linker's output is a pipe: lld writes to a pipe directly, whereas in the place of a file it would write
// a temporary file beside it and rename that.
class OutputPipe {
public:
  OutputPipe() {
    int ends[2] = {-1, -1};
    if (pipe2(ends, O_CLOEXEC) != 0)
      noRoom();
    from = Descriptor(ends[0]);
    to = Descriptor(ends[1]);
    reader = llvm::thread([this] {
      char part[1 << 14];
      for (ssize_t got; (got = ::read(from.number, part, sizeof part)) != 0;)
        if (got > 0)
          bytes.append(part, part + got);
        else if (errno != EINTR)
          return;
    });
  }
  ~OutputPipe() { take(); }
  std::string path() const { return to.path(); }

  /// Everything that was written. Waits until all other writers have closed the pipe.
  llvm::SmallVector<char, 0> take() {
    to.close();
    if (reader.joinable())
      reader.join();
    return std::move(bytes);
  }

private:
  Descriptor from, to;
  llvm::SmallVector<char, 0> bytes;
  llvm::thread reader;
};

} // namespace

std::optional<std::string> findForeignNeeds(llvm::ArrayRef<char> sharedObject) {
  using namespace llvm::object;
  using namespace llvm::ELF;
  auto broken = [](llvm::Error error) { return "a readable ELF file: " + llvm::toString(std::move(error)); };
  auto file = ELFFile<ELF64LE>::create(llvm::StringRef(sharedObject.data(), sharedObject.size()));
  if (!file)
    return broken(file.takeError());
  auto sections = file->sections();
  if (!sections)
    return broken(sections.takeError());
  for (const auto &section : *sections) {
    if ((section.sh_type == SHT_RELA || section.sh_type == SHT_REL) && section.sh_size)
      return "relocations";
    if (section.sh_type == SHT_INIT_ARRAY || section.sh_type == SHT_FINI_ARRAY)
      return "initialisers";
    if (section.sh_flags & SHF_TLS)
      return "thread-local storage";
    if ((section.sh_flags & SHF_WRITE) && section.sh_type != SHT_DYNAMIC && section.sh_size)
      return "writable data";
    if (section.sh_type == SHT_DYNSYM) {
      auto symbols = file->symbols(&section);
      auto strings = file->getStringTableForSymtab(section);
      if (!symbols)
        return broken(symbols.takeError());
      if (!strings)
        return broken(strings.takeError());
      for (const auto &symbol : llvm::drop_begin(*symbols)) {
        if (symbol.st_shndx != SHN_UNDEF)
          continue;
        auto name = symbol.getName(*strings);
        if (!name)
          return broken(name.takeError());
        return "the undefined symbol '" + name->str() + "'";
      }
    }
  }
  auto dynamic = file->dynamicEntries();
  if (!dynamic)
    return broken(dynamic.takeError());
  for (const auto &entry : *dynamic) {
    if (entry.d_tag == DT_NEEDED)
      return "another library";
    if (entry.d_tag == DT_INIT || entry.d_tag == DT_FINI)
      return "initialisers";
    if (entry.d_tag == DT_RELA || entry.d_tag == DT_REL || entry.d_tag == DT_JMPREL)
      return "relocations";
  }
  return std::nullopt;
}

/// Moves the functions to new modules inside `module`: large ones first, each to the module with the fewest ops,
/// so that all take about as long.
static std::vector<ModuleOp> distribute(ModuleOp module) {
  std::vector<std::pair<size_t, FunctionOpInterface>> functions;
  for (auto function : module.getOps<FunctionOpInterface>()) {
    size_t ops = 0;
    function.walk([&](Operation *) { ++ops; });
    functions.push_back({ops, function});
  }
  llvm::sort(functions, [](auto &a, auto &b) {
    return a.first != b.first ? a.first > b.first : a.second.getName() < b.second.getName();
  });
  std::vector<ModuleOp> parts;
  std::vector<size_t> load(std::min(batches, std::max<size_t>(functions.size(), 1)));
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  for (size_t i = 0; i < load.size(); ++i)
    parts.push_back(ModuleOp::create(builder, module.getLoc()));
  for (auto &[ops, function] : functions) {
    size_t least = std::min_element(load.begin(), load.end()) - load.begin();
    load[least] += ops;
    function->remove();
    parts[least].push_back(function);
  }
  return parts;
}

static FailureOr<llvm::SmallVector<char, 0>> compile(ModuleOp module, const CpuTarget &target,
                                                     const ObjectCodeOptions &options, bool isLlvmDialect) {
  auto last = std::chrono::steady_clock::now();
  auto lap = [&](const char *phase) {
    auto now = std::chrono::steady_clock::now();
    if (options.timing)
      llvm::errs() << "  object code, " << phase << ": "
                   << std::chrono::duration_cast<std::chrono::milliseconds>(now - last).count() << " ms\n";
    last = now;
  };
  auto fail = [&](const llvm::Twine &message) {
    module.emitError("object code: ") << message;
    return failure();
  };

  // 1. Distribute and lower.
  std::vector<ModuleOp> parts = distribute(module);
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  module.getContext()->appendDialectRegistry(registry);
  if (!isLlvmDialect && failed(lowerToLlvmDialect(module)))
    return fail("expected kernels in vector, scf, arith, math and llvm ops; lowering failed");
  lap("lowering");

  // 2. Compile to object files.
  std::vector<std::unique_ptr<Batch>> work;
  for (ModuleOp part : parts) {
    auto batch = std::make_unique<Batch>();
    batch->module = translateModuleToLLVMIR(part, batch->context, "kernels");
    if (!batch->module)
      return fail("translation to LLVM IR failed");
    work.push_back(std::move(batch));
  }
  lap("translation");
  {
    llvm::DefaultThreadPool pool(llvm::hardware_concurrency(unsigned(work.size())));
    for (auto &batch : work)
      pool.async([&] { generateCode(*batch, target); });
    pool.wait();
  }
  for (auto &batch : work)
    if (!batch->error.empty())
      return fail(batch->error);
  lap("code generation");

  // 3. Link.
  OutputPipe output;
  std::vector<Descriptor> inputs;
  std::vector<std::string> paths{output.path()};
  for (auto &batch : work) {
    inputs.push_back(fileInMemory(batch->object));
    paths.push_back(inputs.back().path());
  }
  std::vector<const char *> arguments = {
      "ld.lld",  "-shared",         "--threads=1",       "-z",         "nognustack", "-z",
      "norelro", "--build-id=none", "--hash-style=both", "-Bsymbolic", "-s",         "-o"};
  for (const std::string &path : paths)
    arguments.push_back(path.c_str());
  std::string messages;
  {
    static std::mutex linker; // lld keeps its state in globals
    std::lock_guard lock(linker);
    llvm::raw_string_ostream stream(messages);
    lld::Result result = lld::lldMain(arguments, stream, stream, {{lld::Gnu, &lld::elf::link}});
    if (result.retCode)
      return fail("linking failed: " + messages);
  }
  llvm::SmallVector<char, 0> bytes = output.take();
  lap("linking");

  // 4. Check.
  if (std::optional<std::string> need = findForeignNeeds(bytes))
    return fail("expected kernels that need nothing from outside, found " + *need);
  return bytes;
}

FailureOr<llvm::SmallVector<char, 0>> compileToObject(ModuleOp module, const CpuTarget &target,
                                                      const ObjectCodeOptions &options) {
  return compile(module, target, options, /*isLlvmDialect=*/false);
}

FailureOr<llvm::SmallVector<char, 0>> compileLlvmToObject(ModuleOp module, const CpuTarget &target,
                                                          const ObjectCodeOptions &options) {
  return compile(module, target, options, /*isLlvmDialect=*/true);
}

} // namespace moe::host
