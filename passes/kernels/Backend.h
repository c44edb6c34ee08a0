// The interface of back ends and their targets, which fusion, planning, emission, the pipeline and the tools
// use. A back end parses its targets' names. A target gives fusion the facts that it needs, emits groups as
// kernels, and turns the finished kernels into a program's sections. Only the registry (Backends.cpp)
// includes headers of a back end's folder.
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

/// A result of f32 and one of a byte an element, over the former alone.
constexpr double kWithMasks = 1.3;

/// What a target supports in the epilogue of a root.
struct EpilogueItems {
  bool elementwise = false; ///< elementwise ops of the result's shape, and constants
  bool broadcasts = false;  ///< operands from outside the group that are broadcast to the result's shape
  /// Whether values of an element type may be operands and results of the group; values inside may have any
  /// type.
  std::function<bool(mlir::Type)> element = [](mlir::Type) { return true; };
  /// How many times as many bytes as the root alone the group may store. It is a result and masks, unless an epilogue
  /// with several large results is faster than loops that read the root's result and store theirs.
  double stores = kWithMasks;
  /// Uniform random numbers of which each row has an index, after a grouped contraction.
  bool draws = false;
};

/// What a set of ops would be as one loop kernel of a target, at the planned batch.
struct LoopFacts {
  double work = 0;        ///< elements that its loop nests touch
  double parallelism = 1; ///< work units
  size_t values = 0;      ///< LoopNests::values
  /// Each work unit's elements are contiguous in memory: units split the outermost dimension.
  bool contiguous = false;
  bool split = false; ///< the units are chunks of one reduction, which a second kernel combines
};

/// The thresholds of fusion's decisions. Sizes are in elements at the planned batch.
struct FusionCosts {
  double largeElements; ///< tensors of at least this size are kept short-lived: not fused across segments
  double smallWork;     ///< a loop with less work than this needs no parallelism
  double smallValue;    ///< a value smaller than this is no reason to fuse a loop that is not small
  double parallelism;   ///< work units that are enough to keep the machine busy
  /// If a broadcast makes at least this many copies of each element, its operand, where it is a reshape of
  /// computed values, is stored to memory, so that a root's epilogue can read it.
  double broadcastFactor;
  size_t maxOps; ///< ops of a loop kernel: larger kernels compile slowly, and are rarely equal to another one
};

/// The kernels of one target under construction. Kernels with equal code are stored once.
class KernelSet {
public:
  virtual ~KernelSet() = default;
  /// Writes a group's kernels. On failure a diagnostic names the op and what is not supported.
  virtual mlir::FailureOr<GroupCode> emit(flow::GroupOp group, const GroupLayouts &layouts) = 0;
  /// The same for a group of which a result is a state's new value. If holdsUpdates(), its kernels do nothing while
  /// updates are held back.
  virtual mlir::FailureOr<GroupCode> emitUpdate(flow::GroupOp group, const GroupLayouts &layouts) {
    return emit(group, layouts);
  }
  /// Whether kernels that write states ask for themselves whether updates are held back (plan::ArgKind::held_i64);
  /// otherwise the device does not launch them.
  virtual bool holdsUpdates() const { return false; }
  /// If holdsUpdates(): a launch that holds back the updates of later steps where one of `predicates` numbers is 0.
  /// They are its buffers, as operands.
  virtual LaunchSpec emitHold(mlir::MLIRContext *context, unsigned predicates) {
    llvm_unreachable("no kernel of this target asks whether updates are held back");
  }
  /// In the order of first use.
  virtual const std::vector<Kernel> &kernels() const = 0;
  /// All code, as a module of functions for `Target::finish`. Nothing can be emitted afterwards.
  virtual mlir::OwningOpRef<mlir::ModuleOp> take() = 0;
};

/// What a program holds for a target besides plans.
struct Sections {
  llvm::SmallVector<char, 0> code;
};

class Target {
public:
  virtual ~Target() = default;

  /// What a program records of its target: what the code runs on, the back end's name, the level, and the
  /// features that the code needs.
  virtual plan::TargetKind kind() const = 0;
  virtual llvm::StringRef backend() const = 0;
  virtual llvm::StringRef level() const = 0;
  virtual llvm::ArrayRef<std::string> features() const = 0;

