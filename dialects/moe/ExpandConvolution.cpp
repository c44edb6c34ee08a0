// Convolutions, and the embedding of patches. Where a body's weights have a leading expert axis (mode `every`), one
// convolution computes the maps of all experts.
#include "dialects/flow/Build.h"
#include "dialects/moe/Expander.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace moe;

FailureOr<WindowShape> moe::windowShape(Expander &in, Operation *op, Value source, const Tensor &x,
                                        ExprAttr kernel, ExprAttr stride, ExprAttr pad, int64_t strideOr,
                                        int64_t padOr) {
  auto image = [&](const Twine &expected) -> InFlightDiagnostic {
    InFlightDiagnostic diag = op->emitError() << "expected " << expected.str() << ", found " << shapeText(x);
    in.noteMade(diag, source);
    return diag;
  };
  if (x.rank() != 3)
    return image("an image [channels, height, width]");
  if (!x.batch)
    return image("an image of each sample") << ", which is the same for all samples";
  WindowShape shape;
  const bool patches = isa<PatchesOp>(op);
  if (kernel) {
    FailureOr<int64_t> value = in.env().positive(op, kernel, patches ? "'size'" : "'kernel'");
    if (failed(value))
      return failure();
    shape.kernel = *value;
  }
  shape.stride = strideOr ? strideOr : shape.kernel;
  if (stride) {
    FailureOr<int64_t> value = in.env().positive(op, stride, "'stride'");
    if (failed(value))
      return failure();
    shape.stride = *value;
  }
  shape.pad = padOr >= 0 ? padOr : (shape.kernel - 1) / 2;
  if (pad) {
    FailureOr<int64_t> value = in.env().size(op, pad);
    if (failed(value))
      return failure();
    shape.pad = *value;
  }
  // A pool's window over padding alone would have no largest element, and its mean no pixel.
  bool pool = isa<MaxPoolOp, MeanPoolOp>(op);
  if (shape.pad < 0 || (pool && shape.pad >= shape.kernel)) {
    InFlightDiagnostic diag = op->emitError() << "expected 'pad' ";
    if (pool)
      return diag << "from 0 to less than the kernel (" << shape.kernel << "), found " << shape.pad;
    return diag << "of 0 or more, found " << shape.pad;
  }
  int64_t height = x.sample()[1], width = x.sample()[2];
  int64_t rows = 0, columns = 0, padded = 0;
  if (shape.pad > INT32_MAX || llvm::AddOverflow(height, 2 * shape.pad, rows) ||
      llvm::AddOverflow(width, 2 * shape.pad, columns) || llvm::MulOverflow(rows, columns, padded) ||
      llvm::MulOverflow(padded, x.sample()[0], padded) || padded > INT32_MAX)
    return image("an image of at most " + Twine(INT32_MAX) + " elements with 'pad' " + Twine(shape.pad));
  if (height + 2 * shape.pad < shape.kernel || width + 2 * shape.pad < shape.kernel) {
    const std::string least = std::to_string(shape.kernel - 2 * shape.pad);
    return image(
        "an image of at least " + Twine(least) + "x" + least +
        (patches ? ", the size of a patch"
                 : " for kernel " + std::to_string(shape.kernel) + " and pad " + std::to_string(shape.pad)));
  }
  return shape;
}

/// y [.., channels, height, width] + bias [channels], which may have an expert axis.
static FailureOr<Tensor> addPerChannel(Expander &in, Operation *op, Tensor y, Tensor bias) {
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  if (!y.experts && !bias.experts)
    return Tensor{
        flow::add(b, loc, y.value, flow::broadcast(b, loc, bias.value, flow::extentsOf(y.value), {1})), false,
        true};
  int64_t rank = flow::rankOf(bias.value);
  bias.value = flow::expandAxes(b, loc, bias.value, {rank, rank + 1});
  Tensor both[] = {y, bias};
  if (failed(align(in, op, both, {})))
    return failure();
  return joined(in, flow::add(b, loc, both[0].value, both[1].value), y, bias);
}

