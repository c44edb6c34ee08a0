// Checkpoints and the formats below them: what is written reads back to the bit, what is damaged is refused,
// and a failure to write leaves the previous checkpoint.
#include "runtime/train/Checkpoint.h"
#include "runtime/base/Files.h"
#include "runtime/data/Idx.h"
#include "runtime/data/Npy.h"
#include "runtime/data/Png.h"
#include "runtime/data/TestSet.h"
#include "runtime/train/Recipe.h"
#include "runtime/train/RunFolder.h"
#include "runtime/train/Safetensors.h"
#include "test/support/TestProgram.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <ctime>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

using namespace moert;

namespace {

std::shared_ptr<const Program> programWith(const char *weight) {
  auto made = test::testProgram();
  made.table.states[test::kW]->path = weight;
  made.table.states[test::kMomentum]->of = weight;
  auto program = Program::verify(made.encode(), "test.moe");
  EXPECT_TRUE(program.ok()) << program.status().message();
  return *program;
}

std::shared_ptr<States> statesOf(std::shared_ptr<const Program> program, uint64_t seed) {
  auto states = States::create(program, *openCpu(1), seed);
  EXPECT_TRUE(states.ok()) << states.status().message();
  return *states;
}

bool same(States &first, States &second) {
  HostStates a = *first.host(), b = *second.host();
  for (size_t i = 0; i < first.size(); ++i)
    if (std::memcmp(a.tensor(i).bytes.data(), b.tensor(i).bytes.data(), a.tensor(i).bytes.size()) != 0)
      return false;
  return true;
}

Checkpoint example() {
  Checkpoint checkpoint;
  checkpoint.run.step = 12;
  checkpoint.run.bestScore = 0.1 + 0.2;
  checkpoint.run.sums["loss"] = 1.0 / 3;
  checkpoint.run.summed = 5;
  checkpoint.programDigest = "abc";
  checkpoint.recipe = "[train]\n";
  return checkpoint;
}

std::string readBack(const std::string &path) {
  auto file = Safetensors::read(path);
  return file.ok() ? "no failure" : file.status().message();
}

std::string withTable(const std::string &table, size_t data) {
  uint64_t length = table.size();
  return std::string(reinterpret_cast<char *>(&length), 8) + table + std::string(data, 'x');
}

} // namespace

TEST(Checkpoint, ReadsBackToTheBit) {
  TestFolder folder;
  auto program = programWith("fc.weight");
  auto states = statesOf(program, 1), other = statesOf(program, 2);
  ASSERT_FALSE(same(*states, *other));
  ASSERT_TRUE(saveCheckpoint(folder.file("last"), *states, example()).ok());
  auto loaded = loadCheckpoint(folder.file("last"), *other);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_TRUE(same(*states, *other));
  EXPECT_EQ(loaded->run.step, 12u);
  EXPECT_EQ(loaded->run.bestScore, 0.1 + 0.2);
  EXPECT_EQ(loaded->run.sums.at("loss"), 1.0 / 3);
  EXPECT_EQ(loaded->recipe, "[train]\n");
  EXPECT_EQ(loaded->dataDigest, ""); // as in a checkpoint from before there was one
  Checkpoint later = example();
  later.dataDigest = "0123";
  ASSERT_TRUE(saveCheckpoint(folder.file("later"), *states, later).ok());
  EXPECT_EQ(readCheckpointState(folder.file("later"))->dataDigest, "0123");
  // Over an existing one, and from a crash between two renames.
  ASSERT_TRUE(saveCheckpoint(folder.file("last"), *states, example()).ok());
  EXPECT_FALSE(exists(folder.file("last.tmp")));
  std::filesystem::rename(folder.file("last"), folder.file("last.previous"));
  EXPECT_TRUE(loadCheckpoint(folder.file("last"), *other).ok());
}

