// A session on the CPU. Opening turns every launch into a function, an array of pointers and an array of
// scalars that lie next to each other in memory; a run patches the few scalars that differ from the last one
// and calls the functions in order. Nothing below `run` allocates, except to word a failure.
#include "runtime/session/Session.h"
#include "runtime/base/Nearest.h"
#include "runtime/cpu/KernelCode.h"
#include "runtime/session/Checks.h"
#include "runtime/session/Layout.h"

#include <chrono>
#include <cstring>

namespace moert {

namespace {

struct Call {
  KernelFunction function;
  void *const *buffers;
  const int64_t *scalars;
  int64_t units, grain;
};

/// A scalar that is known at a run only.
struct Patch {
  int64_t *slot;
  fb::ArgKind kind;
  uint32_t scalar;
};

int64_t floatBits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return int64_t(bits);
}

class CpuSession final : public Session {
public:
  CpuSession(std::shared_ptr<const Program> program, std::shared_ptr<States> states,
             std::shared_ptr<Device> device, const fb::Entry &entry, Binding binding, Options options)
      : program_(std::move(program)), states_(std::move(states)), device_(std::move(device)), entry_(entry),
        binding_(binding), options_(options), seed_(options.seed) {}

  Status open();

  const fb::Entry &entry() const override { return entry_; }
  Binding binding() const override { return binding_; }
  Result<Tensor> input(std::string_view name) const override {
    return port(name, *entry_.inputs(), inputs_, "input");
  }
  Result<Tensor> output(std::string_view name) const override {
    return port(name, *entry_.outputs(), outputs_, "output");
  }
  Status setScalar(std::string_view key, double value) override;
  void setSeed(uint64_t seed) override { seed_ = seed; }
  Status run(const Step &step) override;
  MemoryUse memory() const override;
  const Profile &profile() const override { return profile_; }
  void resetProfile() override;

private:
  Status placePorts();
  void bindLaunches();
  void link();
  void *address(unsigned buffer) const;
  void patchScalars(const Step &step);
  Status runLaunches(size_t begin, size_t end, const Step &step);
  void call(const Call &call);
  Result<Tensor> port(std::string_view name, const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> &ports,
                      const std::vector<Tensor> &tensors, const char *what) const;
  const fb::Launch &launchRow(size_t i) const {
    return i < prepares_ ? *plan_->prepare()->Get(unsigned(i)) : *plan_->step()->Get(unsigned(i - prepares_));
  }

  std::shared_ptr<const Program> program_;
  std::shared_ptr<States> states_;
  std::shared_ptr<Device> device_;
  const fb::Entry &entry_;
  Binding binding_;
  Options options_;
  uint64_t seed_;

