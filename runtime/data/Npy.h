// numpy's .npy files (format 1.0 to 3.0), little-endian, C order: how tensors enter and leave `moert infer`.
#pragma once

#include "runtime/base/Result.h"
#include "runtime/program/Program.h"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace moert {

struct NpyArray {
  fb::ElementType type; // f32, f64, i32, i64 or u8
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

/// invalid_input: missing, another format, a type or order that is not read, data that does not fit the
/// shape. A type that is not read is told the one that is wanted, where there is one. `check` sees type and
/// shape, and may add axes of 1, before memory is taken for the data.
Result<NpyArray> readNpy(const std::string &path, std::optional<fb::ElementType> wanted = std::nullopt,
                         const std::function<Status(NpyArray &)> &check = {});
/// "; save it with .astype(np.float32)", where numpy has the type that is wanted.
std::string asWanted(fb::ElementType wanted);
/// FOLDER/NAME.npy. usage_error: the name has a '/', which would lead to another folder.
Result<std::string> npyFileIn(const std::string &folder, std::string_view name);
Status writeNpy(const std::string &path, fb::ElementType type, std::span<const int64_t> shape,
                std::span<const std::byte> bytes);

} // namespace moert
