// Philox against the known answers of its authors (Random123, kat_vectors), and initial values against their
// rules.
#include "runtime/program/Philox.h"
#include "runtime/session/States.h"
#include "test/support/TestProgram.h"

#include <gtest/gtest.h>

namespace moert::test {
namespace {

TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, 0, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox({ones, ones, ones, ones}, ones, ones),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, StreamIsFnv1a) {
  EXPECT_EQ(philoxStream(""), 0x811C9DC5u);
  EXPECT_EQ(philoxStream("a"), 0xE40C292Cu);
  EXPECT_EQ(philoxStream("foobar"), 0xBF9CF968u);
}

TEST(Philox, CounterLayout) {
  uint64_t seed = 0x123456789abcdef0, index = (uint64_t(5) << 34) + 4 * 7 + 2;
  PhiloxBlock block = philox({7, 5, 11, 13}, 0x9abcdef0, 0x12345678);
  EXPECT_EQ(philoxWord(seed, 11, 13, index), block[2]);
}

struct Moments {
  double mean, deviation, least, most;
};

Moments moments(moe::fb::InitKind kind, double a, double b, size_t count) {
  moe::fb::InitT rule;
  rule.kind = kind;
  rule.a = a;
  rule.b = b;
  rule.stream = 42;
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(moe::fb::Init::Pack(builder, &rule));
  std::vector<float> values(count);
  fillInitial(*flatbuffers::GetRoot<moe::fb::Init>(builder.GetBufferPointer()), fb::ElementType::f32, 3,
              std::as_writable_bytes(std::span(values)));
  Moments out = {0, 0, 1e30, -1e30};
  for (float value : values) {
    out.mean += value / double(count);
    out.least = std::min(out.least, double(value));
    out.most = std::max(out.most, double(value));
  }
  for (float value : values)
    out.deviation += (value - out.mean) * (value - out.mean) / double(count);
  out.deviation = std::sqrt(out.deviation);
  return out;
}

TEST(InitialValues, FollowTheirRules) {
  constexpr size_t count = 200003; // no multiple of four
  using moe::fb::InitKind;
  Moments uniform = moments(InitKind::uniform, -0.5, 1.5, count);
  EXPECT_NEAR(uniform.mean, 0.5, 0.005);
  EXPECT_NEAR(uniform.deviation, 2 / std::sqrt(12.0), 0.005);
  EXPECT_GE(uniform.least, -0.5);
  EXPECT_LT(uniform.most, 1.5);
  Moments normal = moments(InitKind::normal, 1, 0.25, count);
  EXPECT_NEAR(normal.mean, 1, 0.003);
  EXPECT_NEAR(normal.deviation, 0.25, 0.003);
  EXPECT_GT(normal.most, 1 + 3.5 * 0.25);
  Moments cut = moments(InitKind::trunc_normal, 0, 0.02, count);
  EXPECT_NEAR(cut.mean, 0, 0.0003);
  EXPECT_NEAR(cut.deviation, 0.02 * 0.8796256610342398, 0.0003); // of a normal cut at two deviations
  EXPECT_GE(cut.least, -0.0400001);
  EXPECT_LE(cut.most, 0.0400001);
  EXPECT_GT(cut.most, 0.0399);
  Moments constant = moments(InitKind::constant, 0.75, 0, 7);
  EXPECT_EQ(constant.least, 0.75);
  EXPECT_EQ(constant.most, 0.75);
}

// The quantile is right where Phi of it gives the probability back.
TEST(InitialValues, TruncatedNormalInvertsPhi) {
  moe::fb::InitT rule;
  rule.kind = moe::fb::InitKind::trunc_normal;
  rule.b = 1;
  rule.stream = 9;
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(moe::fb::Init::Pack(builder, &rule));
  std::vector<float> values(10000);
  fillInitial(*flatbuffers::GetRoot<moe::fb::Init>(builder.GetBufferPointer()), fb::ElementType::f32, 17,
              std::as_writable_bytes(std::span(values)));
  double below = 0.5 * std::erfc(2 / std::sqrt(2.0));
  for (size_t i = 0; i < values.size(); ++i) {
    double p = below + (1 - 2 * below) * philoxUniform(philoxWord(17, 9, kInitStep, i));
    ASSERT_NEAR(0.5 * std::erfc(-double(values[i]) / std::sqrt(2.0)), p, 1e-7);
  }
}

TEST(States, DependOnSeedAndPathOnly) {
  Result<std::shared_ptr<const Program>> program = Program::verify(testProgram().encode(), "p.moe");
  ASSERT_TRUE(program.ok());
  auto weights = [&](uint64_t seed) {
    std::shared_ptr<States> states = *States::create(*program, *openCpu(1), seed);
    HostStates values = *states->host();
    std::span<float> w = values.tensor(kW).as<float>();
    EXPECT_EQ(values.tensor(kMomentum).as<float>()[2], 0);
    return std::vector<float>(w.begin(), w.end());
  };
  EXPECT_EQ(weights(1), weights(1));
  EXPECT_NE(weights(1), weights(2));
  std::vector<float> w = weights(5);
  for (size_t i = 0; i < w.size(); ++i)
    EXPECT_EQ(w[i], float(-0.5 + philoxUniform(philoxWord(5, 7, kInitStep, i))));
}

} // namespace
} // namespace moert::test
