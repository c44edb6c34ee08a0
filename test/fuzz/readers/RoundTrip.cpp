// The values are those that are allowed, at their edges more often than not: the least and largest numbers,
// zeros of both signs, empty lists and tensors, texts of every character that a name may have.
#include "test/fuzz/readers/RoundTrip.h"
#include "runtime/data/Npy.h"
#include "runtime/data/TestSet.h"
#include "runtime/program/Verify.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Recipe.h"
#include "runtime/train/RunFolder.h"
#include "runtime/train/Safetensors.h"
#include "test/fuzz/readers/Readers.h"
#include "test/support/TestProgram.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

namespace moert::test {
namespace {

class Draw {
public:
  explicit Draw(std::mt19937 &random) : random_(random) {}
  uint32_t below(uint32_t count) { return random_() % count; }
  bool one(uint32_t of) { return below(of) == 0; }
  uint64_t bits() { return uint64_t(random_()) << 32 | random_(); }

  int64_t integer(int64_t low, int64_t high) {
    if (one(4))
      return one(2) ? low : high;
    uint64_t span = uint64_t(high) - uint64_t(low) + 1;
    uint64_t value = bits() >> below(64); // small ones as often as large ones
    return int64_t(uint64_t(low) + (span ? value % span : value));
  }
  double number(double low, double high) {
    if (one(6))
      return one(2) ? low : high;
    if (one(6) && low <= 0 && high >= 0)
      return one(3) ? -0.0 : one(2) ? 0.0 : std::min(high, std::numeric_limits<double>::denorm_min());
    for (int i = 0; i < 20; ++i) { // any pattern of bits
      uint64_t pattern = bits();
      double value;
      std::memcpy(&value, &pattern, sizeof value);
      if (value >= low && value <= high)
        return value;
    }
    return low + (high - low) * (double(random_()) / 4294967296.0);
  }
  double finite() { return number(-std::numeric_limits<double>::max(), std::numeric_limits<double>::max()); }

  // Characters of UTF-8; of a `plain` text none that a terminal obeys.
  std::string text(size_t most, bool plain = false) {
    static const uint32_t edges[] = {1,      9,      10,     0x1f,   0x20,   0x22,    0x23,    0x27,  0x5c,
                                     0x7e,   0x7f,   0x80,   0x9f,   0xa0,   0x35e,   0x7ff,   0x800, 0x2028,
                                     0xd7ff, 0xe000, 0xfeff, 0xfffd, 0xffff, 0x10000, 0x10ffff};
    std::string out;
    for (size_t left = below(uint32_t(most) + 1); left--;) {
      uint32_t code = one(2)   ? 0x20 + below(0x5f)
                      : one(3) ? 1 + below(0x10ffff)
                               : edges[below(std::size(edges))];
      if ((code >= 0xd800 && code < 0xe000) || (plain && (code < 0x20 || (code >= 0x7f && code < 0xa0))))
        continue;
      if (code < 0x80)
        out += char(code);
      else if (code < 0x800)
        out += {char(0xc0 | code >> 6), char(0x80 | (code & 0x3f))};
      else if (code < 0x10000)
        out += {char(0xe0 | code >> 12), char(0x80 | (code >> 6 & 0x3f)), char(0x80 | (code & 0x3f))};
      else
        out += {char(0xf0 | code >> 18), char(0x80 | (code >> 12 & 0x3f)), char(0x80 | (code >> 6 & 0x3f)),
                char(0x80 | (code & 0x3f))};
    }
    return out;
  }
  std::vector<std::byte> bytes(size_t count) {
    std::vector<std::byte> out(count);
    for (std::byte &byte : out)
      byte = std::byte(random_());
    return out;
  }

private:
  std::mt19937 &random_;
};

Recipe anyRecipe(Draw &draw) {
  Recipe r;
  r.steps = draw.integer(0, Recipe::kMaxSteps);
  r.batchPerDomain = draw.integer(1, 1 << 20);
  for (int64_t Recipe::*field : {&Recipe::seed, &Recipe::checkpointEvery, &Recipe::trialSeed,
                                 &Recipe::logEvery, &Recipe::evalEvery, &Recipe::evalImages})
    r.*field = draw.integer(0, Recipe::kMaxInteger);
  r.objective = draw.text(20);
  r.dataKind = draw.one(2) ? "colored" : "rotated";
  r.dataPath = "/" + draw.text(200); // an empty one is refused
  if (draw.one(2)) {
    r.initFile = draw.text(60);
    r.initFresh.assign(draw.below(4), draw.text(20, /*plain=*/true));
    r.initResize.assign(draw.below(2), draw.text(20));
    for (size_t i = draw.below(4); i--;) // on a command line some would be taken for something else
      r.initMap.push_back({concat("p", i, ".*"), draw.one(2) ? "" : "q.*", ""});
  }
  r.classes = draw.integer(0, 256);
  bool rotated = r.dataKind == "rotated";
  std::vector<double> &domains = rotated ? r.angles : r.flips;
  domains.clear();
  do
    domains.push_back(rotated ? draw.number(-360, 360) : draw.number(0, 1));
  while (domains.size() < 30 && !draw.one(4));
  r.heldOut.clear();
  for (size_t domain = 1; domain < domains.size(); ++domain) // one is left to train on
    if (draw.one(3))
      r.heldOut.push_back(int64_t(domain));
  if (!rotated)
    r.labelNoise = draw.number(0, 1);
  r.dataSeed = draw.integer(0, 4294967295);
  r.holdout = draw.number(0.001, 0.99);
  r.dataThreads = draw.integer(1, 64);
  r.evalBatch = draw.integer(1, 1 << 20);
  r.evalEntry = draw.text(20);
  return r;
}

// Every line of a recipe's text as the command line has it.
std::vector<std::string> asSettings(const std::string &text) {
  std::vector<std::string> settings;
  std::string table;
  for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
    end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.starts_with("["))
      table = line.substr(1, line.size() - 2);
    else if (size_t equals = line.find(" = "); equals != std::string::npos)
      settings.push_back(concat(table, ".", line.substr(0, equals), "=", line.substr(equals + 3)));
  }
  return settings;
}

