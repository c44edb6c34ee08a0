// Whole runs of the hand-written linear model: the run's folder, stopping and resuming to the same bytes, a
// loss that is not finite, and a program that does not fit the data. Runs of compiled models are in
// test/end-to-end.
#include "runtime/train/Trainer.h"
#include "runtime/base/Files.h"
#include "runtime/data/TestSet.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Evaluate.h"
#include "runtime/train/Progress.h"
#include "runtime/train/StepTimes.h"
#include "test/support/TestProgram.h"

#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

using namespace moert;

namespace {

// The test program with an image of 1 x 1 x 3 and one class.
using Change = std::function<void(moe::fb::ProgramT &)>;
void writeProgram(const std::string &path, double rate = 0.125, const Change &change = {}) {
  using namespace moert::test;
  TestProgram program = testProgram();
  for (auto &entry : program.table.entries)
    entry->inputs[0]->shape = {kB, kOne, kOne, kColumns};
  program.table.entries[1]->outputs[0]->shape = {kB, kOne};
  program.table.config[0]->value = "1";
  program.table.scalars[kLr]->fallback = rate;
  if (change)
    change(program.table);
  std::vector<uint8_t> bytes = program.encode();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char *>(bytes.data()), long(bytes.size()));
}

/// On each device: what a run writes is the same.
class TrainerTest : public testing::TestWithParam<const char *> {
protected:
  void SetUp() override {
    writeSet(1, 3, 1);
    writeProgram(folder.file("p.moe"));
  }
  void writeSet(uint32_t height, uint32_t width, uint32_t classes) {
    uint32_t seed = 3;
    for (auto [name, count] : {std::pair{"train", 60u}, std::pair{"t10k", 20u}}) {
      std::vector<uint8_t> pixels(count * height * width), labels(count);
      for (uint8_t &pixel : pixels)
        pixel = uint8_t((seed = seed * 1664525u + 1013904223u) >> 24);
      for (uint32_t i = 0; i < count; ++i)
        labels[i] = uint8_t(i % classes);
      folder.write(std::string(name) + "-images-idx3-ubyte", TestFolder::idx({count, height, width}, pixels));
      folder.write(std::string(name) + "-labels-idx1-ubyte", TestFolder::idx({count}, labels));
    }
  }
  TrainOptions options(const std::string &out, std::vector<std::string> settings = {}) {
    TrainOptions options;
    options.program = folder.file("p.moe");
    options.out = folder.file(out);
    options.settings = {"data.path=" + folder.path(), "data.angles=[0, 180, 0]", "train.batch_per_domain=4",
                        "train.steps=40", "eval.every=7"};
    options.settings.insert(options.settings.end(), settings.begin(), settings.end());
    options.device = {GetParam(), 1};
    return options;
  }
  std::string message(const TrainOptions &options) {
    auto end = train(options);
    return end.ok() ? "no failure" : end.status().message();
  }
  void expectSameRun(const std::string &a, const std::string &b) {
    for (const char *name : {"/last/model.safetensors", "/last/optimizer.safetensors", "/last/state.json",
                             "/best/model.safetensors", "/best/state.json"})
      EXPECT_EQ(*readText(folder.file(a) + name), *readText(folder.file(b) + name)) << name;
    auto left = metrics(a), right = metrics(b);
    ASSERT_EQ(left.size(), right.size());
    for (size_t i = 0; i < left.size(); ++i)
      for (auto &[key, value] : left[i].items())
        if (key != "step_time" && key != "images_per_s" && key != "mem_gb")
          EXPECT_EQ(value, right[i][key]) << i << " " << key;
  }
  // Stopped at moments that drift over the run: before the first step, inside a step, inside an evaluation.
  void stopAndResume(const std::string &name, const std::vector<std::string> &settings) {
    ASSERT_EQ(message(options(name + "-whole", settings)), "no failure");
    int stops = 0;
    for (int i = 0;; ++i) {
      ASSERT_LT(i, 1000);
      TrainOptions again = options(name + "-stopped", settings);
      again.resume = i > 0;
      again.device.threads = 1 + i % 3;
      std::atomic<bool> stop{false};
      again.stop = &stop;
      std::thread signal([&] {
        std::this_thread::sleep_for(std::chrono::microseconds(500 + 137 * i));
        stop = true;
      });
      auto end = train(again);
      signal.join();
      ASSERT_TRUE(end.ok()) << end.status().message();
      stops += *end == TrainEnd::stopped;
      if (*end == TrainEnd::finished)
        break;
    }
    EXPECT_GT(stops, 1);
    expectSameRun(name + "-whole", name + "-stopped");
  }
  std::vector<nlohmann::json> metrics(const std::string &run) {
    std::vector<nlohmann::json> lines;
    std::ifstream in(folder.file(run) + "/metrics.jsonl");
    for (std::string line; std::getline(in, line);)
      lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
  TestFolder folder;
};

} // namespace

