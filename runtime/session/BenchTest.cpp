// The benchmark's figures hang together, and its inputs are what the program expects.
#include "runtime/session/Bench.h"
#include "runtime/session/ProfileTable.h"
#include "test/support/TestProgram.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>

namespace moert::test {
namespace {

TEST(Bench, TimesSteps) {
  Result<std::shared_ptr<const Program>> program = Program::verify(testProgram().encode(), "p.moe");
  Result<std::shared_ptr<Device>> device = openCpu(2);
  BenchOptions options;
  options.binding = {5, 64};
  options.steps = 11;
  options.session.profile = true;
  Result<BenchResult> result = benchmark(*program, *device, options);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_LE(result->p10Ms, result->medianMs);
  EXPECT_LE(result->medianMs, result->p90Ms);
  EXPECT_NEAR(result->imagesPerSecond * result->medianMs, 320e3, 1);
  EXPECT_NEAR(result->gflops * 1e9, 18 * result->imagesPerSecond, 1);
  EXPECT_GT(result->peakBytes, result->memory.ports);
  EXPECT_EQ(result->profile.runs, 11u);
  for (const LaunchProfile &launch : result->profile.launches) {
    ASSERT_TRUE(launch.idle) << "threads of the CPU are watched";
    EXPECT_GE(*launch.idle, 0);
    EXPECT_LE(*launch.idle, launch.seconds);
  }
  EXPECT_FALSE(result->deviceMs) << "the CPU has no clock of its own";
  std::string table = describeProfile(result->profile, {});
  for (const char *kernel : {"dot", "squared_loss", "sgd"})
    EXPECT_NE(table.find(kernel), std::string::npos) << table;
  EXPECT_EQ(table.find("more"), std::string::npos) << table;
  options.session.poison = true;
  Result<BenchResult> again = benchmark(*program, *openCpu(3), options);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->digest, result->digest) << "neither threads nor poison change a byte";
  options.session.seed = 1;
  EXPECT_NE(benchmark(*program, *device, options)->digest, result->digest);
  options.steps = 0;
  EXPECT_EQ(benchmark(*program, *device, options).status().code(), Code::usage);
}

// Two programs in turn: the ratio is that of the pairs, and its interval holds the median whatever the times are.
TEST(Bench, ComparesPrograms) {
  Result<std::shared_ptr<const Program>> program = Program::verify(testProgram().encode(), "p.moe");
  BenchOptions options;
  options.binding = {5, 64};
  options.steps = 7;
  std::vector<std::string> filled;
  options.parameters = [&](States &) -> Status {
    filled.push_back("first");
    return {};
  };
  auto other = [&](States &) -> Status {
    filled.push_back("second");
    return {};
  };
  Result<Comparison> result = compare({*program, *program}, *openCpu(2), options, other);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(filled, (std::vector<std::string>{"first", "second"}));
  ASSERT_EQ(result->milliseconds.size(), 7u);
  std::vector<double> ratios;
  for (auto [first, second] : result->milliseconds)
    ratios.push_back(first / second);
  std::sort(ratios.begin(), ratios.end());
  EXPECT_EQ(result->ratio, ratios[3]);
  EXPECT_EQ(result->low, ratios[0])
      << "of seven samples, 1 in 64 intervals from end to end misses the median";
  EXPECT_EQ(result->high, ratios[6]);
  for (int side : {0, 1})
    EXPECT_NEAR(result->gflops[side] * 1e9, 18 * 320e3 / result->medianMs[side], 1);
  options.steps = 5;
  result = compare({*program, *program}, *openCpu(2), options);
  EXPECT_EQ(filled.size(), 4u) << "the first one's parameters are for both";
  EXPECT_EQ(result->low, 0);
  EXPECT_EQ(result->high, std::numeric_limits<double>::infinity());
  options.steps = 0;
  EXPECT_EQ(compare({*program, *program}, *openCpu(2), options).status().code(), Code::usage);
}

TEST(Bench, IntervalsOfMedians) {
  // As in tables of the sign test at 5 %, two-sided.
  using Ends = std::optional<std::pair<size_t, size_t>>;
  EXPECT_EQ(medianInterval(0), Ends());
  EXPECT_EQ(medianInterval(5), Ends());
  EXPECT_EQ(medianInterval(6), Ends({0, 5}));
  EXPECT_EQ(medianInterval(9), Ends({1, 7}));
  EXPECT_EQ(medianInterval(20), Ends({5, 14}));
  EXPECT_EQ(medianInterval(100), Ends({39, 60}));
  // The approximation continues the exact ends, and is not narrower.
  const auto [low, high] = *medianInterval(1000);
  const auto [next, last] = *medianInterval(1002);
  EXPECT_EQ(low, 468u);
  EXPECT_LE(next, low + 1);
  EXPECT_GE(next, low - 2);
  EXPECT_EQ(next + last, 1001u);
}

TEST(Bench, TopOfProfile) {
  Profile profile;
  profile.runs = 2;
  for (int i = 0; i < 5; ++i) // kernel k4 is the slowest; k1 has two launches
    for (int launch = 0; launch <= (i == 1); ++launch)
      profile.launches.push_back({.kernel = concat("k", i),
                                  .kind = "loop",
                                  .op = "op",
                                  .path = "",
                                  .part = "",
                                  .runs = 2,
                                  .seconds = i == 1 ? 1e-3 : i * 2e-3,
                                  .flops = 1e6,
                                  .bytes = 1e6});
  profile.launches.push_back({.kernel = "unused", .kind = "loop", .op = "op", .path = "", .part = ""});
  EXPECT_EQ(
      describeProfile(profile, {.top = 3}),
      "kernel    kind  launches  ms/step  share  GFLOP/s  GB/s  first use\n"
      "k4        loop         1    4.000  40.0%      0.2   0.2  op\n"
      "k3        loop         1    3.000  30.0%      0.3   0.3  op\n"
      "k2        loop         1    2.000  20.0%      0.5   0.5  op\n"
      "+ 2 more               3    1.000  10.0%      3.0   3.0  the others together; --top 5 lists them\n");
  EXPECT_EQ(describeProfile(profile, {.top = 5}).find("more"), std::string::npos);
  EXPECT_NE(describeProfile(profile, {.top = 4}).find("+ 1 more"), std::string::npos);
}

// One step of a model whose blocks share a kernel, with two threads: by each of what a table can be by.
TEST(Bench, SumsOfProfile) {
  Profile profile;
  profile.runs = 1;
  auto add = [&](const char *kernel, const char *op, const char *path, const char *part, double ms,
                 double idle) {
    profile.launches.push_back({.kernel = kernel,
                                .kind = "matmul",
                                .op = op,
                                .path = path,
                                .part = part,
                                .runs = 1,
                                .seconds = ms * 1e-3,
                                .idle = idle * 1e-3});
  };
  add("m1", "contract", "blocks.0.fc", "forward", 4, 1);
  add("m1", "contract", "blocks.1.fc", "forward", 3, 0);
  add("m2", "contract", "blocks.1.fc", "backward", 6, 3);
  add("m1", "contract", "blocks.0.fc", "backward", 5, 1);
  add("s", "elementwise", "", "update", 2, 0);
  const std::string waited = "threads waited 25.0% of the launches' time: 5.000 of 20.000 ms a step\n";
  EXPECT_EQ(describeProfile(profile, {}),
            "kernel  kind    part      launches  ms/step  share   wait  GFLOP/s  GB/s  first use\n"
            "m1      matmul  several          3   12.000  60.0%  16.7%      0.0   0.0  contract blocks.0.fc\n"
            "m2      matmul  backward         1    6.000  30.0%  50.0%      0.0   0.0  contract blocks.1.fc\n"
            "s       matmul  update           1    2.000  10.0%   0.0%      0.0   0.0  elementwise\n" +
                waited);
  EXPECT_EQ(describeProfile(profile, {.by = ProfileBy::launch, .top = 2}),
            "kernel    kind    part      ms/step  share   wait  GFLOP/s  GB/s  op\n"
            "m2        matmul  backward    6.000  30.0%  50.0%      0.0   0.0  contract blocks.1.fc\n"
            "m1        matmul  backward    5.000  25.0%  20.0%      0.0   0.0  contract blocks.0.fc\n"
            "+ 3 more                      9.000  45.0%  11.1%      0.0   0.0  the others together; --top 5 "
            "lists them\n" +
                waited);
  EXPECT_EQ(describeProfile(profile, {.by = ProfileBy::op}),
            "op           launches  ms/step  forward  backward  update  share   wait  GFLOP/s  GB/s\n"
            "contract            4   18.000    7.000    11.000   0.000  90.0%  27.8%      0.0   0.0\n"
            "elementwise         1    2.000    0.000     0.000   2.000  10.0%   0.0%      0.0   0.0\n" +
                waited);
  EXPECT_EQ(describeProfile(profile, {.by = ProfileBy::layer}),
            "layer        launches  ms/step  forward  backward  update  share   wait  GFLOP/s  GB/s\n"
            "blocks.0.fc         2    9.000    4.000     5.000   0.000  45.0%  22.2%      0.0   0.0\n"
            "blocks.1.fc         2    9.000    3.000     6.000   0.000  45.0%  33.3%      0.0   0.0\n"
            "(model)             1    2.000    0.000     0.000   2.000  10.0%   0.0%      0.0   0.0\n" +
                waited);
  EXPECT_EQ(describeProfile(profile, {.by = ProfileBy::part}),
            "part      launches  ms/step  share   wait  GFLOP/s  GB/s\n"
            "backward         2   11.000  55.0%  36.4%      0.0   0.0\n"
            "forward          2    7.000  35.0%  14.3%      0.0   0.0\n"
            "update           1    2.000  10.0%   0.0%      0.0   0.0\n" +
                waited);
  auto layers = [&](size_t depth, bool alike) {
    std::string text = describeProfile(profile, {.by = ProfileBy::layer, .depth = depth, .alike = alike}),
                names;
    for (size_t line = text.find('\n') + 1; line < text.size() && text[line] != 't';
         line = text.find('\n', line) + 1)
      names += text.substr(line, text.find(' ', line) - line) + " ";
    return names;
  };
  EXPECT_EQ(layers(0, true), "blocks.*.fc (model) ");
  EXPECT_EQ(layers(2, false), "blocks.0 blocks.1 (model) ");
  EXPECT_EQ(layers(1, false), "blocks (model) ");
  EXPECT_EQ(layers(9, false), "blocks.0.fc blocks.1.fc (model) ");
}

TEST(Bench, BatchesOfACommandLine) {
  for (auto [text, domains, rows] :
       {std::tuple{"5x64", 5, 64}, {"64", 1, 64}, {"1x1", 1, 1}, {"2147483647", 1, INT32_MAX}}) {
    Result<Binding> batch = readBatch(text);
    ASSERT_TRUE(batch.ok()) << batch.status().message();
    EXPECT_EQ(batch->domains, domains);
    EXPECT_EQ(batch->rows, rows);
  }
  for (const char *text : {"", "x", "5x", "x64", "0", "0x4", "5x-1", "5y64", "5x64x2", " 5", "5 ", "1e3"})
    EXPECT_EQ(readBatch(text).status().message(),
              concat("expected a batch as DOMAINSxROWS (5x64) or ROWS (64), found '", text, "'"));
  for (const char *text : {"2147483648", "2147483648x1", "1x99999999999999999999"})
    EXPECT_EQ(readBatch(text).status().message(),
              concat("expected a batch of at most 2147483647 domains and rows, found '", text, "'"));
}

TEST(Bench, SyntheticInputs) {
  Result<std::shared_ptr<const Program>> program = Program::verify(testProgram().encode(), "p.moe");
  std::shared_ptr<Device> device = *openCpu(1);
  Result<std::shared_ptr<States>> states = States::create(*program, device, 1);
  Result<std::unique_ptr<Session>> session = Session::open(*program, *states, device, "train", {2, 50});
  ASSERT_TRUE(session.ok());
  fillSynthetic(**program, **session, 7);
  std::span<int32_t> labels = (*session)->input("label")->as<int32_t>();
  EXPECT_EQ(*std::min_element(labels.begin(), labels.end()), 0);
  EXPECT_EQ(*std::max_element(labels.begin(), labels.end()), 1);
  std::span<float> image = (*session)->input("image")->as<float>();
  EXPECT_NE(image[0], image[1]);
}

} // namespace
} // namespace moert::test
