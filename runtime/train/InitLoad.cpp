#include "runtime/train/InitLoad.h"

#include "runtime/train/Checkpoint.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <new>
#include <sha2.h>
#include <zlib.h>

namespace moert {
namespace {

template <typename Stored> Stored stored(const std::byte *at) {
  Stored value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// IEEE 754 binary16: every value is one of f32, NaN and infinities among them.
float fromHalf(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000) << 16, exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
  if (exponent == 0) { // zero and subnormals, which are multiples of 2^-24
    const float value = float(fraction) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
  }
  const uint32_t wide = exponent == 0x1f ? 0xff : exponent + (127 - 15);
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

Result<std::string> digestOf(const MappedFile &map) {
  SHA2_CTX context;
  SHA256Init(&context);
  MOERT_TRY(map.pieces(0, map.size(), [&](std::span<const std::byte> bytes) {
    SHA256Update(&context, reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size());
  }));
  char digest[SHA256_DIGEST_STRING_LENGTH];
  SHA256End(&context, digest);
  return std::string(digest);
}

// As a checkpoint's state.json has it: of the bytes of all tensors, in the order of the file.
Result<uint64_t> checksumOf(const MappedFile &map, const Safetensors &table) {
  uLong sum = crc32(0, nullptr, 0);
  for (const StoredTensor &row : table.stored())
    MOERT_TRY(map.pieces(row.begin, row.bytes, [&](std::span<const std::byte> bytes) {
      sum = crc32_z(sum, reinterpret_cast<const Bytef *>(bytes.data()), bytes.size());
    }));
  return uint64_t(sum);
}

} // namespace

void toFloats(std::string_view type, std::span<const std::byte> bytes, float *out) {
  const std::byte *at = bytes.data(), *end = at + bytes.size();
  if (type == "F32")
    std::memcpy(out, at, bytes.size());
  else if (type == "F16")
    for (; at < end; at += 2)
      *out++ = fromHalf(stored<uint16_t>(at));
  else if (type == "BF16")
    for (; at < end; at += 2)
      *out++ = std::bit_cast<float>(uint32_t(stored<uint16_t>(at)) << 16);
  else
    for (; at < end; at += 8)
      *out++ = float(stored<double>(at));
}

Result<InitFile> InitFile::open(const std::string &path, const Program &program, const Recipe &recipe) {
  MOERT_ASSIGN(CheckpointFiles files, CheckpointFiles::open(path));
  MOERT_ASSIGN(std::optional<uint64_t> checksum, files.modelChecksum());
  MOERT_ASSIGN(OpenFile file, std::move(files).takeModel());
  MOERT_ASSIGN(Safetensors table, Safetensors::open(file));
  MOERT_ASSIGN(InitPlan plan, planInit(program, recipe, table, file.path()));
  return InitFile(path, std::move(file), std::move(table), std::move(plan), checksum);
}

Result<InitFile::Loaded> InitFile::load(States &states) const {
  MOERT_ASSIGN(MappedFile map, MappedFile::map(file_));
  for (const StoredTensor &row : table_.stored())
    if (row.begin + row.bytes > map.size())
      return invalidInput(file_.path(), ": expected ", row.begin + row.bytes, " bytes by its table, found ",
                          map.size(), " by now");
  MOERT_ASSIGN(std::string digest, digestOf(map));
  if (checksum_) {
    MOERT_ASSIGN(uint64_t found, checksumOf(map, table_));
    if (found != *checksum_)
      return invalidInput(file_.path(), ": expected the values that the checkpoint's state.json has the "
                                        "checksum of, found others: the checkpoint is damaged");
  }
  MOERT_ASSIGN(HostStates host, states.host());
  size_t wrong = 0, all = 0;
  std::string first;
  for (const Filling &filling : plan_.fillings) {
    if (filling.how == Fill::fresh)
      continue;
    Tensor tensor = host.tensor(filling.state);
    MOERT_TRY(fill(map, filling, tensor));
    if (tensor.type != fb::ElementType::f32)
      continue;
    size_t here = 0;
    for (float value : tensor.as<float>())
      here += !std::isfinite(value);
    if (here && !wrong)
      first = states.path(filling.state);
    wrong += here;
    all += size_t(tensor.elements());
  }
  MOERT_TRY(host.commit());
  return Loaded{
      {name_, std::move(digest)},
      wrong ? concat(wrong, " of ", all, " values are NaN or infinite, the first of them in ", first) : ""};
}

Status InitFile::fill(const MappedFile &map, const Filling &filling, Tensor tensor) const {
  const StoredTensor &source = table_.stored()[filling.source];
  if (tensor.type != fb::ElementType::f32) {
    std::byte *out = tensor.bytes.data();
    return map.pieces(source.begin, source.bytes, [&](std::span<const std::byte> bytes) {
      std::memcpy(out, bytes.data(), bytes.size());
      out += bytes.size();
    });
  }
  size_t elements = 1;
  for (int64_t size : source.shape)
    elements *= size_t(size);
  auto floats = [&](float *out) {
    const size_t size = elements ? size_t(source.bytes) / elements : 1;
    return map.pieces(source.begin, source.bytes, [&](std::span<const std::byte> bytes) {
      toFloats(source.type, bytes, out);
      out += bytes.size() / size;
    });
  };
  float *values = tensor.as<float>().data();
  if (filling.how == Fill::resized) {
    MOERT_TRY(fitsMemory(file_.path(), elements * sizeof(float)));
    try {
      std::vector<float> whole(elements);
      MOERT_TRY(floats(whole.data()));
      resizeTable(filling.size, source.shape.back(), whole, tensor.as<float>());
    } catch (const std::bad_alloc &) {
      return noMemoryFor(file_.path(), elements * sizeof(float));
    }
    return okStatus();
  }
  MOERT_TRY(floats(values));
  for (int64_t copy = 1; copy < filling.copies; ++copy)
    std::memcpy(values + size_t(copy) * elements, values, elements * sizeof(float));
  return okStatus();
}

std::string InitFile::describe(const Program &program) const {
  return moert::describe(plan_, program, table_);
}

} // namespace moert
