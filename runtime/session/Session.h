// An entry of a program, bound to a batch size and ready to run. Opening evaluates every size, checks that
// what each launch may touch lies inside its buffers, lays the temporaries out, and takes all the memory that
// a run will need; a run then only calls kernels. A session has its own inputs and outputs; state is shared
// with every other session of the program, and temporaries with every other session of the device, so that
// one session runs at a time.
//
//     MOERT_ASSIGN(auto program, Program::load("hmoe.moe"));
//     MOERT_ASSIGN(auto states, States::create(program, seed));
//     MOERT_ASSIGN(auto device, Device::create(threads));
//     MOERT_ASSIGN(auto train, Session::open(program, states, device, "train", {5, 64}));
//     MOERT_TRY(train->setScalar("optimizer.lr", 1e-3f));
//     MOERT_ASSIGN(Tensor image, train->input("image"));   // fill image.as<float>()
//     MOERT_TRY(train->run({.step = 0, .progress = 0.0}));
//     MOERT_ASSIGN(float loss, train->scalarOutput("loss"));
#pragma once

#include "runtime/cpu/Device.h"
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
    uint64_t seed = 0;    // of the random numbers inside a step
    bool poison = false;  // fill temporaries with NaN before their first and after their last use
    bool trapNan = false; // fail at the first launch that writes a NaN, and undo the step; temporaries then
                          // start as zeros, and a training step keeps a copy of the
                          // states, which memory() does not count
    bool profile = false; // time every launch
  };
  /// Bytes that a session works with.
  struct MemoryUse {
    uint64_t state = 0;    // parameters, buffers, optimizer state
    uint64_t arena = 0;    // temporaries, as packed
    uint64_t live = 0;     // the largest sum of temporaries alive at one launch: what no packing can beat
    uint64_t prepared = 0; // made from parameters, kept between runs
    uint64_t ports = 0;    // inputs and outputs
    uint64_t constants = 0;
    uint64_t scratch = 0; // all threads'
    uint64_t total() const { return state + arena + prepared + ports + constants + scratch; }
  };

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
  /// An input to fill, or an output to read after a run; the failure lists the names that exist.
  virtual Result<Tensor> input(std::string_view name) const = 0;
  virtual Result<Tensor> output(std::string_view name) const = 0;
  /// A 0-d f32 output.
  Result<float> scalarOutput(std::string_view name) const;

  /// A recipe scalar's value from the next run on; the failure lists the keys that exist.
  virtual Status setScalar(std::string_view key, double value) = 0;
  /// The seed of the random numbers from the next run on.
  virtual void setSeed(uint64_t seed) = 0;

  /// Prepares if states changed, then runs every launch in order. Fails only under trapNan; states then are
  /// what they were before.
  virtual Status run(const Step &step) = 0;

  virtual MemoryUse memory() const = 0;
  /// What each launch took, summed over runs; empty without Options::profile.
  virtual const Profile &profile() const = 0;
  virtual void resetProfile() = 0;
};

/// What a session of this entry would take, without opening one (and so without the CPU it is for).
Result<Session::MemoryUse> memoryUse(const Program &program, uint32_t target, std::string_view entry,
                                     Binding binding, int threads);

} // namespace moert
