// A session on any device. Launches are bound by the device; a run gives it the few scalars that differ from
// the last one. Inputs and outputs are the device's own memory where the host can use it; otherwise each step
// in flight has a copy of them on the host, its slot, and the device copies between the two in the order of
// its work.
#include "runtime/session/Session.h"
#include "runtime/base/Memory.h"
#include "runtime/base/Nearest.h"
#include "runtime/session/Checks.h"
#include "runtime/session/TooLarge.h"

#include <algorithm>
#include <chrono>
#include <cstring>

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
  Status separateTemporaries();
  Status placePorts();
  Result<std::vector<Tensor>> tensors(const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> &ports,
                                      size_t first, std::byte *copy) const;
  Status bind();
  DeviceAddress address(size_t buffer) const;
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
  DeviceArrays ports_; // inputs, then outputs
  DeviceBlock prepared_;
  std::vector<DeviceBlock> separate_; // where the device separates buffers: of each temporary
  DeviceBlock before_;                // under trapNan: the states before a training step
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
  MOERT_TRY(program_->checkCapacities(entry_, binding_));
  if (device_->separatesBuffers()) { // nothing shares memory
    layout_.memory.arena = 0;
    for (const BufferLayout &buffer : layout_.buffers)
      layout_.memory.arena += buffer.place == Place::arena ? padded(buffer.bytes) : 0;
  }
  MOERT_TRY(fitsDevice());
  if (device_->separatesBuffers()) {
    MOERT_TRY(device_->reserve(0, layout_.scratch));
    MOERT_TRY(separateTemporaries());
  } else {
    MOERT_TRY(device_->reserve(layout_.memory.arena, layout_.scratch));
    MOERT_ASSIGN(prepared_, device_->allocate(layout_.memory.prepared));
  }
  MOERT_TRY(placePorts());
  for (const fb::Scalar *scalar : *program_->table().scalars())
    scalars_.push_back(float(scalar->fallback()));
  MOERT_TRY(bind());
  const bool undoes = options_.trapNan && entry_.kind() == fb::EntryKind::train;
  MOERT_ASSIGN(before_, device_->allocate(undoes ? states_->bytes() : 0));
  checks_ = Checks(*target_, *plan_, layout_, options_.poison, options_.trapNan);
  if (options_.profile) {
    device_->timeWork();
    resetProfile();
  }
  return {};
}

/// Whether the device has the memory that the session is going to take, where the device can say that.
Status BoundSession::fitsDevice() {
  const std::optional<uint64_t> free = device_->freeBytes();
  const MemoryUse &use = layout_.memory;
  const uint64_t states = entry_.kind() == fb::EntryKind::train && options_.trapNan ? states_->bytes() : 0;
  // All sessions share one arena: what of it is there already need not be free.
  const uint64_t arena = device_->separatesBuffers() ? use.arena : device_->arenaGrowth(use.arena);
  const uint64_t needed = arena + use.prepared + use.ports + states;
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
  return invalidInput(program_->path(), ": entry '", entry_.name()->string_view(), "' at ", binding_.domains,
                      " x ", binding_.rows, " images takes ", mebibytes(needed),
                      arena < use.arena ? " more than other entries' temporaries do" : " beside the states",
                      " (temporaries ", mebibytes(use.arena), ", inputs and outputs ", mebibytes(use.ports),
                      "), found ", mebibytes(*free),
                      " free on the device; its largest buffers: ", largestOf(std::move(largest)),
                      "; use a smaller batch, or end what else uses the device");
}

Status BoundSession::separateTemporaries() {
  separate_.resize(layout_.buffers.size());
  for (size_t i = 0; i < layout_.buffers.size(); ++i) {
    BufferLayout &buffer = layout_.buffers[i];
    if (buffer.place != Place::arena && buffer.place != Place::prepared)
      continue;
    MOERT_ASSIGN(separate_[i], device_->allocate(buffer.bytes));
    if (buffer.place == Place::arena)
      buffer.place = Place::separate;
  }
  return {};
}

