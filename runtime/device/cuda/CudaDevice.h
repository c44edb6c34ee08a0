// GPUs by CUDA's driver, real or emulated. One stream does everything in the order in which it was asked for; the host
// waits only where someone asks `wait`. Temporaries are in reserved address space, which grows by mapping and never
// moves, so that what was recorded of a plan stays right.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cuda/Driver.h"

#include <array>
#include <string_view>

namespace moert {

/// The first GPU that the process sees. `threads` must be 0: no thread of the host runs kernels.
Result<std::shared_ptr<Device>> openCuda(int threads);
/// The emulator's GPU, whose kernels run on `threads` threads of the host; 0: as many as there are cores.
Result<std::shared_ptr<Device>> openEmulator(int threads);

namespace cuda {

/// The shared object of the emulator, which lies beside this process's executable or in the folder `lib` next to that
/// one's. A failure says where it was looked for.
Result<std::string> emulatorPath();

/// A device on a driver, for whose kind of target programs are to have code.
Result<std::shared_ptr<Device>> openDevice(std::shared_ptr<const Driver> driver, fb::TargetKind kind);

/// The architectures that moec makes code for (passes/cuda/code/Architecture.h has what the compiler knows of them): what
/// can be compiled for a GPU that a program has no code for.
inline constexpr std::array<std::string_view, 3> kArchitectures = {"sm_80", "sm_90a", "sm_100a"};

/// Whether a GPU of a compute capability runs code of an architecture, as NVIDIA names them: sm_80 runs on 8.x from 8.0
/// on, sm_90a on 9.0 alone ("Application Compatibility" in the CUDA C++ Programming Guide).
bool runsOn(std::string_view architecture, int major, int minor);

} // namespace cuda

} // namespace moert