INSTANTIATE_TEST_SUITE_P(Devices, TrainerTest, testing::Values("cpu", "isolated"),
                         [](const auto &test) { return std::string(test.param); });

TEST_P(TrainerTest, RunsToTheEndAndSaysSo) {
  auto end = train(options("run"));
  ASSERT_TRUE(end.ok()) << end.status().message();
  EXPECT_EQ(*end, TrainEnd::finished);
  EXPECT_TRUE(exists(folder.file("run/done")));
  auto lines = metrics("run");
  ASSERT_EQ(lines.size(), 7u); // after steps 0, 7, ... 35 and the last
  EXPECT_EQ(lines[1]["step"], 8);
  EXPECT_EQ(lines[6]["step"], 40);
  EXPECT_LT(lines[6]["loss"].get<double>(), lines[0]["loss"].get<double>());
  EXPECT_TRUE(lines[0].contains("env2_out_acc"));
  // 80 images over three domains: the smaller training one has 26, and 26 - 5 in its in-split; 40 steps of 4.
  EXPECT_DOUBLE_EQ(lines[6]["epoch"].get<double>(), 40 * 4 / 21.0);
  EXPECT_EQ(lines[6]["lr"], 0.125);
}

// Of the steps between two lines alone; a line without a step behind the first one reports no speed.
TEST_P(TrainerTest, TheSpeedIsThatOfStepsSinceTheLineBefore) {
  auto began = std::chrono::steady_clock::now();
  ASSERT_EQ(message(options("run", {"log.every=3"})), "no failure");
  double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(), sum = 0;
  auto lines = metrics("run");
  ASSERT_GT(lines.size(), 10u);
  EXPECT_TRUE(lines[0]["step_time"].is_null() && lines[0]["images_per_s"].is_null()) << lines[0];
  for (size_t i = 1; i < lines.size(); ++i) {
    double each = lines[i]["step_time"];
    EXPECT_GT(each, 0);
    EXPECT_NEAR(lines[i]["images_per_s"].get<double>() * each, 8, 1e-6);
    sum += each * double(lines[i]["step"].get<int>() - lines[i - 1]["step"].get<int>());
  }
  EXPECT_LT(sum, took);
}

TEST(StepTimes, TheFirstStepWarmsUpAndALineRestarts) {
  StepTimes times;
  EXPECT_FALSE(times.mean());
  times.add(5);
  EXPECT_FALSE(times.mean());
  times.add(1);
  times.add(2);
  EXPECT_DOUBLE_EQ(times.mean().value(), 1.5);
  times.restart();
  EXPECT_FALSE(times.mean());
  times.add(4);
  EXPECT_DOUBLE_EQ(times.mean().value(), 4);
}

