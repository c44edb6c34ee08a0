// A queue of what was asked for, and memory at addresses that nothing may access.
#include "runtime/device/isolated/IsolatedDevice.h"
#include "runtime/device/ShadowMemory.h"
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/device/cpu/KernelCode.h"

#include <cstring>
#include <deque>
#include <functional>

namespace moert {
namespace {

class IsolatedDevice final : public Device {
public:
  IsolatedDevice(std::unique_ptr<CpuWorkers> workers, std::unique_ptr<ShadowMemory> memory)
      : workers_(std::move(workers)), memory_(std::move(memory)) {}

  std::string_view name() const override { return "isolated"; }
  int threads() const override { return workers_->threads(); }
  void timeWork() override { workers_->timeWork(); }
  std::optional<double> busySeconds() const override { return workers_->busySeconds(); }
  Result<uint32_t> chooseTarget(const Program &program) const override {
    return moert::chooseTarget(program, cpuFeatures());
  }
  int stepsInFlight() const override { return 2; }

  Status reserve(uint64_t arenaBytes, uint64_t scratchBytesAThread) override {
    MOERT_TRY(finish());
    if (arenaBytes > arenaBytes_) {
      MOERT_ASSIGN(uint64_t larger, memory_->allocate(arenaBytes));
      if (arena_)
        memory_->release(arena_);
      arena_ = larger;
      arenaBytes_ = arenaBytes;
    }
    return workers_->reserve(scratchBytesAThread);
  }
  DeviceAddress arena() const override { return arena_; }
  uint64_t scratchBytes() const override { return workers_->scratchBytes(); }

  Status write(DeviceAddress to, std::span<const std::byte> from) override {
    return add([this, to, from]() -> Status {
      memcpy(memory_->bytes(to), from.data(), from.size());
      return {};
    });
  }
  Status read(std::span<std::byte> to, DeviceAddress from) override {
    return add([this, to, from]() -> Status {
      memcpy(to.data(), memory_->bytes(from), to.size());
      return {};
    });
  }
  Status copy(DeviceAddress to, DeviceAddress from, uint64_t bytes) override {
    return add([this, to, from, bytes]() -> Status {
      memcpy(memory_->bytes(to), memory_->bytes(from), bytes);
      return {};
    });
  }
  Result<std::unique_ptr<BoundPlan>> bind(PlanSource source) override;

  Ticket mark() override { return asked_; }
  Status wait(Ticket ticket) override {
    while (done_ < ticket) {
      std::function<Status()> next = std::move(queue_.front());
      queue_.pop_front();
      ++done_;
      if (failure_.ok())
        failure_ = next();
    }
    return failure_;
  }

  Status add(std::function<Status()> work) {
    queue_.push_back(std::move(work));
    ++asked_;
    return {};
  }

protected:
  Result<DeviceAddress> take(uint64_t bytes) override { return memory_->allocate(bytes); }
  void giveBack(DeviceAddress address, uint64_t) override {
    (void)finish(); // what has failed was to be reported to whoever waited for it
    memory_->release(address);
  }

private:
  std::unique_ptr<CpuWorkers> workers_;
  std::unique_ptr<ShadowMemory> memory_;
  DeviceAddress arena_ = 0;
  uint64_t arenaBytes_ = 0;
  std::deque<std::function<Status()>> queue_;
  Ticket asked_ = 0, done_ = 0;
  Status failure_;
};

class IsolatedPlan final : public BoundPlan {
public:
  IsolatedPlan(std::unique_ptr<BoundPlan> plan, IsolatedDevice &device)
      : plan_(std::move(plan)), device_(device) {}
  ~IsolatedPlan() override { (void)device_.finish(); }

  std::span<const RunScalar> runScalars() const override { return plan_->runScalars(); }
  Status run(size_t begin, size_t end, std::span<const int64_t> scalars) override {
    return device_.add([this, begin, end, values = std::vector(scalars.begin(), scalars.end())] {
      return plan_->run(begin, end, values);
    });
  }
  Status release() override {
    return device_.add([this] { return plan_->release(); });
  }
  Status poisonScratch() override {
    return device_.add([this] { return plan_->poisonScratch(); });
  }

private:
  std::unique_ptr<BoundPlan> plan_;
  IsolatedDevice &device_;
};

Result<std::unique_ptr<BoundPlan>> IsolatedDevice::bind(PlanSource source) {
  MOERT_ASSIGN(std::unique_ptr<BoundPlan> plan,
               bindCpuPlan(std::move(source), *this, *workers_, memory_->distance()));
  return std::unique_ptr<BoundPlan>(std::make_unique<IsolatedPlan>(std::move(plan), *this));
}

} // namespace

Result<std::shared_ptr<Device>> openIsolated(int threads) {
  MOERT_ASSIGN(std::unique_ptr<CpuWorkers> workers, startWorkers(threads));
  MOERT_ASSIGN(std::unique_ptr<ShadowMemory> memory, ShadowMemory::create());
  return std::shared_ptr<Device>(std::make_shared<IsolatedDevice>(std::move(workers), std::move(memory)));
}

} // namespace moert
