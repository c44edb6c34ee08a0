// What a value of the language is found to be while a body is interpreted: a tensor, a routing, or a bundle
// of generated weights. None of it survives elaboration.
#pragma once
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

/// Scores and gates [B, experts] of a router.
struct Routing {
  mlir::Value scores;
  mlir::Value gates;
  int64_t experts;
  std::string path;
};

/// "[128, 14, 14]", "5 experts of [10]".
std::string shapeText(const Tensor &tensor);

struct Record {
  std::variant<std::monostate, Tensor, Routing, std::shared_ptr<Bundle>> is;
  mlir::Location at; // where it was made
};
std::string recordText(const Record &record);
} // namespace moe
