// Where flow's vocabulary becomes the plan's: sizes, element types, and where an op came from.
#pragma once
#include "dialects/flow/Extent.h"
#include "dialects/plan/Expr.h"
#include "mlir/IR/Location.h"
#include <string>

namespace plan {

/// The size as the schema's postfix program. Equal extents give equal expressions.
ExprAttr fromExtent(flow::Extent extent);

/// A tensor's number of elements.
inline ExprAttr elementsOf(mlir::Type tensor) { return fromExtent(flow::elementsOf(tensor)); }

/// How an element lies in memory; masks are bytes.
Element elementOf(mlir::Type tensorOrElement);

/// The outermost name (op of the language, path of names) and the first file and line that a location
/// mentions, for profiles and errors of a run: as texts that a program may hold, whatever a text's own
/// loc(...) says.
struct Origin {
  std::string op, path, file;
  unsigned line = 0;
};
Origin originOf(mlir::Location location);

} // namespace plan
