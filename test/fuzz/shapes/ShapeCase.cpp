// Numbers, extents and the text of a case under construction; see ShapeCase.h.
#include "test/fuzz/shapes/ShapeCase.h"
#include <algorithm>
#include <cmath>

namespace moe::test {

std::string typeOf(const Sizes &sizes, const std::string &element) {
  std::string shape, dims;
  bool dynamic = false;
  for (const Size &size : sizes) {
    dynamic |= !size.isStatic();
    shape += (size.isStatic() ? size.text : "?") + "x";
    dims += (dims.empty() ? "" : ", ") + size.text;
  }
  return "tensor<" + shape + element + (dynamic ? ", #flow.dims<[" + dims + "]>" : "") + ">";
}

int64_t countOf(const Sizes &sizes) {
  int64_t count = 1;
  for (const Size &size : sizes)
    count *= size.value;
  return count;
}

int64_t Draw::power(double low, double high) {
  return int64_t(std::exp2(low + (high - low) * (double(random() >> 11) * 0x1p-53)));
}

int64_t Draw::extent(int64_t most) {
  // Lanes, tiles, panels, unrolled steps, chains, chunks and blocks of rows, and their multiples.
  static const std::vector<int64_t> edges = {4,   6,   8,   12,  16,  16,  24,  32,  32,  48,
                                             64,  64,  80,  96,  96,  128, 144, 192, 192, 256,
                                             288, 384, 384, 512, 528, 576, 768, 1056};
  static const std::vector<int64_t> primes = {
      2,  3,  5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,  79,
      89, 97, 101, 113, 127, 149, 163, 179, 193, 211, 241, 257, 293, 311, 353, 389, 431, 487, 547, 601, 1051};
  auto among = [&](const std::vector<int64_t> &list) {
    size_t fit = std::upper_bound(list.begin(), list.end(), most) - list.begin();
    return fit ? list[random() % fit] : 1;
  };
  if (most <= 1)
    return 1;
  int64_t kind = number(1, 100), value;
  if (kind <= 40)
    value = among(edges) + pick<int64_t>({0, 0, 0, -1, 1, -2, 2, -3, 3, 5});
  else if (kind <= 55)
    value = among(primes);
  else if (kind <= 63)
    value = 1;
  else if (kind <= 75)
    value = number(1, std::min<int64_t>(most, 10));
  else
    value = power(0, std::log2(double(most) + 1));
  return std::clamp<int64_t>(value, 1, most);
}

Size Draw::batchExtent(int64_t most) {
  if (!hasBatch) {
    hasBatch = true;
    made.domains = chance(50) ? 1 : pick<int64_t>({2, 3, 5});
    if (made.domains > most)
      made.domains = 1;
    made.rows = extent(most / made.domains);
  }
  int64_t batch = made.domains * made.rows;
  std::vector<Size> fit;
  auto offer = [&](const std::string &text, int64_t value) {
    if (value <= most)
      fit.push_back({text, value});
  };
  for (int i = 0; i < 4; ++i)
    offer("B", batch);
  offer("N", made.rows);
  offer("D", made.domains);
  int64_t times = number(2, 5);
  offer("B * " + std::to_string(times), batch * times);
  offer("N * " + std::to_string(times), made.rows * times);
  if (fit.empty())
    return extent(most);
  return pick(fit);
}

std::string Draw::input(const Sizes &sizes, const std::string &element, bool parameter) {
  std::string name = "x" + std::to_string(names++);
  made.body += "    %" + name + " = flow." + (parameter ? "parameter" : "input") + " \"" + name + "\"" +
               (parameter ? " uniform(-1.0, 1.0)" : "") + " : " + typeOf(sizes, element) + "\n";
  return "%" + name;
}

std::string Draw::skippable(const Sizes &sizes) {
  const int64_t axis = chance(70) ? 0 : number(0, int64_t(sizes.size()) - 1);
  const std::string x = input(sizes), mask = input({sizes[axis]}, "i1");
  std::vector<double> &live = made.given[mask.substr(1)], &numbers = made.given[x.substr(1)];
  const int dropped = pick<int>({10, 50, 90, 100});
  for (int64_t i = 0; i < sizes[axis].value; ++i)
    live.push_back(chance(dropped) ? 0 : 1);
  int64_t behind = 1;
  for (size_t i = axis + 1; i < sizes.size(); ++i)
    behind *= sizes[i].value;
  for (int64_t i = 0, count = countOf(sizes); i < count; ++i)
    numbers.push_back(live[i / behind % sizes[axis].value] * double(number(-1000, 1000)) / 1000);
  const std::string spread = op("broadcast " + mask + " to [" + std::to_string(axis) +
                                "] : " + typeOf({sizes[axis]}, "i1") + " -> " + typeOf(sizes, "i1"));
  return op("skippable " + x + " where " + spread + " : " + typeOf(sizes));
}

std::string Draw::image(const Sizes &sizes, bool channelsLast) {
  std::string value = input(sizes);
  if (channelsLast)
    made.imagesLast.insert(value.substr(1));
  return value;
}

std::string Draw::op(const std::string &text) { return several(text, 1); }

std::string Draw::several(const std::string &text, size_t results) {
  std::string value = "%v" + std::to_string(names++);
  made.body +=
      "    " + value + (results == 1 ? "" : ":" + std::to_string(results)) + " = flow." + text + "\n";
  return value;
}

std::string Draw::same(const std::string &name, const std::vector<std::string> &operands,
                       const std::string &type) {
  std::string text = name;
  for (size_t i = 0; i < operands.size(); ++i)
    text += (i ? ", " : " ") + operands[i];
  return op(text + " : " + type);
}

void Draw::output(const std::string &value, const std::string &type, bool channelsLast) {
  std::string name = "y" + std::to_string(names++);
  made.body += "    flow.output \"" + name + "\" " + value + " : " + type + "\n";
  if (channelsLast)
    made.imagesLast.insert(name);
}

ShapeCase drawCase(uint64_t seed, uint64_t number, const std::string &kind, bool draws) {
  std::seed_seq sequence{uint32_t(seed), uint32_t(seed >> 32), uint32_t(number), uint32_t(number >> 32)};
  uint32_t words[3];
  sequence.generate(words, words + 3);
  uint64_t own = uint64_t(words[0]) << 32 | words[1];
  std::string chosen = kind;
  if (kind.empty()) {
    uint32_t at = words[2] % 40;
    chosen = at < 12 ? "contract" : at < 24 ? "conv" : at < 38 ? "loop" : "program";
    // A loop's place, so that the other cases of a seed stay what they are.
    if (at == 30 || at == 34 || at == 37)
      chosen = "attention";
    if (at == 3 || at == 7 || at == 11)
      chosen = "grouped";
  }
  return chosen == "contract"    ? drawContract(own)
         : chosen == "grouped"   ? drawGrouped(own, draws)
         : chosen == "conv"      ? drawConv(own)
         : chosen == "loop"      ? drawLoop(own)
         : chosen == "attention" ? drawAttention(own)
                                 : drawProgram(own);
}

} // namespace moe::test
