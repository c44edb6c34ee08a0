// Tables of position embeddings, and how one is resized to another grid of patches: rows for prefix tokens
// (the class token, registers) keep their values, those of the grid are interpolated as an image. The filter
// is that of torch.nn.functional.interpolate(mode="bicubic", antialias=True), which timm and DINOv2 use:
// Keys's cubic with a = -0.5, stretched by the scale where the grid shrinks, along one axis and then along the
// other (ATen's UpSampleKernel.cpp; Pillow's resampling is the same).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace moert {

struct Grid {
  int64_t rows = 0, columns = 0;
  bool operator==(const Grid &) const = default;
};

/// A table's rows: `prefix` of tokens without a place, and those of a grid, row by row.
struct TableResize {
  int64_t prefix = 0;
  Grid from, to;
};

/// How a table of `from` tokens becomes one of `to` for images of so many pixels. The fewest prefix tokens
/// are taken, at most 8, with which the rest of `from` is a square and the rest of `to` a grid of the image's
/// proportions. None: there is no such number.
std::optional<TableResize> tableResize(int64_t from, int64_t to, int64_t height, int64_t width);

/// `in` and `out` hold all tokens of `features` values each.
void resizeTable(const TableResize &resize, int64_t features, std::span<const float> in,
                 std::span<float> out);

} // namespace moert