TEST(StepTimes, AStepBehindAPauseCountsWhereThereIsNoOther) {
  StepTimes times;
  times.add(9);
  times.pause();
  times.add(5);
  EXPECT_DOUBLE_EQ(times.mean().value(), 5);
  times.pause();
  times.add(7);
  EXPECT_DOUBLE_EQ(times.mean().value(), 6);
  times.add(2);
  EXPECT_DOUBLE_EQ(times.mean().value(), 2);
  times.restart();
  times.pause();
  times.add(8);
  EXPECT_DOUBLE_EQ(times.mean().value(), 8);
}

TEST_P(TrainerTest, RefusesAnExistingRun) {
  ASSERT_EQ(message(options("run")), "no failure");
  EXPECT_NE(message(options("run")).find("continue that run with --resume"), std::string::npos);
  TrainOptions other = options("run", {"optimizer.lr=0.5"});
  other.resume = true;
  EXPECT_NE(message(other).find("optimizer.lr: expected 0.125, found 0.5"), std::string::npos)
      << message(other);
  // recipe.toml edited by hand: the checkpoint knows what it was trained with.
  std::string recipe = *readText(folder.file("run/recipe.toml"));
  size_t at = recipe.find("lr = 0.125");
  ASSERT_NE(at, std::string::npos);
  recipe.replace(at, 10, "lr = 0.25 ");
  ASSERT_TRUE(writeDurably(folder.file("run/recipe.toml"), recipe).ok());
  other = options("run", {"optimizer.lr=0.25"});
  other.resume = true;
  EXPECT_NE(message(other).find("trained with; optimizer.lr: expected 0.125, found 0.25"), std::string::npos)
      << message(other);
  other = options("nothing");
  other.resume = true;
  EXPECT_NE(message(other).find("found no recipe.toml"), std::string::npos);
}

TEST_P(TrainerTest, StoppedAndResumedGivesTheSameBytes) {
  // Where evaluations and lines of metrics are rare, steps are in flight at most moments.
  stopAndResume("often", {});
  stopAndResume("rarely", {"train.steps=2000", "eval.every=1999", "log.every=0"});
}

TEST_P(TrainerTest, MoreStepsThanBefore) {
  ASSERT_EQ(message(options("run", {"train.steps=0"})), "no failure");
  EXPECT_TRUE(exists(folder.file("run/last/model.safetensors")));
  TrainOptions more = options("run");
  more.resume = true;
  ASSERT_EQ(message(more), "no failure");
  ASSERT_EQ(message(options("whole")), "no failure");
  expectSameRun("whole", "run");
}

// What the run is to become is written last: until then anything may refuse it, and a refusal changes
// nothing.
TEST_P(TrainerTest, ARefusedResumeLeavesTheRun) {
  ASSERT_EQ(message(options("run")), "no failure");
  auto files = [&] {
    std::map<std::string, std::string> text;
    for (const char *name : {"recipe.toml", "metrics.jsonl", "done", "last/state.json", "best/state.json"})
      text[name] = *readText(folder.file("run/") + name);
    return text;
  };
  std::string model = folder.file("run/last/model.safetensors"), good = *readText(model);
  ASSERT_TRUE(writeDurably(model, good.substr(0, good.size() - 1)).ok());
  auto before = files();
  TrainOptions more = options("run", {"train.steps=100000"});
  more.resume = true;
  EXPECT_NE(message(more).find("model.safetensors"), std::string::npos) << message(more);
  EXPECT_EQ(files(), before);
  ASSERT_TRUE(writeDurably(model, good).ok());
  more = options("run", {"train.steps=41"});
  more.resume = true;
  EXPECT_EQ(message(more), "no failure");
  EXPECT_NE(readText(folder.file("run/recipe.toml"))->find("steps = 41"), std::string::npos);
}

