// An entry of a program, bound to a batch size and ready to run. Opening evaluates every size, checks that
// what each launch may touch lies inside its buffers, lays the temporaries out, and takes all the memory that
// a run will need; a run then only calls kernels. A session has its own inputs and outputs; state is shared
// with every other session of the program, and temporaries with every other session of the device, so that
// one session runs at a time.
//
//     MOERT_ASSIGN(auto program, Program::load("hmoe.moe"));
//     MOERT_ASSIGN(auto device, openDevice({.name = "cpu", .threads = 2}));
//     MOERT_ASSIGN(auto states, States::create(program, device, seed));
//     MOERT_ASSIGN(auto train, Session::open(program, states, device, "train", {5, 64}));
//     MOERT_TRY(train->setScalar("optimizer.lr", 1e-3f));
//     MOERT_ASSIGN(Tensor image, train->input("image"));   // fill image.as<float>()
//     MOERT_TRY(train->run({.step = 0, .progress = 0.0}));
//     MOERT_ASSIGN(float loss, train->scalarOutput("loss"));
//
// No device has to wait for the host between two steps: with `stepsInFlight` = 2, `submit` takes a step while
// the one before it runs, and `collect` gives the results of the oldest one. A step whose update's predicate
// is 0 holds back the updates of those submitted after it; `collect` drops them, and the states are those
// that this step left.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/session/Profile.h"
#include "runtime/session/States.h"

namespace moert {

/// What differs from one run to the next beside the inputs.
struct Step {
  uint64_t step = 0;   // from 0; random numbers follow it
  double progress = 0; // step / total steps
};

class Session {
public:
  struct Options {
    uint64_t seed = 0;     // of the random numbers inside a step
    bool poison = false;   // fill temporaries with NaN before their first and after their last use
    bool trapNan = false;  // fail at the first launch that writes a NaN, and undo the step; temporaries then
                           // start as zeros, and a training step keeps a copy of the
                           // states, which memory() does not count
    bool profile = false;  // time every launch
    int stepsInFlight = 1; // at most so many steps are submitted before the first is collected
  };
  using MemoryUse = moert::MemoryUse;

  static Result<std::unique_ptr<Session>> open(std::shared_ptr<const Program> program,
                                               std::shared_ptr<States> states, std::shared_ptr<Device> device,
                                               std::string_view entry, Binding binding, Options options);
  static Result<std::unique_ptr<Session>> open(std::shared_ptr<const Program> program,
                                               std::shared_ptr<States> states, std::shared_ptr<Device> device,
                                               std::string_view entry, Binding binding) {
    return open(std::move(program), std::move(states), std::move(device), entry, binding, Options());
  }
  virtual ~Session() = default;

  virtual const fb::Entry &entry() const = 0;
  virtual Binding binding() const = 0;
  /// An input to fill for the next step that is submitted; the failure lists the names that exist. Each step
  /// may have other memory, so ask again for each; while as many steps are in flight as there may be, there is
  /// none.
  virtual Result<Tensor> input(std::string_view name) const = 0;
  /// An output of the step that was collected last, until another is submitted; the failure lists the names
  /// that exist.
  virtual Result<Tensor> output(std::string_view name) const = 0;
  /// A 0-d f32 output.
  Result<float> scalarOutput(std::string_view name) const;

  /// A recipe scalar's value from the next run on; the failure lists the keys that exist.
  virtual Status setScalar(std::string_view key, double value) = 0;
  /// The seed of the random numbers from the next run on.
  virtual void setSeed(uint64_t seed) = 0;

  /// Prepares if states changed, then runs every launch in order, with the inputs as they are now. Fails
  /// where as many steps are in flight as there may be, and under trapNan, where the states then are what they
  /// were before the step.
  virtual Status submit(const Step &step) = 0;
  /// Waits for the oldest step that was submitted and not collected.
  virtual Status collect() = 0;
  /// Steps submitted and not collected.
  virtual int inFlight() const = 0;
  /// How many there may be: Options::stepsInFlight, or 1 where inputs and outputs are the device's own memory.
  virtual int mostInFlight() const = 0;
  /// `submit` and `collect` of one step, with no other in flight.
  Status run(const Step &step);

  virtual MemoryUse memory() const = 0;
  /// What each launch took, summed over runs; empty without Options::profile.
  virtual const Profile &profile() const = 0;
  virtual void resetProfile() = 0;
};

} // namespace moert
