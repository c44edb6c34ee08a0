// Binding looks up functions and writes down the arguments of each launch; a run writes the cells and launches a graph.
#include "runtime/device/cuda/CudaPlan.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

namespace moert::cuda {

namespace {

constexpr uint64_t kCell = 8; // bytes
constexpr size_t kSlots = 4;  // of values for cells that may be on their way at once

class Plan final : public BoundPlan {
public:
  Plan(PlanSource source, PlanHost &host, std::shared_ptr<Module> module)
      : source_(std::move(source)), host_(host), driver_(host.driver()), module_(std::move(module)),
        target_(*source_.program->table().targets()->Get(source_.target)) {}
  ~Plan() override;

  Status bind(uint64_t mostShared);
  std::span<const RunScalar> runScalars() const override { return runScalars_; }
  Status run(size_t begin, size_t end, std::span<const int64_t> scalars) override;
  Status release() override;
  Status poisonScratch() override { return {}; } // kernels' shared memory is no memory of the device's

private:
  struct Call {
    CUfunction function = nullptr; // null for a copy or fill
    std::array<unsigned, 3> grid, block;
    unsigned shared = 0;
    std::vector<uint64_t> arguments;                   // of a copy: to, from; of a fill: to
    std::vector<void *> pointers;                      // to the arguments
    std::vector<std::pair<uint64_t, uint64_t>> births; // what is made anew from here on: address and bytes
    uint64_t bytes = 0, elements = 0;
    uint32_t bits = 0;
  };
  const fb::Launch &row(size_t i) const { return launchOf(*source_.plan, i); }
  std::string where(size_t i) const { return launchText(row(i), i); }
  Result<uint64_t> argument(const fb::Arg &arg);
  uint64_t cell(fb::ArgKind kind, uint32_t scalar);
  Status submit(size_t i);
  Status refused(size_t i, Status status);
  Result<CUgraphExec> record(size_t begin, size_t end);
  Status writeCells(std::span<const int64_t> scalars);