// Checkpoints know the data that they are of, wherever it lies; one from before they did resumes as well.
TEST_P(TrainerTest, OtherDataIsNoted) {
  auto notes = [&](const char *run, int64_t steps) {
    TrainOptions more = options(run);
    more.resume = true;
    more.steps = steps;
    testing::internal::CaptureStdout();
    EXPECT_EQ(message(more), "no failure");
    std::string text = testing::internal::GetCapturedStdout(), found;
    for (size_t at = text.find("note: "); at != std::string::npos; at = text.find("note: ", at + 1))
      found += text.substr(at, text.find('\n', at) + 1 - at);
    return found;
  };
  // One class: no later score is above the first one.
  for (const char *run : {"run", "old"})
    ASSERT_EQ(message(options(run)), "no failure");
  auto state = nlohmann::ordered_json::parse(*readText(folder.file("old/last/state.json")));
  ASSERT_EQ(state.erase("data"), 1u);
  for (const char *name : {"old/last/state.json", "old/best/state.json"})
    ASSERT_TRUE(writeDurably(folder.file(name), state.dump(2)).ok());
  EXPECT_EQ(notes("run", 41), "");
  std::string path = folder.file("train-images-idx3-ubyte"), images = *readText(path);
  images[20] ^= 1;
  ASSERT_TRUE(writeDurably(path, images).ok());
  std::string text = notes("run", 42);
  EXPECT_TRUE(text.starts_with("note: the run has trained on other data than " + folder.path() +
                               " holds; it continues, but not bit for bit ("))
      << text;
  EXPECT_TRUE(
      text.ends_with(" now); best, of step 1, keeps its score on other data until a step has a higher "
                     "one\n"))
      << text;
  EXPECT_EQ(notes("run", 43),
            "note: best, of step 1, keeps its score on other data until a step has a higher one\n");
  EXPECT_EQ(notes("old", 44), "");
}

// A run that has ended says so in a line and is left as it is.
TEST_P(TrainerTest, ResumedAfterTheEnd) {
  ASSERT_EQ(message(options("run")), "no failure");
  std::string before = *readText(folder.file("run/last/state.json"));
  TrainOptions again = options("run");
  again.resume = true;
  testing::internal::CaptureStdout();
  std::string failure = message(again), text = testing::internal::GetCapturedStdout();
  EXPECT_EQ(failure, "no failure");
  EXPECT_TRUE(text.starts_with(folder.file("run") + ": all 40 steps are done; --resume --steps M")) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text; // and what was best
  EXPECT_TRUE(exists(folder.file("run/done")));
  EXPECT_EQ(*readText(folder.file("run/last/state.json")), before);
}

