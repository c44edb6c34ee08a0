// A target and the back end behind it, as fusion, planning, emission, the pipeline and the tools see them. A back end
// parses its targets' names; a target says what fusion has to know of it, emits groups as kernels and finishes these
// into a program's sections. Nothing outside a back end's folder but the registry (Backends.cpp) knows that folder.
#pragma once
#include "dialects/flow/Flow.h"
#include "dialects/plan/Plan.h"
#include "mlir/IR/OwningOpRef.h"
#include "passes/kernels/GroupCode.h"
#include "passes/kernels/Layouts.h"
#include "passes/kernels/LoopNests.h"
#include "llvm/ADT/DenseMap.h"
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace moe::kernels {

/// What may stand behind a root in its group. A target that takes an item implements it for that root.
struct EpilogueItems {
  bool elementwise = false; ///< elementwise ops of the result's shape, and constants
  bool broadcasts = false;  ///< operands from outside that are copied along axes of the result
  /// Whether values of an element type may come from outside and leave; inside, all may occur.
  std::function<bool(mlir::Type)> element = [](mlir::Type) { return true; };
};

/// What a set of ops would be as one loop kernel of a target, at the planned batch.
struct LoopFacts {
  double work = 0;          ///< elements that its nests touch
  double parallelism = 1;   ///< parts that run side by side
  size_t values = 0;        ///< LoopNests::values
  bool wholePieces = false; ///< the parallel parts are cut from the outermost dimension on
  bool split =
      false; ///< the parts are pieces of a reduction, as many as are worth another kernel behind them
};

/// The sizes from which on fusion minds memory or parallelism, in elements at the planned batch but for the last two.
struct FusionCosts {
  double largeElements; ///< a tensor of so many must not live longer than it has to
  double smallWork;     ///< a loop of less loses nothing when it has no parallelism
  double smallValue;    ///< what shares no more than this with a larger loop stays a kernel of its own
  double parallelism;   ///< parts that keep the machine busy
  double spread;        ///< copies an element from which on a broadcast reads its operand from memory
  size_t mostOps; ///< of a loop kernel; longer ones take long to compile and are seldom equal to another
};

/// The kernels of one target under construction. Two that come out as the same code are one.
class KernelSet {
public:
  virtual ~KernelSet() = default;
  /// Writes a group's kernels. On failure a diagnostic names the op and what is not supported.
  virtual mlir::FailureOr<GroupCode> emit(flow::GroupOp group, const GroupLayouts &layouts) = 0;
  /// In the order of first use.
  virtual const std::vector<Kernel> &kernels() const = 0;
  /// The code so far, a module of functions that `Target::finish` understands; ends the collection.
  virtual mlir::OwningOpRef<mlir::ModuleOp> take() = 0;
};

/// What a program holds for a target beside plans.
struct Sections {
  llvm::SmallVector<char, 0> code;
};

class Target {
public:
  virtual ~Target() = default;

  /// What a program says of it: the back end's name, the level, and what a machine must have to run the code.
  virtual llvm::StringRef backend() const = 0;
  virtual llvm::StringRef level() const = 0;
  virtual llvm::ArrayRef<std::string> features() const = 0;

  /// Numbers for sizes' symbols that are a target's own: "row_align" is what the rows of an expert are padded to.
  virtual llvm::StringMap<int64_t> symbols() const = 0;

  // Facts for fusion.
  virtual FusionCosts fusionCosts() const = 0;
  /// What the target takes behind an op that has an emitter of its own.
  virtual EpilogueItems epilogueOf(mlir::Operation *root) const = 0;
  /// The values whose layout had better not be row-major. Asked before ops are grouped.
  virtual llvm::DenseMap<mlir::Value, Layout> preferredLayouts(flow::EntryOp entry) const = 0;
  /// Nothing where a set of ops cannot be one loop kernel.
  virtual std::optional<LoopFacts> loop(const LoopSource &source) const = 0;

  virtual std::unique_ptr<KernelSet> begin(mlir::MLIRContext *context) const = 0;
  /// The sections of a program from functions that `begin`'s set gave, which are consumed. `timing` shows the steps'
  /// times on standard error.
  virtual mlir::FailureOr<Sections> finish(mlir::ModuleOp functions, bool timing) const = 0;
};

class Backend {
public:
  virtual ~Backend() = default;
  /// The first word of its targets' names: "cpu".
  virtual llvm::StringRef name() const = 0;
  /// The names that it knows, for people: "cpu", "cpu:x86-64-v3".
  virtual std::vector<std::string> targets() const = 0;
  /// Those of them that this machine can run, one for each kind of code: what tests compile for.
  virtual std::vector<std::string> hostTargets() const = 0;
  /// The target of a name that begins with the back end's. Nothing for one that it does not have, or that this
  /// machine cannot stand for; `error` then says what was expected.
  virtual std::unique_ptr<Target> parse(llvm::StringRef name, std::string &error) const = 0;
  /// The target that a program's says it is, by its level.
  virtual std::unique_ptr<Target> ofLevel(llvm::StringRef level, std::string &error) const = 0;
};

/// All back ends: the tree's, then those that were added, in this order.
llvm::ArrayRef<const Backend *> backends();
/// Adds one, which lives until the process ends. False where a back end has that name already.
bool addBackend(const Backend &backend);
/// "'cpu', 'cpu:x86-64-v3' or 'cpu:x86-64-v4'": all targets, for help and errors.
std::string targetNames();
/// What a program is compiled for where nobody says it: this machine.
constexpr llvm::StringLiteral defaultTarget = "cpu";
/// The target of `--target`'s value; `error` lists the targets where there is none of that name.
std::unique_ptr<Target> parseTarget(llvm::StringRef name, std::string &error);
/// The target that a plan was made for, by the name that --moe-lower-to-plan has noted, else by what a program says of
/// it; reports at it where there is none here.
std::unique_ptr<Target> targetOf(plan::TargetOp target);
/// The attribute of a plan.target with the name of --target.
constexpr llvm::StringLiteral targetNameAttr = "moe.target";

} // namespace moe::kernels
