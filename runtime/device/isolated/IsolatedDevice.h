// A device for tests: kernels of the CPU, but memory that the host cannot touch except by copies, and work
// that is done as late as possible, namely when somebody waits for it. So a run on it fails where the runtime
// uses device memory as its own, changes what a copy is still to read, or reads what has not been computed
// yet; on a GPU such faults show now and then.
#pragma once

#include "runtime/device/Device.h"

namespace moert {

Result<std::shared_ptr<Device>> openIsolated(int threads = 0);

} // namespace moert
