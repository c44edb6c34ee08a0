// Interprets the body of a model over records and emits flow. Each op's `expand` asks for its operands'
// records, its sizes and its parameters, builds flow ops at the author's line, and binds the results. A frame
// is one activation of a layer's body; frames nest as layers do. Errors get a note for every layer that is
// being applied.
#pragma once
#include "dialects/flow/BuildOptimizer.h"
#include "dialects/flow/Flow.h"
#include "dialects/moe/Env.h"
#include "dialects/moe/Record.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"
#include <deque>
#include <map>

namespace moe {

/// One activation of a body.
struct Frame {
  Frame(Env env, std::string scope, mlir::Operation *applied)
      : env(std::move(env)), scope(std::move(scope)), applied(applied) {}
  Env env;
  std::string scope;                  // path of names, "" in the model
  mlir::Operation *applied = nullptr; // the op that applies the layer
  bool shared = false;                // applied under a path whose parameters exist
  bool frozen = false;                // no gradient to the parameters of this body
  llvm::DenseMap<mlir::Value, Record> values;
  llvm::SmallVector<Record> yields;
};

/// What the rules of initial values have to know of a parameter's role in its op.
struct FanIn {
  int64_t in = 0;            // the number of inputs of each output; 0 if the parameter has no fan-in
  bool bias = false;         // the parameter is added to an output
  bool withBias = false;     // the op also has a bias
  llvm::StringRef like = {}; // the op whose `default` it takes; the owner's word unless given
};

/// Weights that a hypernetwork writes: made when a body asks for them, since only then their shapes are
/// known.
class Bundle {
public:
  Tensor rows; // the trunk's result, one row a set of weights
  std::shared_ptr<Closure> target;
  std::string path;      // of the hypernetwork
  double gain = 1;       // of hyperfan_in
  bool hyperfan = false; // else torch's default
  bool shared = false;   // its weights are those of an earlier application
  bool frozen = false;
  mlir::Operation *at;
  llvm::StringMap<Tensor> made;
};

/// Where the parameters of a body come from.
struct Weights {
  std::shared_ptr<Bundle> bundle; // generated
  int64_t experts = 0;            // or own ones with a leading expert axis
  std::shared_ptr<RowSpace>
      rows;         // where each expert has rows of its own: the batch is that of dispatched rows
  std::string base; // the scope of the layer that takes them
  mlir::Operation *at = nullptr;
};

/// One auxiliary loss: its unweighted value and its weight, both tensor<f32>. An inference entry has no weights.
struct AuxLoss {
  std::string path;
  mlir::Value value, weight;
  mlir::Location at;
  std::string target = {}; // of a cross entropy: the input that holds its labels, "label" or "domain",
  int64_t labels = 0;      // and how many it tells apart
};

/// A limit to the rows that an expert takes: see flow.capacity. `rows` are those of a launch.
struct Capacity {
  std::string path; // of the routing
  flow::Extent rows;
  int64_t experts, top;
  double factor;
  int64_t alignment;
  mlir::Location at;
};

class Expander {
public:
  Expander(mlir::OpBuilder builder, bool training, bool dropless)
      : builder(builder), training(training), dropless(dropless) {
    this->builder.setListener(&made);
  }
  Expander(const Expander &) = delete;
  mlir::OpBuilder builder;
  const bool training;
  const bool dropless; // routings drop nothing, whatever their capacity
  /// Inputs, parameters and recipe numbers stand before all else: the last of them.
  mlir::Operation *lastBoundary = nullptr;

  // Records.
  mlir::FailureOr<Tensor> tensor(mlir::Operation *at, mlir::Value value);
  mlir::FailureOr<Routing> routing(mlir::Operation *at, mlir::Value value);
  mlir::FailureOr<Dispatched> dispatched(mlir::Operation *at, mlir::Value value);
  const Record *record(mlir::Value value);
  /// The operands of an op in whose places numbers may stand: a number becomes a constant of the shape of the first value.
  mlir::FailureOr<llvm::SmallVector<Tensor>> tensors(mlir::Operation *at, mlir::ValueRange values,
                                                     mlir::ArrayAttr numbers);
  void set(mlir::Value value, Tensor tensor);
  void set(mlir::Value value, Record record) { frame().values.insert_or_assign(value, record); }
  mlir::FailureOr<llvm::SmallVector<Record>> records(mlir::Operation *at, mlir::ValueRange values);
  /// Adds "made here: [128, 14, 14]" at where a value came from.
  void noteMade(mlir::InFlightDiagnostic &diag, mlir::Value value);

