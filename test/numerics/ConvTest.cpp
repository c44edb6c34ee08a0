// Convolutions in their three directions, compiled and run, against sums in double: kernels, strides and pads
// of every kind, few and many channels, odd sizes, NHWC and NCHW operands, images too large for one band, at
// the host's level and the one below. Outputs, temporaries and scratch hold NaNs before, and any cut of the
// units gives the same bytes.
#include "test/numerics/GroupRunner.h"
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <random>

using namespace moe;
using namespace moe::test;

namespace {
struct Conv {
  int64_t batch, channels, height, width, outputs, kernelHeight, kernelWidth, stride, pad;
  bool channelsLast = true;
  int64_t padAfter = -1; // bottom and right; -1: as before
  int64_t after() const { return padAfter < 0 ? pad : padAfter; }
  int64_t outHeight() const { return (height + pad + after() - kernelHeight) / stride + 1; }
  int64_t outWidth() const { return (width + pad + after() - kernelWidth) / stride + 1; }
};

std::string type(std::vector<int64_t> shape, bool batch) {
  std::string text = "tensor<", dims = "#flow.dims<[N";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += i == 0 && batch ? "?x" : std::to_string(shape[i]) + "x";
    if (i)
      dims += ", " + std::to_string(shape[i]);
  }
  return text + "f32" + (batch ? ", " + dims + "]>" : "") + ">";
}

/// An array with logical indices and a physical order.
struct Tensor {
  float *data;
  int64_t n[4];
  bool channelsLast;
  float &at(int64_t a, int64_t b, int64_t c, int64_t d) const {
    return channelsLast ? data[((a * n[2] + c) * n[3] + d) * n[1] + b]
                        : data[((a * n[1] + b) * n[2] + c) * n[3] + d];
  }
  int64_t size() const { return n[0] * n[1] * n[2] * n[3]; }
};

enum Direction { forward, inputGradient, weightGradient };