/// Views of ports, of which the first is number `first` of all: in a copy of all, or else in the device's own memory.
Result<std::vector<Tensor>>
BoundSession::tensors(const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> &ports, size_t first,
                      std::byte *copy) const {
  std::vector<Tensor> tensors;
  for (unsigned i = 0; i < ports.size(); ++i) {
    const size_t at = first + i;
    Tensor tensor;
    tensor.type = ports.Get(i)->type();
    MOERT_ASSIGN(tensor.shape, program_->shape(*ports.Get(i), binding_));
    tensor.bytes = copy ? std::span(copy + ports_.offset(at), ports_.bytes(at))
                        : device_->shared(ports_.address(at), ports_.bytes(at));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

Status BoundSession::placePorts() {
  std::vector<uint64_t> sizes = layout_.inputs;
  sizes.insert(sizes.end(), layout_.outputs.begin(), layout_.outputs.end());
  MOERT_ASSIGN(ports_, DeviceArrays::allocate(*device_, sizes));
  const bool copies = ports_.size() && device_->shared(ports_.address(0), ports_.bytes(0)).empty();
  slots_.resize(copies ? size_t(std::max(options_.stepsInFlight, 1)) : 1);
  for (Slot &slot : slots_) {
    if (copies) {
      MOERT_ASSIGN(slot.copy, device_->allocateHost(ports_.bytes()));
    }
    std::byte *copy = copies ? slot.copy.data() : nullptr;
    MOERT_ASSIGN(slot.inputs, tensors(*entry_.inputs(), 0, copy));
    MOERT_ASSIGN(slot.outputs, tensors(*entry_.outputs(), layout_.inputs.size(), copy));
  }
  return {};
}

DeviceAddress BoundSession::address(size_t number) const {
  const BufferLayout &buffer = layout_.buffers[number];
  switch (buffer.place) {
  case Place::state:
    return states_->address(buffer.index);
  case Place::input:
    return ports_.address(buffer.index);
  case Place::output:
    return ports_.address(layout_.inputs.size() + buffer.index);
  case Place::arena:
    return 0;
  case Place::prepared:
    return separate_.empty() ? prepared_.address() + buffer.offset : separate_[number].address();
  case Place::separate:
    return separate_[number].address();
  }
  return 0;
}

Status BoundSession::bind() {
  PlanSource source{program_.get(), targetIndex_, plan_, &layout_, binding_, {}, {}};
  for (size_t i = 0; i < layout_.buffers.size(); ++i)
    source.buffers.push_back(address(i));
  for (const fb::Update *update : *entry_.updates())
    source.predicates.push_back(ports_.address(layout_.inputs.size() + update->predicate()));
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
  if (!checks_.active() && !options_.profile && !device_->waitsForLaunches()) {
    Status status = bound_->run(begin, end, runScalars_);
    if (status.ok() || !device_->failure().ok() || entry_.kind() != fb::EntryKind::train)
      return status;
    return {status.code(),
            concat("step ", step.step + 1, ": ", status.message())}; // it was refused, and the device goes on
  }
  for (size_t i = begin; i < end; ++i) {
    if (checks_.active())
      MOERT_TRY(checks_.before(i, buffers_, *device_, *bound_));
    MOERT_TRY(device_->finish());
    const std::optional<double> busy = device_->busySeconds();
    Clock::time_point start = Clock::now();
    MOERT_TRY(bound_->run(i, i + 1, runScalars_));
    if (Status status = device_->finish(); !status.ok())
      return {status.code(), concat(launchText(launchRow(i), i), ", kernel '",
                                    workName(*target_, launchRow(i)), "': ", status.message())};
    if (options_.profile) {
      LaunchProfile &launch = profile_.launches[i];
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      launch.seconds += seconds;
      if (busy) {
        const double worked = *device_->busySeconds() - *busy;
        launch.idle = launch.idle.value_or(0) + std::max(seconds - worked / device_->threads(), 0.0);
      }
      ++launch.runs;
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
  const std::span<std::byte> copy(slot.copy.data(), slot.copy.bytes());
  if (slot.copy.bytes())
    MOERT_TRY(ports_.write(*device_, copy, 0, layout_.inputs.size()));
  setRunScalars(step);
  if (before_.bytes())
    MOERT_TRY(states_->arrays().copyTo(*device_, before_.address()));
  Status status;
  if (preparedVersion_ != states_->version()) {
    status = runLaunches(0, prepares_, step);
    if (status.ok())
      preparedVersion_ = states_->version();
  }
  if (status.ok())
    status = runLaunches(prepares_, launches(), step);
  if (!status.ok()) {
    MOERT_TRY(device_->failure().ok() ? Status() : std::move(status)); // nothing is left to undo
    if (before_.bytes()) // some launches may have written new values, others not
      MOERT_TRY(states_->arrays().copyFrom(*device_, before_.address()));
    MOERT_TRY(bound_->release()); // its predicate may have been 0
    MOERT_TRY(device_->finish());
  }
  if (entry_.kind() == fb::EntryKind::train)
    states_->touch();
  ++profile_.runs;
  MOERT_TRY(std::move(status));
  if (slot.copy.bytes())
    MOERT_TRY(ports_.read(*device_, copy, layout_.inputs.size(), ports_.size()));
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
    profile_.launches.push_back({.kernel = std::string(workName(*target_, row)),
                                 .kind = std::string(workKind(*target_, row)),
                                 .op = text(row.op()),
                                 .path = text(row.path()),
                                 .part = row.part() ? fb::EnumNamePart(*row.part()) : "",
                                 .flops = layout_.launches[i].flops,
                                 .bytes = layout_.launches[i].bytes});
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
