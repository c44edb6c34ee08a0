// moec evaluate: runs an entry of a model in f64 by the evaluator, without compiling it to machine code.
// Parameters come from a safetensors file, inputs from .npy files, results go to .npy files of f64: the
// reference that compiled programs and other implementations are held against.
#include "frontends/moec/Evaluate.h"
#include "dialects/flow/Evaluator.h"
#include "runtime/base/Files.h"
#include "runtime/base/NamedFiles.h"
#include "runtime/base/Nearest.h"
#include "runtime/base/Result.h"
#include "runtime/data/Npy.h"
#include "runtime/program/Capacity.h"
#include "runtime/train/Safetensors.h"
#include "llvm/Support/FileSystem.h"
#include <cstring>
#include <map>
#include <new>
#include <optional>

using namespace mlir;
using moert::fb::ElementType;
namespace moe {
namespace {

template <typename T> void widen(std::span<const std::byte> bytes, std::vector<double> &to) {
  for (size_t i = 0; i < to.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    to[i] = double(value);
  }
}

moert::Result<flow::Array> toArray(const std::string &name, ElementType type, llvm::ArrayRef<int64_t> shape,
                                   std::span<const std::byte> bytes) {
  flow::Array array(shape);
  switch (type) {
  case ElementType::f32:
    widen<float>(bytes, array.data);
    break;
  case ElementType::f64:
    widen<double>(bytes, array.data);
    break;
  case ElementType::i32:
    widen<int32_t>(bytes, array.data);
    break;
  case ElementType::i64:
    widen<int64_t>(bytes, array.data);
    break;
  case ElementType::u8:
    widen<uint8_t>(bytes, array.data);
    break;
  default:
    return moert::invalidInput(name, ": expected f32, f64, i32, i64 or u8, found another element type");
  }
  return array;
}

using Files = std::map<std::string, std::string>; // by the name of an input

std::string shapeText(llvm::ArrayRef<int64_t> shape) {
  std::string text = "[";
  for (int64_t extent : shape)
    text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

/// What the entry reads is in the files, in its shape: the evaluator would blame the model's text.
moert::Status checkBindings(flow::EntryOp entry, const flow::Bindings &bindings, const Files &files,
                            const std::string &parameters) {
  moert::Status status;
  std::vector<std::string> tensors;
  for (auto &[name, array] : bindings.states)
    tensors.push_back(name);
  auto check = [&](mlir::Value value, llvm::StringRef what, const std::string &name,
                   const std::map<std::string, flow::Array> &from, const std::string &path) {
    auto found = from.find(name);
    auto shape = flow::shapeOf(value.getType(), bindings.setting.symbols);
    if (!status.ok() || found == from.end() || !shape ||
        llvm::ArrayRef(found->second.shape) == llvm::ArrayRef(*shape))
      return;
    status = moert::invalidInput(path, ": expected ", shapeText(*shape), " for ", what.str(), " '", name,
                                 "', found ", shapeText(found->second.shape));
  };
  entry.walk([&](mlir::Operation *op) {
    if (auto input = llvm::dyn_cast<flow::InputOp>(op)) {
      std::string name = input.getName().str();
      if (status.ok() && !files.count(name))
        status = moert::usageError("expected --input ", name, "=@file.npy for entry '",
                                   entry.getSymName().str(), "'");
      else if (files.count(name))
        check(input.getY(), "input", name, bindings.inputs, files.at(name));
      return;
    }
    llvm::StringRef path;
    if (auto parameter = llvm::dyn_cast<flow::ParameterOp>(op))
      path = parameter.getPath();
    else if (auto state = llvm::dyn_cast<flow::StateOp>(op))
      path = state.getPath();
    else
      return;
    if (status.ok() && !bindings.states.count(path.str()))
      status = moert::invalidInput(parameters, ": expected a tensor '", path.str(), "', found none",
                                   moert::suggestion(path.str(), tensors));
    check(op->getResult(0), "tensor", path.str(), bindings.states, parameters);
  });
  return status;
}

/// How many classes the model's scores tell apart, by the same rule as the runtime's: the extent of the
/// result 'logits' of entry 'main', or of its only result of one row a sample.
std::optional<int64_t> classesOf(ModuleOp module) {
  std::vector<int64_t> found;
  std::optional<int64_t> logits;
  module.walk([&](flow::EntryOp entry) {
    if (entry.getSymName() != "main")
      return;
    entry.walk([&](flow::OutputOp output) {
      auto two = flow::shapeOf(output.getX().getType(), {1, 2});
      auto three = flow::shapeOf(output.getX().getType(), {1, 3});
      if (!two || !three || two->size() != 2 || (*two)[0] != 2 || (*three)[0] != 3)
        return;
      found.push_back((*two)[1]);
      if (output.getName() == "logits")
        logits = (*two)[1];
    });
  });
  return !logits && found.size() == 1 ? found[0] : logits;
}

// While it lives `new` throws, where moec otherwise ends: the readers catch that, to name the file that does
// not fit. Around them alone, since what LLVM's threads do cannot be caught.
class NewThrows {
public:
  NewThrows() : before_(std::set_new_handler(nullptr)) {}
  ~NewThrows() { std::set_new_handler(before_); }
  NewThrows(const NewThrows &) = delete;

private:
  std::new_handler before_;
};

moert::Result<moert::Safetensors> readParameters(const std::string &path) {
  if (moert::kindOfFile(path) == "a folder") {
    const std::string inside = path + (path.ends_with("/") ? "" : "/") + "model.safetensors";
    return moert::invalidInput(path, ": expected a safetensors file, found a folder",
                               llvm::sys::fs::exists(inside) ? "; did you mean '" + inside + "'?" : "");
  }
  NewThrows throws;
  return moert::Safetensors::read(path);
}

moert::Result<moert::NpyArray> readInput(const std::string &path) {
  NewThrows throws;
  return moert::readNpy(path);
}

} // namespace

moert::Status evaluateModule(ModuleOp module, const EvaluateOptions &options,
                             const std::vector<std::string> &sources) {
  flow::EntryOp entry;
  std::vector<std::string> names;
  module.walk([&](flow::EntryOp each) {
    names.push_back(each.getSymName().str());
    if (each.getSymName() == options.entry)
      entry = each;
  });
  if (!entry)
    return moert::invalidInput("the model has no entry '", options.entry, "'",
                               moert::suggestion(options.entry, names));

  flow::Bindings bindings;
  bindings.progress = options.progress;
  bindings.setting.seed = options.seed;
  bindings.setting.step = uint32_t(options.step);
  MOERT_ASSIGN(moert::Safetensors file, readParameters(options.parameters));
  for (const moert::NamedTensor &tensor : file.tensors()) {
    MOERT_ASSIGN(flow::Array array, toArray(tensor.name, tensor.type, tensor.shape, tensor.bytes));
    bindings.states[tensor.name] = std::move(array);
  }
  int64_t rows = 0;
  Files files;
  std::vector<std::string> inputs, outputs;
  entry.walk([&](flow::InputOp input) { inputs.push_back(input.getName().str()); });
  entry.walk([&](flow::OutputOp output) { outputs.push_back(output.getName().str()); });
  MOERT_ASSIGN(std::vector<moert::NamedFile> given,
               moert::namedFiles(options.inputs, "input", options.entry, inputs));
  MOERT_ASSIGN(std::vector<moert::NamedFile> wanted,
               moert::namedFiles(options.outputs, "output", options.entry, outputs));
  std::vector<std::string> readFiles = sources, written;
  readFiles.push_back(options.parameters);
  for (const moert::NamedFile &input : given)
    readFiles.push_back(input.path);
  for (const moert::NamedFile &output : wanted)
    written.push_back(output.path);
  if (!options.outputFolder.empty())
    for (const std::string &output : outputs) {
      MOERT_ASSIGN(std::string file, moert::npyFileIn(options.outputFolder, output));
      if (llvm::none_of(wanted, [&](auto &named) { return named.name == output; }))
        written.push_back(std::move(file));
    }
  MOERT_TRY(moert::notOver(written, readFiles));
  for (const moert::NamedFile &input : given) {
    MOERT_ASSIGN(moert::NpyArray read, readInput(input.path));
    MOERT_ASSIGN(flow::Array array, toArray(input.path, read.type, read.shape, read.bytes));
    int64_t here = read.shape.empty() ? 1 : read.shape[0];
    if (rows && here != rows)
      return moert::invalidInput(input.path, ": expected ", rows, " rows as in the inputs before it, found ",
                                 here);
    rows = here;
    bindings.inputs[input.name] = std::move(array);
    files[input.name] = input.path;
  }
  if (auto classes = classesOf(module); classes && bindings.inputs.count("label"))
    for (const moert::NamedFile &input : given)
      if (input.name == "label")
        MOERT_TRY(moert::checkLabels(input, bindings.inputs["label"].data, *classes));
  if (options.domains < 1 || rows % options.domains)
    return moert::invalidInput("expected rows that ", options.domains, " domains divide, found ", rows);
  bindings.setting.symbols.D = options.domains;
  bindings.setting.symbols.N = std::max<int64_t>(1, rows / options.domains);

  MOERT_TRY(checkBindings(entry, bindings, files, options.parameters));
  if (ArrayAttr capacities = entry.getCapacitiesAttr())
    for (auto each : capacities.getAsRange<flow::CapacityAttr>())
      MOERT_TRY(
          moert::checkCapacity(moert::concat("entry '", options.entry, "' at ", options.domains, " x ",
                                             bindings.setting.symbols.N, " images"),
                               each.getRouting().getValue(),
                               each.getRows().getExtent().evaluate(bindings.setting.symbols).value_or(0),
                               each.getExperts(), each.getFactor().getValueAsDouble()));
  // Numbers are printed; with nothing else to do, tensors would be computed for nobody.
  std::string tensors;
  bool numbers = false;
  entry.walk([&](flow::OutputOp output) {
    numbers |= llvm::cast<RankedTensorType>(output.getX().getType()).getRank() == 0;
    tensors += (tensors.empty() ? "" : ", ") + output.getName().str();
  });
  if (options.outputs.empty() && options.outputFolder.empty() && !numbers)
    return moert::usageError(
        "expected --output NAME=@file.npy or --output-folder DIR, found neither; entry '", options.entry,
        "' has ", tensors);
  if (!options.outputFolder.empty())
    MOERT_TRY(moert::makeFolders(options.outputFolder));
  FailureOr<flow::Evaluation> result = flow::evaluate(entry, bindings);
  if (failed(result))
    return moert::Status(moert::Code::invalid_input, "");
  for (const moert::NamedFile &output : wanted) {
    const flow::Array &array = result->outputs.at(output.name);
    MOERT_TRY(
        moert::writeNpy(output.path, ElementType::f64, array.shape, std::as_bytes(std::span(array.data))));
  }
  if (!options.outputFolder.empty())
    for (auto &[name, array] : result->outputs) {
      MOERT_ASSIGN(std::string file, moert::npyFileIn(options.outputFolder, name));
      MOERT_TRY(moert::writeNpy(file, ElementType::f64, array.shape, std::as_bytes(std::span(array.data))));
    }
  for (auto &[name, array] : result->outputs)
    if (array.shape.empty())
      printf("%s %.17g\n", name.c_str(), array.data[0]);
  return moert::okStatus();
}

} // namespace moe
