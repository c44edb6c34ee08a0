// What `moert train --init FILE` takes each parameter of a program from: a tensor of a safetensors file that
// has its name or one that the recipe's [init.map] gives, the same for every expert where the experts come
// from a dense layer, a position table of another size, or nothing, and then the parameter keeps its initial
// value. All of it is decided by the file's table alone, before any value is read: a file of another model is
// refused with what does not fit and the nearest names.
#pragma once

#include "runtime/program/Program.h"
#include "runtime/train/PositionTable.h"
#include "runtime/train/Recipe.h"
#include "runtime/train/Safetensors.h"

#include <string>
#include <vector>

namespace moert {

enum class Fill { loaded, copied, resized, fresh };

struct Filling {
  size_t state; // its number in the program
  Fill how;
  size_t source;    // of Safetensors::stored; for `fresh` the one that was dropped, or kNoSource
  int64_t copies;   // `copied`: so many experts
  TableResize size; // `resized`
};
inline constexpr size_t kNoSource = SIZE_MAX;

struct InitPlan {
  std::vector<Filling> fillings; // of parameters and buffers, in the program's order
  std::vector<size_t> skipped;   // of Safetensors::stored, in its order: what no parameter takes
};

/// invalid_input: a parameter that has no tensor and must not keep its initial value, tensors of other shapes
/// or types, a table that cannot be resized, and lines of [init.map] that match nothing. `path` is the file's.
Result<InitPlan> planInit(const Program &program, const Recipe &recipe, const Safetensors &file,
                          const std::string &path);

/// Whether its values can be converted to f32.
bool isFloatType(std::string_view type);

/// The plan for people, a line for all parameters that differ in one number of their paths alone.
std::string describe(const InitPlan &plan, const Program &program, const Safetensors &file);

} // namespace moert
