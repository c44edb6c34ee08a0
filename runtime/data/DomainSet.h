// A data set of several domains over one set of images: DomainBed's Rotated and Colored constructions
// (datasets.py) over any IDX set. Images are made when asked for, from any thread; what is random about the
// set itself (the deal of images to domains, label noise, colours) is drawn once, here.
//
// One deliberate difference: DomainBed deals with torch's global generator, so its set depends on torch's
// version and on what ran before. Here the deal, the noise and the colours are numpy's RandomState(data
// seed), in that order.
#pragma once

#include "runtime/base/Result.h"
#include "runtime/data/Idx.h"

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moert {

enum class DomainKind { rotated, colored };

struct DomainSetOptions {
  DomainKind kind = DomainKind::rotated;
  std::string path;    // a folder of the four IDX files
  int64_t classes = 0; // what the labels must stay below; 0: the largest label + 1
  std::vector<double> angles = {0, 15, 30, 45, 60, 75}; // rotated: degrees counter-clockwise, a domain each
  std::vector<double> flips = {0.1, 0.2, 0.9}; // colored: P(colour differs from label), a domain each
  double labelNoise = 0.25;                    // colored: P(label is flipped)
  uint32_t seed = 0;
};

class DomainSet {
public:
  /// Reads and joins the training and test files. invalid_input: missing or damaged files, images and labels
  /// that do not belong together, a label out of range, fewer images than domains.
  static Result<DomainSet> open(const DomainSetOptions &options);
  /// The same without the images of files that are compressed: labels and sizes are known, and `unpack` has
  /// to come before an image is asked for. In between one can compare the sizes with what is needed.
  static Result<DomainSet> describe(const DomainSetOptions &options);
  Status unpack();

  size_t domains() const { return members_.size(); }
  /// "15", or DomainBed's "+90%".
  const std::string &name(size_t domain) const { return names_[domain]; }
  uint32_t size(size_t domain) const { return uint32_t(members_[domain].size()); }
  int64_t channels() const { return kind_ == DomainKind::colored ? 2 : 1; }
  int64_t height() const { return height_; }
  int64_t width() const { return width_; }
  int64_t classes() const { return classes_; }
  size_t imageElements() const { return size_t(channels() * height_ * width_); }

  int32_t label(size_t domain, uint32_t index) const { return members_[domain][index].label; }
  /// Writes an image as [channel][row][column] in [0, 1]. invalid_input: its file can no longer be read.
  Status render(size_t domain, uint32_t index, float *out) const;
  /// A digest of all images and labels as the files hold them, before any domain is made of them; from any
  /// thread. invalid_input: a file can no longer be read, or `stop` was raised.
  Result<uint64_t> digest(const std::atomic<bool> &stop) const;

private:
  struct Member {
    uint32_t image;
    uint8_t label, colour;
  };
  Status image(uint32_t index, std::span<uint8_t> pixels) const;
  void addRotated(const std::vector<uint32_t> &order, const std::vector<double> &angles);
  void addColored(const std::vector<uint32_t> &order, const DomainSetOptions &options,
                  class RandomState &random);

  DomainKind kind_ = DomainKind::rotated;
  IdxFile images_[2]; // training files, then test files
  std::vector<uint8_t> labels_;
  uint32_t first_ = 0; // images in images_[0]
  int64_t height_ = 0, width_ = 0, classes_ = 0;
  std::vector<double> angles_;
  std::vector<std::string> names_;
  std::vector<std::vector<Member>> members_;
};

} // namespace moert