// JSON has no number for them; what is written is read all the same.
TEST(Checkpoint, SumsThatAreNotFiniteAreReadBack) {
  TestFolder folder;
  auto states = statesOf(programWith("fc.weight"), 1);
  Checkpoint checkpoint = example();
  checkpoint.run.sums["gate.0"] = NAN;
  ASSERT_TRUE(saveCheckpoint(folder.file("last"), *states, checkpoint).ok());
  auto state = readCheckpointState(folder.file("last"));
  ASSERT_TRUE(state.ok()) << state.status().message();
  EXPECT_TRUE(std::isnan(state->run.sums.at("gate.0")));
  EXPECT_EQ(state->run.sums.at("loss"), 1.0 / 3);
}

TEST(Checkpoint, AReaderNeverMeetsTwoSteps) {
  TestFolder folder;
  auto program = programWith("fc.weight");
  std::vector<std::shared_ptr<States>> steps;
  for (uint64_t seed = 1; seed <= 4; ++seed)
    steps.push_back(statesOf(program, seed));
  auto save = [&](uint64_t step) {
    Checkpoint checkpoint = example();
    checkpoint.run.step = step;
    EXPECT_TRUE(saveCheckpoint(folder.file("last"), *steps[step % steps.size()], checkpoint).ok());
  };
  save(0);
  std::atomic<bool> read = false;
  std::thread training([&] {
    for (uint64_t step = 1; !read; ++step)
      save(step);
  });
  auto loaded = statesOf(program, 9);
  uint64_t latest = 0;
  // However slow the disk: until enough writes went by, unless it takes minutes.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(3);
  for (int i = 0; (i < 2'000 || latest < 30) && std::chrono::steady_clock::now() < deadline; ++i) {
    auto files = CheckpointFiles::open(folder.file("last"));
    Status status = files.ok() ? files->loadParameters(*loaded) : files.status();
    auto state = files.ok() ? files->state() : Result<Checkpoint>(status);
    EXPECT_TRUE(status.ok() && state.ok()) << status.message() << state.status().message();
    if (!status.ok() || !state.ok())
      break;
    latest = state->run.step;
    EXPECT_EQ(std::memcmp(loaded->host()->tensor(test::kW).bytes.data(),
                          steps[latest % steps.size()]->host()->tensor(test::kW).bytes.data(),
                          loaded->host()->tensor(test::kW).bytes.size()),
              0);
  }
  read = true;
  training.join();
  EXPECT_GE(latest, 30u);
}

TEST(Checkpoint, NamesTheNearestKeysOfAnotherModel) {
  TestFolder folder;
  auto states = statesOf(programWith("fc.weight"), 1);
  ASSERT_TRUE(saveCheckpoint(folder.file("last"), *states, example()).ok());
  auto other = statesOf(programWith("fc2.weight"), 3), before = statesOf(programWith("fc2.weight"), 3);
  auto loaded = loadCheckpoint(folder.file("last"), *other);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.status().exitCode(), 1);
  EXPECT_NE(loaded.status().message().find("'fc2.weight' is missing; nearest there: 'fc.weight'"),
            std::string::npos)
      << loaded.status().message();
  EXPECT_NE(loaded.status().message().find("'fc.weight' is not in the program; nearest there: 'fc2.weight'"),
            std::string::npos);
  EXPECT_TRUE(same(*other, *before));
  EXPECT_NE(
      CheckpointFiles::open(folder.file("nowhere")).status().message().find("found no such file or folder"),
      std::string::npos);
}