  const fb::Target *target_ = nullptr;
  const fb::Plan *plan_ = nullptr;
  size_t prepares_ = 0;
  std::unique_ptr<KernelCode> code_;
  Layout layout_;
  Memory ports_, prepared_;
  Memory before_; // under trapNan: the states before a training step, which a failure puts back
  std::vector<Tensor> inputs_, outputs_;
  std::vector<float> scalars_; // of the program's table
  std::vector<Call> calls_;
  std::vector<void *> pointers_;
  std::vector<int64_t> slots_;
  std::vector<Patch> patches_;
  std::byte *arena_ = nullptr; // what pointers_ refer to
  uint64_t preparedVersion_ = 0;
  Checks checks_;
  Profile profile_;
};

Status CpuSession::open() {
  MOERT_ASSIGN(uint32_t target, chooseTarget(*program_, cpuFeatures()));
  target_ = program_->table().targets()->Get(target);
  plan_ = &program_->plan(*target_, entry_);
  prepares_ = plan_->prepare()->size();
  MOERT_ASSIGN(layout_, layOut(*program_, *target_, *plan_, binding_));
  MOERT_ASSIGN(code_, KernelCode::map(*program_, target));
  MOERT_TRY(device_->reserve(layout_.memory.arena, layout_.scratch));
  MOERT_TRY(prepared_.allocate(layout_.memory.prepared));
  MOERT_TRY(placePorts());
  for (const fb::Scalar *scalar : *program_->table().scalars())
    scalars_.push_back(float(scalar->fallback()));
  bindLaunches();
  link();
  if (options_.trapNan && entry_.kind() == fb::EntryKind::train)
    MOERT_TRY(before_.allocate(states_->bytes()));
  checks_ = Checks(*target_, *plan_, layout_, options_.poison, options_.trapNan);
  if (options_.profile)
    resetProfile();
  return {};
}

Status CpuSession::placePorts() {
  auto padded = [](uint64_t bytes) { return (bytes + 63) / 64 * 64; };
  uint64_t total = 0;
  for (const auto *list : {&layout_.inputs, &layout_.outputs})
    for (uint64_t bytes : *list)
      total += padded(bytes);
  MOERT_TRY(ports_.allocate(total));
  std::byte *at = ports_.data();
  auto place = [&](const auto &rows, const std::vector<uint64_t> &sizes,
                   std::vector<Tensor> &tensors) -> Status {
    for (unsigned i = 0; i < rows.size(); ++i) {
      Tensor tensor;
      tensor.type = rows.Get(i)->type();
      MOERT_ASSIGN(tensor.shape, program_->shape(*rows.Get(i), binding_));
      tensor.bytes = {at, sizes[i]};
      at += padded(sizes[i]);
      tensors.push_back(std::move(tensor));
    }
    return {};
  };
  MOERT_TRY(place(*entry_.inputs(), layout_.inputs, inputs_));
  return place(*entry_.outputs(), layout_.outputs, outputs_);
}

void CpuSession::bindLaunches() {
  size_t pointers = 0, slots = 0;
  for (size_t i = 0; i < layout_.launches.size(); ++i) {
    pointers += launchRow(i).buffers()->size();
    slots += launchRow(i).scalars()->size();
  }
  pointers_.resize(pointers);
  slots_.resize(slots);
  void **pointer = pointers_.data();
  int64_t *slot = slots_.data();
  for (size_t i = 0; i < layout_.launches.size(); ++i) {
    const fb::Launch &row = launchRow(i);
    const fb::Kernel &kernel = *target_->kernels()->Get(row.kernel());
    calls_.push_back({code_->function(kernel.symbol()->string_view()), pointer, slot,
                      layout_.launches[i].units, int64_t(row.grain())});
    pointer += row.buffers()->size();
    for (const fb::Arg *arg : *row.scalars()) {
      switch (arg->kind()) {
      case fb::ArgKind::constant_i64:
      case fb::ArgKind::constant_f32:
        *slot = arg->value();
        break;
      case fb::ArgKind::extent: // layOut evaluated it before
        *slot = *program_->evaluate(uint32_t(arg->value()), binding_);
        break;
      case fb::ArgKind::scalar_f32:
      case fb::ArgKind::step_i64:
      case fb::ArgKind::seed_i64:
        patches_.push_back({slot, arg->kind(), uint32_t(arg->value())});
        break;
      }
      ++slot;
    }
  }
}

void *CpuSession::address(unsigned buffer) const {
  const BufferLayout &layout = layout_.buffers[buffer];
  switch (layout.place) {
  case Place::state:
    return states_->tensor(layout.index).bytes.data();
  case Place::input:
    return inputs_[layout.index].bytes.data();
  case Place::output:
    return outputs_[layout.index].bytes.data();
  case Place::constant: // kernels only read it: V24
    return const_cast<uint8_t *>(program_->section(target_->data()).data()) + layout.offset;
  case Place::arena:
    return arena_ + layout.offset;
  case Place::prepared:
    return prepared_.data() + layout.offset;
  }
  return nullptr;
}

/// Points every launch at its buffers. The arena moves when another session of the device needed a larger
/// one.
void CpuSession::link() {
  arena_ = device_->arena();
  void **pointer = pointers_.data();
  for (size_t i = 0; i < calls_.size(); ++i)
    for (uint32_t buffer : *launchRow(i).buffers())
      *pointer++ = address(buffer);
}

void CpuSession::patchScalars(const Step &step) {
  for (const Patch &patch : patches_) {
    switch (patch.kind) {
    case fb::ArgKind::step_i64:
      *patch.slot = int64_t(step.step);
      break;
    case fb::ArgKind::seed_i64:
      *patch.slot = int64_t(seed_);
      break;
    default:
      switch (program_->table().scalars()->Get(patch.scalar)->kind()) {
      case fb::ScalarKind::recipe:
        *patch.slot = floatBits(scalars_[patch.scalar]);
        break;
      case fb::ScalarKind::step:
        *patch.slot = floatBits(float(step.step));
        break;
      case fb::ScalarKind::progress:
        *patch.slot = floatBits(float(step.progress));
        break;
      }
    }
  }
}

void CpuSession::call(const Call &call) {
  struct Context {
    const Call &call;
    Device &device;
  } context{call, *device_};
  device_->pool().run(
      call.units, call.grain,
      [](void *raw, int thread, int64_t begin, int64_t end) {
        auto &[call, device] = *static_cast<Context *>(raw);
        call.function(call.buffers, call.scalars, begin, end, device.scratch(thread));
      },
      &context);
}

Status CpuSession::runLaunches(size_t begin, size_t end, const Step &step) {
  using Clock = std::chrono::steady_clock;
  for (size_t i = begin; i < end; ++i) {
    if (checks_.active())
      checks_.before(i, pointers_.data(), *device_);
    if (options_.profile) {
      Clock::time_point start = Clock::now();
      call(calls_[i]);
      profile_.launches[i].seconds += std::chrono::duration<double>(Clock::now() - start).count();
      ++profile_.launches[i].runs;
    } else {
      call(calls_[i]);
    }
    if (checks_.active())
      MOERT_TRY(checks_.after(i, pointers_.data(), step.step));
  }
  return {};
}

Status CpuSession::run(const Step &step) {
  if (device_->arena() != arena_)
    link();
  patchScalars(step);
  if (before_.size())
    memcpy(before_.data(), states_->block().data(), states_->bytes());
  if (preparedVersion_ != states_->version()) {
    MOERT_TRY(runLaunches(0, prepares_, step));
    preparedVersion_ = states_->version();
  }
  Status status = runLaunches(prepares_, calls_.size(), step);
  if (!status.ok() && before_.size()) // some launches may have written new values, others not
    memcpy(states_->block().data(), before_.data(), states_->bytes());
  if (entry_.kind() == fb::EntryKind::train)
    states_->touch();
  ++profile_.runs;
  return status;
}

Result<Tensor> CpuSession::port(std::string_view name,
                                const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> &ports,
                                const std::vector<Tensor> &tensors, const char *what) const {
  std::vector<std::string> names;
  for (unsigned i = 0; i < ports.size(); ++i) {
    if (ports.Get(i)->name()->string_view() == name)
      return tensors[i];
    names.push_back(ports.Get(i)->name()->str());
  }
  return invalidInput("expected an ", what, " of entry '", entry_.name()->string_view(), "', found '", name,
                      "'", suggestion(name, names));
}

Status CpuSession::setScalar(std::string_view key, double value) {
  const auto &rows = *program_->table().scalars();
  std::vector<std::string> keys;
  for (unsigned i = 0; i < rows.size(); ++i) {
    if (rows.Get(i)->kind() != fb::ScalarKind::recipe)
      continue;
    if (rows.Get(i)->key()->string_view() == key) {
      scalars_[i] = float(value);
      return {};
    }
    keys.push_back(rows.Get(i)->key()->str());
  }
  return invalidInput("expected a number of the program's, found '", key, "'", suggestion(key, keys));
}

Session::MemoryUse CpuSession::memory() const {
  MemoryUse use = layout_.memory;
  use.state = states_->bytes();
  use.scratch = device_->scratchBytes();
  return use;
}

void CpuSession::resetProfile() {
  profile_ = Profile();
  if (!options_.profile)
    return;
  for (size_t i = 0; i < calls_.size(); ++i) {
    const fb::Launch &row = launchRow(i);
    const fb::Kernel &kernel = *target_->kernels()->Get(row.kernel());
    auto text = [](const flatbuffers::String *string) { return string ? string->str() : std::string(); };
    profile_.launches.push_back({text(kernel.symbol()), text(kernel.kind()), text(row.op()), text(row.path()),
                                 0, 0, layout_.launches[i].flops, layout_.launches[i].bytes});
  }
}

} // namespace

Result<float> Session::scalarOutput(std::string_view name) const {
  MOERT_ASSIGN(Tensor tensor, output(name));
  if (tensor.type != fb::ElementType::f32 || tensor.elements() != 1)
    return invalidInput("expected output '", name, "' to be one f32, found ", tensor.elements(), " of ",
                        elementName(tensor.type));
  return tensor.as<float>()[0];
}

Result<std::unique_ptr<Session>> Session::open(std::shared_ptr<const Program> program,
                                               std::shared_ptr<States> states, std::shared_ptr<Device> device,
                                               std::string_view entry, Binding binding, Options options) {
  if (&states->program() != program.get())
    return internalError("a session's states must be of its own program");
  MOERT_ASSIGN(const fb::Entry *found, program->entry(entry));
  auto session = std::make_unique<CpuSession>(std::move(program), std::move(states), std::move(device),
                                              *found, binding, options);
  MOERT_TRY(session->open());
  return std::unique_ptr<Session>(std::move(session));
}

} // namespace moert
