// A random case of the shape test: an entry of flow that is one group, the batch that it runs at, and where
// its images lie. What it is follows from a seed and a number alone, so that these two name it.
#pragma once
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace moe::test {

struct ShapeCase {
  /// Of the group: "contract", "grouped", "conv", "attention" or "loop"; or "program": of many groups.
  std::string kind;
  std::string about; ///< what it is, in a line
  std::string body;  ///< the entry's ops
  int64_t domains = 1, rows = 1;
  int64_t classes = 3; ///< labels and indices are below it
  /// Inputs whose numbers are the case's own, such as offsets; all others are random.
  std::map<std::string, std::vector<double>> given;
  std::set<std::string> imagesLast; ///< names of inputs and outputs that lie in NHWC order
  /// Of products on GPUs: a precision's name.
  std::string precision = "f32";
  /// Fusion need not ask for such a group, so that the emitter may refuse it.
  bool mayRefuse = false;
};

/// An extent: what is written, and its value at the case's batch.
struct Size {
  std::string text;
  int64_t value;
  Size(int64_t value) : text(std::to_string(value)), value(value) {}
  Size(std::string text, int64_t value) : text(std::move(text)), value(value) {}
  bool isStatic() const { return text == std::to_string(value); }
};
using Sizes = std::vector<Size>;

std::string typeOf(const Sizes &sizes, const std::string &element = "f32");
int64_t countOf(const Sizes &sizes);

/// Draws a case, op by op, into its text.
class Draw {
public:
  explicit Draw(uint64_t seed) : random(seed) {}
  ShapeCase made;

  // Numbers.
  int64_t number(int64_t low, int64_t high) { return low + int64_t(random() % uint64_t(high - low + 1)); }
  bool chance(int percent) { return number(1, 100) <= percent; }
  template <typename T> const T &pick(const std::vector<T> &list) { return list[random() % list.size()]; }
  template <typename T> void shuffle(T &list) {
    for (size_t i = list.size(); i > 1; --i)
      std::swap(list[i - 1], list[random() % i]);
  }
  /// 2 to a power between the two: budgets.
  int64_t power(double low, double high);
  /// In [1, most], often beside what block sizes, lanes and chains are multiples of.
  int64_t extent(int64_t most);
  /// The same of the batch: draws D and N the first time that it is asked for. It may be a multiple or more
  /// by a number.
  Size batchExtent(int64_t most);

  // Ops.
  /// A new input or parameter; its value's name.
  std::string input(const Sizes &sizes, const std::string &element = "f32", bool parameter = false);
  /// The same of an image, which may lie in NHWC order.
  std::string image(const Sizes &sizes, bool channelsLast);
  /// The same, of an operand that an emitter may skip in places along one axis: it is 0 there, so that the result is the same.
  std::string skippable(const Sizes &sizes);
  /// The value's name of `flow.text`.
  std::string op(const std::string &text);
  /// The same of an op with several results.
  std::string several(const std::string &text, size_t results);
  /// `op` where operands and result have one type.
  std::string same(const std::string &name, const std::vector<std::string> &operands,
                   const std::string &type);
  void output(const std::string &value, const std::string &type, bool channelsLast = false);

private:
  std::mt19937_64 random;
  unsigned names = 0;
  bool hasBatch = false;
};

/// What may follow a contraction or convolution in its group: up to several elementwise ops on `value` with
/// bias, residual, masks and scales of any broadcast shape. Outputs are added too.
void drawEpilogue(Draw &draw, const std::string &value, const Sizes &sizes, bool channelsLast);

ShapeCase drawContract(uint64_t seed);
/// `draws`: whether the epilogue may draw random numbers of which each row has an index.
ShapeCase drawGrouped(uint64_t seed, bool draws);
ShapeCase drawConv(uint64_t seed);
ShapeCase drawLoop(uint64_t seed);
ShapeCase drawAttention(uint64_t seed);
/// A small network of several groups, often with its gradients.
ShapeCase drawProgram(uint64_t seed);

/// Case `number` of a run; `kind` is empty or names the only kind.
ShapeCase drawCase(uint64_t seed, uint64_t number, const std::string &kind, bool draws);

} // namespace moe::test