TEST(Checkpoint, DamageIsRefusedAndChangesNothing) {
  TestFolder folder;
  auto program = programWith("fc.weight");
  auto states = statesOf(program, 1), other = statesOf(program, 2), before = statesOf(program, 2);
  ASSERT_TRUE(saveCheckpoint(folder.file("last"), *states, example()).ok());
  for (const char *name : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    std::string path = folder.file(std::string("last/") + name), whole = *readText(path);
    size_t end =
        whole.size() - (whole.ends_with("\n") ? 1 : 0); // state.json is whole without its last line end
    for (size_t n = 0; n < end; ++n) {
      std::ofstream(path, std::ios::binary).write(whole.data(), long(n));
      ASSERT_FALSE(loadCheckpoint(folder.file("last"), *other).ok()) << name << " cut at " << n;
      ASSERT_TRUE(same(*other, *before));
    }
    for (size_t n = 0; n < whole.size(); ++n)
      for (char flip : {0x01, 0x20, 0x7f}) { // read or refused, never a crash; never half of it
        std::string changed = whole;
        changed[n] = char(changed[n] ^ flip);
        std::ofstream(path, std::ios::binary).write(changed.data(), long(changed.size()));
        auto fresh = statesOf(program, 2);
        bool loads = loadCheckpoint(folder.file("last"), *fresh).ok();
        ASSERT_TRUE(loads || same(*fresh, *before));
        ASSERT_TRUE(!loads || same(*fresh, *states)) << name << " changed at " << n;
      }
    std::ofstream(path, std::ios::binary).write(whole.data(), long(whole.size()));
  }
  EXPECT_TRUE(loadCheckpoint(folder.file("last"), *other).ok());
}

TEST(Checkpoint, FailedWriteKeepsThePrevious) {
  TestFolder folder;
  auto program = programWith("fc.weight");
  auto states = statesOf(program, 1), newer = statesOf(program, 2), loaded = statesOf(program, 3);
  ASSERT_TRUE(saveCheckpoint(folder.file("last"), *states, example()).ok());
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  for (rlim_t bytes : {0, 50, 200}) { // as a full disk: the write comes short
    rlimit limit{bytes, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    Status status = saveCheckpoint(folder.file("last"), *newer, example());
    setrlimit(RLIMIT_FSIZE, &old);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.exitCode(), 1);
    EXPECT_NE(status.message().find("cannot write"), std::string::npos) << status.message();
    EXPECT_FALSE(exists(folder.file("last.tmp")));
    ASSERT_TRUE(loadCheckpoint(folder.file("last"), *loaded).ok());
    EXPECT_TRUE(same(*loaded, *states));
  }
  std::signal(SIGXFSZ, handler);
}

TEST(Files, AFailedReplacementKeepsThePrevious) {
  TestFolder folder;
  std::string path = folder.file("y.npy");
  ASSERT_TRUE(replaceFile(path, "before").ok());
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  rlimit limit{4, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit); // as a full disk: the write comes short
  Status over = replaceFile(path, "behind it"), fresh = replaceFile(folder.file("z.npy"), "behind it");
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(over.exitCode(), 1);
  EXPECT_EQ(fresh.exitCode(), 1);
  EXPECT_EQ(*readText(path), "before");
  EXPECT_FALSE(exists(path + ".tmp"));
  EXPECT_FALSE(exists(folder.file("z.npy")));
  EXPECT_FALSE(exists(folder.file("z.npy.tmp")));
  EXPECT_TRUE(replaceFile("/dev/null", "written in place").ok());
}

TEST(Files, NoOutputOverAnInputOrAnother) {
  TestFolder folder;
  ASSERT_TRUE(makeFolders(folder.file("d")).ok());
  for (const char *name : {"in", "old"})
    ASSERT_TRUE(writeDurably(folder.file(name), "x").ok());
  std::filesystem::create_symlink("old", folder.file("link"));
  auto refused = [&](std::vector<std::string> outputs, const std::string &input = "in") {
    for (std::string &output : outputs)
      output = output[0] == '/' ? output : folder.file(output);
    return notOver(outputs, std::vector{folder.file(input)}).message();
  };
  EXPECT_EQ(refused({"new", "d/new", "old", "none/new"}), "");
  EXPECT_EQ(refused({"/dev/null", "/dev/null"}), "") << "a device takes anything";
  for (const char *name : {"in", "./in", "d/../in"})
    EXPECT_NE(refused({"new", name}).find("found the one that is read"), std::string::npos) << name;
  EXPECT_NE(refused({"link"}, "old").find("found the one that is read"), std::string::npos);
  for (auto [a, b] : {std::pair{"new", "./new"}, {"old", "link"}, {"none/new", "none/../none/new"}})
    EXPECT_NE(refused({a, b}).find(concat("found the one of another, ", folder.file(a), ";")),
              std::string::npos)
        << refused({a, b});
}

