// Compiles and runs one group; see GroupRunner.h.
#include "test/numerics/GroupRunner.h"
#include "dialects/flow/Flow.h"
#include "dialects/plan/FromFlow.h"
#include "frontends/driver/Context.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "passes/cuda/code/GpuCode.h"
#include "passes/cuda/kernel/KernelBuilder.h"
#include "passes/host/ObjectCode.h"
#include <algorithm>
#include <atomic>
#include <cstring>
#include <dlfcn.h>
#include <random>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

namespace moe::test {

static constexpr size_t kPage = 4096;

Memory::Memory(size_t wanted, int poison, Kind kind) : bytes(wanted), kind(kind), poison(poison) {
  if (kind == plain) {
    const size_t huge = size_t(2) << 20;
    size_t size =
        wanted < huge ? (wanted + kPage - 1) / kPage * kPage + kPage : (wanted + huge - 1) / huge * huge;
    data = std::aligned_alloc(wanted < huge ? kPage : huge, size);
    if (wanted >= huge)
      madvise(data, size, MADV_HUGEPAGE);
    std::memset(data, poison, size);
    return;
  }
  // A page before and one behind may not be touched; at least one of guard lies before the buffer.
  const size_t own = (wanted + 63) / 64 * 64;
  mappedBytes = (own + kPage - 1) / kPage * kPage + 3 * kPage;
  void *pages = mmap(nullptr, mappedBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED ||
      mprotect(static_cast<char *>(pages) + kPage, mappedBytes - 2 * kPage, PROT_READ | PROT_WRITE)) {
    perror("mmap");
    std::abort();
  }
  mapped = static_cast<char *>(pages);
  std::memset(mapped + kPage, poison, mappedBytes - 2 * kPage);
  data = mapped + mappedBytes - kPage - own;
}

Memory::~Memory() {
  if (kind == plain)
    std::free(data);
  else
    munmap(mapped, mappedBytes);
}

bool Memory::intact() const {
  if (kind == plain)
    return true;
  auto isPoison = [&](char byte) {
    return static_cast<unsigned char>(byte) == static_cast<unsigned char>(poison);
  };
  const char *begin = static_cast<const char *>(data);
  return std::all_of(static_cast<const char *>(mapped + kPage), begin, isPoison) &&
         std::all_of(begin + bytes, static_cast<const char *>(mapped + mappedBytes - kPage), isPoison);
}

std::vector<host::CpuTarget> levels() {
  std::string error;
  std::vector<host::CpuTarget> all{*host::cpuTarget("cpu", error)};
  if (auto below = host::levelBelowHost())
    all.push_back(*below);
  return all;
}

Machine emulatedGpu() {
  std::string error;
  return *cuda::cudaTarget("emulator:sm_90a", error);
}

std::vector<Machine> machines() {
  const std::vector<host::CpuTarget> own = levels();
  std::vector<Machine> all(own.begin(), own.end());
  all.push_back(emulatedGpu());
  return all;
}

static size_t widthOf(plan::Element element) {
  switch (element) {
  case plan::Element::u8:
    return 1;
  case plan::Element::bf16:
    return 2;
  case plan::Element::f64:
  case plan::Element::i64:
    return 8;
  default:
    return 4;
  }
}

static size_t bytesOf(mlir::Type type, const flow::Symbols &symbols) {
  return size_t(*flow::elementsOf(type).evaluate(symbols)) * widthOf(plan::elementOf(type));
}

GroupRunner::GroupRunner(const std::string &text, const Machine &target, int64_t domains, int64_t rows,
                         const cpu::GroupLayouts &layouts, const std::map<std::string, double> &numbers,
                         Memory::Kind memory)
    : context(makeContext()), memory(memory) {
  auto source = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
  if (!source)
    return;
  flow::GroupOp group;
  source->walk([&](flow::GroupOp op) { group = op; });
  if (group)
    build(group, target, domains, rows, layouts, numbers);
}

GroupRunner::GroupRunner(flow::GroupOp group, const Machine &target, int64_t domains, int64_t rows,
                         const cpu::GroupLayouts &layouts, const std::map<std::string, double> &numbers,
                         Memory::Kind memory)
    : memory(memory) {
  build(group, target, domains, rows, layouts, numbers);
}

void GroupRunner::build(flow::GroupOp group, const Machine &target, int64_t domains, int64_t rows,
                        const cpu::GroupLayouts &layouts, const std::map<std::string, double> &numbers) {
  std::unique_ptr<kernels::KernelSet> module;
  auto *gpuTarget = std::get_if<cuda::CudaTarget>(&target);
  auto *cpuTarget = std::get_if<host::CpuTarget>(&target);
  if (gpuTarget)
    module = std::make_unique<cuda::KernelModule>(group.getContext());
  else
    module = std::make_unique<cpu::KernelModule>(group.getContext(), *cpuTarget);
  auto code = module->emit(group, layouts);
  if (mlir::failed(code))
    return;
  mlir::OwningOpRef<mlir::ModuleOp> functions = module->take();
  if (mlir::failed(mlir::verify(*functions)))
    return;
  auto object = gpuTarget ? cuda::compileForEmulator(*functions, gpuTarget->architecture, *gpuTarget->host)
                          : host::compileToObject(*functions, *cpuTarget);
  if (mlir::failed(object))
    return;
  if (gpuTarget) {
    gpu = std::make_unique<EmulatedModule>(llvm::ArrayRef<char>(*object));
  } else {
    // It stays open: the loader knows libraries by their paths, so no other runner's may have the same number.
    file = memfd_create("kernels", 0);
    if (write(file, object->data(), object->size()) != ssize_t(object->size()))
      return;
    library = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library)
      return;
  }

