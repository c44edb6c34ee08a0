// For tests: a temporary folder that removes itself, and IDX files in it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace moert {

class TestFolder {
public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "moert-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder &) = delete;
  const std::string &path() const { return path_; }
  std::string file(const std::string &name) const { return path_ + "/" + name; }

  void write(const std::string &name, const std::vector<uint8_t> &bytes) const {
    std::ofstream(file(name), std::ios::binary)
        .write(reinterpret_cast<const char *>(bytes.data()), long(bytes.size()));
  }
  /// An IDX file of unsigned bytes.
  static std::vector<uint8_t> idx(const std::vector<uint32_t> &shape, const std::vector<uint8_t> &data) {
    std::vector<uint8_t> bytes{0, 0, 8, uint8_t(shape.size())};
    for (uint32_t size : shape)
      for (int shift : {24, 16, 8, 0})
        bytes.push_back(uint8_t(size >> shift));
    bytes.insert(bytes.end(), data.begin(), data.end());
    return bytes;
  }
  /// The four files of a set of square images without a zero pixel; labels count up modulo `classes`.
  void writeSet(uint32_t train, uint32_t test, uint32_t size, uint32_t classes) const {
    uint32_t seed = 1;
    for (auto [name, count] : {std::pair{"train", train}, std::pair{"t10k", test}}) {
      std::vector<uint8_t> pixels(size_t(count) * size * size), labels(count);
      for (uint8_t &pixel : pixels)
        pixel = uint8_t(1 + ((seed = seed * 1664525u + 1013904223u) >> 24) % 255);
      for (uint32_t i = 0; i < count; ++i)
        labels[i] = uint8_t(i % classes);
      write(std::string(name) + "-images-idx3-ubyte", idx({count, size, size}, pixels));
      write(std::string(name) + "-labels-idx1-ubyte", idx({count}, labels));
    }
  }

private:
  std::string path_;
};

} // namespace moert
