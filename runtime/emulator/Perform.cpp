// Doing work: as far as somebody asks for, in the order of the stream, and first what it waits for.
#include "runtime/emulator/Context.h"

#include <chrono>
#include <cstring>

namespace moe::emu {

void Context::runUntil(Stream &stream, uint64_t position) {
  while (stream.done < position)
    runNext(stream);
}

void Context::runNext(Stream &stream) {
  for (const Point &wait : stream.pending.front().waits)
    runUntil(*wait.stream, wait.position);
  Work work = std::move(stream.pending.front());
  stream.pending.pop_front();
  ++stream.done;
  perform(work, stream);
}

// One piece of work: of the stream, or of one that it waits for.
void Context::step(Stream &stream) {
  for (const Point &wait : stream.pending.front().waits)
    if (wait.stream->done < wait.position)
      return step(*wait.stream);
  runNext(stream);
}

void Context::perform(Work &work, const Stream &stream) {
  if (failure_ != CUDA_SUCCESS)
    return; // the context has ended: nothing is done any more
  if (auto *mark = std::get_if<Mark>(&work.action)) {
    using Milliseconds = std::chrono::duration<double, std::milli>;
    mark->timing->milliseconds = Milliseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
    mark->timing->passed = true;
    return;
  }
  if (Findings found = perform(work.action, stream.chain, work.clock))
    (void)fail(*std::move(found));
  if (order_.isLarge())
    forgetOldWork();
}

// All that is given from now on is behind what the host has waited for; what waits in streams has clocks of its own.
void Context::forgetOldWork() {
  Clock behind = host_;
  auto bound = [&](const Clock &clock) {
    behind.resize(std::min(behind.size(), clock.size()));
    for (size_t i = 0; i < behind.size(); ++i)
      behind[i] = std::min(behind[i], clock[i]);
  };
  for (const Work &work : legacy_->pending)
    bound(work.clock);
  for (auto &[handle, stream] : streams_)
    for (const Work &work : stream->pending)
      bound(work.clock);
  order_.forget(behind);
}

Findings Context::perform(const Action &action, uint32_t chain, const Clock &clock) {
  if (auto *launch = std::get_if<Launch>(&action))
    return perform(*launch, chain, clock);
  if (auto *copy = std::get_if<Copy>(&action))
    return perform(*copy, chain, clock);
  if (auto *fill = std::get_if<Fill>(&action))
    return perform(*fill, chain, clock);
  if (auto *forget = std::get_if<Forget>(&action))
    return perform(*forget, chain, clock);
  if (auto *launch = std::get_if<GraphLaunch>(&action))
    return perform(*launch, chain, clock);
  return {};
}

Findings Context::perform(const Launch &launch, uint32_t chain, const Clock &clock) {
  if (++kernels_ == settings.failKernel)
    return Finding{CUDA_ERROR_ILLEGAL_ADDRESS,
                   concat("kernel '", launch.kernel->name, "' is kernel ", kernels_,
                          ", which MOE_EMULATOR_FAIL_KERNEL lets fail")};
  Piece piece;
  if (checker_)
    piece = checker_->begin(chain, clock[chain], clock, uint32_t(launch.blocks()),
                            concat("kernel '", launch.kernel->name, "'"));
  return executor_.run(launch, *memory, checker_.get(), std::move(piece));
}

Findings Context::copyToDevice(const Copy &copy, const std::vector<std::byte> &atCall,
                               uint64_t deviceWrites) {
  if (copy.pageable) {
    memcpy(memory->bytes(copy.to), atCall.data(), copy.bytes);
    return {};
  }
  if (checker_ && deviceWrites == memory->deviceWrites(copy.host) &&
      memcmp(atCall.data(), copy.host, copy.bytes) != 0)
    return Finding{CUDA_ERROR_LAUNCH_FAILED,
                   concat("a copy of ", copy.bytes,
                          " bytes to the device reads pinned memory that the host has rewritten since "
                          "it asked for the copy, and before the copy was done")};
  memcpy(memory->bytes(copy.to), copy.host, copy.bytes);
  return {};
}

Findings Context::perform(const Copy &copy, uint32_t chain, const Clock &clock) {
  static constexpr const char *kNames[] = {"a copy to the device", "a copy to the host",
                                           "a copy within the device"};
  const std::string what = kNames[int(copy.kind)];
  const bool toDevice = copy.kind == Copy::Kind::toDevice, toHost = copy.kind == Copy::Kind::toHost;
  for (uint64_t address : {toHost ? 0 : copy.to, toDevice ? 0 : copy.from})
    if (address && !memory->contains(address, copy.bytes))
      return Finding{CUDA_ERROR_ILLEGAL_ADDRESS,
                     concat(what, " of ", copy.bytes, " bytes uses memory that is ",
                            memory->describe(address), " when it is done")};
  bool whole = false;
  if (!copy.pageable && copy.kind != Copy::Kind::within &&
      !(memory->isPinned(copy.host, copy.bytes, whole) && whole))
    return Finding{CUDA_ERROR_ILLEGAL_ADDRESS,
                   concat(what, " uses pinned memory of the host that was freed before it was done")};
  if (checker_) {
    const Piece piece = checker_->begin(chain, clock[chain], clock, 1, what);
    if (!toDevice)
      if (Findings found = checker_->touchRange(piece, copy.from, copy.bytes, Mode::read, what))
        return found;
    if (toHost && !checker_->isWritten(copy.from, copy.bytes))
      return Finding{CUDA_ERROR_ILLEGAL_ADDRESS,
                     concat(what, " of ", copy.bytes, " bytes reads memory, ",
                            memory->describe(checker_->firstUnwritten(copy.from, copy.bytes)),
                            ", which was never written")};
    if (!toHost)
      if (Findings found = checker_->touchRange(piece, copy.to, copy.bytes, Mode::write, what))
        return found;
    if (copy.kind == Copy::Kind::within)
      checker_->copyWritten(copy.to, copy.from, copy.bytes);
  }
  if (toDevice)
    return copyToDevice(copy, copy.atCall, copy.deviceWrites);
  if (toHost) {
    memcpy(copy.host, memory->bytes(copy.from), copy.bytes);
    memory->countDeviceWrite(copy.host);
  } else {
    memcpy(memory->bytes(copy.to), memory->bytes(copy.from), copy.bytes);
  }
  return {};
}

Findings Context::perform(const Fill &fill, uint32_t chain, const Clock &clock) {
  const uint64_t bytes = fill.bytes();
  if (!memory->contains(fill.to, bytes))
    return Finding{CUDA_ERROR_ILLEGAL_ADDRESS, concat("a fill of ", bytes, " bytes uses memory that is ",
                                                      memory->describe(fill.to), " when it is done")};
  if (checker_)
    if (Findings found = checker_->touchRange(checker_->begin(chain, clock[chain], clock, 1, "a fill"),
                                              fill.to, bytes, Mode::write, "a fill"))
      return found;
  std::byte *to = memory->bytes(fill.to);
  if (fill.width == 1)
    memset(to, int(fill.value), bytes);
  else
    std::fill_n(reinterpret_cast<uint32_t *>(to), fill.count, fill.value);
  return {};
}

Findings Context::perform(const Forget &forget, uint32_t chain, const Clock &clock) {
  if (!memory->contains(forget.address, forget.bytes))
    return Finding{CUDA_ERROR_ILLEGAL_ADDRESS, concat("moeEmulatorForget of memory that is ",
                                                      memory->describe(forget.address), " when it is done")};
  if (!checker_)
    return {};
  if (Findings found =
          checker_->touchRange(checker_->begin(chain, clock[chain], clock, 1, "moeEmulatorForget"),
                               forget.address, forget.bytes, Mode::write, "moeEmulatorForget"))
    return found;
  checker_->forget(forget.address, forget.bytes);
  return {};
}

Findings Context::perform(const GraphLaunch &launch, uint32_t chain, const Clock &clock) {
  const auto &nodes = launch.graph->nodes;
  std::vector<Clock> clocks(nodes.size());
  std::vector<uint32_t> missing(nodes.size()), ready;
  std::vector<std::vector<uint32_t>> next(nodes.size());
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    missing[i] = uint32_t(nodes[i]->after.size());
    for (uint32_t before : nodes[i]->after)
      next[before].push_back(i);
    if (missing[i] == 0)
      ready.push_back(i);
  }
  // Nodes that do not depend on one another have no order: the seed chooses one.
  uint64_t random = (settings.seed + ++graphLaunches_) * 0x9E3779B97F4A7C15ull;
  while (!ready.empty()) {
    random = random * 6364136223846793005ull + 1442695040888963407ull;
    std::swap(ready[(random >> 33) % ready.size()], ready.back());
    const uint32_t at = ready.back();
    ready.pop_back();
    const Node &node = *nodes[at];
    const uint32_t own = node.branch ? launch.graph->chains[node.branch] : chain;
    Clock &now = clocks[at];
    if (checker_) {
      now = clock;
      for (uint32_t before : node.after)
        join(now, clocks[before]);
      if (now.size() <= own)
        now.resize(own + 1);
      now[own] = launch.bases[node.branch] + node.indexInBranch + 1;
    }
    auto *copy = std::get_if<Copy>(&node.action);
    Findings found;
    if (copy && copy->kind == Copy::Kind::toDevice) {
      Copy withHost = *copy;
      withHost.atCall = launch.atCall[at];
      withHost.deviceWrites = launch.deviceWrites[at];
      found = perform(withHost, own, now);
    } else {
      found = perform(node.action, own, now);
    }
    if (found)
      return found;
    for (uint32_t after : next[at])
      if (--missing[after] == 0)
        ready.push_back(after);
  }
  return {};
}

} // namespace moe::emu
