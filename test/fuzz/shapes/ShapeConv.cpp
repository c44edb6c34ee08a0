// Random convolutions in their three directions: kernels, strides and pads of every kind, channels and pixels
// around the tile's sizes, shapes that the minimal filtering algorithms take, NHWC and NCHW operands.
#include "test/fuzz/shapes/ShapeCase.h"
#include <algorithm>

namespace moe::test {

ShapeCase drawConv(uint64_t seed) {
  Draw draw(seed);
  const bool filtered = draw.chance(25); // 3x3 of whole vectors of channels
  int64_t kernel[2], stride[2], pads[4], image[2], result[2];
  kernel[0] = filtered ? 3 : draw.pick<int64_t>({1, 1, 2, 3, 3, 3, 4, 5, 6, 7});
  kernel[1] = filtered || draw.chance(75) ? kernel[0] : draw.number(1, 7);
  stride[0] = draw.pick<int64_t>({1, 1, 1, 2, 2, 3});
  stride[1] = filtered || draw.chance(85) ? stride[0] : draw.number(1, 3);
  const bool even = draw.chance(60), half = draw.chance(70);
  for (int i = 0; i < 4; ++i) {
    int64_t k = kernel[i % 2];
    pads[i] = half ? k / 2 : draw.chance(40) ? 0 : draw.number(0, draw.chance(10) ? 2 * k + 3 : k);
  }
  for (int i = 0; even && i < 4; ++i)
    pads[i] = pads[0];

  // Images small and now and then wide; then batch and channels share what is left of the products.
  const int64_t products = draw.chance(15) ? draw.power(20, 23) : draw.power(10, 21.5);
  int64_t budget = products / (kernel[0] * kernel[1]) + 1;
  const int64_t square = draw.extent(draw.chance(85) ? 17 : 70);
  for (int i = 0; i < 2; ++i) {
    image[i] = draw.chance(60) ? square : draw.extent(draw.chance(90) ? 20 : 400);
    int64_t least = std::max<int64_t>(1, kernel[i] - pads[i] - pads[i + 2]);
    image[i] = std::max(image[i], least);
    result[i] = (image[i] + pads[i] + pads[i + 2] - kernel[i]) / stride[i] + 1;
  }
  budget = std::max<int64_t>(1, budget / (result[0] * result[1]));
  Size batch = 1;
  int64_t channels[2] = {1, 1};
  const bool dynamic = draw.chance(80);
  std::vector<int> order{0, 1, 2};
  draw.shuffle(order);
  // The images of a case fit 16 MiB and take no more pixels than products.
  const int64_t most = (int64_t(1) << 21) / (image[0] * image[1]) + 1;
  for (int which : order) {
    int64_t share = std::min(budget, most);
    if (which == 2) {
      share = std::min<int64_t>(share, 100);
      batch = dynamic ? draw.batchExtent(share) : Size(draw.extent(share));
      budget /= batch.value;
    } else {
      share = std::clamp<int64_t>(share, 1, 600);
      channels[which] =
          filtered ? 8 * draw.number(4, std::clamp<int64_t>(share / 8, 4, 20)) : draw.extent(share);
      budget /= channels[which];
    }
    budget = std::max<int64_t>(1, budget);
  }

  Sizes x{batch, channels[0], image[0], image[1]}, w{channels[1], channels[0], kernel[0], kernel[1]},
      y{batch, channels[1], result[0], result[1]};
  const bool last = filtered || draw.chance(70), otherLast = draw.chance(90) ? last : !last;
  std::string places = " by [" + std::to_string(stride[0]) + ", " + std::to_string(stride[1]) + "] pads [";
  for (int i = 0; i < 4; ++i)
    places += (i ? ", " : "") + std::to_string(pads[i]);
  places += "]";
  auto convolution = [&](const std::string &name, const std::string &a, const std::string &b,
                         const Sizes &first, const Sizes &second, const Sizes &to) {
    return draw.op(name + " " + a + ", " + b + places + " : " + typeOf(first) + ", " + typeOf(second) +
                   " -> " + typeOf(to));
  };
  const int64_t direction = draw.number(0, 2);
  if (direction == 0) {
    std::string a = draw.image(x, last), b = draw.input(w, "f32", draw.chance(50));
    drawEpilogue(draw, convolution("conv", a, b, x, w, y), y, otherLast);
  } else if (direction == 1) {
    std::string a = draw.image(y, last), b = draw.input(w, "f32", draw.chance(50));
    drawEpilogue(draw, convolution("conv_input_grad", a, b, y, w, x), x, otherLast);
  } else {
    std::string a = draw.image(x, last), b = draw.image(y, otherLast);
    drawEpilogue(draw, convolution("conv_weight_grad", a, b, x, y, w), w, false);
  }
  draw.made.kind = "conv";
  const char *names[] = {"forward", "input gradient", "weight gradient"};
  draw.made.about = std::string(names[direction]) + " B=" + batch.text + " C=" + std::to_string(channels[0]) +
                    " " + std::to_string(image[0]) + "x" + std::to_string(image[1]) +
                    " O=" + std::to_string(channels[1]) + " k=" + std::to_string(kernel[0]) + "x" +
                    std::to_string(kernel[1]) + places + (last ? " nhwc" : " nchw");
  return std::move(draw.made);
}

} // namespace moe::test
