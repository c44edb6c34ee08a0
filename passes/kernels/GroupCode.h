// The result of emitting a group: kernels, and launches that call them on the group's operands, results and
// temporaries. Planning then decides which buffers these are.
#pragma once
#include "dialects/flow/Extent.h"
#include "dialects/plan/Expr.h"
#include "llvm/ADT/SmallVector.h"
#include <string>
#include <vector>

namespace moe::kernels {

// What planning has to know of a kernel.
struct Kernel {
  std::string symbol, kind; // kind: "loop", "matmul", "conv", "pack", "sort", "attention": for profiles
  llvm::SmallVector<std::pair<plan::Access, plan::Element>> params;
  llvm::SmallVector<plan::ScalarParam> scalars;
  uint64_t scratch = 0; // of a CPU kernel: bytes a thread, a multiple of 64
  uint32_t threads = 0; // of a GPU kernel: the most threads of a block
};

// The argument for a kernel's buffer parameter: an operand or result of the group, or one of its temporaries.
struct BufferRef {
  enum Kind { operand, result, temporary } kind;
  unsigned index;
};
struct Temporary {
  plan::Element element;
  plan::ExprAttr extent; // elements
  std::string name;      // for reports: "packed weight"
};
struct LaunchSpec {
  std::string symbol;                        // of the kernel; empty for a copy or fill
  llvm::SmallVector<BufferRef> buffers;      // one a parameter of the kernel
  llvm::SmallVector<plan::ExprAttr> extents; // elements that may be touched, one a buffer
  llvm::SmallVector<plan::ArgAttr> scalars;
  mlir::Attribute work; // plan::CpuWorkAttr, GpuWorkAttr, CopyWorkAttr or FillWorkAttr
  plan::ExprAttr flops, bytes;
  std::string op; // what the launch does, for profiles: "conv", "pack", "reduce"
};
// Launches run in order, and each may read what earlier ones wrote. Planning may move launches that read only
// parameters, such as the packing of a weight, into `prepare`.
struct GroupCode {
  // Adds a temporary, of f32 unless another element is given.
  BufferRef addTemporary(const flow::Extent &elements, llvm::StringRef name,
                         plan::Element element = plan::Element::f32);

  std::vector<Temporary> temporaries;
  std::vector<LaunchSpec> launches;
  // Result `first` may be written to the buffer of operand `second`: every element is read, by the same work
  // unit, before it is overwritten.
  llvm::SmallVector<std::pair<unsigned, unsigned>> inPlace;
};

} // namespace moe::kernels
