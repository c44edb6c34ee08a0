// The CPU's threads and shared memory.
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/device/cpu/KernelCode.h"

#include <cstring>
#include <map>
#include <sched.h>
#include <unistd.h>

namespace moert {

Result<std::unique_ptr<CpuWorkers>> startWorkers(int threads) {
  constexpr int maxThreads = 1024;
  if (threads < 0 || threads > maxThreads)
    return Status(Code::usage, concat("expected 1 to ", maxThreads, " threads, found ", threads));
  if (threads == 0) {
    cpu_set_t cpus;
    threads =
        sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : int(sysconf(_SC_NPROCESSORS_ONLN));
  }
  auto workers = std::make_unique<CpuWorkers>(threads < 1 ? 1 : threads);
  if (workers->threads() < threads)
    return invalidInput("expected to start ", threads, " threads, could start ", workers->threads(),
                        ": a limit of the system (ulimit -u, ulimit -v, a container's) or memory; use ",
                        "--threads with a smaller number");
  return workers;
}

Status CpuWorkers::reserve(uint64_t scratchBytesAThread) {
  if (scratchBytesAThread <= stride_)
    return {};
  constexpr size_t page = 4096; // threads' scratch on pages of their own: no line is shared
  size_t stride = (scratchBytesAThread + page - 1) / page * page;
  MOERT_TRY(scratch_.allocate(stride * size_t(threads())));
  stride_ = stride; // not before the memory is there: a failure leaves what sessions run on
  return {};
}

void CpuWorkers::timeWork() {
  if (!timesWork())
    busy_.resize(size_t(threads()));
}

std::optional<double> CpuWorkers::busySeconds() const {
  if (!timesWork())
    return std::nullopt;
  double sum = 0;
  for (const Work &work : busy_)
    sum += work.seconds;
  return sum;
}

namespace {

class CpuDevice final : public Device {
public:
  explicit CpuDevice(std::unique_ptr<CpuWorkers> workers) : workers_(std::move(workers)) {}

  std::string_view name() const override { return "cpu"; }
  int threads() const override { return workers_->threads(); }
  void timeWork() override { workers_->timeWork(); }
  std::optional<double> busySeconds() const override { return workers_->busySeconds(); }
  Result<uint32_t> chooseTarget(const Program &program) const override {
    return moert::chooseTarget(program, cpuFeatures());
  }
  int stepsInFlight() const override { return 1; }

  Status reserve(uint64_t arenaBytes, uint64_t scratchBytesAThread) override {
    if (arenaBytes > arena_.size())
      MOERT_TRY(arena_.allocate(arenaBytes));
    return workers_->reserve(scratchBytesAThread);
  }
  DeviceAddress arena() const override { return addressOf(arena_.data()); }
  uint64_t scratchBytes() const override { return workers_->scratchBytes(); }
  std::span<std::byte> shared(DeviceAddress address, uint64_t bytes) override {
    return {pointer(address), bytes};
  }

  Status write(DeviceAddress to, std::span<const std::byte> from) override {
    memcpy(pointer(to), from.data(), from.size());
    return {};
  }
  Status read(std::span<std::byte> to, DeviceAddress from) override {
    memcpy(to.data(), pointer(from), to.size());
    return {};
  }
  Status copy(DeviceAddress to, DeviceAddress from, uint64_t bytes) override {
    memcpy(pointer(to), pointer(from), bytes);
    return {};
  }
  Result<std::unique_ptr<BoundPlan>> bind(PlanSource source) override {
    return bindCpuPlan(std::move(source), *this, *workers_, /*distance=*/0);
  }
  Ticket mark() override { return 0; }
  Status wait(Ticket) override { return {}; }

protected:
  Result<DeviceAddress> take(uint64_t bytes) override {
    Memory memory;
    MOERT_TRY(memory.allocate(bytes));
    DeviceAddress address = addressOf(memory.data());
    blocks_[address] = std::move(memory);
    return address;
  }
  void giveBack(DeviceAddress address, uint64_t) override { blocks_.erase(address); }

private:
  static DeviceAddress addressOf(std::byte *pointer) { return reinterpret_cast<DeviceAddress>(pointer); }
  static std::byte *pointer(DeviceAddress address) { return reinterpret_cast<std::byte *>(address); }

  std::unique_ptr<CpuWorkers> workers_;
  Memory arena_;
  std::map<DeviceAddress, Memory> blocks_;
};

} // namespace

Result<std::shared_ptr<Device>> openCpu(int threads) {
  MOERT_ASSIGN(std::unique_ptr<CpuWorkers> workers, startWorkers(threads));
  return std::shared_ptr<Device>(std::make_shared<CpuDevice>(std::move(workers)));
}

} // namespace moert
