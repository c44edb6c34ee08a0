// Finds the products and attentions of which samples can be left out, and marks their operands with flow.skippable. A factor of
// each sample that is 0 where a mask does not hold, as drop path's, tells so in two ways:
//   - what it is multiplied with is not needed there, and neither is what only that is computed from;
//   - the product with it is 0 there, and so is what follows from zeros.
// A place is a mask of one axis and an axis of a value; both facts are sets of places. How they pass an op follows from its
// accesses: from an axis of an operand to the dimension of the iteration space that is its index, and on to the axes of the
// results. As in differentiation, 0 times any number counts as 0, so that what a pole is read at is needed everywhere: a kernel
// that takes zeros there would make infinities that were not.
#include "dialects/flow/Build.h"
#include "dialects/flow/Define.h"
#include "passes/fusion/Clusters.h"

using namespace mlir;
using namespace flow;

namespace moe {
namespace {

/// A mask with one axis, and an axis of a value, or a dimension of an iteration space, of the same extent.
using Place = std::pair<Value, int64_t>;

/// Places; or all that there are, of a value that is 0 everywhere or that nobody needs.
struct Places {
  bool all = false;
  SmallVector<Place, 1> found;

  void add(const Places &more) {
    all |= more.all;
    for (Place place : more.found)
      if (!llvm::is_contained(found, place))
        found.push_back(place);
  }
  void keepCommon(const Places &other) {
    if (other.all)
      return;
    if (all)
      *this = other;
    else
      llvm::erase_if(found, [&](Place place) { return !llvm::is_contained(other.found, place); });
  }
};

/// For each axis of an operand, the dimension of the iteration space that is its index, or -1.
SmallVector<int64_t> dimensionsOf(const Access &access, Value operand) {
  SmallVector<int64_t> dimensions(cast<RankedTensorType>(operand.getType()).getRank(), -1);
  if (!access.lookup && !access.within)
    for (auto [axis, index] : llvm::enumerate(access.map.getResults()))
      if (auto dim = dyn_cast<AffineDimExpr>(index); dim && !access.isBounded(axis))
        dimensions[axis] = dim.getPosition();
  return dimensions;
}

Places toDimensions(const Places &of, ArrayRef<int64_t> dimensions) {
  Places result;
  result.all = of.all;
  for (auto [mask, axis] : of.found)
    if (dimensions[axis] >= 0)
      result.found.push_back({mask, dimensions[axis]});
  return result;
}

Places toAxes(const Places &of, ArrayRef<int64_t> dimensions, Value value) {
  Places result;
  result.all = of.all;
  for (auto [mask, dimension] : of.found)
    for (auto [axis, own] : llvm::enumerate(dimensions))
      if (own == dimension && Extent::of(value, axis) == Extent::of(mask, 0))
        result.found.push_back({mask, int64_t(axis)});
  return result;
}

/// Whether an elementwise op makes 0 of zeros.
bool keepsZeros(Operation *op) {
  const Array zero(ArrayRef<int64_t>{});
  const SmallVector<const Array *> operands(op->getNumOperands(), &zero);
  std::vector<Array> results(op->getNumResults(), zero);
  cast<EvaluateInterface>(op).evaluate(operands, results, {});
  return results.front().data.front() == 0;
}

/// How an op reads its operands.
struct Reading {
  /// By operand, the dimension of the space that is the index along each axis, or -1. The axes of the results are the first
  /// dimensions. Empty for an op of which nothing is known.
  SmallVector<SmallVector<int64_t>, 3> dimensions;
  /// Sets of operands: the results are 0 where all operands of a set are, whatever the others are.
  SmallVector<SmallVector<unsigned, 3>, 2> factors;

