// The code of a target, loaded into a driver's current context. The section of a `cuda:` target has a file of machine
// code for each kernel (cubins.fbs), and the section of an `emulator:` target is one module of the emulator's.
#pragma once

#include "runtime/device/cuda/Driver.h"
#include "runtime/program/Program.h"

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moert::cuda {

class Module {
public:
  static Result<std::shared_ptr<Module>> load(std::shared_ptr<const Driver> driver, const Program &program,
                                              uint32_t target);
  /// The section must live as long as the module. A section that is damaged, or not for this GPU, is invalid_input.
  static Result<std::shared_ptr<Module>> load(std::shared_ptr<const Driver> driver, fb::TargetKind kind,
                                              std::span<const uint8_t> section);
  ~Module();
  Module(const Module &) = delete;
  Result<CUfunction> function(std::string_view symbol) const;
  /// Lets launches of a function have `bytes` of dynamic shared memory, of the `most` that a block can have. All sessions of a
  /// program share the function, so what one of them may have stays. `where` begins messages.
  Status allowShared(CUfunction function, unsigned bytes, uint64_t most, const std::string &where);

private:
  explicit Module(std::shared_ptr<const Driver> driver) : driver_(std::move(driver)) {}
  Status add(const void *image, CUmodule &module);
  std::shared_ptr<const Driver> driver_;
  std::vector<CUmodule> modules_;
  std::map<CUfunction, unsigned> shared_;         // dynamic, that launches may have
  std::map<std::string_view, CUmodule> byKernel_; // `cuda:`; otherwise there is one module
};

} // namespace moert::cuda
