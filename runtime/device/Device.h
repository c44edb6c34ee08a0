// What sessions ask of the machine that they run on: memory, copies between it and the host, code, plans that
// are bound to a batch, and waiting. Everything that is asked for is done in the order in which it was asked,
// but a device may do it later than that: only `wait` says when it is done. The CPU is one device
// (device/cpu); device/isolated is one for tests.
#pragma once

#include "runtime/plan/Layout.h"

#include <memory>
#include <optional>
#include <span>

namespace moert {

/// An address in a device's memory, 0 for none. The host must not use it as a pointer, except where
/// `Device::shared` allows that.
using DeviceAddress = uint64_t;

/// How much had been asked of a device at some time: `Device::wait` waits until that much is done.
using Ticket = uint64_t;

class Device;

/// A block of zeroed memory of a device, which is given back with it.
class DeviceBlock {
public:
  DeviceBlock() = default;
  DeviceBlock(DeviceBlock &&other) noexcept;
  DeviceBlock &operator=(DeviceBlock &&other) noexcept;
  ~DeviceBlock();

  DeviceAddress address() const { return address_; }
  uint64_t bytes() const { return bytes_; }

private:
  friend class Device;
  std::shared_ptr<Device> device_;
  DeviceAddress address_ = 0;
  uint64_t bytes_ = 0;
};

/// Zeroed memory of the host that a device copies to and from without making the host wait.
class HostBlock {
public:
  HostBlock() = default;
  HostBlock(HostBlock &&other) noexcept;
  HostBlock &operator=(HostBlock &&other) noexcept;
  ~HostBlock();

  std::byte *data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

private:
  friend class Device;
  std::shared_ptr<Device> device_;
  std::byte *data_ = nullptr;
  uint64_t bytes_ = 0;
};

/// Device memory as the host sees it: the memory itself where the host can use it, else a copy.
class HostView {
public:
  /// Waits for everything that the device was asked for.
  static Result<HostView> of(Device &device, DeviceAddress address, uint64_t bytes);
  /// The same for someone who writes all of it: what it holds before is anything.
  static Result<HostView> toWrite(Device &device, DeviceAddress address, uint64_t bytes);
  std::span<std::byte> bytes() const { return bytes_; }
  /// Gives the device what the host has written.
  Status commit();

private:
  Device *device_ = nullptr;
  DeviceAddress address_ = 0;
  std::unique_ptr<std::byte[]> copy_; // none where the host uses the memory itself
  std::span<std::byte> bytes_;
};

/// What a scalar argument of a launch is at a run: a number of the run's.
struct RunScalar {
  fb::ArgKind kind;
  uint32_t scalar; // of the program's table, for scalar_f32
};

/// What a device makes a bound plan of. What it points to outlives the plan.
struct PlanSource {
  const Program *program = nullptr;
  uint32_t target = 0;
  const fb::Plan *plan = nullptr;
  const Layout *layout = nullptr;
  Binding binding;
  /// Where each of the plan's buffers is; of those in the arena, which may move, 0.
  std::vector<DeviceAddress> buffers;
  /// Outputs that are 0 where a step's update was not made.
  std::vector<DeviceAddress> predicates;
};

/// A plan at a batch size on a device. A step whose predicate is 0 holds back all later ones: none of their
/// launches that write states is run, until `release`. So steps can be submitted before it is known whether
/// those before them were sound.
class BoundPlan {
public:
  virtual ~BoundPlan() = default;
  /// The scalars that differ from run to run, in the order in which `run` takes their values.
  virtual std::span<const RunScalar> runScalars() const = 0;
  /// Runs launches [begin, end), which count prepare's first. The last launch ends a step. The scalars are
  /// copied before it returns.
  virtual Status run(size_t begin, size_t end, std::span<const int64_t> scalars) = 0;
  /// Lets steps write states again.
  virtual Status release() = 0;
  /// Fills what kernels may use as scratch with NaN.
  virtual Status poisonScratch() = 0;
};

class Device : public std::enable_shared_from_this<Device> {
public:
  virtual ~Device() = default;

