// Batches in the order that a run sees them, made by threads ahead of the step. What is in batch k depends on
// k and the seeds alone: a training row is drawn with replacement by a counter-based generator, so there is
// no generator state to save, and a run that resumes at step k continues with batch k.
#pragma once

#include "runtime/data/DomainSet.h"
#include "runtime/data/Split.h"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace moert {

/// Rows of one batch, ordered by domain.
struct Batch {
  std::vector<float> image; // rows * channels * height * width
  std::vector<int32_t> label;
  std::vector<int32_t> domain; // counts the training domains in sorted order; -1 where unknown
  Status status;               // a failure: the rows could not be read, and are not to be used
  size_t rows() const { return label.size(); }
};

/// The endless loaders of the training domains, one each, joined: row r of domain d in step s is sample s *
/// rows + r of a sequence of draws with replacement from the domain's in-split. A draw is the high half of n
/// * (the first two words, high first, of the Philox block of index s * rows + r), with the run's seed as
/// key, FNV-1a of "data.<d>" as stream (d: the training domain's index) and 0xFFFFFFFE as step.
class TrainingBatches {
public:
  TrainingBatches(const DomainSet &set, std::vector<size_t> domains, std::vector<std::vector<uint32_t>> in,
                  size_t rowsPerDomain, uint64_t seed);
  void fill(uint64_t step, Batch &batch) const;
  size_t rows() const { return domains_.size() * rowsPerDomain_; }
  size_t domains() const { return domains_.size(); }

private:
  const DomainSet &set_;
  std::vector<size_t> domains_;
  std::vector<std::vector<uint32_t>> in_;
  size_t rowsPerDomain_;
  uint64_t seed_;
};

/// The batches of one split, in its order; the last one has the rows that are left.
class SplitBatches {
public:
  SplitBatches(const DomainSet &set, size_t domain, std::span<const uint32_t> indices, size_t rows,
               int32_t label)
      : set_(set), domain_(domain), indices_(indices), rows_(rows), domainLabel_(label) {}
  void fill(uint64_t index, Batch &batch) const;
  uint64_t count() const { return (indices_.size() + rows_ - 1) / rows_; }

private:
  const DomainSet &set_;
  size_t domain_;
  std::span<const uint32_t> indices_;
  size_t rows_;
  int32_t domainLabel_;
};

/// Makes batches first, first + 1, ... end - 1 on its own threads, at most `depth` ahead, and hands them out
/// in order. With fewer threads than asked for, where the system gives no more; with none, the caller makes
/// them.
class Prefetch {
public:
  using Fill = std::function<void(uint64_t, Batch &)>;
  Prefetch(Fill fill, uint64_t first, uint64_t end, int threads, size_t depth = 3);
  ~Prefetch();
  Prefetch(const Prefetch &) = delete;

  /// The next batch, valid until the next call; null at the end.
  const Batch *next();

private:
  void work();
  struct Slot {
    Batch batch;
    uint64_t index;
    bool ready = false;
  };
  Fill fill_;
  std::vector<Slot> slots_;
  uint64_t claim_, next_, released_,
      end_; // next to make, next to hand out, first that may not be overwritten
  bool stop_ = false;
  std::mutex mutex_;
  std::condition_variable made_, freed_;
  std::vector<std::thread> threads_;
};

} // namespace moert
