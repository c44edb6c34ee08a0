// moert infer: runs an entry on what the user brings, images as PNG or any tensor as .npy.
#include "runtime/base/Files.h"
#include "runtime/base/NamedFiles.h"
#include "runtime/base/Printable.h"
#include "runtime/cli/Commands.h"
#include "runtime/cli/Notes.h"
#include "runtime/data/Npy.h"
#include "runtime/data/Png.h"
#include "runtime/session/Session.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <numeric>

namespace moert {
namespace {

/// The names of an entry's inputs or outputs.
std::vector<std::string> portNames(const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> &ports) {
  std::vector<std::string> names;
  for (const fb::Port *port : ports)
    names.push_back(port->name()->str());
  return names;
}

std::string shapeText(std::span<const int64_t> shape) {
  std::string text;
  for (size_t i = 0; i < shape.size(); ++i)
    text += concat(i ? " x " : "", shape[i]);
  return text.empty() ? "a scalar" : text;
}

// Checks everything but the number of rows, which the file decides.
Status checkInput(const NamedFile &input, const fb::Port &port, NpyArray &array,
                  const std::vector<int64_t> &shape) {
  if (array.type != port.type()) {
    bool pixels = input.name == "image" && array.type == fb::ElementType::u8;
    std::string cast = asWanted(port.type());
    return invalidInput(input.path, ": expected ", elementName(port.type()), " for input '", input.name,
                        "', found ", elementName(array.type), cast, pixels && !cast.empty() ? " / 255" : "");
  }
  std::vector<int64_t> found = array.shape;
  if (array.shape.size() + 1 == shape.size())
    array.shape.insert(array.shape.begin(), 1);
  bool same = array.shape.size() == shape.size() && !array.shape.empty() &&
              std::equal(shape.begin() + 1, shape.end(), array.shape.begin() + 1);
  if (!same) {
    bool rows = found.size() == shape.size() && !found.empty();
    return invalidInput(input.path, ": expected ",
                        shapeText(std::span(shape).subspan(std::min<size_t>(1, shape.size()))),
                        " a row for input '", input.name, "', found ", rows ? "" : "an array of ",
                        shapeText(std::span(found).subspan(rows ? 1 : 0)));
  }
  if (array.shape[0] == 0)
    return invalidInput(input.path, ": expected at least one row, found none");
  return okStatus();
}

using Check = std::function<Status(NpyArray &)>; // of type and shape, before the data is there

// A PNG as [1][channel][row][column] in [0, 1].
Result<NpyArray> fromPng(const std::string &path, const std::vector<int64_t> &shape, const Check &check) {
  NpyArray array{fb::ElementType::f32, {}, {}};
  auto checkSize = [&](const PngImage &image) -> Status {
    if (shape.size() != 4)
      return invalidInput(path, ": expected a .npy file for an input of ", shape.size(),
                          " axes, found an image");
    if (image.channels != shape[1])
      return invalidInput(path, ": expected an image of ", shape[1], " channels, found ", image.channels,
                          image.channels == 3 ? " (colour)" : " (grey)",
                          "; convert it, or give the channels as a .npy file of ",
                          shapeText(std::span(shape).subspan(1)));
    array.shape = {1, image.channels, image.height, image.width};
    return check(array);
  };
  MOERT_ASSIGN(PngImage image, readPng(path, checkSize));
  array.bytes.resize(image.pixels.size() * sizeof(float));
  float *out = reinterpret_cast<float *>(array.bytes.data());
  size_t pixels = size_t(image.height) * size_t(image.width);
  float white = float(image.white);
  for (size_t i = 0; i < image.pixels.size(); ++i)
    out[i % size_t(image.channels) * pixels + i / size_t(image.channels)] = float(image.pixels[i]) / white;
  return array;
}

// What the file is, by its first bytes, whatever it is called; what has neither's is told by its name.
Result<NpyArray> readInput(const std::string &path, const std::vector<int64_t> &shape, fb::ElementType wanted,
                           const Check &check) {
  MOERT_ASSIGN(OpenFile file, OpenFile::open(path));
  MOERT_ASSIGN(uint64_t size, file.size());
  std::string start(std::min<uint64_t>(size, 6), '\0');
  MOERT_TRY(file.read(0, std::as_writable_bytes(std::span(start))));
  if (path.ends_with(".png") || start.starts_with("\x89PNG"))
    return fromPng(path, shape, check);
  if (shape.size() == 4 && !path.ends_with(".npy") && start != "\x93NUMPY")
    return invalidInput(path,
                        ": expected a PNG image or a .npy file, found another format; convert it to one");
  return readNpy(path, wanted, check);
}

// Labels against the classes that the program's scores tell apart: those of the model's own results, since an
// entry that takes labels gives its losses and gradients.
Status checkLabels(const Program &program, const NamedFile &input, const NpyArray &array) {
  if (input.name != "label" || array.type != fb::ElementType::i32)
    return okStatus();
  auto entry = inferenceEntry(program, "");
  if (!entry.ok())
    return okStatus();
  auto classes = classesOf(program, **entry);
  if (!classes.ok()) // nothing says how many
    return okStatus();
  std::vector<int32_t> labels(array.bytes.size() / sizeof(int32_t));
  std::memcpy(labels.data(), array.bytes.data(), labels.size() * sizeof(int32_t));
  return moert::checkLabels(input, std::vector<double>(labels.begin(), labels.end()), *classes);
}

// Both are read as they are: values that are no numbers, which spread over the results, and pixels that are
// not from 0 to 1, which mean something else to the model, since training divides them by 255.
// True: there are values that are not finite.
bool noteValues(const NamedFile &input, const NpyArray &array) {
  if (array.type != fb::ElementType::f32)
    return false;
  std::span<const float> values(reinterpret_cast<const float *>(array.bytes.data()),
                                array.bytes.size() / sizeof(float));
  size_t wrong = countNotFinite(values);
  float least = INFINITY, most = -INFINITY;
  for (float value : values)
    if (std::isfinite(value))
      least = std::min(least, value), most = std::max(most, value);
  if (wrong)
    print(stderr, concat("moert: note: ", input.path, ": expected finite values for input '", input.name,
                         "', found ", wrong, " of ", values.size(), " NaN or infinite\n"));
  else if (input.name == "image" && (least < 0 || most > 1))
    print(stderr, concat("moert: note: ", input.path,
                         ": expected pixels from 0 to 1, as in training (divided by "
                         "255), found ",
                         double(least), " to ", double(most), "\n"));
  return wrong > 0;
}

void printTop(const Tensor &scores, int top) {
  std::span<const float> values = scores.as<float>();
  size_t classes = size_t(scores.shape[1]);
  for (size_t row = 0; row < size_t(scores.shape[0]); ++row) {
    std::span<const float> logits = values.subspan(row * classes, classes);
    if (scores.shape[0] > 1)
      printf("row %zu\n", row);
    if (countNotFinite(logits)) { // then evaluations count the image as wrong, whatever its class
      printf("no class: its scores are not finite\n");
      continue;
    }
    std::vector<size_t> order(classes);
    std::iota(order.begin(), order.end(), size_t(0));
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
    double sum = 0;
    for (float logit : logits)
      sum += std::exp(double(logit) - double(logits[order[0]]));
    for (size_t i = 0; i < std::min(classes, size_t(top)); ++i)
      printf("class %-4zu %6.2f %%  (%.4f)\n", order[i],
             100 * std::exp(double(logits[order[i]]) - double(logits[order[0]])) / sum,
             double(logits[order[i]]));
  }
}

} // namespace

Status inferCommand(const InferOptions &options) {
  MOERT_ASSIGN(auto device, openDevice(options.device));
  MOERT_ASSIGN(auto program, Program::load(options.program));
  MOERT_ASSIGN(const fb::Entry *entry, options.routing.empty() ? inferenceEntry(*program, options.entry)
                                                               : routingEntry(*program, options.routing));
  std::string entryName = entry->name()->str();
  MOERT_ASSIGN(std::vector<NamedFile> outputs,
               namedFiles(options.outputs, "output", entryName, portNames(*entry->outputs())));
  for (const NamedFile &output : outputs)
    if (auto folder = std::filesystem::path(output.path).parent_path();
        !folder.empty() && !exists(folder.string()))
      return invalidInput(output.path, ": cannot create: there is no folder ", folder.string(),
                          "; create it first");
  std::vector<std::string> inputNames = portNames(*entry->inputs());
  MOERT_ASSIGN(std::vector<NamedFile> given, namedFiles(options.inputs, "input", entryName, inputNames));
  std::vector<std::pair<NamedFile, NpyArray>> inputs;
  bool explained = false; // scores that are not finite, by what was read
  for (const NamedFile &input : given) {
    const fb::Port *declared = entry->inputs()->Get(
        uint32_t(std::find(inputNames.begin(), inputNames.end(), input.name) - inputNames.begin()));
    MOERT_ASSIGN(std::vector<int64_t> shape, program->shape(*declared, {1, 1}));
    auto check = [&](NpyArray &array) -> Status {
      MOERT_TRY(checkInput(input, *declared, array, shape));
      if (!inputs.empty() && inputs[0].second.shape[0] != array.shape[0])
        return invalidInput(input.path, ": expected ", inputs[0].second.shape[0], " rows as in ",
                            inputs[0].first.path, ", found ", array.shape[0]);
      return okStatus();
    };
    MOERT_ASSIGN(NpyArray array, readInput(input.path, shape, declared->type(), check));
    MOERT_TRY(checkLabels(*program, input, array));
    explained |= noteValues(input, array);
    inputs.push_back({input, std::move(array)});
  }
  for (const std::string &name : inputNames)
    if (std::none_of(given.begin(), given.end(), [&](auto &file) { return file.name == name; }))
      return usageError("expected --input ", name, "=@file for entry '", entryName, "'");

  MOERT_ASSIGN(auto parameters,
               CheckpointFiles::open(options.checkpoint.empty() ? options.parameters : options.checkpoint));
  std::vector<std::string> read = parameters.paths(), written;
  read.push_back(options.program);
  for (auto &[input, array] : inputs)
    read.push_back(input.path);
  for (const NamedFile &output : outputs)
    written.push_back(output.path);
  if (!options.outputFolder.empty())
    for (const fb::Port *declared : *entry->outputs()) {
      MOERT_ASSIGN(std::string file, npyFileIn(options.outputFolder, declared->name()->string_view()));
      if (std::none_of(outputs.begin(), outputs.end(),
                       [&](auto &output) { return output.name == declared->name()->string_view(); }))
        written.push_back(std::move(file));
    }
  MOERT_TRY(notOver(written, read));

  MOERT_ASSIGN(auto states, States::create(program, device, 0));
  MOERT_TRY(parameters.loadParameters(*states));
  MOERT_ASSIGN(bool noted,
               noteParameters(options.checkpoint.empty() ? options.parameters : options.checkpoint, *states));
  explained |= noted;
  Binding binding{1, inputs.empty() ? 1 : inputs[0].second.shape[0]};
  MOERT_ASSIGN(auto session, Session::open(program, states, device, entry->name()->string_view(), binding));
  for (auto &[input, array] : inputs) {
    MOERT_ASSIGN(Tensor tensor, session->input(input.name));
    if (tensor.bytes.size() != array.bytes.size())
      return invalidInput(input.path, ": expected ", tensor.bytes.size(), " bytes, found ",
                          array.bytes.size());
    std::memcpy(tensor.bytes.data(), array.bytes.data(), array.bytes.size());
  }
  if (!options.outputFolder.empty())
    MOERT_TRY(makeFolders(options.outputFolder));
  MOERT_TRY(session->run({.step = 0, .progress = options.progress}));
  if (!options.outputFolder.empty())
    for (const fb::Port *declared : *entry->outputs()) {
      MOERT_ASSIGN(Tensor tensor, session->output(declared->name()->string_view()));
      MOERT_ASSIGN(std::string file, npyFileIn(options.outputFolder, declared->name()->string_view()));
      MOERT_TRY(writeNpy(file, tensor.type, tensor.shape, tensor.bytes));
    }
  for (const NamedFile &output : outputs) {
    MOERT_ASSIGN(Tensor tensor, session->output(output.name));
    MOERT_TRY(writeNpy(output.path, tensor.type, tensor.shape, tensor.bytes));
    print(stdout, concat(output.name, ": ", shapeText(tensor.shape), " in ", output.path, "\n"));
  }
  if (auto scores = scoresOutput(*program, *entry); scores.ok()) {
    MOERT_ASSIGN(Tensor tensor, session->output(*scores));
    if (!explained)
      noteScores(*scores, tensor);
    printTop(tensor, options.top);
  } else if (outputs.empty() && options.outputFolder.empty()) {
    return invalidInput("entry '", entry->name()->str(),
                        "' has no class scores to print; give --output name=@file.npy");
  }
  return okStatus();
}

} // namespace moert
