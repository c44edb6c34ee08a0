// One probe a reader, with its seeds. Formats with checksums are probed twice: as they come, and with the
// sums made right, since a change that only breaks a sum tests nothing behind it.
#include "test/fuzz/readers/Readers.h"
#include "runtime/base/Printable.h"
#include "runtime/data/Idx.h"
#include "runtime/data/Npy.h"
#include "runtime/data/Png.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/InitLoad.h"
#include "runtime/train/Recipe.h"
#include "runtime/train/RunFolder.h"
#include "runtime/train/Safetensors.h"
#include "test/support/TestProgram.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

namespace moert::test {

void mustHold(bool holds, const std::string &otherwise) {
  if (holds)
    return;
  fprintf(stderr, "error: %s\n", otherwise.c_str());
  abort();
}

MemoryFile::MemoryFile() : fd_(memfd_create("reader", MFD_CLOEXEC)), path_(concat("/proc/self/fd/", fd_)) {
  mustHold(fd_ >= 0, "expected a file in memory");
}
MemoryFile::~MemoryFile() { close(fd_); }

const std::string &MemoryFile::hold(std::string_view bytes) {
  mustHold(ftruncate(fd_, 0) == 0 && pwrite(fd_, bytes.data(), bytes.size(), 0) == ssize_t(bytes.size()),
           "expected room for a file in memory");
  return path_;
}

std::shared_ptr<const Program> programWithLosses(const std::vector<std::string> &names) {
  TestProgram made = testProgram();
  for (const std::string &name : names) {
    auto scalar = std::make_unique<moe::fb::ScalarT>();
    scalar->key = "aux." + name;
    scalar->kind = moe::fb::ScalarKind::recipe;
    scalar->fallback = 1;
    made.table.scalars.push_back(std::move(scalar));
  }
  auto program = Program::verify(made.encode(), "losses.moe");
  mustHold(program.ok(), program.status().message());
  return *program;
}

std::shared_ptr<const Program> programWithBlocks() {
  TestProgram made = testProgram();
  made.table.states[kW]->path = "norm.bias";
  made.table.states[kMomentum]->of = "norm.bias";
  addParameter(made, "pos_embed", {1, 5, 3});
  addParameter(made, "blocks.0.mlp.fc1.weight", {2, 3});
  addParameter(made, "blocks.1.mlp.experts.fc1.weight", {2, 2, 3});
  addParameter(made, "blocks.1.mlp.gate.weight", {2, 3});
  addParameter(made, "head.weight", {4, 3});
  auto program = Program::verify(made.encode(), "blocks.moe");
  mustHold(program.ok(), program.status().message());
  return *program;
}

namespace {

MemoryFile &file() {
  static MemoryFile file;
  return file;
}
MemoryFile &copy() { // of what was read
  static MemoryFile file;
  return file;
}

void readsBack(Recipe recipe) {
  static std::shared_ptr<const Program> program =
      programWithLosses({"entropy", "blocks.0.balance", "a\"b\\ "});
  auto check = [&](const Recipe &written) {
    std::string text = written.text();
    auto again = Recipe::parse(text, "written", {});
    mustHold(again.ok(),
             concat("a recipe that was written cannot be read: ", again.status().message(), "\n", text));
    if (!written.scalars.empty())
      mustHold(again->bind(*program).ok(), "a recipe that was written does not bind again\n" + text);
    mustHold(again->text() == text, concat("expected\n", text, "found\n", again->text()));
    mustHold(differences(written, *again, {}).empty(), "a recipe that was written differs");
  };
  check(recipe);
  if (recipe.bind(*program).ok())
    check(recipe);
}

void probeRecipe(std::string_view bytes) {
  if (auto recipe = Recipe::parse(std::string(bytes), "r.toml", {}); recipe.ok())
    readsBack(*std::move(recipe));
}

void probeSettings(std::string_view bytes) {
  std::vector<std::string> settings;
  for (size_t begin = 0; begin < bytes.size() && settings.size() < 20;) {
    size_t end = std::min(bytes.find('\0', begin), bytes.size());
    settings.emplace_back(bytes.substr(begin, end - begin));
    begin = end + 1;
  }
  if (auto recipe = Recipe::parse("", "", settings); recipe.ok())
    readsBack(*std::move(recipe));
}

void probeState(std::string_view bytes) {
  auto state = parseState(std::string(bytes), "state.json");
  if (state.ok())
    (void)Recipe::parse(state->checkpoint.recipe, "state.json", {"data.path=/x"}).ok();
}

void probeMetrics(std::string_view bytes) {
  for (uint64_t steps : {uint64_t(0), uint64_t(3), uint64_t(1) << 40}) {
    std::string_view kept = metricsOfSteps(bytes, steps);
    mustHold(bytes.starts_with(kept) && (kept.empty() || kept.back() == '\n'),
             "expected whole lines of metrics");
    mustHold(metricsOfSteps(kept, steps) == kept, "expected metrics that were cut to stay as they are");
  }
}

void checkSafetensors(std::string_view bytes) {
  auto read = Safetensors::read(file().hold(bytes));
  if (!read.ok())
    return;
  size_t total = 0;
  bool plain = true;
  for (const NamedTensor &tensor : read->tensors()) {
    uint64_t size = elementBytes(tensor.type);
    for (int64_t extent : tensor.shape)
      size *= uint64_t(extent);
    mustHold(tensor.bytes.size() == size, "expected the bytes that the shape says");
    for (std::byte byte : tensor.bytes)
      total += size_t(byte); // sanitizers see where it lies
    const NamedTensor *found = read->find(tensor.name);
    mustHold(found == &tensor, "expected to find a tensor by its name");
    plain &= isPlain(tensor.name) && tensor.name != "__metadata__";
  }
  if (!plain || total == SIZE_MAX)
    return;
  Status written = writeSafetensors(copy().hold(""), read->tensors());
  mustHold(written.ok(), written.message());
  auto again = Safetensors::read(copy().path());
  mustHold(again.ok(), again.status().message());
  mustHold(again->tensors().size() == read->tensors().size(), "expected as many tensors as were written");
  for (const NamedTensor &tensor : read->tensors()) {
    const NamedTensor *other = again->find(tensor.name);
    mustHold(
        other && other->type == tensor.type && other->shape == tensor.shape &&
            std::equal(other->bytes.begin(), other->bytes.end(), tensor.bytes.begin(), tensor.bytes.end()),
        "expected the tensor that was written");
  }
}

constexpr size_t kWeightBytes = 264; // of weightsOf("F32", 4)

std::string withLength(std::string_view table, size_t data) {
  uint64_t length = table.size();
  return concat(std::string(reinterpret_cast<const char *>(&length), sizeof length), table,
                std::string(data, 'x'));
}

void probeSafetensors(std::string_view bytes) {
  checkSafetensors(bytes);
  if (bytes.size() > 8) // the table alone, with a right length
    checkSafetensors(withLength(bytes.substr(8), 0));
}

// A file as weights: what is accepted fills parameters with its values, and others keep theirs.
void checkWeights(std::string_view bytes) {
  static std::shared_ptr<const Program> program = programWithBlocks();
  static std::shared_ptr<Device> device = *openCpu(1);
  static std::shared_ptr<States> states = *States::create(program, device, 0);
  const Recipe recipe;
  auto weights = InitFile::open(file().hold(bytes), *program, recipe);
  if (!weights.ok()) {
    mustHold(weights.status().code() == Code::invalid_input, weights.status().message());
    return;
  }
  HostStates host = *states->host();
  for (size_t i = 0; i < states->size(); ++i)
    for (float &value : host.tensor(i).as<float>())
      value = 5;
  auto loaded = weights->load(*states);
  mustHold(loaded.ok(), loaded.status().message());
  mustHold(!weights->describe(*program).empty(), "expected a word for each parameter");
  auto read = Safetensors::read(file().path());
  mustHold(read.ok(), read.status().message());
  for (const Filling &filling : weights->plan().fillings) {
    std::span<float> values = host.tensor(filling.state).as<float>();
    const StoredTensor *source = filling.source == kNoSource ? nullptr : &read->stored()[filling.source];
    if (filling.how == Fill::fresh)
      mustHold(std::ranges::all_of(values, [](float value) { return value == 5; }), "expected no change");
    if (filling.how == Fill::fresh || filling.how == Fill::resized || source->type != "F32")
      continue;
    const NamedTensor *tensor = read->find(source->name);
    for (size_t at = 0; at < values.size() * 4; at += tensor->bytes.size())
      mustHold(std::memcmp(reinterpret_cast<std::byte *>(values.data()) + at, tensor->bytes.data(),
                           tensor->bytes.size()) == 0,
               "expected the file's values");
  }
}

void probeWeights(std::string_view bytes) {
  checkWeights(bytes);
  uint64_t length = 0; // with as many bytes of data as a changed table wants, as often as it can be had
  if (bytes.size() < 8)
    return;
  std::memcpy(&length, bytes.data(), 8);
  if (length <= bytes.size() - 8)
    for (size_t data : {kWeightBytes, kWeightBytes / 2})
      checkWeights(withLength(bytes.substr(8, length), data));
}

void checkNpy(std::string_view bytes) {
  auto small = [](NpyArray &array) { return array.shape.size() > 8 ? internalError("axes") : okStatus(); };
  auto array = readNpy(file().hold(bytes), std::nullopt, small);
  if (!array.ok()) {
    mustHold(array.status().code() != Code::internal, array.status().message());
    return;
  }
  uint64_t size = elementBytes(array->type);
  for (int64_t extent : array->shape)
    size *= uint64_t(extent);
  mustHold(array->bytes.size() == size, "expected the bytes that the shape says");
  Status written = writeNpy(copy().hold(""), array->type, array->shape, array->bytes);
  mustHold(written.ok(), written.message());
  auto again = readNpy(copy().path());
  mustHold(again.ok(), again.status().message());
  mustHold(again->type == array->type && again->shape == array->shape && again->bytes == array->bytes,
           "expected the array that was written");
}

std::string npyOf(std::string_view header, size_t data) {
  return concat("\x93NUMPY\x01", '\0', char(header.size() & 0xff), char(header.size() >> 8 & 0xff),
                header.substr(0, 0xffff), std::string(data, 'x'));
}

void probeNpy(std::string_view bytes) {
  checkNpy(bytes);
  if (bytes.size() > 10 && bytes.size() < 60'000)
    checkNpy(npyOf(bytes.substr(10), 24));
}

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  mustHold(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK,
           "expected zlib to start");
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(bytes.data()));
  stream.avail_in = unsigned(bytes.size());
  stream.next_out = reinterpret_cast<Bytef *>(packed.data());
  stream.avail_out = unsigned(packed.size());
  mustHold(deflate(&stream, Z_FINISH) == Z_STREAM_END, "expected zlib to pack");
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// Whether it was accepted, and how many bytes it holds.
std::pair<bool, std::string> idxBytes(std::string_view bytes) {
  auto idx = IdxFile::open(file().hold(bytes));
  if (!idx.ok() || !idx->unpack().ok())
    return {false, ""};
  uint64_t product = 1;
  for (uint32_t extent : idx->shape)
    product *= extent;
  mustHold(idx->bytes == product, "expected the bytes that the sizes say");
  std::vector<uint8_t> all(idx->bytes), last(idx->bytes / 2);
  mustHold(idx->read(0, all).ok() && idx->read(idx->bytes - last.size(), last).ok(),
           "expected to read it all");
  mustHold(std::equal(last.rbegin(), last.rend(), all.rbegin()), "expected the same bytes from any place");
  return {true, std::string(all.begin(), all.end())};
}

void probeIdx(std::string_view bytes) {
  auto plain = idxBytes(bytes);
  if (bytes.starts_with("\x1f\x8b"))
    return;
  mustHold(idxBytes(gzip(bytes)) == plain, "expected of gzip what is in it");
}

void checkPng(std::string_view bytes) {
  auto small = [](const PngImage &image) {
    return int64_t(image.width) * image.height > 1 << 16 ? invalidInput("large") : okStatus();
  };
  auto image = readPng(file().hold(bytes), small);
  if (!image.ok())
    return;
  mustHold(image->channels == 1 || image->channels == 3, "expected grey or colour");
  mustHold(image->pixels.size() == size_t(image->channels) * size_t(image->width) * size_t(image->height),
           "expected a sample a pixel and channel");
  for (uint16_t sample : image->pixels)
    mustHold(sample <= image->white, "expected samples up to white");
}

void probePng(std::string_view bytes) {
  checkPng(bytes);
  std::string fixed(bytes);
  for (size_t at = 8; at + 12 <= fixed.size();) { // length, name, data, sum
    uint32_t length = 0;
    for (int i = 0; i < 4; ++i)
      length = length << 8 | uint8_t(fixed[at + size_t(i)]);
    if (length > fixed.size() - at - 12)
      break;
    uLong sum = crc32(0, reinterpret_cast<const Bytef *>(fixed.data() + at + 4), length + 4);
    for (int i = 0; i < 4; ++i)
      fixed[at + 8 + length + size_t(i)] = char(sum >> (24 - 8 * i));
    at += 12 + length;
  }
  if (fixed != bytes)
    checkPng(fixed);
}

std::string chunk(const std::string &name, const std::string &data) {
  auto word = [](uLong value) {
    std::string text;
    for (int shift : {24, 16, 8, 0})
      text += char(value >> shift);
    return text;
  };
  std::string body = name + data;
  return word(data.size()) + body +
         word(crc32(0, reinterpret_cast<const Bytef *>(body.data()), unsigned(body.size())));
}

// 5 x 4 pixels of a depth and colour type of PNG's, with so many bytes a row.
std::string pngOf(int depth, int type, size_t rowBytes, bool interlaced = false) {
  std::string rows;
  for (int row = 0; row < (interlaced ? 12 : 4); ++row) // more than the passes of interlacing need
    rows += char(row % 5) + std::string(rowBytes, char(40 * row));
  std::string packed(compressBound(rows.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef *>(packed.data()), &size, reinterpret_cast<const Bytef *>(rows.data()),
           rows.size());
  packed.resize(size);
  std::string header{0, 0, 0, 5, 0, 0, 0, 4, char(depth), char(type), 0, 0, char(interlaced)};
  std::string palette = type == 3 ? chunk("PLTE", std::string(48, 'p')) : "";
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunk("gAMA", std::string("\0\1\206\240", 4)) +
         palette + chunk("IDAT", packed) + chunk("IEND", "");
}

// What programWithBlocks takes: a dense layer for the experts, another head, and a table of a larger grid.
std::string weightsOf(const char *type, size_t bytes) {
  std::string table = "{";
  size_t offset = 0;
  auto add = [&](const char *name, const char *shape, size_t elements) {
    table += concat(offset ? "," : "", "\"", name, "\":{\"dtype\":\"", type, "\",\"shape\":", shape,
                    ",\"data_offsets\":[", offset, ",", offset + elements * bytes, "]}");
    offset += elements * bytes;
  };
  add("norm.bias", "[3]", 3);
  add("pos_embed", "[1,10,3]", 30);
  add("blocks.0.mlp.fc1.weight", "[2,3]", 6);
  add("blocks.1.mlp.fc1.weight", "[2,3]", 6);
  add("head.weight", "[7,3]", 21);
  mustHold(offset == kWeightBytes * bytes / 4, "expected the bytes of the seed");
  return withLength(table + "}", offset);
}

std::vector<Reader> makeReaders() {
  std::string recipe =
      "[train]\nsteps = 7 # x\nobjective = 'erm'\n\n[data]\nkind = \"colored\"\nflips = [0.1, 1]\n"
      "held_out = [\n 1, # one\n]\npath = \"/a\\u007fb\\n\"\n[optimizer]\nlr = 1e-3\n[aux]\n"
      "\"blocks.*.balance\" = 0.5\nentropy = inf\n[init]\nfile = \"w.safetensors\"\nfresh = ['head.*', "
      "\"\"]\n[init.map]\n"
      "\"**.experts.**\" = '**.**'\n\"a.*\" = \"\"\n";
  std::string other = "train = {steps = 0x10, seed = 1_000}\neval.every = 0\ndata.angles = [-1.5, +2, 3e1]\n"
                      "data.path = '''a\nb'''\nlog.every = 1979-05-27 07:32:00Z\n[[x]]\n";
  std::vector<std::string> tomlWords = {"[",
                                        "]",
                                        "[[",
                                        "]]",
                                        "{",
                                        "}",
                                        "=",
                                        ",",
                                        "#",
                                        "\n",
                                        "\r\n",
                                        "\"",
                                        "\"\"\"",
                                        "'''",
                                        "\\u007f",
                                        "\\U0010ffff",
                                        "\xcd\x9e",
                                        "\xc2\xa0",
                                        "inf",
                                        "nan",
                                        "true",
                                        "0x",
                                        "0b1",
                                        "1e400",
                                        "5e-324",
                                        "1979-05-27",
                                        "07:32:00",
                                        "aux.",
                                        "data.",
                                        "train.",
                                        "*",
                                        ".",
                                        "optimizer",
                                        "path",
                                        "held_out",
                                        "angles",
                                        "flips",
                                        "kind",
                                        "colored",
                                        "steps",
                                        "seed",
                                        "eval.batch",
                                        "init.map.",
                                        "init.",
                                        "fresh",
                                        "**",
                                        "9223372036854775807",
                                        "-0.0",
                                        "\xef\xbb\xbf"};
  std::vector<std::string> settings = {
      std::string("data.path=/a b\0train.steps=9\0aux.*.balance=0.1", 42),
      std::string("init.map.**.experts.**=**.**\0init.file=w\0init.fresh=['a.*']\0init.map.a=", 71),
      std::string("data.held_out=[0, 1]\0data.angles=[0,1,2]\0optimizer.lr=1", 54)};
  std::string state =
      R"({"format": 1, "step": 12, "pending_evaluation": false, "best_score": 0.5, "best_step": 3, "sums": {"loss": 1.5, "x": null},
 "summed": 2, "model_checksum": 1, "optimizer_checksum": 2, "program": "ab", "recipe_digest": "cd", "recipe": "[train]\nsteps = 3\n", "data": "ef"})";
  std::vector<std::string> jsonWords = {
      "{",         "}",           "[",         "]",          ":",       ",",      "null",
      "true",      "1e999",       "-1",        "\"\"",       "\\u0000", "\"a\":", "18446744073709551616",
      "\"step\":", "\"recipe\":", "\"sums\":", "\"format\":"};
  std::string table =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[0,3],"data_offsets":[8,8]},"c":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})";
  std::vector<std::string> tensorWords = jsonWords;
  for (const char *word : {"\"dtype\":", "\"shape\":", "\"data_offsets\":", "\"F32\"", "\"BF16\"", "\"I64\"",
                           "\"F8_E5M2\"", "__metadata__", "[0,0]", "9223372036854775807"})
    tensorWords.push_back(word);
  std::vector<std::string> weightWords = tensorWords;
  for (const char *word :
       {"\"F16\"", "\"F64\"", "\"norm.bias\":", "\"pos_embed\":", "\"blocks.1.mlp.experts.fc1.weight\":",
        "\"blocks.1.mlp.gate.weight\":", "\"head.weight\":", "[1,5,3]", "[1,2,3]", "[2,2,3]"})
    weightWords.push_back(word);
  std::string npy = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }         \n";
  std::string sized = "{'descr': '|u1', 'fortran_order': False, 'shape': (24,), }\n";
  auto idx = [](std::initializer_list<int> header, size_t data) {
    std::string text;
    for (int byte : header)
      text += char(byte);
    return text + std::string(data, 'i');
  };
  std::string images = idx({0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3}, 12);
  std::string labels = idx({0, 0, 8, 1, 0, 0, 0, 4}, 4), none = idx({0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 9}, 0);
  return {
      {"recipe", probeRecipe, {recipe, other}, tomlWords},
      {"settings", probeSettings, settings, tomlWords},
      {"state", probeState, {state}, jsonWords},
      {"metrics",
       probeMetrics,
       {"{\"step\":0,\"loss\":1.5}\n{\"step\":2,\"loss\":null}\n{\"step\":3,\"score\":0.5}\n{\"ste"},
       jsonWords},
      {"safetensors", probeSafetensors, {withLength(table, 9)}, tensorWords},
      {"weights",
       probeWeights,
       {weightsOf("F32", 4), weightsOf("F16", 2), weightsOf("BF16", 2)},
       weightWords},
      {"npy",
       probeNpy,
       {npyOf(npy, 24), npyOf(sized, 24)},
       {"'descr':", "'fortran_order':", "'shape':", "(", ")", ",", "<f8", "<i4", "<i8", "|u1", "True",
        "False", "\x93NUMPY", "9223372036854775807", "0"}},
      {"idx",
       probeIdx,
       {images, labels, none, gzip(images), gzip(labels) + gzip("")},
       {std::string("\0\0\x08\x01", 4), std::string("\0\0\x08\x04", 4), "\x1f\x8b\x08", "\xff\xff\xff\xff",
        std::string("\0\0\0\0", 4)}},
      {"png",
       probePng,
       {pngOf(8, 0, 5), pngOf(8, 2, 15), pngOf(16, 0, 10), pngOf(1, 0, 1), pngOf(4, 3, 3),
        pngOf(8, 0, 5, true)},
       {"IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "iCCP", "zTXt", "sRGB", "cHRM"}},
  };
}

} // namespace

const std::vector<Reader> &readers() {
  static const std::vector<Reader> all = makeReaders();
  return all;
}

const Reader *readerOf(std::string_view name) {
  for (const Reader &reader : readers())
    if (reader.name == name)
      return &reader;
  return nullptr;
}

} // namespace moert::test
