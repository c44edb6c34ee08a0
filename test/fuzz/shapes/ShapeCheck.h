// Compiles a case's group for one target, runs it, and says what is wrong with it, if anything: a result
// further from the evaluator than its ops' bounds allow, memory touched that is not the launch's, other bytes
// when the units are cut otherwise, units that write the same place.
#pragma once
#include "mlir/IR/MLIRContext.h"
#include "test/fuzz/shapes/ShapeCase.h"
#include "test/numerics/GroupRunner.h"

namespace moe::test {

enum class Verdict { right, refused, wrong };

/// The case as a program's text.
std::string textOf(const ShapeCase &one);

/// `seed` cuts the units. `problem` says what is wrong.
Verdict checkCase(const ShapeCase &one, const Machine &target, uint32_t seed, mlir::MLIRContext &context,
                  std::string &problem);

/// The same for a program of many groups, which the whole compiler makes and the runtime runs with one thread
/// and with several.
Verdict checkProgram(const ShapeCase &one, const Machine &target, uint32_t seed, mlir::MLIRContext &context,
                     std::string &problem);

} // namespace moe::test
