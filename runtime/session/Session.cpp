// A session on any device. Launches are bound by the device; a run gives it the few scalars that differ from
// the last one. Inputs and outputs are the device's own memory where the host can use it; otherwise each step
// in flight has a copy of them on the host, its slot, and the device copies between the two in the order of
// its work.
#include "runtime/session/Session.h"
#include "runtime/base/Memory.h"
#include "runtime/base/Nearest.h"
#include "runtime/session/Checks.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>

namespace moert {

namespace {

int64_t floatBits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return int64_t(bits);
}

class BoundSession final : public Session {
public:
  BoundSession(std::shared_ptr<const Program> program, std::shared_ptr<States> states,
               std::shared_ptr<Device> device, const fb::Entry &entry, Binding binding, Options options)
      : program_(std::move(program)), states_(std::move(states)), device_(std::move(device)), entry_(entry),
        binding_(binding), options_(options), seed_(options.seed) {}
  ~BoundSession() override { (void)device_->finish(); } // slots must outlive the copies

  Status open();

  const fb::Entry &entry() const override { return entry_; }
  Binding binding() const override { return binding_; }
  Result<Tensor> input(std::string_view name) const override {
    if (inFlight_ == int(slots_.size())) // their inputs may still have to be copied
      return internalError("an input was asked for while ", inFlight_, " steps are in flight");
    return port(name, *entry_.inputs(), slots_[next_].inputs, "input");
  }
  Result<Tensor> output(std::string_view name) const override {
    return port(name, *entry_.outputs(), slots_[collected_].outputs, "output");
  }
  Status setScalar(std::string_view key, double value) override;
  void setSeed(uint64_t seed) override { seed_ = seed; }
  Status submit(const Step &step) override;
  Status collect() override;
  int inFlight() const override { return inFlight_; }
  int mostInFlight() const override { return int(slots_.size()); }
  MemoryUse memory() const override;
  const Profile &profile() const override { return profile_; }
  void resetProfile() override;

private:
  /// The inputs and outputs of a step, for the host.
  struct Slot {
    HostBlock copy; // none where the host uses the device's memory
    std::vector<Tensor> inputs, outputs;
    Ticket done = 0;
  };

  Status fitsDevice();
  Status placePorts();
  Result<std::vector<Tensor>> tensors(const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> &ports,
                                      const std::vector<uint64_t> &sizes, std::byte *at) const;
  Status bind();
  DeviceAddress address(const BufferLayout &buffer) const;
  void setRunScalars(const Step &step);
  Status runLaunches(size_t begin, size_t end, const Step &step);
  Result<bool> heldBack() const;
  Result<Tensor> port(std::string_view name, const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> &ports,
                      const std::vector<Tensor> &tensors, const char *what) const;
  const fb::Launch &launchRow(size_t i) const { return launchOf(*plan_, i); }
  size_t launches() const { return layout_.launches.size(); }

  std::shared_ptr<const Program> program_;
  std::shared_ptr<States> states_;
  std::shared_ptr<Device> device_;
  const fb::Entry &entry_;
  Binding binding_;
  Options options_;
  uint64_t seed_;