/// One convolution with square kernel; weights with an expert axis convolve to experts * channels at once.
static FailureOr<Tensor> convolve(Expander &in, Operation *op, const Tensor &x, const Tensor &w,
                                  const WindowShape &shape) {
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  if (x.experts)
    return refuseExperts(in, op);
  SmallVector<int64_t> strides{shape.stride, shape.stride}, pads(4, shape.pad);
  if (!w.experts)
    return Tensor{flow::conv(b, loc, x.value, w.value, strides, pads), false, true};
  if (in.weights.rows)
    return refuseExperts(in, op, "before 'dispatch'");
  auto extents = flow::extentsOf(w.value);
  flow::Extent experts = extents[0], channels = extents[1];
  SmallVector<flow::Extent> flat{experts * channels, extents[2], extents[3], extents[4]};
  Value y = flow::conv(b, loc, x.value, flow::reshape(b, loc, w.value, flat), strides, pads);
  auto out = flow::extentsOf(y);
  y = flow::reshape(b, loc, y, SmallVector<flow::Extent>{out[0], experts, channels, out[2], out[3]});
  return Tensor{flow::transpose(b, loc, y, {1, 0, 2, 3, 4}), true, true};
}

/// A convolution with its weight [to, channels / groups, kernel, kernel], which may have an expert axis. What belongs to groups of
/// few channels, depthwise convolutions above all, is a contraction with windows, which becomes one loop: passes/training/
/// SimplifyWindows.cpp. Few groups of many channels are a convolution each, on a part of the channels.
static FailureOr<Tensor> convolveGroups(Expander &in, Operation *op, const Tensor &x, const Tensor &w,
                                        const WindowShape &shape, int64_t groups) {
  constexpr int64_t fewGroups = 8, fewChannels = 16;
  if (groups == 1)
    return convolve(in, op, x, w, shape);
  if (x.experts || (w.experts && in.weights.rows))
    return refuseExperts(
        in, op, in.weights.rows ? "before 'dispatch'" : "before 'experts', or first in the expert's layer");
  OpBuilder &b = in.builder;
  Location loc = in.loc(op);
  auto fixed = [&](int64_t n) { return flow::Extent::constant(op->getContext(), n); };
  auto image = flow::extentsOf(x.value), weight = flow::extentsOf(w.value);
  int64_t channels = x.sample()[0] / groups, outputs = w.sample()[0] / groups;
  flow::Extent kernel = fixed(shape.kernel);
  if (groups <= fewGroups && channels > fewChannels && outputs > fewChannels) {
    SmallVector<Value> parts;
    for (int64_t i = 0; i < groups; ++i) {
      Tensor part{flow::slice(b, loc, x.value, 1, i * channels, fixed(channels)), false, true};
      Tensor own{flow::slice(b, loc, w.value, w.lead(), i * outputs, fixed(outputs)), w.experts, w.batch};
      FailureOr<Tensor> y = convolve(in, op, part, own, shape);
      if (failed(y))
        return failure();
      parts.push_back(y->value);
    }
    return Tensor{flow::concat(b, loc, parts, w.experts ? 2 : 1), w.experts, true};
  }
  // The results of all experts are results of a group.
  Value filter = w.value;
  flow::Extent experts = w.experts ? weight[0] : fixed(1);
  filter = flow::reshape(b, loc, filter,
                         {experts, fixed(groups), fixed(outputs), fixed(channels), kernel, kernel});
  filter = flow::reshape(b, loc, flow::transpose(b, loc, filter, {1, 0, 2, 3, 4, 5}),
                         {fixed(groups), experts * outputs, fixed(channels), kernel, kernel});
  if (shape.kernel == 1 && shape.stride == 1 && !shape.pad && !w.experts) { // products of matrices
    Value pixels =
        flow::reshape(b, loc, x.value, {image[0], fixed(groups), fixed(channels), image[2], image[3]});
    Value each = flow::reshape(b, loc, filter, {fixed(groups), fixed(outputs), fixed(channels)});
    Value y = flow::contract(b, loc, pixels, {0, 1, 2, 3, 4}, each, {1, 5, 2}, {0, 1, 5, 3, 4});
    return Tensor{flow::reshape(b, loc, y, {image[0], fixed(groups * outputs), image[2], image[3]}), false,
                  true};
  }
  Value windows = flow::window(b, loc, x.value, {shape.kernel, shape.kernel}, {shape.stride, shape.stride},
                               SmallVector<int64_t>(4, shape.pad));
  auto seen = flow::extentsOf(windows);
  windows = flow::reshape(b, loc, windows,
                          {image[0], fixed(groups), fixed(channels), seen[2], seen[3], kernel, kernel});
  // Labels: batch 0, group 1, channels 2, rows 3, columns 4, those within a window 5 and 6, results 7.
  Value y = flow::contract(b, loc, windows, {0, 1, 2, 3, 4, 5, 6}, filter, {1, 7, 2, 5, 6}, {0, 1, 7, 3, 4});
  if (!w.experts)
    return Tensor{flow::reshape(b, loc, y, {image[0], fixed(groups * outputs), seen[2], seen[3]}), false,
                  true};
  y = flow::reshape(b, loc, y, {image[0], fixed(groups), experts, fixed(outputs), seen[2], seen[3]});
  y = flow::transpose(b, loc, y, {2, 0, 1, 3, 4, 5});
  return Tensor{flow::reshape(b, loc, y, {experts, image[0], fixed(groups * outputs), seen[2], seen[3]}),
                true, true};
}