void check(const Conv &c, Direction direction, bool epilogue, bool winograd, const Machine &target) {
  SCOPED_TRACE(::testing::Message() << "direction " << direction << " C" << c.channels << " " << c.height
                                    << "x" << c.width << " O" << c.outputs << " k" << c.kernelHeight << "x"
                                    << c.kernelWidth << " s" << c.stride << " p" << c.pad
                                    << (c.channelsLast ? " nhwc " : " nchw ") << levelOf(target));
  std::string x = type({c.batch, c.channels, c.height, c.width}, true);
  std::string w = type({c.outputs, c.channels, c.kernelHeight, c.kernelWidth}, false);
  std::string y = type({c.batch, c.outputs, c.outHeight(), c.outWidth()}, true);
  const std::string &first = direction == inputGradient ? y : x,
                    &second = direction == weightGradient ? y : w;
  const std::string &result = direction == forward ? y : direction == inputGradient ? x : w;
  const char *names[] = {"conv", "conv_input_grad", "conv_weight_grad"};
  std::string bias = "tensor<" + std::to_string(c.outputs) + "xf32>";
  std::string s = std::to_string(c.stride), p = std::to_string(c.pad), q = std::to_string(c.after());
  std::vector<std::string> types{first, second};
  std::string body = "      %r = flow." + std::string(names[direction]) + " %p0, %p1 by [" + s + ", " + s +
                     "] pads [" + p + ", " + p + ", " + q + ", " + q + "] : " + first + ", " + second +
                     " -> " + result + "\n";
  std::string last = "%r";
  if (epilogue && direction == forward) {
    types.push_back(bias);
    body += "      %b = flow.broadcast %p2 to [1] : " + bias + " -> " + result +
            "\n      %a = flow.add %r, %b : " + result + "\n      %t = flow.relu %a : " + result + "\n";
    last = "%t";
  } else if (epilogue) {
    types.push_back(result);
    body += "      %t = flow.add %r, %p2 : " + result + "\n";
    last = "%t";
  }
  std::string inputs, values, args, all;
  for (size_t i = 0; i < types.size(); ++i) {
    std::string n = std::to_string(i), comma = i ? ", " : "";
    inputs += "    %x" + n + " = flow.input \"x" + n + "\" : " + types[i] + "\n";
    values += comma + "%x" + n;
    args += comma + "%p" + n + ": " + types[i];
    all += comma + types[i];
  }
  std::string text = "flow.program @t {\n  flow.entry @e infer {\n" + inputs + "    %g = flow.group(" +
                     values + ") : (" + all + ") -> " + result + " {\n    ^bb0(" + args + "):\n" + body +
                     "      flow.yield " + last + " : " + result +
                     "\n    }\n    flow.output \"y\" %g : " + result + "\n  }\n}\n";
  cpu::Layout nhwc{0, 2, 3, 1}, none;
  cpu::GroupLayouts layouts;
  cpu::Layout image = c.channelsLast ? nhwc : none;
  layouts.operands = {image, direction == weightGradient ? image : none};
  if (epilogue)
    layouts.operands.push_back(direction == inputGradient ? image : none);
  layouts.results = {direction == weightGradient ? none : image};
  GroupRunner runner(text, target, 1, c.batch, layouts);
  ASSERT_TRUE(runner.ok()) << text;
  if (std::holds_alternative<host::CpuTarget>(target))
    ASSERT_EQ(runner.temporaryName(0).contains("transformed"), winograd)
        << "not the emitter that is to be tested";

  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(-1, 1);
  auto fill = [&](unsigned i, int64_t count) {
    for (int64_t k = 0; k < count; ++k)
      runner.operand(i).floats()[k] = uniform(random);
  };
  Tensor tx{nullptr, {c.batch, c.channels, c.height, c.width}, c.channelsLast};
  Tensor tw{nullptr, {c.outputs, c.channels, c.kernelHeight, c.kernelWidth}, false};
  Tensor ty{nullptr, {c.batch, c.outputs, c.outHeight(), c.outWidth()}, c.channelsLast};
  Tensor *slots[3] = {direction == inputGradient ? &ty : &tx, direction == weightGradient ? &ty : &tw,
                      direction == forward         ? &ty
                      : direction == inputGradient ? &tx
                                                   : &tw};
  slots[0]->data = runner.operand(0).floats();
  slots[1]->data = runner.operand(1).floats();
  slots[2]->data = runner.result(0).floats();
  fill(0, slots[0]->size());
  fill(1, slots[1]->size());
  if (epilogue)
    fill(2, direction == forward ? c.outputs : slots[2]->size());
  runner.run();
  ASSERT_EQ("", runner.finding());

  // Every term of every result, in double.
  std::vector<double> sum(slots[2]->size()), magnitude(slots[2]->size());
  auto add = [&](const Tensor &into, const float &element, double term) {
    sum[&element - into.data] += term;
    magnitude[&element - into.data] += std::fabs(term);
  };
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t o = 0; o < c.outputs; ++o)
      for (int64_t oy = 0; oy < c.outHeight(); ++oy)
        for (int64_t ox = 0; ox < c.outWidth(); ++ox)
          for (int64_t ky = 0; ky < c.kernelHeight; ++ky)
            for (int64_t kx = 0; kx < c.kernelWidth; ++kx) {
              int64_t iy = oy * c.stride + ky - c.pad, ix = ox * c.stride + kx - c.pad;
              if (iy < 0 || ix < 0 || iy >= c.height || ix >= c.width)
                continue;
              for (int64_t k = 0; k < c.channels; ++k) {
                float &ex = tx.at(b, k, iy, ix), &ew = tw.at(o, k, ky, kx), &ey = ty.at(b, o, oy, ox);
                if (direction == forward)
                  add(ty, ey, double(ex) * ew);
                else if (direction == inputGradient)
                  add(tx, ex, double(ey) * ew);
                else
                  add(tw, ew, double(ex) * ey);
              }
            }
  const Tensor &out = *slots[2];
  double terms = direction == forward         ? c.channels * c.kernelHeight * c.kernelWidth
                 : direction == inputGradient ? c.outputs * c.kernelHeight * c.kernelWidth
                                              : c.batch * c.outHeight() * c.outWidth();
  for (int64_t i = 0; i < out.size(); ++i) {
    double want = sum[i], scale = magnitude[i];
    if (epilogue) {
      int64_t channel = c.channelsLast ? i % c.outputs : i / (c.outHeight() * c.outWidth()) % c.outputs;
      double extra = runner.operand(2).floats()[direction == forward ? channel : i];
      want += extra;
      scale += std::fabs(extra);
      if (direction == forward)
        want = std::max(want, 0.0);
    }
    ASSERT_LE(std::fabs(out.data[i] - want), 0x1p-23 * (2 + std::sqrt(terms)) * scale + 1e-30)
        << "element " << i;
  }
  std::vector<char> once(runner.result(0).bytes);
  std::memcpy(once.data(), out.data, once.size());
  std::memset(runner.result(0).data, 0xff, once.size());
  for (size_t i = 0; i < runner.temporaryCount(); ++i)
    std::memset(runner.temporary(i).data, 0xff, runner.temporary(i).bytes);
  runner.run(1);
  ASSERT_EQ("", runner.finding());
  ASSERT_EQ(0, std::memcmp(once.data(), out.data, once.size()))
      << "another cut of the units gave other bytes";
  ASSERT_TRUE(runner.intact()) << "something beside the buffers was written";
}