  const fb::Target *target_ = nullptr;
  const fb::Plan *plan_ = nullptr;
  uint32_t targetIndex_ = 0;
  size_t prepares_ = 0;
  Layout layout_;
  DeviceBlock ports_, prepared_;
  DeviceBlock before_;                       // under trapNan: the states before a training step
  std::vector<uint64_t> inputAt_, outputAt_; // offsets in ports_
  uint64_t inputBytes_ = 0, outputBytes_ = 0;
  std::vector<Slot> slots_;
  size_t next_ = 0, collected_ = 0; // slots
  int inFlight_ = 0;
  std::vector<float> scalars_; // of the program's table
  std::vector<int64_t> runScalars_;
  std::vector<DeviceAddress> buffers_;
  std::unique_ptr<BoundPlan> bound_;
  uint64_t preparedVersion_ = 0;
  Checks checks_;
  Profile profile_;
};

Status BoundSession::open() {
  MOERT_ASSIGN(targetIndex_, device_->chooseTarget(*program_));
  target_ = program_->table().targets()->Get(targetIndex_);
  plan_ = &program_->plan(*target_, entry_);
  prepares_ = plan_->prepare()->size();
  MOERT_ASSIGN(layout_, layOut(*program_, *target_, *plan_, binding_));
  MOERT_TRY(fitsDevice());
  MOERT_TRY(device_->reserve(layout_.memory.arena, layout_.scratch));
  MOERT_ASSIGN(prepared_, device_->allocate(layout_.memory.prepared));
  MOERT_TRY(placePorts());
  for (const fb::Scalar *scalar : *program_->table().scalars())
    scalars_.push_back(float(scalar->fallback()));
  MOERT_TRY(bind());
  const bool undoes = options_.trapNan && entry_.kind() == fb::EntryKind::train;
  MOERT_ASSIGN(before_, device_->allocate(undoes ? states_->bytes() : 0));
  checks_ = Checks(*target_, *plan_, layout_, options_.poison, options_.trapNan);
  if (options_.profile)
    resetProfile();
  return {};
}

/// Whether the device has the memory that the session is going to take, where the device can say that.
Status BoundSession::fitsDevice() {
  const std::optional<uint64_t> free = device_->freeBytes();
  const MemoryUse &use = layout_.memory;
  const uint64_t states = entry_.kind() == fb::EntryKind::train && options_.trapNan ? states_->bytes() : 0;
  const uint64_t needed = use.arena + use.prepared + use.ports + states;
  if (!free || needed <= *free)
    return {};
  std::vector<std::pair<uint64_t, std::string>> largest;
  for (size_t i = 0; i < layout_.buffers.size(); ++i) {
    const fb::Buffer &buffer = *plan_->buffers()->Get(unsigned(i));
    if (buffer.kind() == fb::BufferKind::state)
      continue;
    std::string name = buffer.name() ? buffer.name()->str() : concat("buffer ", i);
    if (buffer.kind() == fb::BufferKind::input)
      name = entry_.inputs()->Get(buffer.index())->name()->str();
    else if (buffer.kind() == fb::BufferKind::output)
      name = entry_.outputs()->Get(buffer.index())->name()->str();
    largest.push_back({layout_.buffers[i].bytes, std::move(name)});
  }
  const size_t shown = std::min<size_t>(3, largest.size());
  std::partial_sort(largest.begin(), largest.begin() + ptrdiff_t(shown), largest.end(), std::greater<>());
  auto mebibytes = [](uint64_t bytes) { return concat((bytes + (1 << 20) - 1) >> 20, " MiB"); };
  std::string names;
  for (size_t i = 0; i < shown; ++i)
    names += concat(i ? ", '" : "", i ? "" : "'", largest[i].second, "' with ", mebibytes(largest[i].first));
  return invalidInput(program_->path(), ": entry '", entry_.name()->string_view(), "' at ", binding_.domains,
                      " x ", binding_.rows, " images takes ", mebibytes(needed),
                      " beside the states (temporaries ", mebibytes(use.arena), ", inputs and outputs ",
                      mebibytes(use.ports), "), found ", mebibytes(*free),
                      " free on the device; its largest buffers: ", names,
                      "; use a smaller batch, or end what else uses the device");
}

Result<std::vector<Tensor>>
BoundSession::tensors(const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> &ports,
                      const std::vector<uint64_t> &sizes, std::byte *at) const {
  std::vector<Tensor> tensors;
  for (unsigned i = 0; i < ports.size(); ++i) {
    Tensor tensor;
    tensor.type = ports.Get(i)->type();
    MOERT_ASSIGN(tensor.shape, program_->shape(*ports.Get(i), binding_));
    tensor.bytes = {at, sizes[i]};
    at += padded(sizes[i]);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

Status BoundSession::placePorts() {
  for (uint64_t bytes : layout_.inputs) {
    inputAt_.push_back(inputBytes_);
    inputBytes_ += padded(bytes);
  }
  for (uint64_t bytes : layout_.outputs) {
    outputAt_.push_back(inputBytes_ + outputBytes_);
    outputBytes_ += padded(bytes);
  }
  const uint64_t total = inputBytes_ + outputBytes_;
  MOERT_ASSIGN(ports_, device_->allocate(total));
  std::span<std::byte> shared = device_->shared(ports_.address(), total);
  const bool copies = shared.size() != total;
  slots_.resize(copies ? size_t(std::max(options_.stepsInFlight, 1)) : 1);
  for (Slot &slot : slots_) {
    if (copies) {
      MOERT_ASSIGN(slot.copy, device_->allocateHost(total));
    }
    std::byte *at = copies ? slot.copy.data() : shared.data();
    MOERT_ASSIGN(slot.inputs, tensors(*entry_.inputs(), layout_.inputs, at));
    MOERT_ASSIGN(slot.outputs, tensors(*entry_.outputs(), layout_.outputs, at + inputBytes_));
  }
  return {};
}

DeviceAddress BoundSession::address(const BufferLayout &buffer) const {
  switch (buffer.place) {
  case Place::state:
    return states_->address(buffer.index);
  case Place::input:
    return ports_.address() + inputAt_[buffer.index];
  case Place::output:
    return ports_.address() + outputAt_[buffer.index];
  case Place::arena:
    return 0;
  case Place::prepared:
    return prepared_.address() + buffer.offset;
  }
  return 0;
}

Status BoundSession::bind() {
  PlanSource source{program_.get(), targetIndex_, plan_, &layout_, binding_, {}, {}};
  for (const BufferLayout &buffer : layout_.buffers)
    source.buffers.push_back(address(buffer));
  for (const fb::Update *update : *entry_.updates())
    source.predicates.push_back(ports_.address() + outputAt_[update->predicate()]);
  buffers_ = source.buffers;
  MOERT_ASSIGN(bound_, device_->bind(std::move(source)));
  runScalars_.resize(bound_->runScalars().size());
  return {};
}

void BoundSession::setRunScalars(const Step &step) {
  for (size_t i = 0; i < runScalars_.size(); ++i) {
    const RunScalar &scalar = bound_->runScalars()[i];
    switch (scalar.kind) {
    case fb::ArgKind::step_i64:
      runScalars_[i] = int64_t(step.step);
      break;
    case fb::ArgKind::seed_i64:
      runScalars_[i] = int64_t(seed_);
      break;
    default:
      switch (program_->table().scalars()->Get(scalar.scalar)->kind()) {
      case fb::ScalarKind::recipe:
        runScalars_[i] = floatBits(scalars_[scalar.scalar]);
        break;
      case fb::ScalarKind::step:
        runScalars_[i] = floatBits(float(step.step));
        break;
      case fb::ScalarKind::progress:
        runScalars_[i] = floatBits(float(step.progress));
        break;
      }
    }
  }
}

Status BoundSession::runLaunches(size_t begin, size_t end, const Step &step) {
  using Clock = std::chrono::steady_clock;
  if (!checks_.active() && !options_.profile && !options_.waitLaunches)
    return bound_->run(begin, end, runScalars_);
  for (size_t i = begin; i < end; ++i) {
    if (checks_.active())
      MOERT_TRY(checks_.before(i, buffers_, *device_, *bound_));
    MOERT_TRY(device_->finish());
    Clock::time_point start = Clock::now();
    MOERT_TRY(bound_->run(i, i + 1, runScalars_));
    if (Status status = device_->finish(); !status.ok())
      return {status.code(), concat(launchText(launchRow(i), i), ", kernel '",
                                    workName(*target_, launchRow(i)), "': ", status.message())};
    if (options_.profile) {
      profile_.launches[i].seconds += std::chrono::duration<double>(Clock::now() - start).count();
      ++profile_.launches[i].runs;
    }
    if (checks_.active())
      MOERT_TRY(checks_.after(i, buffers_, *device_, step.step));
  }
  return {};
}

Status BoundSession::submit(const Step &step) {
  if (inFlight_ == int(slots_.size()))
    return internalError("a step was submitted while ", inFlight_, " are in flight");
  Slot &slot = slots_[next_];
  if (slot.copy.bytes() && inputBytes_)
    MOERT_TRY(device_->write(ports_.address(), {slot.copy.data(), inputBytes_}));
  setRunScalars(step);
  if (before_.bytes())
    MOERT_TRY(device_->copy(before_.address(), states_->address(), states_->bytes()));
  Status status;
  if (preparedVersion_ != states_->version()) {
    status = runLaunches(0, prepares_, step);
    if (status.ok())
      preparedVersion_ = states_->version();
  }
  if (status.ok())
    status = runLaunches(prepares_, launches(), step);
  if (!status.ok()) {
    if (before_.bytes()) // some launches may have written new values, others not
      MOERT_TRY(device_->copy(states_->address(), before_.address(), states_->bytes()));
    MOERT_TRY(bound_->release()); // its predicate may have been 0
    MOERT_TRY(device_->finish());
  }
  if (entry_.kind() == fb::EntryKind::train)
    states_->touch();
  ++profile_.runs;
  MOERT_TRY(std::move(status));
  if (slot.copy.bytes() && outputBytes_)
    MOERT_TRY(device_->read({slot.copy.data() + inputBytes_, outputBytes_}, ports_.address() + inputBytes_));
  slot.done = device_->mark();
  next_ = (next_ + 1) % slots_.size();
  ++inFlight_;
  return {};
}

/// Whether the step that was collected last has left out an update, and so holds back later ones.
Result<bool> BoundSession::heldBack() const {
  for (const fb::Update *update : *entry_.updates())
    if (slots_[collected_].outputs[update->predicate()].as<float>()[0] == 0)
      return true;
  return false;
}

Status BoundSession::collect() {
  if (inFlight_ == 0)
    return internalError("a step was collected while none is in flight");
  collected_ = (next_ + slots_.size() - size_t(inFlight_)) % slots_.size();
  --inFlight_;
  MOERT_TRY(device_->wait(slots_[collected_].done));
  MOERT_ASSIGN(bool held, heldBack());
  if (held) {
    MOERT_TRY(device_->finish());
    MOERT_TRY(bound_->release());
    inFlight_ = 0;
  }
  return {};
}

Result<Tensor> BoundSession::port(std::string_view name,
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

Status BoundSession::setScalar(std::string_view key, double value) {
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

Session::MemoryUse BoundSession::memory() const {
  MemoryUse use = layout_.memory;
  use.state = states_->bytes();
  use.scratch = device_->scratchBytes();
  return use;
}

void BoundSession::resetProfile() {
  profile_ = Profile();
  if (!options_.profile)
    return;
  for (size_t i = 0; i < launches(); ++i) {
    const fb::Launch &row = launchRow(i);
    auto text = [](const flatbuffers::String *string) { return string ? string->str() : std::string(); };
    profile_.launches.push_back({std::string(workName(*target_, row)), std::string(workKind(*target_, row)),
                                 text(row.op()), text(row.path()), 0, 0, layout_.launches[i].flops,
                                 layout_.launches[i].bytes});
  }
}

} // namespace

Status Session::run(const Step &step) {
  MOERT_TRY(submit(step));
  return collect();
}

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
  if (&states->program() != program.get() || &states->device() != device.get())
    return internalError("a session's states must be of its own program, and on its own device");
  MOERT_ASSIGN(const fb::Entry *found, program->entry(entry));
  auto session = std::make_unique<BoundSession>(std::move(program), std::move(states), std::move(device),
                                                *found, binding, options);
  MOERT_TRY(session->open());
  return std::unique_ptr<Session>(std::move(session));
}

} // namespace moert
