// What a back end makes of a group, in plan's terms: kernels, and launches that bind them to the group's operands,
// results and temporaries. Planning decides which buffers those are.
#pragma once
#include "dialects/flow/Extent.h"
#include "dialects/plan/Expr.h"
#include "llvm/ADT/SmallVector.h"
#include <string>
#include <vector>

namespace moe::kernels {

// What an emitter hands to planning of one kernel.
struct Kernel {
  std::string symbol, kind; // kind: "loop", "matmul", "conv", "pack", "sort": for profiles
  llvm::SmallVector<std::pair<plan::Access, plan::Element>> params;
  unsigned scalars = 0;
  uint64_t scratch = 0; // bytes a thread, a multiple of 64
};

// What a launch binds to a kernel's buffer: the group's operand or result, or a temporary of its own.
struct BufferRef {
  enum Kind { operand, result, temporary } kind;
  unsigned index;
};
struct Temporary {
  plan::Element element;
  plan::ExprAttr extent; // elements
  std::string name;      // for people: "packed weight"
};
struct LaunchSpec {
  std::string symbol;
  llvm::SmallVector<BufferRef> buffers;      // one a parameter of the kernel
  llvm::SmallVector<plan::ExprAttr> extents; // elements that the kernel may touch, one a buffer
  llvm::SmallVector<plan::ArgAttr> scalars;
  plan::ExprAttr units;
  uint32_t grain = 1; ///< units that one claim takes at most
  plan::ExprAttr flops, bytes;
  std::string op; // what it came from, for profiles: "conv", "pack", "reduce"
};
// Launches run in order; a later one may read what an earlier one wrote. Those whose inputs are parameters
// alone (a packed weight) planning may move into `prepare`.
struct GroupCode {
  // Adds a temporary, of f32 unless another element is given.
  BufferRef addTemporary(const flow::Extent &elements, llvm::StringRef name,
                         plan::Element element = plan::Element::f32);

  std::vector<Temporary> temporaries;
  std::vector<LaunchSpec> launches;
  // Result `first` may live in the buffer of operand `second`: every element is read, by the same work unit,
  // before it is written.
  llvm::SmallVector<std::pair<unsigned, unsigned>> inPlace;
};

} // namespace moe::kernels
