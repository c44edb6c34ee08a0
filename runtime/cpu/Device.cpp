// The CPU's threads and shared memory.
#include "runtime/cpu/Device.h"

#include <sched.h>
#include <unistd.h>

namespace moert {

Result<std::shared_ptr<Device>> Device::create(int threads) {
  constexpr int maxThreads = 1024;
  if (threads < 0 || threads > maxThreads)
    return Status(Code::usage, concat("expected 1 to ", maxThreads, " threads, found ", threads));
  if (threads == 0) {
    cpu_set_t cpus;
    threads =
        sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : int(sysconf(_SC_NPROCESSORS_ONLN));
  }
  std::shared_ptr<Device> device(new Device(threads < 1 ? 1 : threads));
  if (device->threads() < threads)
    return invalidInput("expected to start ", threads, " threads, could start ", device->threads(),
                        ": a limit of the system (ulimit -u, ulimit -v, a container's) or memory; use ",
                        "--threads with a smaller number");
  return device;
}

Status Device::reserve(size_t arenaBytes, size_t scratchBytesAThread) {
  if (arenaBytes > arena_.size())
    MOERT_TRY(arena_.allocate(arenaBytes));
  if (scratchBytesAThread > scratchStride_) {
    constexpr size_t page = 4096; // threads' scratch on pages of their own: no line is shared
    size_t stride = (scratchBytesAThread + page - 1) / page * page;
    MOERT_TRY(scratch_.allocate(stride * size_t(threads())));
    scratchStride_ = stride; // not before the memory is there: a failure leaves what sessions run on
  }
  return {};
}

} // namespace moert
