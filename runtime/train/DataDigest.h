// The digest of the data that a run trains on, which its checkpoints carry, so that a run resumed on other
// data is told so. It is of the images and labels themselves, as they are unpacked: a folder may move, and be
// packed or not. To read a set whole takes longer than to start training on it, so a thread does it beside
// the steps.
#pragma once

#include "runtime/data/DomainSet.h"

#include <atomic>
#include <string>
#include <thread>

namespace moert {

class DataDigest {
public:
  /// `set` has to live longer.
  explicit DataDigest(const DomainSet &set) : set_(set) {}
  ~DataDigest();
  DataDigest(const DataDigest &) = delete;

  /// Makes it in the background from now on; a second call changes nothing.
  void begin();
  /// Waits for it, or makes it: 16 hexadecimal digits. Empty where the set can no longer be read, which
  /// training on it tells.
  const std::string &text();

private:
  void make();
  const DomainSet &set_;
  std::atomic<bool> stop_ = false;
  bool made_ = false;
  std::string text_;
  std::thread thread_;
};

} // namespace moert
