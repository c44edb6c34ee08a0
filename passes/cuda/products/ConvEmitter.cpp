// Emits a convolution's group, in each of its three directions, as a product (Product.h) whose operands are read at the
// pixels that belong to a row, a column and a step:
//   direction         rows              columns                 steps
//   forward           output channels   pixels of y             input channels and taps
//   input gradient    input channels    pixels of x             output channels and taps
//   weight gradient   output channels   input channels, taps    pixels of y
// Pixels outside of an image are 0, and so is a tap of the input gradient that lies between two strides.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "passes/cuda/products/Product.h"
#include "passes/kernels/ConvShape.h"
#include "passes/kernels/IndexRange.h"

using namespace mlir;

namespace moe::cuda {
namespace {

enum class Direction { forward, inputGradient, weightGradient };

/// An image tensor in memory: its strides along batch, channels, rows and pixels.
struct Tensor {
  BufferRef ref;
  flow::Extent elements;
  SmallVector<flow::Extent> strides;
  Value pointer = {};
};

struct ConvGroup {
  Direction direction;
  ConvShape shape;
  EpilogueCode epilogue;
  Tensor first, second; ///< the op's operands
};

class ConvProduct : public Product {
public:
  ConvProduct(const ConvGroup &group, const ProductSizes &sizes, KernelBuilder &kernel)
      : Product(kernel, group.epilogue, sizes, /*lanes=*/1), group(group), s(group.shape), first(group.first),
        second(group.second) {}

  void bindOperands() override {
    for (Tensor *tensor : {&first, &second})
      tensor->pointer = k.floats(plan::Access::read, tensor->ref, tensor->elements);
  }

protected:
  // Forward and input gradient: the weights, w[output, input, tap]. Weight gradient: dy.
  Value elementOfA(Ix, Ix row, Ix step) override {
    if (group.direction == Direction::weightGradient) {
      auto [image, y, x] = pixelOf(step, s.outHeight, s.outWidth);
      return read(second, {image, row, y, x});
    }
    auto [channel, tapY, tapX] = pixelOf(step, s.kernelHeight, s.kernelWidth);
    return group.direction == Direction::forward ? read(second, {row, channel, tapY, tapX})
                                                 : read(second, {channel, row, tapY, tapX});
  }
  Value elementOfB(Ix, Ix step, Ix column) override {
    if (group.direction == Direction::inputGradient) {
      auto [channel, tapY, tapX] = pixelOf(step, s.kernelHeight, s.kernelWidth);
      auto [image, y, x] = pixelOf(column, s.height, s.width);
      // y of the result is outY * stride + tap - pad: the pixel of dy exists if the division has no remainder.
      auto along = [&](Ix at, int64_t pad, Ix tap, int64_t stride) -> std::pair<Ix, Value> {
        Ix from = code.sub(code.add(at, pad), tap);
        if (stride == 1)
          return {from, {}};
        Value back = code.less(from, 0);
        Ix whole = code.select(back, 0, from);
        Value exact = code.equal(code.rem(whole, stride), 0);
        return {code.select(back, from, code.div(whole, stride)), exact};
      };
      auto [fromY, exactY] = along(y, s.padTop, tapY, s.strideY);
      auto [fromX, exactX] = along(x, s.padLeft, tapX, s.strideX);
      return readInside(first, image, channel, fromY, fromX, s.outHeight, s.outWidth,
                        code.both(exactY, exactX));
    }
    const bool forward = group.direction == Direction::forward;
    auto [channel, tapY, tapX] = pixelOf(forward ? step : column, s.kernelHeight, s.kernelWidth);
    auto [image, y, x] = pixelOf(forward ? column : step, s.outHeight, s.outWidth);
    Ix fromY = code.sub(code.add(code.mul(y, s.strideY), tapY), s.padTop);
    Ix fromX = code.sub(code.add(code.mul(x, s.strideX), tapX), s.padLeft);
    return readInside(first, image, channel, fromY, fromX, s.height, s.width, {});
  }
  Ix offsetOf(unsigned port, Ix, Ix row, Ix column) override {
    if (group.direction == Direction::weightGradient) {
      auto [channel, tapY, tapX] = pixelOf(column, s.kernelHeight, s.kernelWidth);
      return offset(group.epilogue.strides(port), {row, channel, tapY, tapX});
    }
    const bool forward = group.direction == Direction::forward;
    auto [image, y, x] =
        forward ? pixelOf(column, s.outHeight, s.outWidth) : pixelOf(column, s.height, s.width);
    return offset(group.epilogue.strides(port), {image, row, y, x});
  }

private:
  struct Pixel {
    Ix outer, y, x;
  };
  /// A flat index over images or channels, then rows and pixels.
  Pixel pixelOf(Ix flat, int64_t height, int64_t width) {
    Ix line = code.div(flat, width);
    return {code.div(line, height), code.rem(line, height), code.rem(flat, width)};
  }
  Ix offset(ArrayRef<flow::Extent> strides, ArrayRef<Ix> index) {
    Ix sum = 0;
    for (auto [stride, at] : llvm::zip_equal(strides, index))
      sum = code.add(sum, code.mul(at, code.size(stride)));
    return sum;
  }
  Value read(const Tensor &tensor, ArrayRef<Ix> index) {
    Type f32 = code.b.getF32Type();
    return k.load(f32, tensor.pointer, f32, code.i64(offset(tensor.strides, index)));
  }
  Value readInside(const Tensor &tensor, Ix image, Ix channel, Ix y, Ix x, int64_t height, int64_t width,
                   Value condition) {
    // As unsigned numbers, negative ones are larger than every size.
    auto within = [&](Ix at, int64_t size) -> Value {
      return arith::CmpIOp::create(code.b, k.loc(), arith::CmpIPredicate::ult, code.i64(at), k.i64(size));
    };
    condition = code.both(condition, code.both(within(y, height), within(x, width)));
    return code.choose(
        condition, [&] { return Values{read(tensor, {image, channel, y, x})}; },
        [&]() -> Values {
          return {arith::ConstantOp::create(code.b, k.loc(), code.b.getF32FloatAttr(0))};
        })[0];
  }