  shared.assign(code->inPlace.begin(), code->inPlace.end());
  flow::Symbols symbols{domains, rows};
  auto bits = [](float number) {
    int64_t word = 0;
    std::memcpy(&word, &number, 4);
    return word;
  };
  auto take = [&](size_t bytes) { return std::make_unique<Memory>(bytes, 0xff, memory); };
  for (mlir::Value value : group.getInputs())
    operands.push_back(take(bytesOf(value.getType(), symbols)));
  for (mlir::Value value : group.getOutputs())
    results.push_back(take(bytesOf(value.getType(), symbols)));
  auto value = [&](plan::ExprAttr expr) { return *plan::evaluate(expr, domains, rows); };
  for (const cpu::Temporary &temporary : code->temporaries) {
    names.push_back(temporary.name);
    temporaries.push_back(take(size_t(value(temporary.extent)) * widthOf(temporary.element)));
  }
  for (const cpu::LaunchSpec &launch : code->launches) {
    BoundLaunch one;
    const auto &kernels = module->kernels();
    auto kernel =
        std::find_if(kernels.begin(), kernels.end(), [&](auto &k) { return k.symbol == launch.symbol; });
    one.kind = launch.op;
    if (gpu) {
      auto work = llvm::cast<plan::GpuWorkAttr>(launch.work);
      one.grid.kernel = launch.symbol;
      for (unsigned axis = 0; axis < 3; ++axis) {
        one.grid.grid[axis] = value(work.getGrid()[axis]);
        one.grid.block[axis] = value(work.getBlock()[axis]);
      }
      one.grid.shared = value(work.getShared());
      for (plan::ScalarParam param : kernel->scalars)
        one.grid.cells.push_back(param == plan::ScalarParam::cell);
    } else {
      auto work = llvm::cast<plan::CpuWorkAttr>(launch.work);
      one.function = reinterpret_cast<KernelFunction>(dlsym(library, launch.symbol.c_str()));
      one.units = value(work.getUnits());
      one.grain = work.getGrain();
    }
    one.scratch = kernel->scratch;
    for (cpu::BufferRef ref : launch.buffers) {
      auto &from = ref.kind == cpu::BufferRef::operand  ? operands
                   : ref.kind == cpu::BufferRef::result ? results
                                                        : temporaries;
      one.buffers.push_back(from[ref.index]->data);
    }
    for (auto [access, element] : kernel->params)
      one.writes.push_back(access != plan::Access::read);
    for (plan::ArgAttr arg : launch.scalars) {
      if (!arg.getValue()) {
        one.scalars.push_back(
            int64_t(numbers.at(arg.getKind() == plan::ArgKind::seed_i64 ? "seed" : "step")));
      } else if (arg.getKind() == plan::ArgKind::extent) {
        one.scalars.push_back(value(llvm::cast<plan::ExprAttr>(arg.getValue())));
      } else if (auto number = llvm::dyn_cast<mlir::FloatAttr>(arg.getValue())) {
        one.scalars.push_back(bits(number.getValue().convertToFloat()));
      } else if (auto key = llvm::dyn_cast_or_null<mlir::StringAttr>(arg.getValue())) {
        one.scalars.push_back(bits(float(numbers.at(key.str()))));
      } else {
        one.scalars.push_back(llvm::cast<mlir::IntegerAttr>(arg.getValue()).getInt());
      }
    }
    if (!one.function && !gpu)
      return;
    bound.push_back(std::move(one));
  }
}

