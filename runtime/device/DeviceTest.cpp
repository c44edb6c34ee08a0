// Devices by what sessions rely on: the same results whatever the device, steps in flight, updates that are held
// back, and memory that is not the host's.
#include "runtime/device/ShadowMemory.h"
#include "runtime/session/Session.h"
#include "test/support/TestProgram.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace moert::test {
namespace {

constexpr Binding kBatch = {2, 3};
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// A training session on a device, whose inputs depend on the step.
struct Training {
  std::shared_ptr<Device> device;
  std::shared_ptr<States> states;
  std::unique_ptr<Session> session;

  explicit Training(const char *name, Session::Options options = {}, bool separate = false) {
    std::shared_ptr<const Program> program = *Program::verify(testProgram().encode(), "p.moe");
    device = *openDevice({name, 2, separate});
    states = *States::create(program, device, 1);
    session = *Session::open(program, states, device, "train", kBatch, options);
  }
  Status submit(uint64_t step, bool broken = false) {
    std::span<float> image = session->input("image")->as<float>();
    for (size_t i = 0; i < image.size(); ++i)
      image[i] = broken && i == 4 ? kNaN : float(int((i + step) * 7 % 11) - 5) / 8;
    for (int32_t &label : session->input("label")->as<int32_t>())
      label = int32_t(step % 2);
    return session->submit({.step = step});
  }
  float loss() const { return *session->scalarOutput("loss"); }
  std::vector<std::byte> values() const {
    HostStates host = *states->host();
    std::vector<std::byte> all;
    for (size_t i = 0; i < states->size(); ++i) {
      Tensor tensor = host.tensor(i);
      all.insert(all.end(), tensor.bytes.begin(), tensor.bytes.end());
    }
    return all;
  }
};

TEST(Devices, ByName) {
  EXPECT_EQ((*openDevice({}))->name(), "cpu");
  EXPECT_EQ((*openDevice({"isolated", 1}))->name(), "isolated");
  Status status = openDevice({"isolate", 1}).status();
  EXPECT_EQ(status.message(), "expected a device 'cpu', 'cuda', 'emulator' or 'isolated', found 'isolate'");
  EXPECT_EQ(status.exitCode(), 2);
  EXPECT_EQ(openDevice({"tape", 1}).status().message(),
            "expected a device 'cpu', 'cuda', 'emulator' or 'isolated', found 'tape'");
  EXPECT_EQ(deviceWords({}), "");
  EXPECT_EQ(deviceWords({"isolated", 3}), " --device isolated --threads 3");
  EXPECT_EQ(deviceWords({"cpu", 0, true}), " --separate-buffers");
}

TEST(Devices, StepsInFlightGiveWhatStepsOneByOneGive) {
  Training one("cpu"), two("isolated", {.stepsInFlight = 2});
  std::vector<float> losses, late;
  for (uint64_t step = 0; step < 6; ++step) {
    ASSERT_TRUE(one.submit(step).ok());
    ASSERT_TRUE(one.session->collect().ok());
    losses.push_back(one.loss());
    ASSERT_TRUE(two.submit(step).ok());
    if (two.session->inFlight() < 2)
      continue;
    ASSERT_TRUE(two.session->collect().ok());
    late.push_back(two.loss());
  }
  EXPECT_EQ(two.session->inFlight(), 1);
  ASSERT_TRUE(two.session->collect().ok());
  late.push_back(two.loss());
  EXPECT_EQ(losses, late);
  EXPECT_EQ(one.values(), two.values());
}

TEST(Devices, BuffersInBlocksOfTheirOwnChangeNoResult) {
  std::vector<std::byte> values[4];
  for (int i = 0; i < 4; ++i) {
    Training training(i / 2 ? "isolated" : "cpu", {.poison = true, .stepsInFlight = 2}, /*separate=*/i % 2);
    EXPECT_EQ(training.device->separatesBuffers(), i % 2);
    EXPECT_EQ(training.session->memory().arena, training.session->memory().live);
    for (uint64_t step = 0; step < 3; ++step) {
      ASSERT_TRUE(training.submit(step).ok());
      ASSERT_TRUE(training.session->collect().ok());
    }
    values[i] = training.values();
  }
  for (int i = 1; i < 4; ++i)
    EXPECT_EQ(values[0], values[i]);
}

TEST(Devices, AStepThatIsNotFiniteHoldsBackThoseBehindIt) {
  Training one("cpu"), two("isolated", {.stepsInFlight = 2});
  for (Training *each : {&one, &two}) {
    ASSERT_TRUE(each->submit(0).ok());
    ASSERT_TRUE(each->session->collect().ok());
  }
  std::vector<std::byte> before = two.values();
  ASSERT_TRUE(two.submit(1, /*broken=*/true).ok());
  ASSERT_TRUE(two.submit(2).ok()); // sound by itself
  EXPECT_EQ(two.session->submit({}).code(), Code::internal) << "two are in flight";
  EXPECT_EQ(two.session->input("image").status().code(), Code::internal);
  ASSERT_TRUE(two.session->collect().ok());
  EXPECT_EQ(*two.session->scalarOutput("finite"), 0);
  EXPECT_EQ(two.session->inFlight(), 0) << "the step behind it is dropped";
  EXPECT_EQ(two.values(), before);
  EXPECT_EQ(two.session->collect().code(), Code::internal) << "none is in flight";
  // What is submitted from now on counts.
  for (Training *each : {&one, &two}) {
    ASSERT_TRUE(each->submit(4).ok());
    ASSERT_TRUE(each->session->collect().ok());
    EXPECT_EQ(*each->session->scalarOutput("finite"), 1);
  }
  EXPECT_EQ(one.values(), two.values());
  EXPECT_NE(two.values(), before);
}

TEST(Devices, TheTrapUndoesAStepOnEach) {
  std::string messages[2];
  for (int i = 0; i < 2; ++i) {
    Training training(i ? "isolated" : "cpu", {.poison = true, .trapNan = true});
    ASSERT_TRUE(training.session->run({}).ok());
    std::vector<std::byte> before = training.values();
    Status status = training.submit(7, /*broken=*/true);
    messages[i] = status.message();
    EXPECT_EQ(status.exitCode(), 1);
    EXPECT_EQ(training.values(), before);
  }
  EXPECT_NE(messages[0].find("step 8: "), std::string::npos) << messages[0];
  EXPECT_EQ(messages[0], messages[1]);
}

// The trap fires at the last launch, behind a predicate that is 0; the steps behind it count.
TEST(Devices, AStepThatWasUndoneHoldsBackNone) {
  for (const char *name : {"cpu", "isolated"}) {
    Training training(name, {.trapNan = true});
    ASSERT_TRUE(training.submit(0).ok());
    ASSERT_TRUE(training.session->collect().ok());
    float momentum = 0;
    auto exchange = [&](float value) {
      HostStates host = *training.states->host();
      momentum = std::exchange(host.tensor(kMomentum).as<float>()[1], value);
      ASSERT_TRUE(host.commit().ok());
    };
    exchange(kNaN);
    std::span<float> image = training.session->input("image")->as<float>();
    std::fill(image.begin(), image.end(), 3e38f); // the loss overflows, and makes no NaN
    Status status = training.session->submit({.step = 1});
    EXPECT_NE(status.message().find("made a NaN"), std::string::npos) << status.message();
    exchange(momentum);
    std::vector<std::byte> before = training.values();
    ASSERT_TRUE(training.submit(2).ok());
    ASSERT_TRUE(training.session->collect().ok());
    EXPECT_EQ(*training.session->scalarOutput("finite"), 1);
    EXPECT_NE(training.values(), before) << name;
  }
}

TEST(Devices, ASessionIsOnTheDeviceOfItsStates) {
  std::shared_ptr<const Program> program = *Program::verify(testProgram().encode(), "p.moe");
  std::shared_ptr<States> states = *States::create(program, *openCpu(1), 1);
  Status status = Session::open(program, states, *openDevice({"isolated", 1}), "train", kBatch).status();
  EXPECT_EQ(status.code(), Code::internal);
}

// What the test device is for: it does everything as late as it may.
TEST(Isolated, CopiesReadTheHostsMemoryWhenSomebodyWaits) {
  std::shared_ptr<Device> device = *openDevice({"isolated", 1});
  DeviceBlock block = *device->allocate(8), other = *device->allocate(8);
  uint64_t value = 1, found = 0;
  ASSERT_TRUE(device->write(block.address(), std::as_bytes(std::span(&value, 1))).ok());
  value = 2;
  ASSERT_TRUE(device->copy(other.address(), block.address(), 8).ok());
  ASSERT_TRUE(device->read(std::as_writable_bytes(std::span(&found, 1)), other.address()).ok());
  Ticket ticket = device->mark();
  EXPECT_EQ(found, 0u);
  ASSERT_TRUE(device->wait(ticket).ok());
  EXPECT_EQ(found, 2u);
  EXPECT_TRUE(device->shared(block.address(), 8).empty());
}

TEST(Isolated, AViewIsACopyUntilItIsCommitted) {
  std::shared_ptr<Device> device = *openDevice({"isolated", 1});
  DeviceBlock block = *device->allocate(3);
  HostView view = *HostView::of(*device, block.address(), 3);
  EXPECT_EQ(view.bytes()[2], std::byte(0));
  view.bytes()[2] = std::byte(7);
  EXPECT_EQ(HostView::of(*device, block.address(), 3)->bytes()[2], std::byte(0));
  ASSERT_TRUE(view.commit().ok());
  EXPECT_EQ(HostView::of(*device, block.address(), 3)->bytes()[2], std::byte(7));
}

TEST(ShadowMemory, AddressesAreOutOfReach) {
  auto memory = *ShadowMemory::create();
  uint64_t first = *memory->allocate(5000), second = *memory->allocate(1);
  EXPECT_GE(second, first + 2 * 4096 + 4096) << "a page without access is between two blocks";
  memset(memory->bytes(first), 1, 5000);
  EXPECT_EQ(memory->bytes(first) - reinterpret_cast<std::byte *>(first), memory->distance());
  EXPECT_DEATH(*reinterpret_cast<volatile char *>(first) = 1, "");
  EXPECT_DEATH(*reinterpret_cast<volatile char *>(memory->bytes(first) + 2 * 4096) = 1, "");
  memory->release(first);
  EXPECT_DEATH(*reinterpret_cast<volatile char *>(memory->bytes(first)) = 1, "");
  EXPECT_EQ(*memory->allocate(3 * 4096 - 1), second + 2 * 4096) << "it does not fit where 2 pages were";
  uint64_t again = *memory->allocate(100);
  EXPECT_EQ(again, first);
  EXPECT_EQ(*memory->bytes(again), std::byte(0)) << "what is given again is zeroed";
  EXPECT_FALSE(memory->allocate(uint64_t(1) << 60).ok());
}

TEST(ShadowMemory, ReservedAddressesGrowByMapping) {
  auto memory = *ShadowMemory::create();
  constexpr uint64_t part = uint64_t(2) << 20;
  uint64_t block = *memory->allocate(1), range = *memory->reserve(4 * part, part);
  EXPECT_EQ(range % part, 0u);
  EXPECT_DEATH(*reinterpret_cast<volatile char *>(memory->bytes(range)) = 1, "");
  int file = memfd_create("part", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(file, 2 * part), 0);
  ASSERT_TRUE(memory->map(range, part, file, part).ok());
  memset(memory->bytes(range), 7, part);
  EXPECT_DEATH(*reinterpret_cast<volatile char *>(memory->bytes(range + part)) = 1, "");
  // The memory is the file's, wherever it is.
  memory->unmap(range, part);
  EXPECT_DEATH(*reinterpret_cast<volatile char *>(memory->bytes(range)) = 1, "");
  ASSERT_TRUE(memory->map(range + part, 2 * part, file, 0).ok());
  EXPECT_EQ(*memory->bytes(range + part), std::byte(0));
  EXPECT_EQ(*memory->bytes(range + 2 * part), std::byte(7));
  close(file);
  memory->release(range);
  EXPECT_DEATH(*reinterpret_cast<volatile char *>(memory->bytes(range + part)) = 1, "");
  EXPECT_EQ(*memory->reserve(part, 4096), block + 2 * 4096);
}

TEST(ShadowMemory, AddressesAreGivenAgainLate) {
  auto memory = *ShadowMemory::create(ShadowMemory::Reuse::late);
  uint64_t first = *memory->allocate(100), second = *memory->allocate(100);
  memory->release(first);
  EXPECT_GT(*memory->allocate(100), second);
  uint64_t most = memory->size() - (second - memory->base()) - 6 * 4096;
  EXPECT_GT(*memory->reserve(most, 4096), second);
  EXPECT_EQ(*memory->allocate(100), first) << "no others are left";
}

} // namespace
} // namespace moert::test
