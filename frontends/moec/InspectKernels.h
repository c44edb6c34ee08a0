// What `moec inspect` shows of the kernels of a target for GPUs: what the assembler says of each, and how much of a
// multiprocessor it fills.
#pragma once
#include "runtime/program/Program.h"
#include "llvm/Support/raw_ostream.h"
#include <nlohmann/json.hpp>

namespace moe {

/// The kernels of a `cuda:` target, in the program's order; null for a target of another kind. Shared memory whose size
/// depends on the batch is that of `binding`. A damaged section is a failure.
moert::Result<nlohmann::ordered_json> describeKernels(const moert::Program &program, uint32_t target,
                                                      moert::Binding binding);
/// As a table; nothing if there are none.
void printKernels(const nlohmann::ordered_json &kernels, llvm::raw_ostream &os);

} // namespace moe