void checkRecipe(Draw &draw) {
  Recipe recipe = anyRecipe(draw);
  std::vector<std::string> losses;
  for (size_t i = draw.below(4); i--;)
    losses.push_back(concat("l", i, draw.one(2) ? "." : "", draw.text(12, /*plain=*/true)));
  // On a command line these would be taken for a comment, a table, or the end of the key.
  std::erase_if(losses,
                [](const std::string &name) { return name.find_first_of("#[]=*") != std::string::npos; });
  auto program = programWithLosses(losses);
  mustHold(recipe.bind(*program).ok(), "expected a recipe to bind");
  for (auto &[key, value] : recipe.scalars)
    value = key == "optimizer.lr"          ? draw.number(0, 3.4e38)
            : key.starts_with("optimizer") ? draw.number(0, 0.999)
                                           : draw.number(-3.4e38, 3.4e38);
  std::string text = recipe.text();
  auto compare = [&](const char *way, Result<Recipe> again) {
    std::string what = concat("a recipe ", way, ": ");
    mustHold(again.ok(), concat(what, again.status().message(), "\n", text));
    Status bound = again->bind(*program);
    mustHold(bound.ok(), concat(what, bound.message(), "\n", text));
    mustHold(again->text() == text, concat(what, "expected\n", text, "found\n", again->text()));
    bool same =
        again->steps == recipe.steps && again->seed == recipe.seed && again->dataPath == recipe.dataPath &&
        again->heldOut == recipe.heldOut && again->objective == recipe.objective &&
        again->initFile == recipe.initFile && again->initFresh == recipe.initFresh &&
        again->initResize == recipe.initResize && again->initMap.size() == recipe.initMap.size() &&
        again->holdout == recipe.holdout && again->scalars == recipe.scalars &&
        (recipe.dataKind == "rotated" ? again->angles == recipe.angles : again->flips == recipe.flips);
    mustHold(same && differences(recipe, *again, {}).empty(),
             concat(what, "expected the same values\n", text));
  };
  compare("that was written", Recipe::parse(text, "recipe.toml", {}));
  compare("as --set", Recipe::parse("", "", asSettings(text)));
}

void checkState(Draw &draw) {
  static auto program = programWithLosses({});
  static TestFolder folder;
  static std::shared_ptr<Device> device = *openCpu(1);
  auto states = States::create(program, device, draw.below(1000));
  mustHold(states.ok(), states.status().message());
  Checkpoint saved;
  RunState &run = saved.run;
  run.step = draw.bits() >> draw.below(64);
  run.pendingEvaluation = draw.one(2);
  run.bestScore = draw.one(3) ? -1 : draw.number(0, 1);
  run.bestStep = draw.bits() >> draw.below(64);
  run.summed = draw.bits() >> draw.below(64);
  for (size_t i = draw.below(5); i--;)
    run.sums[draw.text(8)] = draw.finite();
  saved.programDigest = draw.text(64, true);
  saved.recipeDigest = draw.text(64, true);
  saved.recipe = anyRecipe(draw).text();
  saved.dataDigest = draw.one(2) ? "" : draw.text(64, true);
  if (draw.one(2))
    saved.init = {draw.text(64, true), draw.text(64, true)};
  Status written = saveCheckpoint(folder.file("last"), **states, saved);
  mustHold(written.ok(), written.message());
  auto other = States::create(program, device, 1001);
  auto read = loadCheckpoint(folder.file("last"), **other);
  mustHold(read.ok(), read.status().message());
  mustHold(read->run.step == run.step && read->run.pendingEvaluation == run.pendingEvaluation &&
               read->run.bestScore == run.bestScore && read->run.bestStep == run.bestStep &&
               read->run.sums == run.sums && read->run.summed == run.summed &&
               read->programDigest == saved.programDigest && read->recipeDigest == saved.recipeDigest &&
               read->recipe == saved.recipe && read->dataDigest == saved.dataDigest &&
               read->init == saved.init,
           "expected the state that was saved");
  HostStates before = *(*states)->host(), after = *(*other)->host();
  for (size_t i = 0; i < (*states)->size(); ++i)
    mustHold(std::ranges::equal(before.tensor(i).bytes, after.tensor(i).bytes),
             "expected the tensors that were saved");
}

