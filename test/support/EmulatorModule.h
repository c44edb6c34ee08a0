// The module of the emulator's tests: the kernels of EmulatorKernels.cpp with their parameters, and sites that name themselves.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace moe::emu {
struct ModuleT;
}

namespace moert::test {

/// A size-prefixed buffer for cuModuleLoadData; `change` can spoil it before.
std::vector<uint8_t> emulatorModule(const std::function<void(moe::emu::ModuleT &)> &change = {});

} // namespace moert::test