TEST(Safetensors, RefusesNamesThatJsonCannotHold) {
  TestFolder folder;
  NamedTensor tensor{"f\xff", fb::ElementType::f32, {}, {}};
  Status status = writeSafetensors(folder.file("x"), std::span(&tensor, 1));
  EXPECT_EQ(status.code(), Code::invalid_input);
  EXPECT_NE(status.message().find("in UTF-8 without control characters, found 'f\\xff'"), std::string::npos)
      << status.message();
  EXPECT_FALSE(exists(folder.file("x")));
}

TEST(Safetensors, RefusesHostileTables) {
  TestFolder folder;
  auto refused = [&](const std::string &bytes) {
    std::ofstream(folder.file("x"), std::ios::binary).write(bytes.data(), long(bytes.size()));
    return readBack(folder.file("x"));
  };
  const char *good =
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})";
  EXPECT_EQ(refused(withTable(good, 9)), "no failure");
  // What else a table says is passed over, however deep.
  std::string more =
      std::string(R"({"__metadata__":{"a":[{"b":[1,{}]}]},"a":{"x":{"shape":[5],"dtype":[1]},"y":[[{}]],)") +
      R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"z":null}})";
  EXPECT_EQ(refused(withTable(more, 8)), "no failure");
  EXPECT_NE(refused(withTable(good, 8)).find("cut short"), std::string::npos);
  EXPECT_NE(refused(withTable(good, 10)).find("expected 9 bytes of data"), std::string::npos);
  std::pair<const char *, const char *> cases[] = {
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "twice"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[1],"data_offsets":[7,8]}})",
       "to start at 8"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", "expected 4 bytes by its shape"},
      {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "integers from 0 up"},
      {R"({"a":{"dtype":"F32","shape":[9223372036854775807,2],"data_offsets":[0,8]}})", "fit 64 bits"},
      {R"({"a":{"dtype":"Q9","shape":[2],"data_offsets":[0,8]}})", "unknown dtype 'Q9'"},
      {R"({"a\nb":{"dtype":"Q\t","shape":[2],"data_offsets":[0,8]}})", R"('a\x0ab': unknown dtype 'Q\x09')"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "inside the 8"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}})", "inside the 8"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", "two data_offsets"},
      {R"({"a":{"dtype":3,"shape":[2],"data_offsets":[0,8]}})", "dtype"},
      {R"({"a":4})", "an object"},
      {R"([1,2,3])", "a JSON object"},
      {R"({"a")", "found a fault at byte"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "each of its fields once"},
      {R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", "integers from 0 up"},
      {R"({"a":{"dtype":{"x":1},"shape":[2],"data_offsets":[0,8]}})", "a text as dtype"},
  };
  for (auto &[table, message] : cases)
    EXPECT_NE(refused(withTable(table, 8)).find(message), std::string::npos)
        << table << refused(withTable(table, 8));
  EXPECT_NE(refused(withTable(std::string(100000, '['), 8)), "no failure");
  EXPECT_NE(refused("short").find("expected a safetensors file"), std::string::npos);
  EXPECT_NE(refused(std::string(8, '\xff') + "{}").find("expected a safetensors file"), std::string::npos);
}

TEST(Safetensors, ANameThatIsThereTwiceIsNamed) {
  TestFolder folder;
  std::string row = R"({"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  std::string table =
      concat(R"({"b":)", row, R"(,"head.weight":)", row, R"(,"a":)", row, R"(,"head.weight":)", row, "}");
  std::ofstream(folder.file("x"), std::ios::binary) << withTable(table, 0);
  EXPECT_NE(readBack(folder.file("x")).find("each name once in the table, found 'head.weight' twice"),
            std::string::npos);
}