  PlanSource source_;
  PlanHost &host_;
  const Driver &driver_;
  std::shared_ptr<Module> module_;
  const fb::Target &target_;
  std::vector<Call> calls_;
  std::vector<RunScalar> runScalars_;
  DeviceBlock cells_; // whether updates are held, then one a run scalar
  std::array<HostBlock, kSlots> values_;
  std::array<Ticket, kSlots> written_{};
  size_t nextSlot_ = 0;
  size_t firstUpdate_ =
      0; // the first launch that writes a state; of a plan without one, the number of launches
  std::map<std::pair<size_t, size_t>, CUgraphExec> graphs_; // of launches [first, second)
};

Plan::~Plan() {
  (void)host_.device().finish(); // what has failed was to be reported to whoever waited for it
  for (auto &[range, graph] : graphs_)
    driver_.graphExecDestroy(graph);
}

uint64_t Plan::cell(fb::ArgKind kind, uint32_t scalar) {
  size_t at = 0;
  while (at < runScalars_.size() && (runScalars_[at].kind != kind || runScalars_[at].scalar != scalar))
    ++at;
  return cells_.address() + (1 + at) * kCell;
}

Result<uint64_t> Plan::argument(const fb::Arg &arg) {
  switch (arg.kind()) {
  case fb::ArgKind::constant_i64:
  case fb::ArgKind::constant_f32:
    return uint64_t(arg.value());
  case fb::ArgKind::extent: {
    MOERT_ASSIGN(int64_t size, source_.program->evaluate(uint32_t(arg.value()), source_.binding));
    return uint64_t(size);
  }
  case fb::ArgKind::held_i64:
    return cells_.address();
  case fb::ArgKind::scalar_f32:
  case fb::ArgKind::step_i64:
  case fb::ArgKind::seed_i64:
    return cell(arg.kind(), arg.kind() == fb::ArgKind::scalar_f32 ? uint32_t(arg.value()) : 0);
  }
  return internalError("a launch has a scalar of an unknown kind");
}

Status Plan::bind(uint64_t mostShared) {
  const Layout &layout = *source_.layout;
  for (size_t i = 0; i < layout.launches.size(); ++i)
    for (const fb::Arg *arg : *row(i).scalars()) {
      const uint32_t scalar = arg->kind() == fb::ArgKind::scalar_f32 ? uint32_t(arg->value()) : 0;
      const bool changes = arg->kind() == fb::ArgKind::scalar_f32 || arg->kind() == fb::ArgKind::step_i64 ||
                           arg->kind() == fb::ArgKind::seed_i64;
      auto same = [&](const RunScalar &known) { return known.kind == arg->kind() && known.scalar == scalar; };
      if (changes && std::find_if(runScalars_.begin(), runScalars_.end(), same) == runScalars_.end())
        runScalars_.push_back({arg->kind(), scalar});
    }
  MOERT_ASSIGN(cells_, host_.device().allocate((1 + runScalars_.size()) * kCell));
  if (!runScalars_.empty())
    for (HostBlock &values : values_) {
      MOERT_ASSIGN(values, host_.device().allocateHost(runScalars_.size() * kCell));
    }

  const DeviceAddress arena = host_.device().arena();
  std::vector<bool> touched(layout.buffers.size());
  for (size_t i = 0; i < layout.launches.size(); ++i) {
    const fb::Launch &launch = row(i);
    Call call;
    // What a held update would have written stays as it was, and an output of it is copied to the host with the others, where
    // nobody reads it.
    const bool held = std::any_of(launch.scalars()->begin(), launch.scalars()->end(),
                                  [](const fb::Arg *arg) { return arg->kind() == fb::ArgKind::held_i64; });
    for (uint32_t buffer : *launch.buffers()) {
      const BufferLayout &place = layout.buffers[buffer];
      call.arguments.push_back(place.place == Place::arena ? arena + place.offset : source_.buffers[buffer]);
      if (place.place != Place::state && place.place != Place::input && !touched[buffer] &&
          !(held && place.place == Place::output))
        call.births.push_back({call.arguments.back(), place.bytes});
      touched[buffer] = true;
    }
    if (launch.work_type() == fb::Work::GpuKernel) {
      const fb::Kernel &kernel = *kernelOf(target_, launch);
      MOERT_ASSIGN(call.function, module_->function(kernel.symbol()->string_view()));
      call.grid = layout.launches[i].grid;
      call.block = layout.launches[i].block;
      call.shared = layout.launches[i].shared;
      for (const fb::Arg *arg : *launch.scalars()) {
        MOERT_ASSIGN(uint64_t value, argument(*arg));
        call.arguments.push_back(value);
      }
      MOERT_TRY(module_->allowShared(call.function, call.shared, mostShared, where(i)));
    } else {
      const uint32_t element =
          uint32_t(elementBytes(source_.plan->buffers()->Get(launch.buffers()->Get(0))->type()));
      call.elements = uint64_t(layout.launches[i].extents[0]);
      call.bytes = call.elements * element;
      if (const fb::Fill *fill = launch.work_as_Fill())
        call.bits = uint32_t(fill->bits()); // V30: of 4 bytes, of 1, or 0
    }
    calls_.push_back(std::move(call));
  }
  auto updates = [&](const fb::Launch &launch) {
    for (unsigned i = 0; i < launch.buffers()->size(); ++i)
      if (writes(target_, launch, i) && layout.buffers[launch.buffers()->Get(i)].place == Place::state)
        return true;
    return false;
  };
  while (firstUpdate_ < calls_.size() && !updates(row(firstUpdate_)))
    ++firstUpdate_;
  for (Call &call : calls_)
    for (uint64_t &argument : call.arguments)
      call.pointers.push_back(&argument);
  return {};
}

Status Plan::submit(size_t i) {
  Call &call = calls_[i];
  CUstream stream = host_.stream();
  CUresult result = CUDA_SUCCESS;
  // Temporaries share memory, and a run writes outputs, and values of `prepare`, again: the emulator is told that what was
  // there before is not to be read.
  if (driver_.isEmulator())
    for (auto [address, bytes] : call.births)
      MOERT_TRY(driver_.check(driver_.forget(address, bytes, stream), where(i)));
  if (call.function)
    result = driver_.launchKernel(call.function, call.grid[0], call.grid[1], call.grid[2], call.block[0],
                                  call.block[1], call.block[2], call.shared, stream, call.pointers.data(),
                                  nullptr);
  else if (row(i).work_type() == fb::Work::Copy)
    result = driver_.memcpyDtoDAsync(call.arguments[0], call.arguments[1], call.bytes, stream);
  else if (call.bits == 0 || call.bytes == call.elements)
    result =
        driver_.memsetD8Async(call.arguments[0], static_cast<unsigned char>(call.bits), call.bytes, stream);
  else
    result = driver_.memsetD32Async(call.arguments[0], call.bits, call.elements, stream);
  return driver_.check(result, where(i));
}

Result<CUgraphExec> Plan::record(size_t begin, size_t end) {
  MOERT_TRY(driver_.check(driver_.streamBeginCapture(host_.stream(), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
                          "cuStreamBeginCapture"));
  Status status;
  for (size_t i = begin; i < end && status.ok(); ++i)
    status = submit(i);
  CUgraph graph = nullptr; // ended in any case: the stream is of no use otherwise
  Status ended = driver_.check(driver_.streamEndCapture(host_.stream(), &graph), "cuStreamEndCapture");
  CUgraphExec executable = nullptr;
  if (status.ok())
    status = std::move(ended);
  if (status.ok())
    status = driver_.check(driver_.graphInstantiate(&executable, graph, 0), "cuGraphInstantiate");
  if (graph)
    driver_.graphDestroy(graph);
  MOERT_TRY(std::move(status));
  return executable;
}

/// The numbers of this run, from a slot that no earlier copy needs any more.
Status Plan::writeCells(std::span<const int64_t> scalars) {
  if (runScalars_.empty())
    return {};
  const size_t slot = nextSlot_++ % kSlots;
  MOERT_TRY(host_.device().wait(written_[slot]));
  memcpy(values_[slot].data(), scalars.data(), scalars.size_bytes());
  MOERT_TRY(host_.device().write(cells_.address() + kCell, {values_[slot].data(), scalars.size_bytes()}));
  written_[slot] = host_.device().mark();
  return {};
}

Status Plan::run(size_t begin, size_t end, std::span<const int64_t> scalars) {
  MOERT_TRY(host_.use());
  if (begin == end)
    return {};
  MOERT_TRY(writeCells(scalars));
  if (end - begin == 1) { // one at a time, as profiles and checks of launches ask
    Status status = submit(begin);
    return status.ok() ? status : refused(begin, std::move(status));
  }
  auto found = graphs_.find({begin, end});
  if (found == graphs_.end()) {
    Result<CUgraphExec> graph = record(begin, end);
    if (!graph)
      return refused(begin, graph.status());
    found = graphs_.emplace(std::pair(begin, end), *graph).first;
  }
  Status status = driver_.check(driver_.graphLaunch(found->second, host_.stream()), "cuGraphLaunch");
  return status.ok() ? status : refused(begin, std::move(status));
}

/// Launch `i` was not made. If no launch before it has written states in this step, they are as the step before left them,
/// and the failure is the step's alone: unless the device does not work any more either.
Status Plan::refused(size_t i, Status status) {
  return i <= firstUpdate_ && host_.works() ? status : host_.fail(std::move(status));
}

Status Plan::release() {
  MOERT_TRY(host_.use());
  Status status =
      driver_.check(driver_.memsetD8Async(cells_.address(), 0, kCell, host_.stream()), "cuMemsetD8Async");
  return status.ok() ? status : host_.fail(std::move(status));
}

} // namespace

Result<std::unique_ptr<BoundPlan>> bindPlan(PlanSource source, PlanHost &host, std::shared_ptr<Module> module,
                                            uint64_t mostShared) {
  auto plan = std::make_unique<Plan>(std::move(source), host, std::move(module));
  MOERT_TRY(plan->bind(mostShared));
  return std::unique_ptr<BoundPlan>(std::move(plan));
}

} // namespace moert::cuda