  static Reading of(Operation *op);
};

Reading Reading::of(Operation *op) {
  Reading reading;
  // Attention takes the samples one by one: all axes but the last two.
  if (isa<AttentionOp, AttentionGradOp>(op)) {
    for (Value operand : op->getOperands()) {
      auto &dimensions =
          reading.dimensions.emplace_back(cast<RankedTensorType>(operand.getType()).getRank(), -1);
      std::iota(dimensions.begin(), dimensions.end() - 2, 0);
    }
    if (auto gradient = dyn_cast<AttentionGradOp>(op)) {
      const unsigned inputs = gradient.getInputs().size(); // then the rows' sums, dy and delta
      reading.factors.push_back({inputs + 1, inputs + 2});
    }
    return reading;
  }
  auto compute = dyn_cast<ComputeInterface>(op);
  if (!compute)
    return reading;
  const ComputeKind kind = compute.computeKind();
  const SmallVector<Access> accesses = compute.accesses();
  const bool known = kind == ComputeKind::elementwise || kind == ComputeKind::view ||
                     kind == ComputeKind::reduction || isa<ContractOp>(op);
  if (!known || accesses.size() != op->getNumOperands())
    return reading;
  for (auto [access, operand] : llvm::zip_equal(accesses, op->getOperands()))
    reading.dimensions.push_back(dimensionsOf(access, operand));
  auto gradient = dyn_cast<GradientInterface>(op);
  const bool copies = kind == ComputeKind::view && llvm::all_of(accesses, [](const Access &access) {
                        return access.otherwise == 0 && !access.lookup;
                      });
  if (gradient && gradient.slope() == Slope::product)
    reading.factors = {{0}, {1}};
  else if (isa<DivOp>(op))
    reading.factors = {{0}};
  else if (isa<SelectOp>(op))
    reading.factors = {{1, 2}};
  else if (copies || (kind == ComputeKind::elementwise && keepsZeros(op)) ||
           (kind == ComputeKind::reduction && accesses.size() == 1 && isa<ReduceOp>(op)))
    reading.factors.push_back(llvm::to_vector<3>(llvm::seq<unsigned>(0, accesses.size())));
  return reading;
}

class Analysis {
public:
  explicit Analysis(Block &block) {
    for (Operation &op : block)
      findZeros(&op);
    for (Operation &op : llvm::reverse(block))
      findUnneeded(&op);
  }
  /// Where an operand of an emitter may be left out: its results are not needed there, or what it adds to them is 0.
  Places placesOf(OpOperand &operand) const {
    Operation *op = operand.getOwner();
    const Reading reading = Reading::of(op);
    Places places = ofResults(op);
    for (ArrayRef<unsigned> factor : reading.factors)
      places.add(zerosOf(op, reading, factor));
    return toAxes(places, reading.dimensions[operand.getOperandNumber()], operand.get());
  }

private:
  /// Where all of these operands are 0, by dimension.
  Places zerosOf(Operation *op, const Reading &reading, ArrayRef<unsigned> operands) const {
    Places places;
    places.all = true;
    for (unsigned operand : operands)
      places.keepCommon(toDimensions(zeros.lookup(op->getOperand(operand)), reading.dimensions[operand]));
    return places;
  }

  void findZeros(Operation *op) {
    if (op->getNumResults() == 0 || !isa<FloatType>(getElementTypeOrSelf(op->getResult(0))))
      return;
    Places found;
    if (auto number = dyn_cast<NumberInterface>(op)) {
      found.all = number.number().value == 0.0;
    } else if (auto convert = dyn_cast<ConvertOp>(op);
               convert && getElementTypeOrSelf(convert.getX()).isInteger(1)) {
      Value mask = convert.getX();
      while (auto barrier = mask.getDefiningOp<BarrierOp>())
        mask = barrier.getX();
      if (cast<RankedTensorType>(mask.getType()).getRank() == 1 && isStored(mask))
        found.found.push_back({mask, 0});
    } else {
      const Reading reading = Reading::of(op);
      for (ArrayRef<unsigned> factor : reading.factors)
        found.add(zerosOf(op, reading, factor));
    }
    for (Value result : op->getResults())
      zeros[result] = toAxes(found, ownAxes(result), result);
  }

  static SmallVector<int64_t> ownAxes(Value value) {
    return llvm::to_vector(llvm::seq<int64_t>(0, cast<RankedTensorType>(value.getType()).getRank()));
  }

  /// Whether a mask is, or can be, in memory.
  static bool isStored(Value mask) {
    Operation *maker = mask.getDefiningOp();
    return maker && (isBoundary(maker) || !isFreeKind(maker));
  }

  /// Where none of an op's results is needed, by dimension.
  Places ofResults(Operation *op) const {
    Places places;
    places.all = true;
    for (Value result : op->getResults())
      if (auto own = unneeded.find(result); own != unneeded.end()) // nobody needs a result without readers
        places.keepCommon(own->second);
    return places;
  }

