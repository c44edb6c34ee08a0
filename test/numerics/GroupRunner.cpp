// Compiles and runs one group; see GroupRunner.h.
#include "test/numerics/GroupRunner.h"
#include "dialects/flow/Flow.h"
#include "dialects/plan/FromFlow.h"
#include "frontends/driver/Context.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "passes/cpu/MicroEpilogue.h"
#include "passes/cpu/ObjectCode.h"
#include <algorithm>
#include <cstring>
#include <dlfcn.h>
#include <random>
#include <sys/mman.h>
#include <unistd.h>

namespace moe::test {

Memory::Memory(size_t wanted, int poison) : bytes(wanted) {
  const size_t huge = size_t(2) << 20;
  size_t size = wanted < huge ? (wanted + 4095) / 4096 * 4096 + 4096 : (wanted + huge - 1) / huge * huge;
  data = std::aligned_alloc(wanted < huge ? 4096 : huge, size);
  if (wanted >= huge)
    madvise(data, size, MADV_HUGEPAGE);
  std::memset(data, poison, size);
}
Memory::~Memory() { std::free(data); }

std::vector<cpu::CpuTarget> levels() {
  std::string error;
  std::vector<cpu::CpuTarget> all{*cpu::cpuTarget("cpu", error)};
  if (auto below = cpu::levelBelowHost())
    all.push_back(*below);
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

GroupRunner::GroupRunner(const std::string &text, const cpu::CpuTarget &target, int64_t domains, int64_t rows,
                         const cpu::GroupLayouts &layouts, const std::map<std::string, double> &numbers)
    : context(makeContext()) {
  auto source = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
  if (!source)
    return;
  flow::GroupOp group;
  source->walk([&](flow::GroupOp op) { group = op; });
  if (!group)
    return;
  cpu::KernelModule module(context.get(), target);
  auto code = cpu::emitGroup(group, layouts, module);
  if (mlir::failed(code))
    return;
  auto object = cpu::compileToObject(module.module(), target);
  if (mlir::failed(object))
    return;
  int file = memfd_create("kernels", 0);
  if (write(file, object->data(), object->size()) != ssize_t(object->size()))
    return;
  library = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  close(file);
  if (!library)
    return;

  shared.assign(code->inPlace.begin(), code->inPlace.end());
  flow::Symbols symbols{domains, rows, 1};
  auto bits = [](float number) {
    int64_t word = 0;
    std::memcpy(&word, &number, 4);
    return word;
  };
  for (mlir::Value value : group.getInputs())
    operands.push_back(std::make_unique<Memory>(bytesOf(value.getType(), symbols)));
  for (mlir::Value value : group.getOutputs())
    results.push_back(std::make_unique<Memory>(bytesOf(value.getType(), symbols)));
  auto value = [&](plan::ExprAttr expr) { return *plan::evaluate(expr, domains, rows, 1); };
  for (const cpu::Temporary &temporary : code->temporaries) {
    names.push_back(temporary.name);
    temporaries.push_back(
        std::make_unique<Memory>(size_t(value(temporary.extent)) * widthOf(temporary.element)));
  }
  for (const cpu::LaunchSpec &launch : code->launches) {
    BoundLaunch one;
    const auto &kernels = module.kernels();
    auto kernel =
        std::find_if(kernels.begin(), kernels.end(), [&](auto &k) { return k.symbol == launch.symbol; });
    one.kind = launch.op;
    one.function = reinterpret_cast<KernelFunction>(dlsym(library, launch.symbol.c_str()));
    one.units = value(launch.units);
    one.grain = launch.grain;
    one.scratch = kernel->scratch;
    for (cpu::BufferRef ref : launch.buffers) {
      auto &from = ref.kind == cpu::BufferRef::operand  ? operands
                   : ref.kind == cpu::BufferRef::result ? results
                                                        : temporaries;
      one.buffers.push_back(from[ref.index]->data);
    }
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
    if (!one.function)
      return;
    bound.push_back(std::move(one));
  }
}

GroupRunner::~GroupRunner() {
  if (library)
    dlclose(library);
}

void GroupRunner::place(unsigned result, unsigned operand) {
  if (apart.empty())
    apart = bound;
  bound = apart;
  for (BoundLaunch &launch : bound)
    for (void *&buffer : launch.buffers)
      if (buffer == results[result]->data)
        buffer = operands[operand]->data;
}

uint64_t GroupRunner::scratchBytes() const {
  uint64_t most = 64;
  for (const BoundLaunch &launch : bound)
    most = std::max(most, launch.scratch);
  return most;
}

void GroupRunner::run(unsigned seed) {
  std::mt19937 random(seed);
  Memory scratch(scratchBytes());
  for (const BoundLaunch &launch : bound) {
    std::vector<std::pair<int64_t, int64_t>> ranges;
    for (int64_t at = 0; at < launch.units;) {
      // Mostly short ranges, and some that hold several blocks.
      int64_t count = seed ? 1 + int64_t(random() % (random() % 4 ? 3 : 60)) : launch.units;
      ranges.push_back({at, std::min(at + count, launch.units)});
      at += count;
    }
    if (seed)
      std::shuffle(ranges.begin(), ranges.end(), random);
    for (auto [begin, end] : ranges) {
      std::memset(scratch.data, 0xff, scratch.bytes);
      launch.run(begin, end, scratch.data);
    }
  }
}

} // namespace moe::test