  const ConvGroup &group;
  const ConvShape &s;
  Tensor first, second;
};

} // namespace

FailureOr<GroupCode> emitConvGroup(flow::GroupOp group, const GroupLayouts &layouts, KernelModule &module) {
  if (failed(checkConstantSizes(group, kMostElements)))
    return failure();
  Operation *root = group.getRoot();
  FailureOr<Epilogue> epilogue = Epilogue::of(group, root, layouts);
  if (failed(epilogue))
    return failure();
  Tensor operands[2];
  for (unsigned i = 0; i < 2; ++i) {
    auto argument = dyn_cast<BlockArgument>(root->getOperand(i));
    if (!argument)
      return root->emitError("expected the operands of a convolution to be operands of its group");
    const unsigned number = argument.getArgNumber();
    operands[i] = {{BufferRef::operand, number},
                   flow::elementsOf(argument.getType()),
                   physicalStrides(argument.getType(), layouts.operand(number))};
  }
  const Direction direction = isa<flow::ConvOp>(root)            ? Direction::forward
                              : isa<flow::ConvInputGradOp>(root) ? Direction::inputGradient
                                                                 : Direction::weightGradient;
  Value first = root->getOperand(0), second = root->getOperand(1), result = root->getResult(0);
  FailureOr<ConvShape> shape = direction == Direction::forward ? ConvShape::of(root, first, second, result)
                               : direction == Direction::inputGradient
                                   ? ConvShape::of(root, result, second, first)
                                   : ConvShape::of(root, first, result, second);
  if (failed(shape))
    return failure();
  const ConvShape &s = *shape;
  auto constant = [&](int64_t value) { return flow::Extent::constant(group.getContext(), value); };
  const flow::Extent pixels = s.batch * (s.outHeight * s.outWidth);
  ProductSizes sizes;
  sizes.batch = constant(1);
  sizes.plannedBatch = flow::plannedBatch(group);
  sizes.precision = flow::precisionOf(group);
  switch (direction) {
  case Direction::forward:
    sizes.rows = constant(s.outputs);
    sizes.columns = pixels;
    sizes.sums = constant(s.channels * s.taps());
    sizes.alongStepsA = true;
    break;
  case Direction::inputGradient:
    sizes.rows = constant(s.channels);
    sizes.columns = s.batch * (s.height * s.width);
    sizes.sums = constant(s.outputs * s.taps());
    sizes.alongStepsA = true;
    break;
  case Direction::weightGradient:
    sizes.rows = constant(s.outputs);
    sizes.columns = constant(s.channels * s.taps());
    sizes.sums = pixels;
    sizes.alongStepsA = sizes.alongStepsB = true;
    break;
  }
  sizes.cut();
  const ConvGroup conv{direction, s, EpilogueCode(std::move(*epilogue)), operands[0], operands[1]};
  return emitProduct(group, module, "conv", sizes, [&](KernelBuilder &kernel) {
    return std::make_unique<ConvProduct>(conv, sizes, kernel);
  });
}

} // namespace moe::cuda