  // Names.
  Frame &frame() { return frames.back(); }
  Env &env() {
    frame().env.body = this;
    return frame().env;
  }
  /// Of an expression of `at`: `size(%x, tokens)`.
  mlir::FailureOr<int64_t> sizeOf(mlir::Operation *at, ExprAttr e);
  std::string path(llvm::StringRef name);
  /// The author's line of an op, named by the op's word and path.
  mlir::Location loc(mlir::Operation *op);
  /// The extent of the batch: of dispatched rows, in experts that have rows of their own.
  flow::Extent batch();
  /// The stream of an op's random numbers, from its path.
  mlir::FailureOr<int64_t> stream(mlir::Operation *op);

  // Parameters. `init` may be null: the model's default for the op, or torch's.
  mlir::FailureOr<Tensor> parameter(mlir::Operation *owner, llvm::StringRef suffix,
                                    llvm::ArrayRef<int64_t> shape, ExprAttr init, FanIn fan);
  mlir::LogicalResult setDefault(DefaultOp op);
  /// A state without a gradient, with the path of its op, that assign finds by its path.
  mlir::FailureOr<Tensor> buffer(StateOp owner, llvm::ArrayRef<int64_t> shape);
  /// The buffer of that path; null where there is none.
  mlir::Value findBuffer(llvm::StringRef path) const;
  bool isParameter(llvm::StringRef path) const;

  // Layers.
  /// What the layer yields, its parameters named below `name`.
  mlir::FailureOr<llvm::SmallVector<Record>> apply(mlir::Operation *at, llvm::StringRef name,
                                                   const Closure &closure, llvm::ArrayRef<Record> inputs);
  /// Goes on behind an error: the values of the op that it is of, and of those that use them, are lost, which `lost` says.
  /// Fails where nothing more can be found.
  mlir::LogicalResult interpret(mlir::Block &body);
  mlir::LogicalResult bindResults(mlir::Operation *at, llvm::ArrayRef<Record> records,
                                  const Closure &closure);

  // Numbers that are known when the program runs.
  mlir::Value progress();
  /// Recipe key with a default.
  mlir::Value scalar(llvm::StringRef key, double fallback);

  std::deque<Frame> frames;
  bool lost = false; // an error was reported, or stood in the text before
  Weights weights;
  llvm::StringMap<mlir::Value> inputs; // of the entry, by name
  llvm::MapVector<mlir::StringAttr, mlir::Value>
      parameters;                                      // trained or not, by path, in order of appearance
  std::vector<std::pair<std::string, Record>> results; // of the model's `return`
  std::vector<AuxLoss> losses;
  llvm::StringMap<mlir::Location> lossNames, exposedNames; // by path, where each is
  std::vector<Routing> routings;
  std::vector<Capacity> capacities;
  std::vector<flow::Buffer> assigned; // what buffers become after a step, in the order of the text

private:
  /// Counts the ops of the graph.
  struct Made : mlir::OpBuilder::Listener {
    size_t ops = 0;
    void notifyOperationInserted(mlir::Operation *, mlir::OpBuilder::InsertPoint) override { ++ops; }
  };
  mlir::LogicalResult countStep(mlir::Operation &op);
  mlir::LogicalResult step(mlir::Operation &op);
  bool isLost(mlir::Operation &op);
  void lose(mlir::Operation &op);
  bool stopped = false; // a limit was met: everything ends
  bool quiet = false;   // the step that has just failed reports nothing: what it needs is lost
  llvm::DenseSet<mlir::Operation *> wrong; // ops that an error was reported of, once for all applications

  struct Default {
    ExprAttr weight, bias;
    const Frame *frame;
  };
  mlir::FailureOr<flow::InitAttr> initial(mlir::Operation *owner, ExprAttr rule, const Env &env, FanIn fan);
  mlir::FailureOr<Tensor> generated(mlir::Operation *owner, llvm::StringRef path,
                                    llvm::ArrayRef<int64_t> shape, FanIn fan);
  mlir::FailureOr<Tensor> declare(mlir::Operation *owner, llvm::StringRef path, llvm::ArrayRef<int64_t> shape,
                                  flow::InitAttr init, bool shared, bool frozen, bool buffer = false);

