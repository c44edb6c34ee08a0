// State and its first values. A value depends on the seed, the stream of its path and its index only, so that
// threads, the order of states and the batch do not move it.
#include "runtime/session/States.h"
#include "runtime/program/Philox.h"
#include "runtime/session/TooLarge.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace moert {

namespace {

/// The x with Phi(x) = p, by Wichura's algorithm AS 241 (Applied Statistics 37, 1988), PPND16; about 1e-16
/// relative.
double normalQuantile(double p) {
  auto ratio = [](double r, const double (&a)[8], const double (&b)[8]) {
    double above = a[7], below = b[7];
    for (int i = 6; i >= 0; --i) {
      above = above * r + a[i];
      below = below * r + b[i];
    }
    return above / below;
  };
  static const double centreAbove[8] = {
      3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
      4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3};
  static const double centreBelow[8] = {1.0,
                                        4.2313330701600911252e1,
                                        6.8718700749205790830e2,
                                        5.3941960214247511077e3,
                                        2.1213794301586595867e4,
                                        3.9307895800092710610e4,
                                        2.8729085735721942674e4,
                                        5.2264952788528545610e3};
  static const double tailAbove[8] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                      5.76949722146069140550e0,  3.64784832476320460504e0,
                                      1.27045825245236838258e0,  2.41780725177450611770e-1,
                                      2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static const double tailBelow[8] = {1.0,
                                      2.05319162663775882187e0,
                                      1.67638483018380384940e0,
                                      6.89767334985100004550e-1,
                                      1.48103976427480074590e-1,
                                      1.51986665636164571966e-2,
                                      5.47593808499534494600e-4,
                                      1.05075007164441684324e-9};
  double q = p - 0.5;
  if (std::fabs(q) <= 0.425)
    return q * ratio(0.180625 - q * q, centreAbove, centreBelow);
  // Between here and five deviations; a cut at two never goes further.
  double r = std::sqrt(-std::log(q < 0 ? p : 1 - p)) - 1.6;
  double x = ratio(r, tailAbove, tailBelow);
  return q < 0 ? -x : x;
}

/// Phi(-2).
constexpr double kBelowCut = 0.022750131948179207200;

template <typename Value>
void fillFloats(const fb::Init &init, uint64_t seed, std::span<float> out, Value value) {
  for (uint64_t i = 0; i < out.size(); i += 4) {
    PhiloxBlock words = philoxBlock(seed, init.stream(), kInitStep, i / 4);
    for (uint64_t j = i; j < std::min<uint64_t>(i + 4, out.size()); ++j)
      out[j] = float(value(j, words));
  }
}

/// Writes zeros only to pages that have something else: memory that the system has just given has none, and costs nothing
/// until it is written. An entry that only infers never touches the optimizer's states.
void fillZeros(std::span<std::byte> values) {
  constexpr size_t kPage = 4096;
  for (size_t begin = 0; begin < values.size(); begin += kPage) {
    std::span<std::byte> page = values.subspan(begin, std::min(kPage, values.size() - begin));
    const bool alike = memcmp(page.data(), page.data() + 1, page.size() - 1) == 0;
    if (!alike || page.front() != std::byte(0))
      memset(page.data(), 0, page.size());
  }
}

template <typename T> void fillConstant(std::span<std::byte> values, double constant) {
  T value = T(constant);
  if (constant == 0 && !std::signbit(constant))
    return fillZeros(values);
  for (size_t i = 0; i + sizeof(T) <= values.size(); i += sizeof(T))
    memcpy(values.data() + i, &value, sizeof(T));
}

/// A constant for an integer type, held inside its range; V12 made sure that it is finite.
template <typename T> double clamp(double value) {
  double low = double(std::numeric_limits<T>::min()), high = double(std::numeric_limits<T>::max());
  return value < low ? low : value >= high ? std::nextafter(high, 0.0) : value;
}

uint16_t toBfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16); // to nearest, ties to even
}