GroupRunner::~GroupRunner() {
  if (library)
    dlclose(library);
  if (file >= 0)
    close(file);
}

void GroupRunner::place(unsigned result, unsigned operand) {
  placeApart();
  if (apart.empty())
    apart = bound;
  for (BoundLaunch &launch : bound)
    for (void *&buffer : launch.buffers)
      if (buffer == results[result]->data)
        buffer = operands[operand]->data;
}

void GroupRunner::placeApart() {
  if (!apart.empty())
    bound = apart;
}

uint64_t GroupRunner::scratchBytes() const {
  uint64_t most = 64;
  for (const BoundLaunch &launch : bound)
    most = std::max(most, launch.scratch);
  return most;
}

void GroupRunner::runOnGpu(unsigned seed, unsigned threads) {
  const bool isChecked = seed % 2;
  std::vector<EmulatedBuffer> buffers;
  auto add = [&](const auto &list, bool given) {
    for (const auto &one : list)
      buffers.push_back({one->data, one->bytes, given || !isChecked});
  };
  // A checked run knows of what is not given that it was never written.
  add(operands, true);
  add(results, false);
  add(temporaries, false);
  std::vector<EmulatedLaunch> launches;
  for (const BoundLaunch &launch : bound) {
    launches.push_back(launch.grid);
    launches.back().buffers = launch.buffers;
    launches.back().scalars = launch.scalars;
  }
  found = gpu->run(launches, buffers, isChecked, seed, threads);
}

void GroupRunner::run(unsigned seed, unsigned threads, int poison) {
  if (gpu)
    return runOnGpu(seed, threads);
  std::mt19937 random(seed);
  std::vector<std::unique_ptr<Memory>> scratch;
  for (unsigned i = 0; i < threads; ++i)
    scratch.push_back(std::make_unique<Memory>(scratchBytes(), 0xff, memory));
  for (const BoundLaunch &launch : bound) {
    std::vector<std::pair<int64_t, int64_t>> ranges;
    const int64_t most = std::max<int64_t>(3, launch.units / 16);
    for (int64_t at = 0; at < launch.units;) {
      // Mostly short ranges, and some that hold several blocks.
      int64_t longest = random() % 4 ? most : 60,
              count = seed ? 1 + int64_t(random() % longest) : launch.units;
      ranges.push_back({at, std::min(at + count, launch.units)});
      at += count;
    }
    if (seed)
      std::shuffle(ranges.begin(), ranges.end(), random);
    std::atomic<size_t> next = 0;
    auto work = [&](Memory &own) {
      // At the end of the memory, so that its guard begins where the kernel's scratch ends.
      char *from = static_cast<char *>(own.data) + (own.bytes - launch.scratch);
      for (size_t i; (i = next++) < ranges.size();) {
        std::memset(from, poison, launch.scratch);
        launch.run(ranges[i].first, ranges[i].second, from);
      }
    };
    std::vector<std::thread> others;
    for (unsigned i = 1; i < threads && i < ranges.size(); ++i)
      others.emplace_back(work, std::ref(*scratch[i]));
    work(*scratch[0]);
    for (std::thread &thread : others)
      thread.join();
  }
  for (const auto &one : scratch)
    scratchIntact &= one->intact();
}

bool GroupRunner::intact() const {
  auto all = [](const auto &list) {
    return std::all_of(list.begin(), list.end(), [](const auto &one) { return one->intact(); });
  };
  return scratchIntact && all(operands) && all(results) && all(temporaries);
}

} // namespace moe::test