  struct Declared {
    mlir::Operation *owner;
    mlir::Value value;
  };
  llvm::StringMap<Declared> declared;
  llvm::StringMap<Default> defaults;
  Made made;
  size_t steps = 0;                                      // see countStep
  llvm::DenseMap<mlir::Operation *, size_t> stepWeights; // of the text's ops: what one step of each counts
  // By their number, all of which may occur (DenseMap keeps two numbers of a type for itself).
  std::map<uint32_t, std::string> streams;        // of ops that draw
  llvm::StringMap<unsigned> drawn;                // how often a path has drawn
  std::map<uint32_t, std::string> initialStreams; // of initial values, which are drawn apart
  mlir::Value atFront(llvm::function_ref<mlir::Value()> make);
  mlir::Value progressValue;
  llvm::StringMap<mlir::Value> scalars;
};

/// An item of a list of layers: so many times this one.
struct LayerItem {
  std::shared_ptr<Closure> closure;
  int64_t count = 1;
};
/// The items of `[2 * @A, @B, n * [@A, @B]]`, in order: a list in the list is as many items as it has when it is written out. `what` says
/// what is counted, in errors.
mlir::FailureOr<std::vector<LayerItem>> layerItems(Expander &in, mlir::Operation *op, ExprAttr e,
                                                   llvm::StringRef what);

/// How the parameters of a linear layer begin, and whether it has a bias.
struct LinearRules {
  ExprAttr init = {}, initBias = {}; // null: those of `default linear`, else torch's
  bool bias = true;
};
/// x W^T + b on the last axis, with the parameters `<prefix>weight` [to, features] and `<prefix>bias` of `op`.
mlir::FailureOr<Tensor> expandLinear(Expander &in, mlir::Operation *op, const Tensor &x, int64_t to,
                                     llvm::StringRef prefix, const LinearRules &rules);

/// A number that may rise with the progress, as tensor<f32>: 0.5, or products with ramp(0, 1, until = 0.5).
mlir::FailureOr<mlir::Value> expandSchedule(Expander &in, mlir::Operation *op, ExprAttr e);

/// A square window over an image.
struct WindowShape {
  int64_t kernel = 3, stride = 1, pad = 0;
};
/// Reports where `x` is no image or too small. A stride of 0 stands for the kernel, a pad of -1 for (kernel -
/// 1) / 2.
mlir::FailureOr<WindowShape> windowShape(Expander &in, mlir::Operation *op, mlir::Value source,
                                         const Tensor &x, ExprAttr kernel, ExprAttr stride, ExprAttr pad,
                                         int64_t strideOr, int64_t padOr);

/// An axis option of a sample, which `source` is: the last unless given, negative from the end. Reports one
/// that the sample lacks.
mlir::FailureOr<int64_t> axisOf(Expander &in, mlir::Operation *op, mlir::Value source, const Tensor &x,
                                ExprAttr axis);

/// Expands an op of one tensor along one axis: `build` makes the result from the tensor and its axis, with
/// the leading axes of experts and batch counted. The result has these leading axes too.
mlir::LogicalResult expandAlong(Expander &in, mlir::Operation *op, mlir::Value x, ExprAttr axis,
                                llvm::function_ref<mlir::Value(mlir::Value x, int64_t axis)> build);

/// Tensors of one rank and one set of leading axes, so that flow's builders broadcast them to each other.
/// Reports shapes that do not fit, with where each came from.
mlir::LogicalResult align(Expander &in, mlir::Operation *at, llvm::MutableArrayRef<Tensor> tensors,
                          mlir::ValueRange sources);
/// A parameter written with a batch axis of its own, [1, 1, dim], gives that axis up beside a batch.
void giveUpOwnBatch(Expander &in, mlir::Operation *at, llvm::MutableArrayRef<Tensor> tensors);
/// `value` with the leading axes of `a` and `b` together. Dispatched rows have no axis of experts.
Tensor joined(Expander &in, mlir::Value value, const Tensor &a, const Tensor &b);

/// In experts that have rows of their own: a value that differs by expert, as one that differs by row.
Tensor byRow(Expander &in, mlir::Operation *at, const Tensor &t);

/// Random numbers of the extents of a value with these leading axes. Their logical index is (row, expert, column), of all axes
/// but the last, whatever order the rows are in.
mlir::FailureOr<mlir::Value> drawRandom(Expander &in, mlir::Operation *op, flow::RandomKind kind,
                                        llvm::ArrayRef<flow::Extent> extents, bool experts, bool batch);

/// Reports an op that means samples, in experts on dispatched rows.
mlir::LogicalResult refuseRows(Expander &in, mlir::Operation *op);

/// Reports an op whose operand differs by expert and that is not compiled for such a value; `instead` says
/// where the op may stand.
mlir::LogicalResult
refuseExperts(Expander &in, mlir::Operation *op,
              llvm::StringRef instead = "before 'experts', or first in the expert's layer");

} // namespace moe
