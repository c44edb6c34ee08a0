// Rotation of 8-bit images, byte for byte what Pillow's Image.rotate(angle, BILINEAR, fillcolor=0) gives.
#pragma once
#include <cstdint>

namespace moert {

// Rotates a height x width image counter-clockwise by `degrees` about its centre, without enlarging it; what
// comes from outside is 0. `source` and `result` must not overlap.
void rotateBilinear(const uint8_t *source, uint8_t *result, int height, int width, double degrees);

} // namespace moert