void checkAll(const Conv &c, bool epilogue = false, bool winograd = false) {
  for (const Machine &target : machines()) {
    if (winograd && std::holds_alternative<cuda::CudaTarget>(target))
      continue; // the CPU's alone
    for (Direction direction : {forward, inputGradient, weightGradient})
      check(c, direction, epilogue, winograd, target);
  }
}
void checkWinograd(const Conv &c, bool epilogue = false) { checkAll(c, epilogue, true); }
} // namespace

// batch, channels, height, width, outputs, kernel, kernel, stride, pad
TEST(Conv, ThreeByThree) { checkAll({3, 36, 14, 14, 40, 3, 3, 1, 1}, true); }
TEST(Conv, ThreeByThreeStride2) { checkAll({5, 20, 28, 28, 64, 3, 3, 2, 1}); }
TEST(Conv, FourByFourStride2) { checkAll({2, 9, 28, 28, 24, 4, 4, 2, 1}); }
TEST(Conv, OneByOne) { checkAll({3, 33, 7, 7, 17, 1, 1, 1, 0}, true); }
TEST(Conv, OneByOneStride2LeavesPhasesWithoutTaps) { checkAll({2, 16, 9, 9, 16, 1, 1, 2, 0}, true); }
TEST(Conv, SevenBySevenStride2OfColour) { checkAll({2, 3, 33, 35, 16, 7, 7, 2, 3, false}); }
TEST(Conv, FirstLayerOfGrey) { checkAll({4, 1, 28, 28, 64, 3, 3, 1, 1, false}, true); }
TEST(Conv, UnevenPads) { checkAll({1, 8, 10, 11, 8, 3, 2, 2, 0, true, 1}); }
TEST(Conv, StrideAboveTheKernel) { checkAll({1, 5, 13, 11, 7, 2, 2, 3, 0}); }
TEST(Conv, NoPixelsButOne) { checkAll({1, 6, 3, 3, 5, 3, 3, 1, 0}); }
TEST(Conv, KernelWiderThanTheImage) { checkAll({2, 4, 3, 3, 4, 5, 5, 1, 2}); }
TEST(Conv, MorePaddingThanTheStrideReaches) { checkAll({2, 1, 3, 3, 8, 1, 1, 128, 40}); }
TEST(Conv, PaddingOfTheKernelAndMore) {
  checkAll({2, 5, 6, 7, 9, 3, 3, 1, 3}, true);
  checkAll({2, 36, 6, 5, 20, 3, 3, 1, 5});
  checkAll({3, 4, 5, 6, 8, 2, 3, 2, 4}, true);
  checkAll({2, 3, 9, 8, 8, 7, 7, 2, 9, false});
  checkAll({2, 6, 1, 1, 5, 1, 1, 1, 2});
  checkAll({1, 7, 4, 4, 6, 4, 4, 3, 0, true, 11});
}
TEST(Conv, WeightGradientOfSeveralImagesAPart) { checkAll({40, 8, 6, 5, 8, 3, 3, 1, 1}); }
// Sums that are cut into chains whose last one is no multiple of the unrolled steps: over channels, over
// outputs and over an image's width.
TEST(Conv, ChainsOfAnyLength) {
  for (int64_t length : {289, 290, 293, 298, 311, 363, 431, 590}) {
    checkAll({1, length, 2, 3, 8, 1, 1, 1, 0});
    checkAll({1, 8, 2, 3, length, 1, 1, 1, 0});
    checkAll({1, 4, 1, length, 8, 1, 1, 1, 0});
  }
  checkAll({2, 98, 5, 5, 97, 3, 3, 1, 1});
  checkAll({1, 58, 6, 5, 61, 5, 5, 1, 2});
}
TEST(Conv, SeveralBands) { checkAll({1, 64, 60, 60, 8, 3, 3, 1, 1}); }
TEST(Conv, SeveralBandsOfPhases) { checkAll({1, 8, 75, 75, 64, 3, 3, 2, 1}); }
TEST(Conv, Winograd) { checkWinograd({5, 64, 14, 14, 128, 3, 3, 1, 1}, true); }
TEST(Conv, WinogradOddSizes) { checkWinograd({3, 32, 13, 7, 96, 3, 3, 1, 1}); }
TEST(Conv, WinogradWithoutPadding) { checkWinograd({2, 48, 12, 10, 80, 3, 3, 1, 0}, true); }
TEST(Conv, WinogradUnevenPads) { checkWinograd({1, 144, 9, 15, 32, 3, 3, 1, 0, true, 2}); }
TEST(Conv, WinogradWidePads) { checkWinograd({1, 208, 8, 8, 48, 3, 3, 1, 3}, true); }
TEST(Conv, WinogradOfSeveralBlocksAPart) { checkWinograd({40, 32, 15, 17, 32, 3, 3, 1, 1}); }
TEST(Conv, WinogradStride2) { checkWinograd({5, 64, 28, 28, 128, 3, 3, 2, 1}, true); }
TEST(Conv, WinogradStride2OddSizes) { checkWinograd({3, 32, 31, 27, 96, 3, 3, 2, 1}); }
TEST(Conv, WinogradStride2WithoutPadding) { checkWinograd({2, 48, 24, 25, 80, 3, 3, 2, 0}, true); }
TEST(Conv, WinogradStride2UnevenPads) { checkWinograd({1, 144, 28, 24, 32, 3, 3, 2, 0, true, 1}); }
TEST(Conv, WinogradStride2WidePads) { checkWinograd({1, 32, 20, 23, 48, 3, 3, 2, 2}, true); }
TEST(Conv, WinogradPaddingOfTheKernelAndMore) {
  checkWinograd({2, 64, 8, 8, 96, 3, 3, 1, 4}, true);
  checkWinograd({2, 64, 8, 7, 64, 3, 3, 1, 7});
  checkWinograd({2, 32, 24, 23, 48, 3, 3, 2, 3}, true);
  checkWinograd({2, 48, 21, 24, 64, 3, 3, 2, 6});
  checkWinograd({1, 64, 20, 20, 48, 3, 3, 2, 0, true, 5});
}
