// Runs one group of a flow entry as compiled code, without planning or runtime: the group's emitter, the
// object code, and then its launches one after another over buffers of known size. For tests of emitters and
// for their benchmark.
#pragma once
#include "dialects/flow/Flow.h"
#include "mlir/IR/MLIRContext.h"
#include "passes/cpu/code/KernelBuilder.h"
#include "passes/cuda/CudaTarget.h"
#include "test/numerics/EmulatedModule.h"
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace moe::test {

using KernelFunction = void (*)(void *const *, const int64_t *, int64_t, int64_t, void *);

/// What groups are compiled for: the host, or a GPU that is emulated.
using Machine = std::variant<host::CpuTarget, cuda::CudaTarget>;
inline const std::string &levelOf(const Machine &machine) {
  return std::visit([](const auto &target) -> const std::string & { return target.level; }, machine);
}
/// The emulated GPU.
Machine emulatedGpu();

/// One launch with everything bound but its range.
struct BoundLaunch {
  std::string kind;
  KernelFunction function = nullptr; ///< of the host; a GPU's kernel has a name and a grid
  EmulatedLaunch grid;
  std::vector<void *> buffers;
  std::vector<bool> writes; ///< one a buffer
  std::vector<int64_t> scalars;
  int64_t units = 0;
  uint32_t grain = 1;
  uint64_t scratch = 0;
  void run(int64_t begin, int64_t end, void *scratch) const {
    function(buffers.data(), scalars.data(), begin, end, scratch);
  }
};

/// What every kernel of the CPU is tested for: the host's level and the one below.
std::vector<host::CpuTarget> levels();

/// Those, and the emulated GPU.
std::vector<Machine> machines();

/// Memory for a buffer. `guarded`: it ends, but for what 64-byte alignment leaves, at a page that nobody may
/// touch; what is between the buffer and such pages before and behind it holds `poison` and is known to be
/// untouched while intact(). `plain`: whole pages, so that large operands lie as they do in a program.
class Memory {
public:
  enum Kind { guarded, plain };
  explicit Memory(size_t bytes, int poison = 0xff, Kind kind = plain);
  ~Memory();
  Memory(const Memory &) = delete;
  float *floats() { return static_cast<float *>(data); }
  bool intact() const;
  void *data = nullptr;
  size_t bytes = 0;

private:
  Kind kind;
  int poison;
  char *mapped = nullptr;
  size_t mappedBytes = 0;
};

class GroupRunner {
public:
  /// `body` is the text of an entry with exactly one flow.group. Reports to stderr and leaves ok() false on
  /// failure. `numbers` are the launches' scalars by key, and "seed" and "step".
  GroupRunner(const std::string &entryText, const Machine &target, int64_t domains, int64_t rows,
              const cpu::GroupLayouts &layouts = {}, const std::map<std::string, double> &numbers = {},
              Memory::Kind memory = Memory::guarded);
  /// The same for a group that is there already; its context is used.
  GroupRunner(flow::GroupOp group, const Machine &target, int64_t domains, int64_t rows,
              const cpu::GroupLayouts &layouts = {}, const std::map<std::string, double> &numbers = {},
              Memory::Kind memory = Memory::guarded);
  ~GroupRunner();
  bool ok() const { return !bound.empty(); }
  /// Operands and results in the group's order, elements of 4 bytes (masks: 1).
  Memory &operand(unsigned i) { return *operands[i]; }
  Memory &result(unsigned i) { return *results[i]; }
  Memory &temporary(unsigned i) { return *temporaries[i]; }
  llvm::StringRef temporaryName(unsigned i) const { return names[i]; }
  size_t temporaryCount() const { return temporaries.size(); }
  const std::vector<BoundLaunch> &launches() const { return bound; }
  /// Results that the kernels allow in an operand's place: (result, operand).
  const std::vector<std::pair<unsigned, unsigned>> &inPlace() const { return shared; }
  /// Binds a result to an operand's memory from now on, and every other one to its own again.
  void place(unsigned result, unsigned operand);
  void placeApart();
  uint64_t scratchBytes() const;
  /// Every launch. With a seed its units are cut at random into ranges, which `threads` threads run out of
  /// order; scratch is filled with `poison` before each. On a GPU the seed orders blocks, warps and threads; an odd
  /// one checks each access.
  void run(unsigned seed = 0, unsigned threads = 1, int poison = 0xff);
  /// What the emulator has found wrong; empty where nothing.
  const std::string &finding() const { return found; }
  /// Whether nothing was written beside the buffers, as far as their guards tell, nor beside any thread's
  /// scratch.
  bool intact() const;

private:
  void build(flow::GroupOp group, const Machine &target, int64_t domains, int64_t rows,
             const cpu::GroupLayouts &layouts, const std::map<std::string, double> &numbers);
  std::unique_ptr<mlir::MLIRContext> context;
  Memory::Kind memory;
  bool scratchIntact = true;
  std::vector<std::unique_ptr<Memory>> operands, results, temporaries;
  std::vector<std::string> names;        // of temporaries
  std::vector<BoundLaunch> bound, apart; // apart: as they are before a result is placed
  std::vector<std::pair<unsigned, unsigned>> shared;
  void *library = nullptr;
  int file = -1; ///< the library's
  std::unique_ptr<EmulatedModule> gpu;
  std::string found;

  void runOnGpu(unsigned seed, unsigned threads);
};

} // namespace moe::test
