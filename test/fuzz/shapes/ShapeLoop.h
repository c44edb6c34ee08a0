// How random loop groups are drawn: values with their shapes, the builders over them, and the forms.
#pragma once
#include "test/fuzz/shapes/ShapeCase.h"

namespace moe::test {

/// A value of a case under construction.
struct Known {
  std::string name;
  Sizes sizes;
  std::string element;
  std::string type() const { return typeOf(sizes, element); }
};

std::string listOf(const std::vector<int64_t> &numbers);

class LoopDraw {
public:
  explicit LoopDraw(Draw &draw) : draw(draw), channelsLast(draw.chance(50)) {}

  // Forms.
  void elementwise();
  void reductions();
  void normalize();
  void groups();
  void pool();
  void crossEntropy();
  void update();
  void rowsByIndex();
  /// Ops of all kinds over one another.
  void graph();

protected:
  Sizes shape(int64_t rank, int64_t budget);
  std::vector<int64_t> someAxes(int64_t rank);
  std::vector<int64_t> otherAxes(const Known &x, const std::vector<int64_t> &axes);

  Known input(const Sizes &sizes, const std::string &element = "f32");
  void output(const Known &x);
  Known unary(const std::string &name, const Known &x);
  Known binary(const std::string &name, const Known &x, const Known &y);
  Known constant(const std::string &value, const Known &like);
  Known reduce(const std::string &kind, const Known &x, const std::vector<int64_t> &axes);
  Known broadcast(const Known &x, const Sizes &to, const std::vector<int64_t> &dims);
  Known mean(const Known &x, const std::vector<int64_t> &axes);
  Known softmax(const Known &x, const std::vector<int64_t> &axes, bool logarithm);
  /// With statistics over some axes; `scale` gets one over the standard deviation.
  Known norm(const Known &x, const std::vector<int64_t> &axes, bool affine, Known *scale = nullptr);
  Known groupNorm(const Known &x, int64_t groups);
  /// Of a graph: a view of a value, in one of several ways; the value itself where none fits.
  Known view(const Known &x);
  Known spread(const Known &x, const Sizes &to);

  Draw &draw;
  const bool channelsLast; ///< how images lie
};

} // namespace moe::test