/// The groups of a convolution from `channels` to `to`, both of which they divide.
static FailureOr<int64_t> groupsOf(Expander &in, ConvOp op, int64_t channels, int64_t to) {
  if (!op.getGroups())
    return 1;
  FailureOr<int64_t> groups = in.env().positive(op, *op.getGroups(), "'groups'");
  if (failed(groups) || (channels % *groups == 0 && to % *groups == 0))
    return groups;
  InFlightDiagnostic diag = op.emitError() << "expected 'groups' that divides " << channels
                                           << " channels and 'to' (" << to << "), found " << *groups;
  in.noteMade(diag, op.getX());
  return diag;
}

LogicalResult ConvOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  FailureOr<WindowShape> shape =
      windowShape(in, *this, getX(), *x, getKernelAttr(), getStrideAttr(), getPadAttr(), 1, -1);
  if (failed(shape))
    return failure();
  FailureOr<int64_t> to = in.env().positive(*this, getTo(), "'to'");
  if (failed(to))
    return failure();
  FailureOr<int64_t> groups = groupsOf(in, *this, x->sample()[0], *to);
  if (failed(groups))
    return failure();
  int64_t channels = x->sample()[0] / *groups;
  FanIn fan{channels * shape->kernel * shape->kernel, false, !getNoBias()};
  FailureOr<Tensor> w =
      in.parameter(*this, "weight", {*to, channels, shape->kernel, shape->kernel}, getInitAttr(), fan);
  if (failed(w))
    return failure();
  FailureOr<Tensor> y = convolveGroups(in, *this, *x, *w, *shape, *groups);
  if (failed(y))
    return failure();
  if (!getNoBias()) {
    fan.bias = true;
    FailureOr<Tensor> bias = in.parameter(*this, "bias", {*to}, getInitBiasAttr(), fan);
    if (failed(bias))
      return failure();
    y = addPerChannel(in, *this, *y, *bias);
    if (failed(y))
      return failure();
  }
  in.set(getY(), *y);
  return success();
}

LogicalResult PatchesOp::expand(Expander &in) {
  FailureOr<Tensor> x = in.tensor(*this, getX());
  if (failed(x))
    return failure();
  FailureOr<WindowShape> shape = windowShape(in, *this, getX(), *x, getSize(), ExprAttr(), ExprAttr(), 0, 0);
  if (failed(shape))
    return failure();
  if (x->sample()[1] % shape->kernel || x->sample()[2] % shape->kernel) {
    InFlightDiagnostic diag = emitError() << "expected an image that patches of " << shape->kernel << "x"
                                          << shape->kernel << " cover exactly, found " << shapeText(*x);
    in.noteMade(diag, getX());
    return diag;
  }
  FailureOr<int64_t> to = in.env().positive(*this, getTo(), "'to'");
  if (failed(to))
    return failure();
  int64_t channels = x->sample()[0];
  FanIn fan{channels * shape->kernel * shape->kernel, false, true};
  FailureOr<Tensor> w =
      in.parameter(*this, "proj.weight", {*to, channels, shape->kernel, shape->kernel}, {}, fan);
  fan.bias = true;
  FailureOr<Tensor> bias =
      failed(w) ? FailureOr<Tensor>(failure()) : in.parameter(*this, "proj.bias", {*to}, {}, fan);
  if (failed(bias))
    return failure();
  FailureOr<Tensor> y = convolve(in, *this, *x, *w, *shape);
  if (succeeded(y))
    y = addPerChannel(in, *this, *y, *bias);
  if (failed(y))
    return failure();
  // [.., to, h, w] -> [.., h * w, to]
  OpBuilder &b = in.builder;
  Location loc = in.loc(*this);
  auto extents = flow::extentsOf(y->value);
  flow::Extent patches = extents[extents.size() - 2] * extents.back();
  extents.pop_back();
  extents.back() = patches;
  Value flat = flow::reshape(b, loc, y->value, extents);
  SmallVector<int64_t> order;
  for (size_t i = 0; i < extents.size(); ++i)
    order.push_back(i);
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  y->value = flow::transpose(b, loc, flat, order);
  in.set(getY(), *y);
  return success();
}
