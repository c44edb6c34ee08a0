#include "dialects/flow/BatchHint.h"
#include "runtime/base/Printable.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace flow {

static std::string textOf(const Symbols &batch) {
  return std::to_string(batch.D) + "x" + std::to_string(batch.N);
}

std::optional<BatchHint> BatchHint::parse(StringRef text, std::string &error) {
  BatchHint hint;
  llvm::SmallVector<StringRef> items, seen;
  text.split(items, ',');
  for (StringRef item : items) {
    auto [kind, batch] = item.split('=');
    auto [domains, rows] = batch.split('x');
    Symbols read;
    auto isSize = [](StringRef digits, int64_t &size) {
      return llvm::all_of(digits, llvm::isDigit) && !digits.getAsInteger(10, size) && size >= 1 &&
             size <= INT32_MAX;
    };
    auto expected = [&](const std::string &what, StringRef found) {
      error = "expected " + what + " in a batch hint, found '" +
              moert::printable(found.str(), /*line=*/true) +
              "'; it is written as train=5x64,infer=1x64, domains x rows of each";
      return std::nullopt;
    };
    if (kind != "train" && kind != "infer")
      return expected("'train' or 'infer'", kind);
    if (llvm::is_contained(seen, kind))
      return expected("each kind of entry once", item);
    if (!isSize(domains, read.D) || !isSize(rows, read.N))
      return expected("domains x rows, each from 1 to " + std::to_string(INT32_MAX) + ",", item);
    seen.push_back(kind);
    (kind == "train" ? hint.train : hint.infer) = read;
  }
  return hint;
}

std::string BatchHint::str() const { return "train=" + textOf(train) + ",infer=" + textOf(infer); }

Symbols plannedBatch(Operation *op) {
  auto entry = dyn_cast<EntryOp>(op);
  if (!entry)
    entry = op->getParentOfType<EntryOp>();
  const bool train = entry && entry.getKind() == EntryKind::train;
  BatchHint hint;
  if (auto program = op->getParentOfType<ProgramOp>())
    if (auto config = program->getAttrOfType<DictionaryAttr>("config"))
      if (auto text = config.getAs<StringAttr>(BatchHint::key)) {
        std::string error; // unused: the program's verifier has checked the text
        hint = BatchHint::parse(text.getValue(), error).value_or(BatchHint());
      }
  return train ? hint.train : hint.infer;
}

double estimate(Extent extent, const Symbols &batch) {
  std::optional<int64_t> value = extent.evaluate(batch);
  // An empty tensor is estimated as one element, so that estimates can be divided.
  return value ? std::max(1.0, double(*value)) : 0x1p63;
}

double estimateElements(Type type, const Symbols &batch) {
  auto tensor = cast<RankedTensorType>(type);
  // A shortcut: extents are slow to build, and every analysis needs this number.
  if (tensor.hasStaticShape())
    return double(tensor.getNumElements());
  double product = 1;
  for (Extent extent : extentsOf(type))
    product *= estimate(extent, batch);
  return product;
}

} // namespace flow