  /// Whether an op may make an infinity or NaN of the zeros that stand for an operand where it is left out: a factor of 0 behind
  /// the op would not make 0 of it. Products have no poles. Neither has attention, whose powers are of differences from the largest
  /// score, nor its gradient, which may meet the sums of zeros and true scores: no power of a kernel is above e^88.
  static bool hasPole(Operation *op, unsigned operand) {
    auto gradient = dyn_cast<GradientInterface>(op);
    return gradient && gradient.slope() == Slope::any && !isEmitter(op) &&
           isa<FloatType>(getElementTypeOrSelf(op->getResult(0))) && !(isa<DivOp>(op) && operand == 0);
  }

  // Readers come behind a value, so that all of them are known when its own op is met.
  void findUnneeded(Operation *op) {
    const Reading reading = Reading::of(op);
    const Places results = reading.dimensions.empty() ? Places() : ofResults(op);
    for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
      Places places;
      if (!reading.dimensions.empty() && !hasPole(op, i)) {
        places = results;
        for (ArrayRef<unsigned> factor : reading.factors)
          if (!llvm::is_contained(factor, i))
            places.add(zerosOf(op, reading, factor));
        places = toAxes(places, reading.dimensions[i], operand);
      }
      auto [own, first] = unneeded.try_emplace(operand, places);
      if (!first)
        own->second.keepCommon(places);
    }
  }

  DenseMap<Value, Places> zeros, unneeded;
};

/// Moves the ops that masks are computed by, since the draw of what is dropped stands behind what is dropped.
class MaskMover {
public:
  explicit MaskMover(Block &block) {
    for (Operation &op : block)
      places[&op] = 2 * int64_t(places.size()) + 1;
  }
  bool isBefore(Operation *a, Operation *b) const { return places.lookup(a) < places.lookup(b); }
  /// Moves them before an op. Fails, and moves nothing, unless they are ops on vectors and numbers alone that do not follow from
  /// the op. To be called for one op after the other, as they stand in the block.
  bool moveBefore(Value mask, Operation *op);

private:
  /// Increases from op to op. MLIR's own order would be computed again, for the whole block, behind every move.
  DenseMap<Operation *, int64_t> places;
};

bool MaskMover::moveBefore(Value mask, Operation *op) {
  llvm::SetVector<Operation *> makers;
  makers.insert(mask.getDefiningOp());
  SmallVector<Operation *> behind;
  for (size_t i = 0; i < makers.size(); ++i) {
    Operation *maker = makers[i];
    if (maker == op)
      return false;
    if (isBefore(maker, op))
      continue;
    if (isEmitter(maker) || llvm::any_of(maker->getOperands(), [](Value operand) {
          return cast<RankedTensorType>(operand.getType()).getRank() > 1;
        }))
      return false;
    behind.push_back(maker);
    for (Value operand : maker->getOperands())
      makers.insert(operand.getDefiningOp());
  }
  llvm::sort(behind, [&](Operation *a, Operation *b) { return isBefore(a, b); });
  for (Operation *maker : behind) {
    maker->moveBefore(op);
    places[maker] = places.lookup(op) - 1; // none of them has to be moved again
  }
  return true;
}

} // namespace

void Fusion::markSkippable() {
  if (!target.skipsRows())
    return;
  Block &block = entry.getBody().front();
  const Analysis analysis(block);
  MaskMover mover(block);
  // The first of several masks in the program, for an op and its gradient alike.
  auto isBefore = [&](const Place &a, const Place &b) {
    return a.first != b.first ? mover.isBefore(a.first.getDefiningOp(), b.first.getDefiningOp())
                              : a.second < b.second;
  };
  SmallVector<std::pair<OpOperand *, Place>> marks;
  for (Operation &op : block) {
    if (!isa<ContractOp, AttentionOp, AttentionGradOp>(op))
      continue;
    for (OpOperand &operand : op.getOpOperands()) {
      const Places places = analysis.placesOf(operand);
      if (places.found.empty())
        continue;
      marks.push_back({&operand, *llvm::min_element(places.found, isBefore)});
      break; // what is left out of one operand, is left out of the others
    }
  }
  for (auto [operand, place] : marks) {
    Operation *op = operand->getOwner();
    if (!mover.moveBefore(place.first, op))
      continue;
    OpBuilder builder(op);
    Value value = operand->get();
    Value live = BroadcastOp::create(builder, op->getLoc(), withElement(value.getType(), builder.getI1Type()),
                                     place.first, ArrayRef<int64_t>{place.second});
    operand->set(flow::skippable(builder, op->getLoc(), value, live));
  }
}

} // namespace moe