const fb::ElementType kTypes[] = {fb::ElementType::f32, fb::ElementType::f64, fb::ElementType::i32,
                                  fb::ElementType::i64, fb::ElementType::u8,  fb::ElementType::bf16};

std::pair<std::vector<int64_t>, uint64_t> anyShape(Draw &draw) {
  std::vector<int64_t> shape;
  uint64_t elements = 1;
  for (size_t i = draw.below(6); i--;) {
    shape.push_back(draw.below(6));
    elements *= uint64_t(shape.back());
  }
  return {shape, elements};
}

void checkSafetensors(Draw &draw) {
  static MemoryFile file;
  std::vector<std::vector<std::byte>> data;
  std::vector<NamedTensor> tensors;
  for (size_t i = draw.below(8); i--;) {
    auto [shape, elements] = anyShape(draw);
    fb::ElementType type = kTypes[draw.below(6)];
    data.push_back(draw.bytes(elements * elementBytes(type)));
    tensors.push_back({concat(draw.text(20, true), i), type, shape, data.back()});
  }
  Status written = writeSafetensors(file.hold(""), tensors);
  mustHold(written.ok(), written.message());
  auto read = Safetensors::read(file.path());
  mustHold(read.ok(), read.status().message());
  mustHold(read->tensors().size() == tensors.size(), "expected as many tensors as were written");
  for (size_t i = 0; i < tensors.size(); ++i) {
    const NamedTensor &a = tensors[i], &b = read->tensors()[i];
    mustHold(a.name == b.name && a.type == b.type && a.shape == b.shape &&
                 std::ranges::equal(a.bytes, b.bytes) && read->find(a.name) == &b,
             "expected the tensor that was written");
  }
}

void checkNpy(Draw &draw) {
  static MemoryFile file;
  auto [shape, elements] = anyShape(draw);
  fb::ElementType type = kTypes[draw.below(5)];
  std::vector<std::byte> data = draw.bytes(elements * elementBytes(type));
  Status written = writeNpy(file.hold(""), type, shape, data);
  mustHold(written.ok(), written.message());
  auto read = readNpy(file.path());
  mustHold(read.ok(), read.status().message());
  mustHold(read->type == type && read->shape == shape && read->bytes == data,
           "expected the array that was written");
}

// Lines of rising steps, perhaps with a last one that is cut short.
void checkMetrics(Draw &draw) {
  std::string text;
  uint64_t step = 0;
  std::vector<std::pair<uint64_t, size_t>> ends; // of the lines, with their steps
  for (size_t i = draw.below(6); i--;) {
    nlohmann::ordered_json line = {
        {"step", step}, {"loss", draw.finite()}, {draw.text(6, true) + ".", draw.finite()}};
    if (draw.one(3))
      line["score"] = std::nan("");
    text += line.dump() + "\n";
    ends.push_back({step, text.size()});
    step += 1 + draw.below(3);
  }
  std::string whole = text;
  if (draw.one(2))
    text += "{\"step\":0,\"lo";
  uint64_t done = draw.below(uint32_t(step) + 2);
  size_t kept = 0;
  for (auto [of, end] : ends)
    kept = of <= done ? end : kept;
  mustHold(metricsOfSteps(text, done) == whole.substr(0, kept),
           "expected the lines of the steps that are done");
}

void checkProgram(Draw &draw) {
  TestProgram made = testProgram();
  for (size_t i = draw.below(5); i--;) {
    auto bytes = draw.bytes(draw.one(3) ? 0 : draw.below(9000));
    auto *begin = reinterpret_cast<const uint8_t *>(bytes.data());
    made.sections.emplace_back(begin, begin + bytes.size());
  }
  std::vector<uint8_t> table = made.flatbuffer(), file = made.encode();
  auto sections = verifyFile(file);
  mustHold(sections.ok(), sections.status().message());
  mustHold(sections->size() == made.sections.size() + 1 && std::ranges::equal((*sections)[0].bytes, table),
           "expected the table of the program that was written");
  for (size_t i = 0; i < made.sections.size(); ++i)
    mustHold((*sections)[i + 1].kind == SectionKind::host &&
                 std::ranges::equal((*sections)[i + 1].bytes, made.sections[i]),
             "expected the section that was written");
}

} // namespace

void checkRoundTrips(std::mt19937 &random) {
  Draw draw(random);
  checkRecipe(draw);
  checkSafetensors(draw);
  checkNpy(draw);
  checkMetrics(draw);
  if (draw.one(8)) { // with the disk, and with a digest of a whole program
    checkState(draw);
    checkProgram(draw);
  }
}

} // namespace moert::test
