#include "frontends/check/WriteCases.h"
#include "frontends/check/BoundedCase.h"
#include "frontends/check/RunCompiled.h"
#include "frontends/driver/Targets.h"
#include "runtime/base/Files.h"
#include "runtime/base/Printable.h"
#include "runtime/train/Safetensors.h"
#include <list>

using namespace mlir;
namespace fb = moe::fb;

namespace moe {
namespace {

/// Tensors by name, which own their bytes.
class TensorFile {
public:
  template <typename T>
  void add(std::string name, fb::ElementType type, ArrayRef<int64_t> shape, ArrayRef<double> values) {
    std::vector<std::byte> &bytes = bytes_.emplace_back(values.size() * sizeof(T));
    for (size_t i = 0; i < values.size(); ++i) {
      const T value = T(values[i]);
      memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
    }
    tensors_.push_back({std::move(name), type, shape.vec(), bytes});
  }
  void addIntegers(std::string name, ArrayRef<int64_t> values) {
    std::vector<std::byte> &bytes = bytes_.emplace_back(values.size() * sizeof(int64_t));
    memcpy(bytes.data(), values.data(), bytes.size());
    tensors_.push_back({std::move(name), fb::ElementType::i64, {int64_t(values.size())}, bytes});
  }
  void addDoubles(std::string name, const flow::Array &array) {
    add<double>(std::move(name), fb::ElementType::f64, array.shape, array.data);
  }
  /// In the type that the program has for a value of this element type.
  void addTyped(std::string name, Type element, const flow::Array &array) {
    if (element.isF32())
      add<float>(std::move(name), fb::ElementType::f32, array.shape, array.data);
    else if (element.isInteger(32))
      add<int32_t>(std::move(name), fb::ElementType::i32, array.shape, array.data);
    else
      add<uint8_t>(std::move(name), fb::ElementType::u8, array.shape, array.data);
  }
  moert::Status write(const std::string &path) const { return moert::writeSafetensors(path, tensors_); }

private:
  std::list<std::vector<std::byte>> bytes_;
  std::vector<moert::NamedTensor> tensors_;
};

moert::Status writeCase(RegisteredOperationName op, uint64_t seed, const CheckOpsOptions &options) {
  MOERT_ASSIGN(BoundedCase bounded, boundedCase(op, seed));
  const flow::Bindings &bindings = bounded.one.bindings;
  TensorFile file;
  file.addIntegers("batch", {bindings.setting.symbols.D, bindings.setting.symbols.N});
  file.addIntegers("seed", {int64_t(bindings.setting.seed)});
  file.addIntegers("step", {int64_t(bindings.setting.step)});
  file.add<double>("progress", fb::ElementType::f64, {}, {bindings.progress});
  for (auto &[key, value] : bindings.scalars)
    file.add<double>("scalar." + key, fb::ElementType::f64, {}, {value});
  for (auto input : bounded.one.entry.getBody().getOps<flow::InputOp>())
    file.addTyped("input." + input.getName().str(), flow::elementOf(input.getY()),
                  bindings.inputs.at(input.getName().str()));
  for (auto &[path, value] : bindings.states)
    file.add<float>("state." + path, fb::ElementType::f32, value.shape, value.data);
  for (const BoundedCase::Output &output : bounded.outputs) {
    file.addDoubles("value." + output.name, output.value);
    file.addDoubles("bound." + output.name, output.bound);
  }
  const std::string name =
      moert::concat(options.write, "/", op.getStringRef().str(), "-", std::to_string(seed));
  MOERT_ASSIGN(std::vector<uint8_t> program, compileFile(*bounded.one.module, options.targets));
  MOERT_TRY(moert::replaceFile(
      name + ".moe", std::string_view(reinterpret_cast<const char *>(program.data()), program.size())));
  return file.write(name + ".safetensors");
}

} // namespace

moert::Status writeCases(ArrayRef<RegisteredOperationName> ops, const CheckOpsOptions &options) {
  if (options.targets.empty())
    return moert::usageError("expected a target beside --write, such as --target cuda:sm_90a, found none");
  MOERT_TRY(checkTargets(options.targets));
  MOERT_TRY(moert::makeFolders(options.write));
  for (RegisteredOperationName op : ops) {
    for (unsigned i = 0; i < options.cases; ++i)
      if (moert::Status status = writeCase(op, options.seed + i, options); !status.ok())
        return std::move(status).in(moert::concat(op.getStringRef().str(), ", case ", options.seed + i));
    moert::print(stdout, moert::concat(op.getStringRef().str(), ": ", options.cases, " cases written\n"));
  }
  return moert::okStatus();
}

} // namespace moe
