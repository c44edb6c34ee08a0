// The device for GPUs on the emulator: the small program of the runtime's tests gives what it gives on the CPU, in the checked mode
// and under several seeds, with steps in flight and replayed graphs.
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/emulator/module_generated.h"
#include "runtime/session/Bench.h"
#include "test/support/EmulatedGpu.h"
#include "test/support/EmulatorModule.h"
#include "test/support/TestProgram.h"

#include <gtest/gtest.h>
#include <limits>
#include <map>

namespace moert::test {
namespace {

using cuda::CUresult;
constexpr Binding kBatch = {2, 3};

TestProgram emulatorProgram() {
  TestProgram program = gpuProgram();
  moe::fb::TargetT &target = *program.table.targets[0];
  program.kind = SectionKind::emulator;
  program.sections = {emulatorModule()};
  target.kind = moe::fb::TargetKind::emulator;
  target.name = "emulator";
  return program;
}

/// Sets the environment of the emulator while it lives.
class Environment {
public:
  explicit Environment(const Modes &modes) : modes_(modes) {
    for (auto &[name, value] : modes_)
      setenv(variable(name).c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (auto &[name, value] : modes_)
      unsetenv(variable(name).c_str());
  }

private:
  static std::string variable(const std::string &name) {
    return "MOE_EMULATOR" + (name.empty() ? "" : "_" + name);
  }
  Modes modes_;
};

Result<std::shared_ptr<Device>> openEmulated() {
  return cuda::openDevice(*cuda::openDriver(MOERT_EMULATOR), moe::fb::TargetKind::emulator);
}

/// A training session, whose inputs depend on the step.
struct Training {
  std::shared_ptr<const Program> program;
  std::shared_ptr<Device> device;
  std::shared_ptr<States> states;
  std::unique_ptr<Session> session;

