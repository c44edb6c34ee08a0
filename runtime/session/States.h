// Everything of a program that outlives a step: parameters, buffers, optimizer state. One block of a device's
// memory (or one each) holds them in the order of the program's table, and every session of the program works on it in
// place. The first values follow the program's rules and depend on the seed and the path alone.
#pragma once

#include "runtime/device/DeviceArrays.h"

#include <span>

namespace moert {

/// A view of an array: element type, row-major shape, and its bytes.
struct Tensor {
  fb::ElementType type = fb::ElementType::f32;
  std::vector<int64_t> shape;
  std::span<std::byte> bytes;

  int64_t elements() const { return int64_t(bytes.size() / elementBytes(type)); }
  template <typename T> std::span<T> as() const {
    return {reinterpret_cast<T *>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

/// Whether a state is the model's own (a parameter or buffer), and not of its training.
inline bool ofModel(const fb::State &row) {
  return row.kind() == fb::StateKind::parameter || row.kind() == fb::StateKind::buffer;
}

class States;

/// The values of all states as the host sees them: to read, and to overwrite.
class HostStates {
public:
  const States &states() const { return *states_; }
  /// State i's values, row-major.
  Tensor tensor(size_t i) const;
  /// Takes over what was written, and says that values changed.
  Status commit();

private:
  friend class States;
  States *states_ = nullptr;
  std::vector<HostView> view_;
};

class States {
public:
  /// Allocates every state on the device and fills it with its initial value.
  static Result<std::shared_ptr<States>> create(std::shared_ptr<const Program> program,
                                                std::shared_ptr<Device> device, uint64_t seed);

  const Program &program() const { return *program_; }
  const Device &device() const { return *device_; }
  size_t size() const { return arrays_.size(); }
  /// The program's row for state i: path, kind, initial value, and for optimizer state whose it is.
  const fb::State &row(size_t i) const { return *program_->table().states()->Get(unsigned(i)); }
  std::string_view path(size_t i) const { return row(i).path()->string_view(); }

  /// Type and shape of state i, without its values.
  Tensor describe(size_t i) const;
  /// Waits for the device. On the CPU the values are the states themselves, and no copy.
  Result<HostStates> host();
  /// Fills everything with its initial value again.
  Status initialize(uint64_t seed);

  /// State i on the device.
  DeviceAddress address(size_t i) const { return arrays_.address(i); }
  /// All of them.
  const DeviceArrays &arrays() const { return arrays_; }
  uint64_t bytes() const { return arrays_.bytes(); }

  /// Says that values changed: sessions then prepare anew (pack weights) before their next run. A run of a
  /// training entry does it itself.
  void touch() { ++version_; }
  uint64_t version() const { return version_; }

private:
  friend class HostStates;
  States() = default;
  std::shared_ptr<const Program> program_;
  std::shared_ptr<Device> device_;
  DeviceArrays arrays_;
  uint64_t version_ = 1;
};

/// Fills `values` by a rule of the program, as States does.
void fillInitial(const fb::Init &init, fb::ElementType type, uint64_t seed, std::span<std::byte> values);

} // namespace moert
