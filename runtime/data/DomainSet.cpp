#include "runtime/data/DomainSet.h"

#include "runtime/base/ContentHash.h"
#include "runtime/base/Files.h"
#include "runtime/data/RandomState.h"
#include "runtime/data/Rotate.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <unistd.h>

namespace moert {
namespace {

// The names that MNIST's mirrors use for one file.
Result<std::string> findFile(const std::string &folder, const char *part, const char *kind) {
  std::string first = concat(folder, "/", part, "-", kind);
  for (char separator : {'-', '.'})
    for (const char *ending : {"", ".gz"}) {
      // "images-idx3-ubyte" or "images.idx3-ubyte"
      std::string name = kind;
      name[name.find('-')] = separator;
      std::string path = concat(folder, "/", part, "-", name, ending);
      if (::access(path.c_str(), F_OK) == 0)
        return path;
    }
  return invalidInput("expected the file ", first,
                      " (or .gz), found none; set data.path to a folder of the four IDX "
                      "files, or install Debian's dataset-fashion-mnist, whose folder is "
                      "/usr/share/datasets/fashion-mnist");
}

// What a path is that cannot be the folder of a set, before a file in it is looked for.
Status checkFolder(const std::string &path) {
  std::error_code
      error; // a name that is too long, or is not to be looked at: told where its files are opened
  if (std::filesystem::is_regular_file(path, error)) {
    std::string parent = std::filesystem::path(path).parent_path().string();
    return invalidInput("data.path: expected a folder, found a file: ", path,
                        "; give the folder that it is in: ", parent.empty() ? "." : parent);
  }
  bool home = path == "~" || path.starts_with("~/");
  if (const char *user = home && !exists(path) ? std::getenv("HOME") : nullptr)
    return invalidInput("data.path: expected a folder, found none of the name ", path,
                        "; '~' is not replaced by the home folder here: write ", user, path.substr(1));
  return okStatus();
}

struct Part {
  IdxFile images, labels;
};

Result<Part> openPart(const std::string &folder, const char *name) {
  MOERT_ASSIGN(std::string imagePath, findFile(folder, name, "images-idx3-ubyte"));
  MOERT_ASSIGN(std::string labelPath, findFile(folder, name, "labels-idx1-ubyte"));
  Part part;
  MOERT_ASSIGN(part.images, IdxFile::open(imagePath));
  MOERT_ASSIGN(part.labels, IdxFile::open(labelPath));
  if (part.images.shape.size() != 3)
    return invalidInput(imagePath, ": expected images of 3 axes (count, rows, columns), found ",
                        part.images.shape.size(),
                        part.images.shape.size() == 1 ? ": are these labels?" : " axes");
  if (part.labels.shape.size() != 1)
    return invalidInput(labelPath, ": expected labels of 1 axis, found ", part.labels.shape.size(),
                        part.labels.shape.size() == 3 ? ": are these images?" : " axes");
  if (part.images.shape[0] != part.labels.shape[0])
    return invalidInput(labelPath, ": expected a label for each of the ", part.images.shape[0], " images of ",
                        imagePath, ", found ", part.labels.shape[0]);
  if (part.images.shape[1] == 0 || part.images.shape[2] == 0)
    return invalidInput(imagePath, ": expected images of at least 1 x 1, found ", part.images.shape[1], " x ",
                        part.images.shape[2]);
  if (part.images.shape[1] > 4096 || part.images.shape[2] > 4096)
    return invalidInput(imagePath, ": expected images of at most 4096 x 4096, found ", part.images.shape[1],
                        " x ", part.images.shape[2]);
  return part;
}

// DomainBed's name of a colour domain: 0.1 is "+90%" (the colour tells the label in 90 %), 0.9 is "-90%".
std::string flipName(double flip) {
  return flip <= 0.5 ? concat("+", 100 * (1 - flip), "%") : concat("-", 100 * flip, "%");
}

} // namespace

Result<DomainSet> DomainSet::open(const DomainSetOptions &options) {
  MOERT_ASSIGN(DomainSet set, describe(options));
  MOERT_TRY(set.unpack());
  return set;
}

Status DomainSet::unpack() {
  for (IdxFile &file : images_)
    MOERT_TRY(file.unpack());
  return okStatus();
}

Result<DomainSet> DomainSet::describe(const DomainSetOptions &options) {
  DomainSet set;
  set.kind_ = options.kind;
  MOERT_TRY(checkFolder(options.path));
  MOERT_ASSIGN(Part train, openPart(options.path, "train"));
  MOERT_ASSIGN(Part test, openPart(options.path, "t10k"));
  if (train.images.shape[1] != test.images.shape[1] || train.images.shape[2] != test.images.shape[2])
    return invalidInput(test.images.path, ": expected images of ", train.images.shape[1], " x ",
                        train.images.shape[2], " as in ", train.images.path, ", found ", test.images.shape[1],
                        " x ", test.images.shape[2]);
  uint64_t images = uint64_t(train.images.shape[0]) + test.images.shape[0];
  if (images > INT32_MAX)
    return invalidInput(options.path, ": expected at most ", INT32_MAX, " images, found ", images);
  MOERT_TRY(fitsMemory(options.path, images * (sizeof(uint8_t) + sizeof(uint32_t) + sizeof(Member))));
  set.first_ = train.images.shape[0];
  set.height_ = train.images.shape[1];
  set.width_ = train.images.shape[2];
  int64_t largest = 0;
  for (IdxFile *file : {&train.labels, &test.labels}) {
    MOERT_TRY(file->unpack());
    size_t first = set.labels_.size();
    set.labels_.resize(first + file->bytes);
    MOERT_TRY(file->read(0, std::span(set.labels_).subspan(first)));
    for (size_t i = first; i < set.labels_.size(); ++i) {
      largest = std::max<int64_t>(largest, set.labels_[i]);
      if (options.classes && set.labels_[i] >= options.classes)
        return invalidInput(file->path, ": expected labels below data.classes = ", options.classes,
                            ", found ", int(set.labels_[i]), " at index ", i - first);
    }
  }
  set.classes_ = options.classes ? options.classes : largest + 1;
  set.images_[0] = std::move(train.images);
  set.images_[1] = std::move(test.images);

  size_t domains = options.kind == DomainKind::rotated ? options.angles.size() : options.flips.size();
  if (set.labels_.size() < domains)
    return invalidInput(options.path, ": expected at least ", domains, " images (one a domain), found ",
                        set.labels_.size());
  RandomState random(options.seed);
  std::vector<uint32_t> order = random.permutation(uint32_t(set.labels_.size()));
  if (options.kind == DomainKind::rotated)
    set.addRotated(order, options.angles);
  else
    set.addColored(order, options, random);
  return set;
}

// Domain d of n takes every n-th image of the shuffled set, from offset d.
void DomainSet::addRotated(const std::vector<uint32_t> &order, const std::vector<double> &angles) {
  angles_ = angles;
  for (size_t domain = 0; domain < angles.size(); ++domain) {
    names_.push_back(concat(angles[domain]));
    std::vector<Member> members;
    for (size_t i = domain; i < order.size(); i += angles.size())
      members.push_back({order[i], labels_[order[i]], 0});
    members_.push_back(std::move(members));
  }
}

// y = [label in the lower half of the classes], flipped with the noise; colour = y, flipped with the domain's
// chance.
void DomainSet::addColored(const std::vector<uint32_t> &order, const DomainSetOptions &options,
                           RandomState &random) {
  int64_t half = (classes_ + 1) / 2;
  classes_ = 2;
  for (size_t domain = 0; domain < options.flips.size(); ++domain) {
    names_.push_back(flipName(options.flips[domain]));
    std::vector<Member> members;
    for (size_t i = domain; i < order.size(); i += options.flips.size())
      members.push_back({order[i], uint8_t(labels_[order[i]] < half), 0});
    for (Member &member : members)
      member.label ^= uint8_t(random.uniform() < options.labelNoise);
    for (Member &member : members)
      member.colour = uint8_t(member.label ^ uint8_t(random.uniform() < options.flips[domain]));
    members_.push_back(std::move(members));
  }
}

Status DomainSet::image(uint32_t index, std::span<uint8_t> pixels) const {
  return index < first_ ? images_[0].read(uint64_t(index) * pixels.size(), pixels)
                        : images_[1].read(uint64_t(index - first_) * pixels.size(), pixels);
}

Result<uint64_t> DomainSet::digest(const std::atomic<bool> &stop) const {
  ContentHash hash;
  for (int64_t size : {int64_t(labels_.size()), int64_t(first_), height_, width_})
    hash.add(uint64_t(size));
  hash.add(labels_);
  std::vector<uint8_t> piece(std::min<uint64_t>(images_[0].bytes + images_[1].bytes, 1 << 18));
  for (const IdxFile &file : images_)
    for (uint64_t at = 0; at < file.bytes; at += piece.size()) {
      if (stop.load(std::memory_order_relaxed))
        return invalidInput("stopped");
      std::span<uint8_t> now = std::span(piece).first(std::min<uint64_t>(piece.size(), file.bytes - at));
      MOERT_TRY(file.read(at, now));
      hash.add(now);
    }
  return hash.value();
}

Status DomainSet::render(size_t domain, uint32_t index, float *out) const {
  const Member &member = members_[domain][index];
  size_t pixels = size_t(height_ * width_);
  thread_local std::vector<uint8_t> source, turned;
  source.resize(pixels);
  MOERT_TRY(image(member.image, source));
  if (kind_ == DomainKind::rotated) {
    turned.resize(pixels);
    rotateBilinear(source.data(), turned.data(), int(height_), int(width_), angles_[domain]);
    for (size_t i = 0; i < pixels; ++i)
      out[i] = float(turned[i]) / 255.0f;
    return okStatus();
  }
  // Both channels hold the image; the one that is not the colour is blanked.
  std::memset(out, 0, 2 * pixels * sizeof(float));
  float *channel = out + member.colour * pixels;
  for (size_t i = 0; i < pixels; ++i)
    channel[i] = float(source[i]) / 255.0f;
  return okStatus();
}

} // namespace moert