// Four times as many tensors take about four times the work; with a lookup in a list of names it would be sixteen
// times and more. Processor time is compared with processor time, so that other work on the machine does not count.
TEST(Safetensors, ManyTensors) {
  TestFolder folder;
  auto timeToRead = [&](size_t tensors) {
    std::string table = "{";
    for (size_t i = 0; i < tensors; ++i)
      table += concat(i ? "," : "", "\"layers.", i,
                      ".weight\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[", i, ",", i + 1, "]}");
    std::ofstream(folder.file("x"), std::ios::binary) << withTable(table + "}", tensors);
    std::clock_t start = std::clock();
    auto file = Safetensors::read(folder.file("x"));
    std::clock_t taken = std::clock() - start;
    EXPECT_TRUE(file.ok()) << file.status().message();
    EXPECT_EQ(file->tensors().size(), tensors);
    EXPECT_NE(file->find("layers.12345.weight"), nullptr);
    EXPECT_EQ(file->find("layers.12345.weight")->bytes.size(), 1u);
    EXPECT_EQ(file->find("layers.12345"), nullptr);
    return double(taken) / CLOCKS_PER_SEC;
  };
  double few = timeToRead(50'000);
  EXPECT_LT(timeToRead(200'000), 10 * std::max(few, 0.05));
}

// Names, types and shapes are known before memory is taken for the data.
TEST(Safetensors, TheTableComesBeforeTheData) {
  TestFolder folder;
  std::string table = R"({"w":{"dtype":"F32","shape":[16777216,1024],"data_offsets":[0,68719476736]}})";
  std::ofstream(folder.file("x"), std::ios::binary) << withTable(table, 0);
  std::filesystem::resize_file(folder.file("x"), 8 + table.size() + (uint64_t(1) << 36)); // of holes
  auto opened = OpenFile::open(folder.file("x"));
  ASSERT_TRUE(opened.ok());
  auto file = Safetensors::open(*opened);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->tensors()[0].shape, (std::vector<int64_t>{16777216, 1024}));
  auto states = statesOf(programWith("w"), 1);
  auto files = CheckpointFiles::open(folder.file("x"));
  ASSERT_TRUE(files.ok());
  EXPECT_NE(files->loadParameters(*states).message().find("found f32[16777216, 1024]"), std::string::npos)
      << files->loadParameters(*states).message();
}

TEST(Npy, TheHeaderComesBeforeTheData) {
  TestFolder folder;
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (17179869184,), }\n",
              magic = "\x93NUMPY";
  std::ofstream(folder.file("x"), std::ios::binary)
      << magic << '\1' << '\0' << char(header.size()) << '\0' << header;
  std::filesystem::resize_file(folder.file("x"), 10 + header.size() + (uint64_t(1) << 36)); // of holes
  auto refuse = [](NpyArray &array) { return invalidInput("found ", array.shape[0]); };
  EXPECT_EQ(readNpy(folder.file("x"), std::nullopt, refuse).status().message(), "found 17179869184");
}

// Waiting for a writer, or for somebody at a terminal, is never what a file's name meant.
TEST(Files, OnlyRegularFilesAreRead) {
  TestFolder folder;
  ASSERT_EQ(mkfifo(folder.file("pipe").c_str(), 0600), 0);
  std::string pipe = folder.file("pipe");
  auto states = statesOf(programWith("w"), 1);
  auto parameters = CheckpointFiles::open(pipe);
  for (const Status &status :
       {readText(pipe).status(), readNpy(pipe).status(), Safetensors::read(pipe).status(),
        Program::load(pipe).status(), Recipe::read(pipe, {}).status(), readPng(pipe).status(),
        IdxFile::open(pipe).status(),
        parameters.ok() ? parameters->loadParameters(*states) : parameters.status()}) {
    EXPECT_NE(status.message().find(", found a pipe; write what comes through it to a file"),
              std::string::npos)
        << status.message();
    EXPECT_EQ(status.code(), Code::invalid_input);
  }
  EXPECT_NE(readText("/dev/null").status().message().find("found a device"), std::string::npos);
  EXPECT_NE(readText(folder.path()).status().message().find("expected a regular file, found a folder"),
            std::string::npos);
  EXPECT_NE(Program::load(folder.path()).status().message().find("expected a program file, found a folder"),
            std::string::npos);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{AF_UNIX, {}};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", folder.file("socket").c_str());
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
  EXPECT_NE(readText(folder.file("socket")).status().message().find("found a socket"), std::string::npos);
  close(fd);
  // The files of a checkpoint's folder likewise.
  ASSERT_TRUE(makeFolders(folder.file("last")).ok());
  for (const char *name : {"state.json", "model.safetensors", "optimizer.safetensors"})
    ASSERT_EQ(mkfifo(folder.file(concat("last/", name)).c_str(), 0600), 0);
  EXPECT_NE(loadCheckpoint(folder.file("last"), *states).status().message().find("found a pipe"),
            std::string::npos);
}

TEST(Metrics, LinesOfLaterStepsGo) {
  const std::string one = "{\"step\":1}\n", four = "{\"loss\":2.0,\"step\":4}\n", six = "{\"step\":6}\n";
  EXPECT_EQ(metricsOfSteps(one + four + six, 6), one + four + six);
  EXPECT_EQ(metricsOfSteps(one + four + six, 5), one + four);
  EXPECT_EQ(metricsOfSteps(one + four + six, 0), "");
  EXPECT_EQ(metricsOfSteps(one + four + "{\"step\":6", 6), one + four);
  EXPECT_EQ(metricsOfSteps(one + four + "{\"st\n", 6), one + four);
  // A line that is none of ours costs no line of ours.
  for (const char *foreign : {"", "note", "{999", "[[[", "{\"step\":-1}", "{\"step\":\"1\"}"})
    EXPECT_EQ(metricsOfSteps(concat(foreign, "\n", one, foreign, "\n", four, six), 5),
              concat(foreign, "\n", one, foreign, "\n", four))
        << foreign;
}

TEST(Npy, ReadsBackAndRefuses) {
  TestFolder folder;
  float values[6] = {1, 2, 3, 4, 5, 6};
  int64_t shape[] = {2, 3};
  ASSERT_TRUE(writeNpy(folder.file("x"), fb::ElementType::f32, shape, std::as_bytes(std::span(values))).ok());
  auto array = readNpy(folder.file("x"));
  ASSERT_TRUE(array.ok()) << array.status().message();
  EXPECT_EQ(array->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(array->bytes.data(), values, sizeof values), 0);
  std::string whole = *readText(folder.file("x"));
  EXPECT_EQ(whole.size() % 64, 24u); // the data starts at a multiple of 64
  for (size_t n = 0; n < whole.size(); ++n) {
    std::ofstream(folder.file("y"), std::ios::binary).write(whole.data(), long(n));
    EXPECT_FALSE(readNpy(folder.file("y")).ok()) << n;
  }
  // Headers of any length, in the 2 bytes of format 1 and the 4 of format 2.
  for (auto [version, pad] : {std::pair(1, 600), {2, 600}, {2, 60000}, {3, 60000}}) {
    std::string header = whole.substr(10, 128 - 10 - 1) + std::string(size_t(pad), ' ') + "\n";
    std::string longer = whole.substr(0, 6) + char(version) + '\0';
    for (size_t i = 0; i < (version == 1 ? 2u : 4u); ++i)
      longer += char(header.size() >> (8 * i));
    longer += header + whole.substr(whole.size() - sizeof values);
    std::ofstream(folder.file("y"), std::ios::binary).write(longer.data(), long(longer.size()));
    auto again = readNpy(folder.file("y"));
    ASSERT_TRUE(again.ok()) << version << ": " << again.status().message();
    EXPECT_EQ(again->bytes, array->bytes) << version;
  }
  std::string fortran = whole;
  fortran.replace(fortran.find("False"), 5, "True ");
  std::ofstream(folder.file("y"), std::ios::binary).write(fortran.data(), long(fortran.size()));
  EXPECT_NE(readNpy(folder.file("y")).status().message().find("C order"), std::string::npos);
}
