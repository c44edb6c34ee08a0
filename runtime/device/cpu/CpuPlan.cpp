// A bound plan on the CPU. Binding turns every launch into a function, an array of pointers and an array of
// scalars. Nothing below `run` allocates.
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/device/cpu/KernelCode.h"

#include <chrono>
#include <cstring>

namespace moert {
namespace {

class CpuPlan final : public BoundPlan {
public:
  CpuPlan(PlanSource source, Device &device, CpuWorkers &workers, int64_t distance)
      : source_(std::move(source)), device_(device), workers_(workers), distance_(distance),
        target_(*source_.program->table().targets()->Get(source_.target)) {}

  Status bind();
  std::span<const RunScalar> runScalars() const override { return runScalars_; }
  Status run(size_t begin, size_t end, std::span<const int64_t> scalars) override;
  Status release() override {
    held_ = false;
    return {};
  }
  Status poisonScratch() override;

private:
  struct Call {
    KernelFunction function; // null for a copy or fill
    void *const *buffers;
    const int64_t *scalars;
    int64_t units, grain;
    bool writesStates;
    uint64_t bytes, bits; // of a copy or fill: what it writes; of a fill: the value of an element
    uint32_t element;     // bytes of one
  };
  const fb::Launch &launch(size_t i) const { return launchOf(*source_.plan, i); }
  void *pointer(DeviceAddress address) const { return reinterpret_cast<void *>(address + distance_); }
  void link();
  void call(const Call &call);
  void transfer(const Call &call);

