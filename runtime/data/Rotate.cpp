// The affine resampling of Pillow (Image.py rotate, Geometry.c bilinear_filter8), in its order of operations:
// double arithmetic, no fused multiply-add, matrix entries rounded to 15 decimals, truncation at the end.
// Another order gives other bytes, and with them other data than DomainBed's.
#include "runtime/data/Rotate.h"
#include <cmath>
#include <cstddef>
#include <cstring>

#pragma STDC FP_CONTRACT OFF

namespace moert {
namespace {

// Python's round(x, 15) for |x| <= 1: the correctly rounded decimal, which is what printing and reading back
// gives.
double roundTo15(double x) {
  long double scaled = std::nearbyintl(static_cast<long double>(x) * 1e15L);
  return static_cast<double>(scaled / 1e15L);
}

int floorToInt(double v) { return v < 0 ? static_cast<int>(std::floor(v)) : static_cast<int>(v); }
int clip(int v, int size) { return v < 0 ? 0 : v < size ? v : size - 1; }

void copyTurned(const uint8_t *source, uint8_t *result, int height, int width, int quarters) {
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      int fromY = quarters == 1 ? x : quarters == 2 ? height - 1 - y : height - 1 - x;
      int fromX = quarters == 1 ? width - 1 - y : quarters == 2 ? width - 1 - x : y;
      result[y * width + x] = source[fromY * width + fromX];
    }
}

} // namespace

void rotateBilinear(const uint8_t *source, uint8_t *result, int height, int width, double degrees) {
  degrees = std::fmod(degrees, 360.0);
  if (degrees < 0)
    degrees += 360.0;
  if (degrees == 0) {
    std::memcpy(result, source, static_cast<size_t>(height) * width);
    return;
  }
  if (degrees == 180 || ((degrees == 90 || degrees == 270) && height == width)) {
    copyTurned(source, result, height, width, static_cast<int>(degrees) / 90);
    return;
  }
  double radians = -(degrees * (3.14159265358979323846 / 180.0));
  double a = roundTo15(std::cos(radians)), b = roundTo15(std::sin(radians));
  double d = roundTo15(-std::sin(radians)), e = a;
  double centreX = width / 2.0, centreY = height / 2.0;
  double c = a * -centreX + b * -centreY + 0.0;
  double f = d * -centreX + e * -centreY + 0.0;
  c += centreX;
  f += centreY;
  for (int outY = 0; outY < height; ++outY)
    for (int outX = 0; outX < width; ++outX) {
      double inX = outX + 0.5, inY = outY + 0.5;
      double x = a * inX + b * inY + c, y = d * inX + e * inY + f;
      uint8_t &out = result[outY * width + outX];
      out = 0;
      if (x < 0 || x >= width || y < 0 || y >= height)
        continue;
      x -= 0.5;
      y -= 0.5;
      int left = floorToInt(x), top = floorToInt(y);
      double dx = x - left, dy = y - top;
      int x0 = clip(left, width), x1 = clip(left + 1, width);
      const uint8_t *row = source + static_cast<std::ptrdiff_t>(clip(top, height)) * width;
      double upper = row[x0] + (row[x1] - row[x0]) * dx, lower = upper;
      if (top + 1 >= 0 && top + 1 < height) {
        row = source + static_cast<std::ptrdiff_t>(top + 1) * width;
        lower = row[x0] + (row[x1] - row[x0]) * dx;
      }
      out = static_cast<uint8_t>(upper + (lower - upper) * dy);
    }
}

} // namespace moert
