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
  /// Waits for it, or makes it: 16 hexadecimal digits. Empty where the set could not be read, which
  /// `failure` then explains; the next call tries again.
  const std::string &text();
  const Status &failure() const { return failure_; }

private:
  void make();
  const DomainSet &set_;
  std::atomic<bool> stop_ = false;
  Status failure_;
  std::string text_;
  std::thread thread_;
};

} // namespace moert
