#include "runtime/data/Batches.h"

#include "runtime/program/Philox.h"

#include <exception>

namespace moert {
namespace {

constexpr uint32_t kDataStep = 0xFFFFFFFEu; // no training step has this number, nor has the initial value

uint32_t draw(uint64_t seed, uint32_t stream, uint64_t position, uint32_t n) {
  PhiloxBlock words = philoxBlock(seed, stream, kDataStep, position);
  uint64_t random = uint64_t(words[0]) << 32 | words[1];
  return uint32_t((static_cast<unsigned __int128>(random) * n) >> 64);
}

} // namespace

TrainingBatches::TrainingBatches(const DomainSet &set, std::vector<size_t> domains,
                                 std::vector<std::vector<uint32_t>> in, size_t rowsPerDomain, uint64_t seed)
    : set_(set), domains_(std::move(domains)), in_(std::move(in)), rowsPerDomain_(rowsPerDomain),
      seed_(seed) {}

void TrainingBatches::fill(uint64_t step, Batch &batch) const {
  size_t elements = set_.imageElements();
  batch.image.resize(rows() * elements);
  batch.label.resize(rows());
  batch.domain.resize(rows());
  batch.status = okStatus();
  size_t row = 0;
  for (size_t d = 0; d < domains_.size(); ++d) {
    uint32_t stream = philoxStream(concat("data.", d));
    for (size_t r = 0; r < rowsPerDomain_; ++r, ++row) {
      uint32_t index = in_[d][draw(seed_, stream, step * rowsPerDomain_ + r, uint32_t(in_[d].size()))];
      if (Status status = set_.render(domains_[d], index, batch.image.data() + row * elements); !status.ok())
        batch.status = std::move(status);
      batch.label[row] = set_.label(domains_[d], index);
      batch.domain[row] = int32_t(d);
    }
  }
}

void SplitBatches::fill(uint64_t index, Batch &batch) const {
  size_t begin = index * rows_, count = std::min(rows_, indices_.size() - begin);
  size_t elements = set_.imageElements();
  batch.image.resize(count * elements);
  batch.label.resize(count);
  batch.domain.assign(count, domainLabel_);
  batch.status = okStatus();
  for (size_t row = 0; row < count; ++row) {
    if (Status status = set_.render(domain_, indices_[begin + row], batch.image.data() + row * elements);
        !status.ok())
      batch.status = std::move(status);
    batch.label[row] = set_.label(domain_, indices_[begin + row]);
  }
}

Prefetch::Prefetch(Fill fill, uint64_t first, uint64_t end, int threads, size_t depth)
    : fill_(std::move(fill)), slots_(depth + 1), claim_(first), next_(first), released_(first + depth + 1),
      end_(end) {
  try {
    threads_.reserve(size_t(threads));
    for (int i = 0; i < threads; ++i)
      threads_.emplace_back([this] { work(); });
  } catch (const std::exception &) { // no thread or no memory: fewer will do
  }
}

Prefetch::~Prefetch() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  freed_.notify_all();
  for (std::thread &thread : threads_)
    thread.join();
}

void Prefetch::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    freed_.wait(lock, [this] { return stop_ || claim_ >= end_ || claim_ < released_; });
    if (stop_ || claim_ >= end_)
      return;
    uint64_t index = claim_++;
    Slot &slot = slots_[index % slots_.size()];
    slot.ready = false;
    lock.unlock();
    fill_(index, slot.batch);
    lock.lock();
    slot.index = index;
    slot.ready = true;
    made_.notify_all();
  }
}

const Batch *Prefetch::next() {
  std::unique_lock lock(mutex_);
  if (next_ >= end_)
    return nullptr;
  // The batch handed out last is the caller's until now; from here on its slot may be filled again.
  uint64_t index = next_++;
  if (threads_.empty()) {
    fill_(index, slots_[0].batch);
    return &slots_[0].batch;
  }
  released_ = index + slots_.size();
  freed_.notify_all();
  Slot &slot = slots_[index % slots_.size()];
  made_.wait(lock, [&] { return slot.ready && slot.index == index; });
  return &slot.batch;
}

} // namespace moert
