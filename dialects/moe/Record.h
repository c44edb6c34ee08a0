// What a value of the language is found to be while a body is interpreted: a tensor, a routing, or a bundle
// of generated weights. None of it survives elaboration.
#pragma once
#include "dialects/flow/Extent.h"
#include "mlir/IR/Location.h"
#include "mlir/IR/Value.h"
#include <memory>
#include <string>
#include <variant>

namespace moe {
class Bundle;

/// A flow tensor of axes [experts] [batch] sample...: which of the first two it has is known here, so that
/// ops speak of a sample's axes only.
struct Tensor {
  mlir::Value value;
  bool experts = false;
  bool batch = false;

  unsigned lead() const { return unsigned(experts) + unsigned(batch); }
  mlir::RankedTensorType type() const { return mlir::cast<mlir::RankedTensorType>(value.getType()); }
  unsigned rank() const { return unsigned(type().getRank()) - lead(); }
  /// Extents of a sample are static.
  llvm::ArrayRef<int64_t> sample() const { return type().getShape().drop_front(lead()); }
  int64_t last() const { return sample().back(); }
};

/// The rows that a routing sends to its experts, in the order of experts; one expert's are in the order of the rows that
/// they come from. Where rows choose their experts, there are as many as pairs of a row and a choice; the rows of dropped pairs
/// come last, are in no expert's range, and hold zeros. Where experts choose rows, each row is in its expert's range.
struct RowSpace {
  std::string path; // of the routing
  int64_t experts = 0;
  flow::Extent count;    // how many rows there are: P
  mlir::Value row;       // [P] i32: the routed row that each comes from; -1 for a dropped one
  mlir::Value pair;      // [P] i32: the same, of pairs row * choices + choice
  mlir::Value positions; // [rows, choices] i32: where each pair is; -1 where it is dropped
  mlir::Value offsets;   // [experts + 1] i32: where each expert's rows begin
  mlir::Value expert;    // [P] i32: whose row it is; `experts` for a dropped one
};

/// What a router says of its rows, all samples or all tokens of samples in one axis.
struct Routing {
  mlir::Value scores; // [rows, experts]: logits, without noise
  mlir::Value gates;  // [rows, experts]: their softmax, or sigmoids
  int64_t experts;
  std::string path;
  llvm::SmallVector<int64_t> tokens =
      {}; // the axes of a sample that count as rows; none where samples are routed

  // Of a routing to some experts of each row, or to some rows of each expert.
  int64_t top = 0;              // choices a row; 0 stands for every expert
  bool byExperts = false; // experts choose: every expert is one of a row's choices, and `kept` are the chosen
  mlir::Value noisyScores = {}; // logits with noise: those that experts are chosen by
  mlir::Value noisyGates = {};  // their softmax, or sigmoids
  mlir::Value chosen = {};      // [rows, top] i32: the experts, best first
  mlir::Value weights = {};     // [rows, top]: what the result of each choice is multiplied by; null for 1
  mlir::Value kept = {};        // [rows, top] i1: the pairs that are not dropped; null where none can be
  double noise = 0;             // the noise's deviation, that of one logit
  bool sigmoid = false, prescore = false; // gates multiply what is sent, not what comes back
  std::shared_ptr<RowSpace> space = {};
};

/// Rows that were dispatched: [P, sample...].
struct Dispatched {
  mlir::Value value;
  std::shared_ptr<RowSpace> space;
};

/// "[128, 14, 14]", "5 experts of [10]".
std::string shapeText(const Tensor &tensor);

/// Nothing is known of a value whose op has an error: it is lost.
struct Record {
  bool lost() const { return std::holds_alternative<std::monostate>(is); }
  std::variant<std::monostate, Tensor, Routing, Dispatched, std::shared_ptr<Bundle>> is;
  mlir::Location at; // where it was made
};
std::string recordText(const Record &record);
} // namespace moe