  /// As on the command line: "cpu".
  virtual std::string_view name() const = 0;
  /// Whether each state, input, output and temporary is a block of its own, so that a kernel that leaves one meets memory of no
  /// other: on devices that notice this.
  bool separatesBuffers() const { return separatesBuffers_; }
  void separateBuffers(bool separate) { separatesBuffers_ = separate; }
  /// Whether sessions wait for each launch before the next, so that a failure of the device names the launch that failed.
  bool waitsForLaunches() const { return waitsForLaunches_; }
  void waitForLaunches(bool wait) { waitsForLaunches_ = wait; }
  /// Threads of the host that run kernels, 0 where none does.
  virtual int threads() const = 0;
  /// From now on, measures how long threads of the host are at work in launches, where the device has such threads.
  virtual void timeWork() {}
  /// For how long they were, all together; nothing where that is not measured.
  virtual std::optional<double> busySeconds() const { return std::nullopt; }
  /// ", 2 threads", behind what a line says of a run; empty where no thread of the host runs kernels.
  std::string threadsText() const;
  /// The first target of a program that it can run; the failure says what it can do, and the command that
  /// makes a program for it.
  virtual Result<uint32_t> chooseTarget(const Program &program) const = 0;
  /// How many steps of training are worth submitting before the first is done.
  virtual int stepsInFlight() const = 0;

  /// Zeroed memory, at a multiple of 64.
  Result<DeviceBlock> allocate(uint64_t bytes);
  /// Memory of the host for copies, at a multiple of 64.
  Result<HostBlock> allocateHost(uint64_t bytes);
  /// Makes room for temporaries and for kernels' scratch, which all plans of the device share. Memory grows
  /// when a session opens and never during a step.
  virtual Status reserve(uint64_t arenaBytes, uint64_t scratchBytesAThread) = 0;
  /// How many bytes more of its memory the device would take to have such an arena.
  virtual uint64_t arenaGrowth(uint64_t arenaBytes) { return arenaBytes; }
  /// Where the temporaries are. They move where a larger arena is reserved.
  virtual DeviceAddress arena() const = 0;
  virtual uint64_t scratchBytes() const = 0;
  /// The memory itself, where the host can use it; otherwise empty.
  virtual std::span<std::byte> shared(DeviceAddress, uint64_t) { return {}; }

  /// Copies to the device. `from` stays as it is until that is done.
  virtual Status write(DeviceAddress to, std::span<const std::byte> from) = 0;
  /// Copies from the device. `to` has the values when that is done.
  virtual Status read(std::span<std::byte> to, DeviceAddress from) = 0;
  /// Copies within the device.
  virtual Status copy(DeviceAddress to, DeviceAddress from, uint64_t bytes) = 0;
  virtual Result<std::unique_ptr<BoundPlan>> bind(PlanSource source) = 0;

  virtual Ticket mark() = 0;
  /// A device that has failed does nothing any more, and says so to everyone who waits.
  virtual Status wait(Ticket ticket) = 0;
  /// Notes the device's own time behind what it was asked for so far: the start or the end of what is timed.
  enum class Moment { start, end };
  virtual Status note(Moment) { return {}; }
  /// Milliseconds between the moments noted last, once both are past; it waits for them. Nothing where the device has
  /// no clock but the host's.
  virtual Result<std::optional<double>> notedMs() { return std::optional<double>(); }
  /// What the device has failed with. Its memory is then lost.
  virtual Status failure() const { return {}; }
  /// Bytes that can still be allocated, where the device has memory of its own.
  virtual std::optional<uint64_t> freeBytes() { return std::nullopt; }
  /// Waits for everything.
  Status finish() { return wait(mark()); }

private:
  bool separatesBuffers_ = false;
  bool waitsForLaunches_ = false;

protected:
  friend class DeviceBlock;
  friend class HostBlock;
  virtual Result<DeviceAddress> take(uint64_t bytes) = 0;
  /// Waits for what may use the memory first.
  virtual void giveBack(DeviceAddress address, uint64_t bytes) = 0;
  virtual Result<std::byte *> takeHost(uint64_t bytes);
  virtual void giveBackHost(std::byte *memory, uint64_t bytes);
};

struct DeviceOptions {
  std::string name = "cpu";
  int threads = 0; // 0: every core that this process may use
  bool separateBuffers = false;
  bool waitLaunches = false;
};

/// The device of a name; the failure lists the names that there are.
Result<std::shared_ptr<Device>> openDevice(const DeviceOptions &options);
/// The options that choose it, as words of a command line: " --device isolated"; empty for the default. Whether launches are waited
/// for is not among them.
std::string deviceWords(const DeviceOptions &options);
/// The CPU.
Result<std::shared_ptr<Device>> openCpu(int threads = 0);

} // namespace moert