void fillConstant(fb::ElementType type, std::span<std::byte> values, double constant) {
  switch (type) {
  case fb::ElementType::f32:
    return fillConstant<float>(values, constant);
  case fb::ElementType::f64:
    return fillConstant<double>(values, constant);
  case fb::ElementType::i32:
    return fillConstant<int32_t>(values, clamp<int32_t>(constant));
  case fb::ElementType::i64:
    return fillConstant<int64_t>(values, clamp<int64_t>(constant));
  case fb::ElementType::u8:
    return fillConstant<uint8_t>(values, clamp<uint8_t>(constant));
  case fb::ElementType::bf16:
    return fillConstant<uint16_t>(values, toBfloat16(float(constant)));
  }
}

} // namespace

void fillInitial(const fb::Init &init, fb::ElementType type, uint64_t seed, std::span<std::byte> values) {
  std::span<float> floats(reinterpret_cast<float *>(values.data()), values.size() / sizeof(float));
  double a = init.a(), b = init.b();
  switch (init.kind()) {
  case fb::InitKind::constant:
    return fillConstant(type, values, a);
  case fb::InitKind::uniform:
    return fillFloats(init, seed, floats, [&](uint64_t i, const PhiloxBlock &words) {
      return a + (b - a) * philoxUniform(words[i % 4]);
    });
  case fb::InitKind::normal:
    return fillFloats(init, seed, floats,
                      [&](uint64_t i, const PhiloxBlock &words) { return a + b * philoxNormal(words, i); });
  case fb::InitKind::trunc_normal:
    return fillFloats(init, seed, floats, [&](uint64_t i, const PhiloxBlock &words) {
      double p = kBelowCut + (1 - 2 * kBelowCut) * philoxUniform(words[i % 4]);
      return a + b * normalQuantile(p);
    });
  }
}

/// Whether the device has the memory, where it can say that.
static Status fitsDevice(const Program &program, Device &device, const std::vector<uint64_t> &sizes) {
  uint64_t needed = 0;
  for (uint64_t bytes : sizes)
    needed += padded(bytes);
  const std::optional<uint64_t> free = device.freeBytes();
  if (!free || needed <= *free)
    return {};
  std::vector<std::pair<uint64_t, std::string>> largest;
  for (size_t i = 0; i < sizes.size(); ++i)
    largest.push_back({sizes[i], program.table().states()->Get(unsigned(i))->path()->str()});
  return invalidInput(program.path(), ": its states take ", mebibytes(needed), ", found ", mebibytes(*free),
                      " free on the device; the largest of them: ", largestOf(std::move(largest)),
                      "; use a smaller model, or end what else uses the device");
}

Result<std::shared_ptr<States>> States::create(std::shared_ptr<const Program> program,
                                               std::shared_ptr<Device> device, uint64_t seed) {
  std::shared_ptr<States> states(new States);
  std::vector<uint64_t> sizes;
  for (const fb::State *state : *program->table().states())
    sizes.push_back(bytesOf(*state));
  MOERT_TRY(fitsDevice(*program, *device, sizes));
  MOERT_ASSIGN(states->arrays_, DeviceArrays::allocate(*device, sizes));
  states->program_ = std::move(program);
  states->device_ = std::move(device);
  MOERT_TRY(states->initialize(seed));
  return states;
}

Result<HostStates> States::host() {
  HostStates host;
  host.states_ = this;
  MOERT_ASSIGN(host.view_, arrays_.view(*device_));
  return host;
}

Tensor States::describe(size_t i) const {
  Tensor tensor;
  tensor.type = row(i).type();
  tensor.shape.assign(row(i).shape()->begin(), row(i).shape()->end());
  return tensor;
}

Tensor HostStates::tensor(size_t i) const {
  Tensor tensor = states_->describe(i);
  tensor.bytes = states_->arrays_.in(view_, i);
  return tensor;
}

Status HostStates::commit() {
  states_->touch();
  for (HostView &view : view_)
    MOERT_TRY(view.commit());
  return {};
}

Status States::initialize(uint64_t seed) {
  MOERT_ASSIGN(HostStates values, host());
  for (size_t i = 0; i < size(); ++i)
    fillInitial(*row(i).init(), row(i).type(), seed, values.tensor(i).bytes);
  return values.commit();
}

} // namespace moert