  /// The most elements that a tensor may have: what kernels' indices can count.
  virtual int64_t mostElements() const = 0;

  /// The values of the symbols in sizes that each target chooses. "row_align" is the multiple to which the
  /// number of rows of an expert is padded.
  virtual llvm::StringMap<int64_t> symbols() const = 0;

  /// Whether the target has a kernel for an emitter that other ops can compute as well (ComputeInterface::decomposes).
  /// Where it has none, those ops are compiled. It has one for every other emitter.
  virtual bool emits(mlir::Operation *root) const { return false; }

  // Facts for fusion.
  virtual FusionCosts fusionCosts() const = 0;
  /// What the target supports in the epilogue of a root.
  virtual EpilogueItems epilogueOf(mlir::Operation *root) const = 0;
  /// Whether the kernel of a grouped contraction can read its rows by an index, so that no gather stores them
  /// (flow::isRowLoad).
  virtual bool loadsRows() const { return false; }
  /// Whether kernels of contractions and attention leave out what flow.skippable tells them to, so that the marks pay.
  virtual bool skipsRows() const { return false; }
  /// The values that should not be row-major, and their layouts. Called before ops are grouped.
  virtual llvm::DenseMap<mlir::Value, Layout> preferredLayouts(flow::EntryOp entry) const = 0;
  /// A set of ops as one loop kernel; nothing if it cannot be one.
  virtual std::optional<LoopFacts> loop(const LoopSource &source) const = 0;

  /// Whether this machine has what `finish` needs beside the compiler. Otherwise `error` says what is missing, and
  /// how it is installed.
  virtual bool canFinish(std::string &error) const { return true; }
  virtual std::unique_ptr<KernelSet> begin(mlir::MLIRContext *context) const = 0;
  /// The sections of a program from the functions that KernelSet::take gave, which are consumed. `timing`
  /// prints the steps' times on standard error.
  virtual mlir::FailureOr<Sections> finish(mlir::ModuleOp functions, bool timing) const = 0;
};

class Backend {
public:
  virtual ~Backend() = default;
  /// The first word of its targets' names: "cpu".
  virtual llvm::StringRef name() const = 0;
  /// Its targets' names, for help and errors: "cpu", "cpu:x86-64-v3".
  virtual std::vector<std::string> targets() const = 0;
  /// The targets that this machine can run, one for each kind of code: tests compile for these.
  virtual std::vector<std::string> hostTargets() const = 0;
  /// The target of a name that begins with the back end's name. Nothing if there is none of that name, or if
  /// it means this machine and this machine is not supported; `error` then says what was expected.
  virtual std::unique_ptr<Target> parse(llvm::StringRef name, std::string &error) const = 0;
  /// The target of the level that a program records.
  virtual std::unique_ptr<Target> ofLevel(llvm::StringRef level, std::string &error) const = 0;
};

/// All back ends: the tree's, then those that were added, in this order.
llvm::ArrayRef<const Backend *> backends();
/// Adds a back end, which must live until the process ends. False if there is one of that name already.
bool addBackend(const Backend &backend);
/// "'cpu', 'cpu:x86-64-v3' or 'cpu:x86-64-v4'": targets, for help and errors.
std::string listOf(llvm::ArrayRef<std::string> targets);
/// The same for all targets.
std::string targetNames();
/// The target of a program that names none: this machine.
constexpr llvm::StringLiteral defaultTarget = "cpu";
/// The target of `--target`'s value. Nothing if there is none of that name; `error` then lists the targets.
std::unique_ptr<Target> parseTarget(llvm::StringRef name, std::string &error);
/// The target that a plan was made for: by the name that --moe-lower-to-plan has recorded, otherwise by the
/// back end and level of the program. Reports an error at the op, and gives null, if this compiler has no
/// such target.
std::unique_ptr<Target> targetOf(plan::TargetOp target);
/// The attribute of a plan.target with the name of --target.
constexpr llvm::StringLiteral targetNameAttr = "moe.target";

} // namespace moe::kernels