// A run whose last checkpoint is gone is not begun again over its best one.
TEST_P(TrainerTest, ALostLastCheckpointIsNoNewRun) {
  ASSERT_EQ(message(options("run")), "no failure");
  auto resumed = [&] {
    TrainOptions again = options("run");
    again.resume = true;
    return message(again);
  };
  std::string last = folder.file("run/last"), best = folder.file("run/best");
  removeFolder(last);
  std::string lines = *readText(folder.file("run/metrics.jsonl"));
  EXPECT_EQ(resumed(), last + ": expected the checkpoint to resume from, found none, although " + best +
                           " is there; to go on from step 1 instead, put a copy of " + best +
                           " in the place of " + last);
  EXPECT_EQ(*readText(folder.file("run/metrics.jsonl")), lines);
  EXPECT_TRUE(exists(folder.file("run/done")));
  // The lines of the steps after the best one are what tells that `last` was there.
  std::string state = *readText(best + "/state.json");
  ASSERT_TRUE(writeDurably(best + "/state.json", "{").ok());
  EXPECT_EQ(resumed(), last + ": expected the checkpoint to resume from, found none, although " + best +
                           " is there; start a new run with another --out");
  ASSERT_TRUE(writeDurably(best + "/state.json", state).ok());
  // The first step saves the best before the last: a run that was killed between them starts again.
  ASSERT_TRUE(writeDurably(folder.file("run/metrics.jsonl"), lines.substr(0, lines.find('\n') + 1)).ok());
  EXPECT_EQ(resumed(), "no failure");
  std::filesystem::copy(best, last,
                        std::filesystem::copy_options::recursive |
                            std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(resumed(), "no failure");
}

TEST_P(TrainerTest, ALossThatIsNotFiniteStopsWithTheLastGoodState) {
  TrainOptions diverging = options("run", {"optimizer.lr=1e30", "eval.every=0", "log.every=1"});
  std::string text = message(diverging);
  EXPECT_NE(text.find("not finite"), std::string::npos) << text;
  auto program = Program::load(folder.file("p.moe"));
  ASSERT_TRUE(program.ok());
  auto states = States::create(*program, *openCpu(1), 0);
  auto checkpoint = loadCheckpoint(folder.file("run/last"), **states);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  EXPECT_EQ(metrics("run").size(), checkpoint->run.step);
  // The step that failed is the one behind those that are done.
  EXPECT_TRUE(text.starts_with(concat("step ", checkpoint->run.step + 1, ": "))) << text;
  // What was saved is the state after the last good step: the same run of fewer steps ends there.
  ASSERT_EQ(message(options("short", {"optimizer.lr=1e30", "eval.every=0", "log.every=1",
                                      "train.steps=" + std::to_string(checkpoint->run.step)})),
            "no failure");
  EXPECT_EQ(*readText(folder.file("run/last/model.safetensors")),
            *readText(folder.file("short/last/model.safetensors")));
}

// The trap ends a step half-way, and costs no more of the run than a loss that is not finite.
TEST_P(TrainerTest, ATrappedNanStopsWithTheLastGoodState) {
  // Losses of 1e20 and a step to infinite weights: the next one subtracts infinities.
  writeProgram(folder.file("p.moe"), 0.125, [](moe::fb::ProgramT &table) {
    table.states[test::kW]->init->a = -1e10;
    table.states[test::kW]->init->b = 1e10;
  });
  std::vector<std::string> settings{"optimizer.lr=1e30", "eval.every=0"};
  TrainOptions trapped = options("run", settings);
  trapped.trapNan = true;
  std::string text = message(trapped);
  EXPECT_NE(text.find("made a NaN"), std::string::npos) << text;
  EXPECT_NE(text.find("last holds the "), std::string::npos) << text;
  auto checkpoint = readCheckpointState(folder.file("run/last"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  EXPECT_GT(checkpoint->run.step, 0u);
  EXPECT_TRUE(text.starts_with(concat("step ", checkpoint->run.step + 1, ": "))) << text;
  settings.push_back("train.steps=" + std::to_string(checkpoint->run.step));
  ASSERT_EQ(message(options("short", settings)), "no failure");
  for (const char *name : {"model", "optimizer"})
    EXPECT_EQ(*readText(folder.file(concat("run/last/", name, ".safetensors"))),
              *readText(folder.file(concat("short/last/", name, ".safetensors"))));
}

TEST_P(TrainerTest, AnOutSplitWithoutImagesIsRefused) {
  std::string text = message(options("run", {"data.holdout=0.01"}));
  EXPECT_NE(text.find("at least one image in each out-split, found none in domain 1, which has 27"),
            std::string::npos)
      << text;
  EXPECT_FALSE(exists(folder.file("run")));
}

// Scores that are no numbers make no class, the first one least of all: the only one of this model.
TEST_P(TrainerTest, ScoresThatAreNotFiniteCountAsWrong) {
  ASSERT_EQ(message(options("run")), "no failure");
  std::shared_ptr<const Program> program = *Program::load(folder.file("p.moe"));
  Recipe recipe = *Recipe::read(folder.file("run/recipe.toml"), {});
  ASSERT_TRUE(recipe.bind(*program).ok());
  SplitData data = *SplitData::open(recipe);
  auto measure = [&](float bias) {
    std::shared_ptr<Device> device = *openCpu(1);
    std::shared_ptr<States> states = *States::create(program, device, 0);
    HostStates values = *states->host();
    values.tensor(test::kW).as<float>()[0] = bias;
    EXPECT_TRUE(values.commit().ok());
    Evaluator evaluator(program, states, device, data, recipe);
    return **evaluator.accuracy(**inferenceEntry(*program, ""), 0, true);
  };
  Accuracy good = measure(1);
  EXPECT_EQ(good.right, good.images);
  EXPECT_EQ(good.notFinite, 0u);
  EXPECT_EQ(notFiniteText(0, "15", good, good), "");
  for (float value : {NAN, INFINITY, -INFINITY}) {
    Accuracy bad = measure(value);
    EXPECT_GT(bad.notFinite, 0u);
    EXPECT_EQ(bad.right + bad.notFinite, bad.images);
    EXPECT_EQ(notFiniteText(0, "15", good, bad),
              concat("\n  domain 0 (15): ", bad.notFinite, " of ", bad.images, " out"));
  }
}

// Off a terminal, where an evaluation is appears every ten seconds, counted from the status before it.
TEST(Progress, NotesOffATerminalAppearEveryTenSeconds) {
  static int seconds;
  seconds = 0;
  Progress progress(/*terminal=*/false,
                    [] { return Progress::Clock::time_point(std::chrono::seconds(seconds)); });
  auto printed = [&](int at, const std::string &text) {
    seconds = at;
    testing::internal::CaptureStdout();
    progress.note(text);
    return testing::internal::GetCapturedStdout();
  };
  EXPECT_EQ(printed(5, "domain 1"), "") << "a short evaluation says nothing";
  EXPECT_EQ(printed(14, "domain 2"), "");
  EXPECT_EQ(printed(15, "domain 3"), "domain 3\n");
  EXPECT_EQ(printed(24, "domain 4"), "");
  EXPECT_EQ(printed(26, "domain 5"), "domain 5\n");
  testing::internal::CaptureStdout();
  seconds = 40;
  progress.show({60, 5001, 3.01, {}, {}, {}, {}, 357, 754});
  EXPECT_NE(testing::internal::GetCapturedStdout().find("step 60/5001"), std::string::npos);
  EXPECT_EQ(printed(49, "domain 6"), "");
  EXPECT_EQ(printed(50, "domain 7"), "domain 7\n");
}

// What a user looks for while it trains stays on a line of any terminal.
TEST(Progress, TheStatusFitsTheTerminal) {
  Progress::Line line{60, 5001, 3.01, {{"erm", 2.379}, {"entropy", 1.597}, {"balance", 0.0124}}, 0.001, 0.988,
                      {}, 357,  754};
  EXPECT_EQ(statusText(line, 1000), "step 60/5001  loss 3.0100 (erm 2.3790  entropy 1.5970  balance 0.0124)  "
                                    "lr 0.001  gate 0.988  357 images/s  ETA 12:34");
  EXPECT_EQ(statusText(line, 90),
            "step 60/5001  loss 3.0100 (erm 2.3790  ...)  lr 0.001  gate 0.988  357 images/s  ETA 12:34");
  EXPECT_EQ(statusText(line, 79), "step 60/5001  loss 3.0100  lr 0.001  gate 0.988  357 images/s  ETA 12:34");
  EXPECT_EQ(statusText(line, 65), "step 60/5001  loss 3.0100  gate 0.988  357 images/s  ETA 12:34");
  EXPECT_EQ(statusText(line, 50), "step 60/5001  loss 3.0100  357 images/s  ETA 12:34");
  line.dropped = 0.0312;
  EXPECT_EQ(statusText(line, 77),
            "step 60/5001  loss 3.0100  gate 0.988  dropped 3.1%  357 images/s  ETA 12:34");
  EXPECT_EQ(statusText(line, 65), "step 60/5001  loss 3.0100  gate 0.988  357 images/s  ETA 12:34");
  line.dropped = {};
  line.parts = {{"caf\u00e9", 1}, {"x", 2}};
  line.gateBalance = -std::nan("");
  std::string all = statusText(line, 1000);
  EXPECT_NE(all.find("gate nan"), std::string::npos) << all;
  EXPECT_EQ(statusText(line, all.size() - 1), all); // characters, not bytes
}

TEST(Progress, TimeLeftCountsEvaluations) {
  // After every step of every small run: what is left by the trainer's own rule.
  for (uint64_t steps = 1; steps < 20; ++steps)
    for (uint64_t every = 0; every < 25; ++every)
      for (uint64_t step = 0; step <= steps; ++step) {
        uint64_t evaluations = 0;
        for (uint64_t s = step + 1; s <= steps; ++s)
          evaluations += every && ((s - 1) % every == 0 || s == steps);
        ASSERT_DOUBLE_EQ(secondsLeft(step, steps, every, 0.5, 100),
                         0.5 * double(steps - step) + 100 * double(evaluations))
            << step << " of " << steps << " every " << every;
      }
}

TEST_P(TrainerTest, SaysHowToCompileForOtherData) {
  writeSet(1, 3, 4);
  std::string text = message(options("run"));
  EXPECT_NE(text.find("classes: program 1, data 4"), std::string::npos) << text;
  EXPECT_NE(text.find("moec compile MODEL.mlir -o " + folder.file("p.moe") + " -Dclasses=4"),
            std::string::npos)
      << text;
  writeSet(2, 2, 1);
  text = message(options("run"));
  EXPECT_NE(text.find("image height: program 1, data 2"), std::string::npos) << text;
  EXPECT_NE(text.find("the model has no size named height, width to set: change its text"), std::string::npos)
      << text;
  EXPECT_FALSE(exists(folder.file("run"))); // refused before anything is made
}

// The program's image is 1 x 1 x 3. A size of the image's name is taken for the image's only where it has the
// image's extent; and no command is printed that would leave another extent as it is.
TEST_P(TrainerTest, OnlySizesOfTheImageAreAdvised) {
  auto advice = [&](std::vector<std::pair<std::string, std::string>> sizes) {
    writeProgram(folder.file("p.moe"), 0.125, [&](moe::fb::ProgramT &table) {
      for (auto &[key, value] : sizes) {
        table.config.push_back(std::make_unique<moe::fb::KeyValueT>());
        table.config.back()->key = key;
        table.config.back()->value = value;
      }
    });
    return message(options("run"));
  };
  auto has = [](const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
  };
  writeSet(1, 5, 1);
  std::string text = advice({{"width", "3"}});
  EXPECT_TRUE(has(text, "image width: program 3, data 5") && has(text, " -Dwidth=5 --optimizer")) << text;
  text = advice({{"width", "64"}}); // a stem's channels
  EXPECT_TRUE(has(text, "; it was compiled with width=64, and its image has 3: change the model's text"))
      << text;
  EXPECT_FALSE(has(text, "moec compile")) << text;
  // Both extents of the image or neither, and nothing else while the image does not fit.
  writeSet(4, 5, 2);
  text = advice({{"width", "3"}, {"height", "1"}});
  EXPECT_TRUE(has(text, " -Dclasses=2 ") && has(text, " -Dwidth=5 -Dheight=4")) << text;
  text = advice({{"width", "3"}, {"height", "64"}});
  EXPECT_TRUE(has(text, "; it was compiled with height=64, and its image has 1: change")) << text;
  EXPECT_FALSE(has(text, "moec compile")) << text;
  text = advice({{"height", "1"}});
  EXPECT_TRUE(has(text, "; the model has no size named width to set: change its text")) << text;
  EXPECT_FALSE(has(text, "moec compile")) << text;
}

// A square image of a square program: of size `size`, or of `height` and `width`.
TEST_P(TrainerTest, SquareImagesHaveOneSizeOrTwo) {
  auto advice = [&](std::vector<std::pair<std::string, std::string>> sizes) {
    writeProgram(folder.file("p.moe"), 0.125, [&](moe::fb::ProgramT &table) {
      table.entries[test::kTrain]->inputs[0]->shape.back() = test::kOne;
      table.entries[test::kMain]->inputs[0]->shape.back() = test::kOne;
      for (auto &[key, value] : sizes) {
        table.config.push_back(std::make_unique<moe::fb::KeyValueT>());
        table.config.back()->key = key;
        table.config.back()->value = value;
      }
    });
    return message(options("run"));
  };
  writeSet(4, 4, 1);
  EXPECT_NE(advice({{"size", "1"}}).find(" -Dsize=4 --optimizer"), std::string::npos);
  EXPECT_NE(advice({{"width", "1"}, {"height", "1"}}).find(" -Dwidth=4 -Dheight=4 --optimizer"),
            std::string::npos);
  // A patch's size, a stem's width.
  for (auto sizes : {std::pair{"size", "7"}, std::pair{"width", "64"}, std::pair{"height", "1"}})
    EXPECT_EQ(advice({sizes}).find("moec compile"), std::string::npos) << advice({sizes});
}

// A loss that compares with `domain` has scores for as many training domains as the program records, whatever
// the loss is called; rows of a domain beyond them would be dropped.
TEST_P(TrainerTest, ALossTellsEveryTrainingDomainApart) {
  auto write = [&](const char *compared, const char *domains = "") {
    writeProgram(folder.file("p.moe"), 0.125, [&](moe::fb::ProgramT &table) {
      auto tie = std::make_unique<moe::fb::ScalarT>();
      tie->key = "aux.dom";
      tie->fallback = 0.1;
      table.scalars.push_back(std::move(tie));
      auto record = std::make_unique<moe::fb::KeyValueT>();
      record->key = "aux.dom.labels";
      record->value = compared;
      table.config.push_back(std::move(record));
      auto size = std::make_unique<moe::fb::KeyValueT>();
      size->key = "domains";
      size->value = domains;
      table.config.push_back(std::move(size));
    });
  };
  write("domain 1");
  std::string text = message(options("run"));
  EXPECT_NE(text.find("training domains that aux.dom tells apart: program 1, data 2"), std::string::npos)
      << text;
  EXPECT_FALSE(exists(folder.file("run")));
  EXPECT_EQ(message(options("off", {"aux.dom=0"})), "no failure"); // no loss, nothing dropped
  write("domain 2");
  EXPECT_EQ(message(options("enough")), "no failure");
  // A size called `domains` is the loss's where it has its number of scores, and is else any size.
  write("domain 1", "1");
  text = message(options("run"));
  EXPECT_NE(text.find(" -Ddomains=2 "), std::string::npos) << text;
  EXPECT_EQ(message(options("size", {"aux.dom=0"})), "no failure");
  write("domain 1", "7");
  text = message(options("run"));
  EXPECT_EQ(text.find("moec compile"), std::string::npos) << text;
  write("domain 3", "3");
  EXPECT_EQ(message(options("more")), "no failure");
  write("label 0");
  text = message(options("run"));
  EXPECT_NE(text.find("classes that aux.dom tells apart: program 0, data 1"), std::string::npos) << text;
}

TEST_P(TrainerTest, InputsThatTheDataLacksAreRefusedFirst) {
  writeProgram(folder.file("p.moe"), 0.125,
               [](moe::fb::ProgramT &table) { table.entries[test::kTrain]->inputs[1]->name = "k"; });
  std::string text = message(options("run"));
  EXPECT_NE(text.find("entry 'train': expected inputs that the data has (image, label, domain), found 'k'"),
            std::string::npos)
      << text;
  EXPECT_FALSE(exists(folder.file("run")));
}

TEST_P(TrainerTest, WrongNames) {
  EXPECT_NE(message(options("run", {"eval.entry=mian"})).find("did you mean 'main'"), std::string::npos);
  EXPECT_NE(message(options("run", {"train.objective=irm"}))
                .find("expected train, which the program was compiled with"),
            std::string::npos);
  TrainOptions missing = options("run");
  missing.program = folder.file("none.moe");
  EXPECT_NE(message(missing).find("No such file"), std::string::npos);
}