  PlanSource source_;
  Device &device_;
  CpuWorkers &workers_;
  int64_t distance_;
  const fb::Target &target_;
  std::unique_ptr<KernelCode> code_;
  std::vector<Call> calls_;
  std::vector<void *> pointers_;
  std::vector<int64_t> slots_;
  std::vector<RunScalar> runScalars_;
  std::vector<int64_t *> runSlots_;
  DeviceAddress arena_ = 0; // what pointers_ refer to
  bool held_ = false;
};

Status CpuPlan::bind() {
  const Program &program = *source_.program;
  MOERT_ASSIGN(code_, KernelCode::map(program, source_.target));
  const size_t launches = source_.layout->launches.size();
  size_t pointers = 0, slots = 0;
  for (size_t i = 0; i < launches; ++i) {
    pointers += launch(i).buffers()->size();
    slots += launch(i).scalars()->size();
  }
  pointers_.resize(pointers);
  slots_.resize(slots);
  void **pointer = pointers_.data();
  int64_t *slot = slots_.data();
  for (size_t i = 0; i < launches; ++i) {
    const fb::Launch &row = launch(i);
    const LaunchLayout &layout = source_.layout->launches[i];
    Call call = {};
    call.buffers = pointer;
    call.scalars = slot;
    call.units = layout.units;
    for (unsigned j = 0; j < row.buffers()->size(); ++j)
      call.writesStates |=
          writes(target_, row, j) &&
          source_.plan->buffers()->Get(row.buffers()->Get(j))->kind() == fb::BufferKind::state;
    if (const fb::CpuKernel *work = row.work_as_CpuKernel()) {
      call.function = code_->function(kernelOf(target_, row)->symbol()->string_view());
      call.grain = work->grain();
    } else {
      call.element = uint32_t(elementBytes(source_.plan->buffers()->Get(row.buffers()->Get(0))->type()));
      call.bytes = uint64_t(layout.extents[0]) * call.element;
      if (const fb::Fill *work = row.work_as_Fill())
        call.bits = work->bits();
    }
    calls_.push_back(call);
    pointer += row.buffers()->size();
    for (const fb::Arg *arg : *row.scalars()) {
      switch (arg->kind()) {
      case fb::ArgKind::constant_i64:
      case fb::ArgKind::constant_f32:
        *slot = arg->value();
        break;
      case fb::ArgKind::extent: // the layout evaluated it before
        *slot = *program.evaluate(uint32_t(arg->value()), source_.binding);
        break;
      case fb::ArgKind::scalar_f32:
      case fb::ArgKind::step_i64:
      case fb::ArgKind::seed_i64:
      case fb::ArgKind::held_i64: // never of a CPU kernel, which V22 says
        runScalars_.push_back({arg->kind(), uint32_t(arg->value())});
        runSlots_.push_back(slot);
        break;
      }
      ++slot;
    }
  }
  link();
  return {};
}

/// Points every launch at its buffers. The arena moves when another session of the device needs a larger one.
void CpuPlan::link() {
  arena_ = device_.arena();
  void **at = pointers_.data();
  for (size_t i = 0; i < calls_.size(); ++i)
    for (uint32_t buffer : *launch(i).buffers()) {
      const BufferLayout &layout = source_.layout->buffers[buffer];
      *at++ = pointer(layout.place == Place::arena ? arena_ + layout.offset : source_.buffers[buffer]);
    }
}

/// Adds the time of its life to a thread's work.
class TimedWork {
public:
  TimedWork(CpuWorkers &workers, int thread) : workers_(workers), thread_(thread), start_(Clock::now()) {}
  ~TimedWork() { workers_.addWork(thread_, std::chrono::duration<double>(Clock::now() - start_).count()); }

private:
  using Clock = std::chrono::steady_clock;
  CpuWorkers &workers_;
  int thread_;
  Clock::time_point start_;
};

void CpuPlan::transfer(const Call &call) {
  std::optional<TimedWork> timed;
  if (workers_.timesWork())
    timed.emplace(workers_, 0);
  auto *to = static_cast<std::byte *>(call.buffers[0]);
  if (launch(size_t(&call - calls_.data())).work_type() == fb::Work::Copy)
    memcpy(to, call.buffers[1], call.bytes);
  else if (call.bits == 0)
    memset(to, 0, call.bytes);
  else
    for (uint64_t at = 0; at < call.bytes; at += call.element)
      memcpy(to + at, &call.bits, call.element);
}

void CpuPlan::call(const Call &call) {
  if (!call.function)
    return transfer(call);
  struct Context {
    const Call &call;
    CpuWorkers &workers;
  } context{call, workers_};
  ThreadPool::Body body = [](void *raw, int thread, int64_t begin, int64_t end) {
    auto &[call, workers] = *static_cast<Context *>(raw);
    call.function(call.buffers, call.scalars, begin, end, workers.scratch(thread));
  };
  ThreadPool::Body timedBody = [](void *raw, int thread, int64_t begin, int64_t end) {
    auto &[call, workers] = *static_cast<Context *>(raw);
    TimedWork timed(workers, thread);
    call.function(call.buffers, call.scalars, begin, end, workers.scratch(thread));
  };
  workers_.pool().run(call.units, call.grain, workers_.timesWork() ? timedBody : body, &context);
}

Status CpuPlan::run(size_t begin, size_t end, std::span<const int64_t> scalars) {
  if (device_.arena() != arena_)
    link();
  for (size_t i = 0; i < runSlots_.size(); ++i)
    *runSlots_[i] = scalars[i];
  for (size_t i = begin; i < end; ++i)
    if (!held_ || !calls_[i].writesStates)
      call(calls_[i]);
  if (end == calls_.size())
    for (DeviceAddress predicate : source_.predicates) {
      float updated;
      memcpy(&updated, pointer(predicate), sizeof updated);
      held_ |= updated == 0;
    }
  return {};
}

Status CpuPlan::poisonScratch() {
  const uint32_t pattern = 0x7FC0DEAD; // a quiet NaN
  for (int thread = 0; thread < workers_.threads(); ++thread)
    for (uint64_t at = 0; at + sizeof pattern <= source_.layout->scratch; at += sizeof pattern)
      memcpy(workers_.scratch(thread) + at, &pattern, sizeof pattern);
  return {};
}

} // namespace

Result<std::unique_ptr<BoundPlan>> bindCpuPlan(PlanSource source, Device &device, CpuWorkers &workers,
                                               int64_t distance) {
  auto plan = std::make_unique<CpuPlan>(std::move(source), device, workers, distance);
  MOERT_TRY(plan->bind());
  return std::unique_ptr<BoundPlan>(std::move(plan));
}

} // namespace moert
