// What must hold for any text that is given to the compiler as a model's, whoever wrote it: it is read,
// verified and elaborated, or refused with errors that say where; and what was read is written back as it
// was. The fuzz target and the test of mutations share it.
#pragma once
#include "mlir/IR/MLIRContext.h"
#include <string>
#include <string_view>

namespace moe::test {

struct TextResult {
  std::string fault; // what did not hold; empty where all did
  bool parsed = false, elaborated = false;
};

/// Reads the text as the only file of a model. The context has the dialects moe and flow.
TextResult checkText(std::string_view text, mlir::MLIRContext &context);

} // namespace moe::test