  Training(const TestProgram &source, std::shared_ptr<Device> on, Session::Options options)
      : device(std::move(on)) {
    program = *Program::verify(source.encode(), "p.moe");
    states = *States::create(program, device, 1);
    session = *Session::open(program, states, device, "train", kBatch, options);
  }
  Training(std::shared_ptr<const Program> of, std::shared_ptr<Device> on, std::shared_ptr<States> with,
           std::unique_ptr<Session> opened)
      : program(std::move(of)), device(std::move(on)), states(std::move(with)), session(std::move(opened)) {}
  Status submit(uint64_t step, bool broken = false) {
    MOERT_ASSIGN(Tensor tensor, session->input("image"));
    std::span<float> image = tensor.as<float>();
    for (size_t i = 0; i < image.size(); ++i)
      image[i] = broken && i == 4 ? std::numeric_limits<float>::quiet_NaN()
                                  : float(int((i + step) * 7 % 11) - 5) / 8;
    for (int32_t &label : session->input("label")->as<int32_t>())
      label = int32_t(step % 2);
    return session->submit({.step = step});
  }
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

class CudaDevice : public testing::TestWithParam<Modes> {
protected:
  Environment environment{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Modes, CudaDevice,
                         testing::Values(Modes{}, Modes{{"SEED", "7"}}, kChecked,
                                         Modes{{"", "checked"}, {"SEED", "3"}}));

TEST_P(CudaDevice, TrainsAsTheCpu) {
  Training cpu(testProgram(), *openCpu(1), {}), gpu(emulatorProgram(), *openEmulated(), {.stepsInFlight = 2});
  std::vector<float> losses, late;
  for (uint64_t step = 0; step < 8; ++step) {
    ASSERT_TRUE(cpu.submit(step).ok());
    ASSERT_TRUE(cpu.session->collect().ok());
    losses.push_back(*cpu.session->scalarOutput("loss"));
    Status status = gpu.submit(step);
    ASSERT_TRUE(status.ok()) << status.message();
    if (gpu.session->inFlight() < 2)
      continue;
    status = gpu.session->collect();
    ASSERT_TRUE(status.ok()) << status.message();
    late.push_back(*gpu.session->scalarOutput("loss"));
  }
  ASSERT_TRUE(gpu.session->collect().ok());
  late.push_back(*gpu.session->scalarOutput("loss"));
  EXPECT_EQ(losses, late);
  EXPECT_EQ(cpu.values(), gpu.values());
}

TEST_P(CudaDevice, AStepThatIsNotFiniteHoldsBackThoseBehindIt) {
  Training cpu(testProgram(), *openCpu(1), {}), gpu(emulatorProgram(), *openEmulated(), {.stepsInFlight = 2});
  for (Training *each : {&cpu, &gpu}) {
    ASSERT_TRUE(each->submit(0).ok());
    ASSERT_TRUE(each->session->collect().ok());
  }
  std::vector<std::byte> before = gpu.values();
  ASSERT_TRUE(gpu.submit(1, /*broken=*/true).ok());
  ASSERT_TRUE(gpu.submit(2).ok()); // sound by itself
  Status status = gpu.session->collect();
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(*gpu.session->scalarOutput("finite"), 0);
  EXPECT_EQ(gpu.session->inFlight(), 0) << "the step behind it is dropped";
  EXPECT_EQ(gpu.values(), before);
  for (Training *each : {&cpu, &gpu}) {
    ASSERT_TRUE(each->submit(4).ok());
    ASSERT_TRUE(each->session->collect().ok());
    EXPECT_EQ(*each->session->scalarOutput("finite"), 1);
  }
  EXPECT_EQ(cpu.values(), gpu.values());
}

TEST_P(CudaDevice, InfersWithPreparedWeightsAndSeveralSessions) {
  std::shared_ptr<Device> device = *openEmulated();
  Training train(emulatorProgram(), device, {});
  std::unique_ptr<Session> infer =
      *Session::open(train.program, train.states, device, "main", {3, 4}, {.seed = 5});
  std::shared_ptr<const Program> program = *Program::verify(testProgram().encode(), "p.moe");
  std::shared_ptr<Device> host = *openCpu(1);
  std::shared_ptr<States> states = *States::create(program, host, 1);
  std::unique_ptr<Session> expected = *Session::open(program, states, host, "main", {3, 4}, {.seed = 5});
  for (uint64_t step : {1, 2, 3}) {
    for (Session *session : {infer.get(), expected.get()}) {
      std::span<float> image = session->input("image")->as<float>();
      for (size_t i = 0; i < image.size(); ++i)
        image[i] = float(i % 5) - float(step);
      Status status = session->run({.step = step, .progress = 1});
      ASSERT_TRUE(status.ok()) << status.message();
    }
    for (const char *name : {"logits", "mark"}) {
      std::span<float> one = infer->output(name)->as<float>(), two = expected->output(name)->as<float>();
      EXPECT_EQ(std::vector(one.begin(), one.end()), std::vector(two.begin(), two.end()))
          << name << " of step " << step;
    }
  }
}

TEST_P(CudaDevice, ProfilesAndTraps) {
  Training gpu(emulatorProgram(), *openEmulated(), {.poison = true, .trapNan = true, .profile = true});
  Status first = gpu.submit(0);
  ASSERT_TRUE(first.ok()) << first.message();
  ASSERT_TRUE(gpu.session->collect().ok());
  EXPECT_EQ(gpu.session->profile().launches.size(), 3u);
  std::vector<std::byte> before = gpu.values();
  Status status = gpu.submit(7, /*broken=*/true);
  EXPECT_NE(status.message().find("step 8: "), std::string::npos) << status.message();
  EXPECT_EQ(gpu.values(), before);
}

TEST_P(CudaDevice, TimesByItsOwnClock) {
  std::shared_ptr<const Program> program = *Program::verify(emulatorProgram().encode(), "p.moe");
  BenchOptions options;
  options.binding = kBatch;
  options.steps = 3;
  Result<BenchResult> result = benchmark(program, *openEmulated(), options);
  ASSERT_TRUE(result.ok()) << result.status().message();
  ASSERT_TRUE(result->deviceMs);
  EXPECT_GE(*result->deviceMs, 0);
  EXPECT_LE(*result->deviceMs, result->p90Ms) << "what lies between the two is in the host's time";
  std::shared_ptr<Device> device = *openEmulated();
  EXPECT_FALSE(device->notedMs().ok()) << "nothing was noted";
  EXPECT_FALSE(*(*openCpu(1))->notedMs()) << "the CPU's clock is the host's";
}

TEST(CudaDeviceFailures, AProgramForAnotherGpu) {
  std::shared_ptr<Device> device = *openEmulated();
  TestProgram source = emulatorProgram();
  source.table.targets[0]->level = "sm_80";
  std::shared_ptr<const Program> program = *Program::verify(source.encode(), "p.moe");
  std::string message = device->chooseTarget(*program).status().message();
  EXPECT_NE(message.find("; compile it again with `moec compile MODEL.mlir -o p.moe"), std::string::npos)
      << message;
  EXPECT_NE(message.find(" --target=emulator:sm_90a`"), std::string::npos) << message;
  // The targets that it has are kept.
  source.table.config.push_back(std::make_unique<moe::fb::KeyValueT>());
  source.table.config.back()->key = "target";
  source.table.config.back()->value = "cpu emulator:sm_80";
  program = *Program::verify(source.encode(), "p.moe");
  message = device->chooseTarget(*program).status().message();
  EXPECT_NE(message.find(" --target=cpu --target=emulator:sm_80 --target=emulator:sm_90a --"),
            std::string::npos)
      << message;
}

/// The emulator as the driver of a GPU with other numbers.
struct OtherGpu {
  static inline CUresult (*own)(int *, cuda::CUdevice_attribute, cuda::CUdevice) = nullptr;
  static inline int major = 9, minor = 0, mapsMemory = 1;
  static CUresult attribute(int *value, cuda::CUdevice_attribute which, cuda::CUdevice device) {
    CUresult result = own(value, which, device);
    if (which == cuda::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
      *value = major;
    if (which == cuda::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
      *value = minor;
    if (which == cuda::CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED)
      *value = mapsMemory;
    return result;
  }
  static Result<std::shared_ptr<Device>> open(int newMajor, int newMinor, int maps = 1) {
    major = newMajor;
    minor = newMinor;
    mapsMemory = maps;
    auto driver = std::make_shared<cuda::Driver>(**cuda::openDriver(MOERT_EMULATOR));
    own = driver->deviceGetAttribute;
    driver->deviceGetAttribute = attribute;
    return cuda::openDevice(driver, moe::fb::TargetKind::emulator);
  }
};

TEST(CudaDeviceFailures, AGpuThatNoTargetIsFor) {
  TestProgram source = emulatorProgram();
  source.table.targets[0]->level = "sm_100a";
  std::shared_ptr<const Program> program = *Program::verify(source.encode(), "p.moe");
  auto message = [&](int major, int minor) {
    return (*OtherGpu::open(major, minor))->chooseTarget(*program).status().message();
  };
  for (int minor : {0, 6, 9})
    EXPECT_NE(message(8, minor).find(" --target=emulator:sm_80`"), std::string::npos) << message(8, minor);
  for (auto [major, minor] : {std::pair(7, 5), std::pair(10, 3), std::pair(12, 0)})
    EXPECT_NE(message(major, minor).find("; moec has no target for this GPU: run with --device cpu"),
              std::string::npos)
        << message(major, minor);
  EXPECT_EQ(message(10, 0), "");
}

TEST(CudaDeviceFailures, AGpuThatMapsNoMemory) {
  EXPECT_EQ(
      OtherGpu::open(9, 0, /*maps=*/0).status().message(),
      "expected a GPU and a driver that manage virtual memory, found a GPU of compute capability 9.0 without "
      "it (CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED is 0)");
}

TEST(CudaDeviceFailures, AProgramForAnotherCpu) {
  TestProgram source = emulatorProgram();
  source.table.targets[0]->features = {"sse2", "avx1024", "magic"};
  std::shared_ptr<const Program> program = *Program::verify(source.encode(), "p.moe");
  std::string message = (*openEmulated())->chooseTarget(*program).status().message();
  EXPECT_NE(message.find("expected a CPU with avx1024, magic, for which the emulator's code was compiled"),
            std::string::npos)
      << message;
}

// The driver would read arguments that nobody has given it.
TEST(CudaDeviceFailures, AProgramWhoseTableIsNotItsCodes) {
  auto refusal = [](const std::function<void(moe::emu::KernelT &)> &change) {
    TestProgram source = emulatorProgram();
    source.sections = {emulatorModule([&](moe::emu::ModuleT &module) {
      for (auto &kernel : module.kernels)
        if (kernel->name == "dot")
          change(*kernel);
    })};
    return Program::verify(source.encode(), "p.moe").status().message();
  };
  EXPECT_EQ(refusal([](moe::emu::KernelT &) {}), "");
  EXPECT_EQ(
      refusal([](moe::emu::KernelT &dot) { dot.params.push_back(std::make_unique<moe::emu::ParamT>()); }),
      "p.moe: target 'emulator', kernel 'dot': expected code that takes 5 parameters (3 buffers and 2 "
      "scalars), found code that takes 6 [V34]");
  EXPECT_EQ(refusal([](moe::emu::KernelT &dot) { dot.params[3]->kind = moe::emu::ParamKind::pointer; }),
            "p.moe: target 'emulator', kernel 'dot': expected parameter 3 of the code to be a number of 8 "
            "bytes, found an address of 8 [V34]");
  EXPECT_EQ(refusal([](moe::emu::KernelT &dot) { dot.threads = 32; }),
            "p.moe: target 'emulator', kernel 'dot': expected code for blocks of at most 64 threads, found "
            "code for 32 [V34]");
}

TEST(CudaDeviceFailures, TooLittleMemory) {
  Environment environment({{"MEMORY", "8"}});
  std::shared_ptr<Device> device = *openEmulated();
  Status status = device->allocate(9 << 20).status();
  EXPECT_EQ(
      status.message(),
      "expected 9437184 bytes of free GPU memory, found 8388608 of 8388608; use a smaller batch, or end "
      "what else uses the GPU");
  EXPECT_EQ(
      device->reserve(9 << 20, 0).message(),
      "expected 10485760 bytes of free GPU memory for temporaries, found 8388608 of 8388608; use a smaller "
      "batch, or end what else uses the GPU");
  EXPECT_EQ(device->arenaGrowth(3 << 20), uint64_t(4) << 20);
  EXPECT_TRUE(device->reserve(3 << 20, 0).ok());
  const DeviceAddress arena = device->arena();
  EXPECT_TRUE(device->reserve(5 << 20, 0).ok());
  EXPECT_EQ(device->arena(), arena) << "it grows where it is";
  EXPECT_EQ(device->arenaGrowth(6 << 20), 0u) << "it is there";
  // Where the driver does not even say how much there is.
  auto silent = std::make_shared<cuda::Driver>(**cuda::openDriver(MOERT_EMULATOR));
  silent->memGetInfo = [](size_t *, size_t *) { return cuda::CUDA_ERROR_UNKNOWN; };
  device = *cuda::openDevice(silent, moe::fb::TargetKind::emulator);
  EXPECT_EQ(device->allocate(9 << 20).status().message(),
            "expected 9437184 bytes of free GPU memory, found an amount that the driver does not say; use a "
            "smaller "
            "batch, or end what else uses the GPU");
}

TEST(CudaDeviceFailures, StatesThatDoNotFit) {
  Environment environment({{"MEMORY", "2"}});
  TestProgram source = emulatorProgram();
  source.table.states.push_back(std::make_unique<moe::fb::StateT>(*source.table.states[kW]));
  source.table.states.back()->path = "large";
  source.table.states.back()->shape = {1024, 1024};
  std::shared_ptr<const Program> program = *Program::verify(source.encode(), "p.moe");
  EXPECT_EQ(
      States::create(program, *openEmulated(), 1).status().message(),
      "p.moe: its states take 5 MiB, found 2 MiB free on the device; the largest of them: 'large' with 4 "
      "MiB, 'momentum.fc.weight' with 1 MiB, 'fc.weight' with 1 MiB; use a smaller model, or end what else "
      "uses the device");
}

// All sessions share one arena: a second one needs no room for what the first has.
TEST(CudaDeviceFailures, ASecondSessionNeedsNoSecondArena) {
  Environment environment({{"MEMORY", "64"}});
  std::shared_ptr<const Program> program = *Program::verify(emulatorProgram().encode(), "p.moe");
  std::shared_ptr<Device> device = *openEmulated();
  std::shared_ptr<States> states = *States::create(program, device, 1);
  const Binding batch = {2, 500000};
  auto open = [&] { return Session::open(program, states, device, "train", batch, {}); };
  auto first = open();
  ASSERT_TRUE(first.ok()) << first.status().message();
  const Session::MemoryUse use = (*first)->memory();
  ASSERT_GT(use.arena, uint64_t(2) << 20);
  auto taken = device->allocate(*device->freeBytes() - use.ports - use.arena / 2);
  ASSERT_TRUE(taken.ok());
  {
    auto second = open();
    EXPECT_TRUE(second.ok()) << second.status().message();
  }
  auto more = device->allocate(use.arena);
  auto third = open();
  ASSERT_FALSE(third.ok());
  EXPECT_NE(third.status().message().find("more than other entries' temporaries do"), std::string::npos)
      << third.status().message();
}

// A launch may ask for less shared memory than that of another session asks for, whose function it is as well.
TEST(CudaDeviceFailures, ASecondPlanLeavesTheFirstItsSharedMemory) {
  TestProgram source = emulatorProgram();
  auto expr = std::make_unique<moe::fb::ExprT>();
  expr->ops = {moe::fb::ExprOp(moe::fb::ExprCode::symbol, 0), moe::fb::ExprOp(moe::fb::ExprCode::symbol, 1),
               moe::fb::ExprOp(moe::fb::ExprCode::mul, 0), moe::fb::ExprOp(moe::fb::ExprCode::constant, 1000),
               moe::fb::ExprOp(moe::fb::ExprCode::mul, 0)};
  source.table.exprs.push_back(std::move(expr));
  for (auto &plan : source.table.targets[0]->plans)
    plan->step[0]->work.AsGpuKernel()->shared = uint32_t(source.table.exprs.size() - 1);
  std::shared_ptr<const Program> program = *Program::verify(source.encode(), "p.moe");
  std::shared_ptr<Device> device = *openEmulated();
  std::shared_ptr<States> states = *States::create(program, device, 1);
  auto large = Session::open(program, states, device, "main", {2, 40}, {});
  ASSERT_TRUE(large.ok()) << large.status().message();
  auto small = Session::open(program, states, device, "main", {2, 30}, {});
  ASSERT_TRUE(small.ok()) << small.status().message();
  for (Session *session : {small->get(), large->get()}) {
    Status status = session->run({});
    EXPECT_TRUE(status.ok()) << status.message();
  }
  // Static shared memory counts.
  source.sections = {emulatorModule([](moe::emu::ModuleT &module) {
    for (auto &kernel : module.kernels)
      if (kernel->name == "dot")
        kernel->shared = 40000;
  })};
  program = *Program::verify(source.encode(), "p.moe");
  states = *States::create(program, device, 1);
  EXPECT_EQ(
      Session::open(program, states, device, "main", {2, 100}, {}).status().message(),
      "launch 1, 'linear' at fc (linear.mlir:3): expected a GPU with 240000 bytes of shared memory a block, "
      "found one with 232448; compile the program for this GPU");
}

// A call that the driver refuses before anything of a step was launched leaves the states as they are, and the device.
TEST(CudaDeviceFailures, ARefusedCallOfAStep) {
  std::vector<std::byte> expected;
  {
    Training whole(emulatorProgram(), *openEmulated(), {});
    for (uint64_t step = 0; step < 3; ++step) {
      ASSERT_TRUE(whole.submit(step).ok());
      ASSERT_TRUE(whole.session->collect().ok());
    }
    expected = whole.values();
  }
  std::map<std::string, std::pair<int, int>>
      seen; // of a call: how often the device went on, and how often it did not
  for (bool profile : {false, true})
    for (int call = 1; call < 200; ++call) {
      Environment environment({{"FAIL_CALL", std::to_string(call)}});
      auto driver = cuda::openDriver(MOERT_EMULATOR);
      if (!driver.ok())
        continue;
      // The call that fails may be the one that gives the context back.
      struct Release {
        std::shared_ptr<const cuda::Driver> driver;
        ~Release() {
          while (driver->devicePrimaryCtxRelease(0) == CUDA_SUCCESS) {
          }
        }
      } release{*driver};
      auto device = cuda::openDevice(*driver, moe::fb::TargetKind::emulator);
      std::shared_ptr<const Program> program = *Program::verify(emulatorProgram().encode(), "p.moe");
      auto states = device.ok() ? States::create(program, *device, 1) : device.status();
      if (!states.ok())
        continue;
      auto session = Session::open(program, *states, *device, "train", kBatch, {.profile = profile});
      if (!session.ok())
        continue;
      Training gpu(program, *device, *states, *std::move(session));
      Status failed;
      for (uint64_t step = 0; step < 3 && failed.ok(); ++step) {
        failed = gpu.submit(step);
        if (failed.ok()) {
          if (!gpu.session->collect().ok())
            break;
          continue;
        }
        const std::string &text = failed.message();
        const size_t end = text.find(" is call ");
        if (end == std::string::npos)
          break;
        const size_t begin = text.rfind(' ', end - 1) + 1;
        auto &[goesOn, lost] = seen[(profile ? "single " : "") + text.substr(begin, end - begin)];
        ++(gpu.device->failure().ok() ? goesOn : lost);
        if (!gpu.device->failure().ok())
          break;
        for (uint64_t again = step; again < 3; ++again) {
          ASSERT_TRUE(gpu.submit(again).ok()) << text;
          ASSERT_TRUE(gpu.session->collect().ok()) << text;
        }
        EXPECT_EQ(gpu.values(), expected) << text;
      }
    }
  for (const char *call :
       {"cuLaunchKernel", "cuGraphLaunch", "cuGraphInstantiateWithFlags", "cuStreamBeginCapture_v2"}) {
    EXPECT_GT(seen[call].first, 0) << call;
    EXPECT_EQ(seen[call].second, 0) << call;
  }
  // Launched one by one, the last launch of the three is the first that writes states: none before it has changed any.
  EXPECT_GT(seen["single cuLaunchKernel"].first, 0);
}

// What a run makes anew counts as unwritten before: temporaries that live on, and outputs.
TEST(CudaDeviceFailures, PreparedValuesAndOutputsThatAreNotWhole) {
  Environment environment(kChecked);
  auto message = [](const std::function<void(moe::fb::PlanT &)> &change) {
    TestProgram source = emulatorProgram();
    change(*source.table.targets[0]->plans[kMain]);
    std::shared_ptr<const Program> program = *Program::verify(source.encode(), "p.moe");
    std::shared_ptr<Device> device = *openEmulated();
    std::shared_ptr<States> states = *States::create(program, device, 1);
    std::unique_ptr<Session> session = *Session::open(program, states, device, "main", {2, 200}, {});
    return session->run({}).message();
  };
  EXPECT_EQ(message([](moe::fb::PlanT &) {}), "");
  std::string prepared =
      message([](moe::fb::PlanT &plan) { plan.prepare[0]->work.AsGpuKernel()->grid[0] = kOne; });
  EXPECT_NE(prepared.find("kernel 'dot'"), std::string::npos) << prepared;
  EXPECT_NE(prepared.find("which was never written"), std::string::npos) << prepared;
  std::string output =
      message([](moe::fb::PlanT &plan) { plan.step[1]->work.AsGpuKernel()->grid[0] = kOne; });
  EXPECT_NE(output.find("a copy to the host of 1600 bytes reads memory"), std::string::npos) << output;
  EXPECT_NE(output.find("which was never written"), std::string::npos) << output;
}

TEST_P(CudaDevice, CopiesAndFills) {
  TestProgram source = emulatorProgram();
  moe::fb::PlanT &plan = *source.table.targets[0]->plans[kMain];
  moe::fb::LaunchT &copy = *plan.step[1], &fill = *plan.step[2];
  copy.scalars.clear();
  copy.buffers = {kMLogits, kMY};
  copy.work.Set(moe::fb::CopyT());
  moe::fb::FillT value;
  value.bits = 0x40000000; // 2
  fill.scalars.clear();
  fill.work.Set(std::move(value));
  std::shared_ptr<const Program> program = *Program::verify(source.encode(), "p.moe");
  std::shared_ptr<Device> device = *openEmulated();
  std::shared_ptr<States> states = *States::create(program, device, 1);
  std::unique_ptr<Session> session = *Session::open(program, states, device, "main", {2, 3}, {});
  Training plain(emulatorProgram(), *openEmulated(), {});
  std::unique_ptr<Session> expected =
      *Session::open(plain.program, plain.states, plain.device, "main", {2, 3}, {});
  for (Session *each : {session.get(), expected.get()}) {
    std::span<float> image = each->input("image")->as<float>();
    for (size_t i = 0; i < image.size(); ++i)
      image[i] = float(i % 5);
    Status status = each->run({});
    ASSERT_TRUE(status.ok()) << status.message();
  }
  std::span<float> one = session->output("logits")->as<float>(),
                   two = expected->output("logits")->as<float>();
  EXPECT_EQ(std::vector(one.begin(), one.end()), std::vector(two.begin(), two.end()));
  for (float mark : session->output("mark")->as<float>())
    EXPECT_EQ(mark, 2);
}

// A temporary shares its memory with others, and with itself in the step before. Its launch is left out: what reads it is told.
TEST(CudaDeviceFailures, ATemporaryThatNothingHasWritten) {
  Environment environment(kChecked);
  Training gpu(emulatorProgram(), *openEmulated(), {});
  ASSERT_TRUE(gpu.submit(0).ok());
  ASSERT_TRUE(gpu.session->collect().ok());
  TestProgram source = emulatorProgram();
  source.table.targets[0]->plans[kTrain]->step[0]->scalars[0] =
      moe::fb::Arg(moe::fb::ArgKind::constant_i64, 3);
  source.table.targets[0]->plans[kTrain]->step[0]->work.AsGpuKernel()->grid = {kD, kOne, kOne}; // fewer rows
  Training fewer(source, gpu.device, {});
  Status status = fewer.submit(0);
  ASSERT_TRUE(status.ok()) << status.message();
  status = fewer.session->collect();
  EXPECT_NE(status.message().find("kernel 'squared_loss', op 'op76' at kernels.mlir:176"), std::string::npos)
      << status.message();
  EXPECT_NE(status.message().find("which was never written"), std::string::npos) << status.message();
}

// A kernel that leaves its buffers by a few elements stays within a block of several, but not within one of each.
TEST(CudaDeviceFailures, ABufferThatAKernelLeaves) {
  Environment environment(kChecked);
  TestProgram source = emulatorProgram();
  source.table.targets[0]->plans[kTrain]->step[kSgd]->work.AsGpuKernel()->grid = {kB, kOne, kOne}; // columns
  for (bool separate : {false, true}) {
    std::shared_ptr<Device> device = *openEmulated();
    EXPECT_TRUE(device->separatesBuffers()) << "the checked mode asks for it";
    device->separateBuffers(separate);
    Training gpu(source, device, {});
    Status status = gpu.submit(0);
    ASSERT_TRUE(status.ok()) << status.message();
    status = gpu.session->collect();
    EXPECT_EQ(status.ok(), !separate) << status.message();
    EXPECT_EQ(status.message().find("bytes behind a block of ") != std::string::npos, separate)
        << status.message();
  }
}

// What is wrong in a kernel is in the message of whoever waits, with the line; nothing is done afterwards.
TEST(CudaDeviceFailures, AKernelThatFails) {
  Environment environment(kChecked);
  TestProgram source = emulatorProgram();
  // A batch of rows that the kernel reads beyond: its number of columns is wrong.
  source.table.targets[0]->plans[kTrain]->step[0]->scalars[0] =
      moe::fb::Arg(moe::fb::ArgKind::constant_i64, 300);
  Training gpu(source, *openEmulated(), {});
  Status status = gpu.submit(0);
  ASSERT_TRUE(status.ok()) << status.message();
  status = gpu.session->collect();
  EXPECT_NE(status.message().find("CUDA_ERROR_ILLEGAL_ADDRESS"), std::string::npos) << status.message();
  EXPECT_NE(status.message().find("kernel 'dot', op 'op75' at kernels.mlir:175"), std::string::npos)
      << status.message();
  EXPECT_FALSE(gpu.device->finish().ok());
}

} // namespace
} // namespace moert::test
