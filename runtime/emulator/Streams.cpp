// Giving work to streams, and waiting for it. What a piece of work waits for is decided when it is given, and so is what happened
// before it; when it is done is decided in Perform.cpp.
#include "runtime/emulator/Context.h"

#include <cstring>

namespace moe::emu {

Context::Context(const Settings &settings)
    : settings(settings), executor_(this->settings), legacy_(std::make_shared<Stream>()) {
  legacy_->chain = order_.newChain();
  legacy_->legacy = true;
}

CUresult Context::create(const Settings &settings, std::unique_ptr<Context> &context) {
  std::unique_ptr<Context> made(new Context(settings));
  if (CUresult code = DeviceMemory::create(settings.memory, made->memory); code != CUDA_SUCCESS)
    return code;
  if (settings.checked)
    if (CUresult code = Checker::create(*made->memory, made->order_, made->checker_); code != CUDA_SUCCESS)
      return code;
  context = std::move(made);
  return CUDA_SUCCESS;
}

Context::~Context() {
  // Work that nobody has waited for is never done. It may hold the objects that hold it.
  legacy_->pending.clear();
  for (auto &[handle, stream] : streams_) {
    stream->pending.clear();
    stream->capture = nullptr;
  }
}

CUresult Context::refuse(CUresult code, std::string text) {
  if (failure_ == CUDA_SUCCESS)
    finding_ = std::move(text);
  return code;
}

CUresult Context::fail(Finding finding) {
  if (failure_ != CUDA_SUCCESS)
    return failure_;
  failure_ = finding.code;
  finding_ = std::move(finding.text);
  return failure_;
}

CUresult Context::createStream(unsigned flags, CUstream &handle) {
  if (flags & ~unsigned(CU_STREAM_NON_BLOCKING))
    return CUDA_ERROR_INVALID_VALUE;
  auto stream = std::make_shared<Stream>();
  stream->chain = order_.newChain();
  stream->blocking = !(flags & CU_STREAM_NON_BLOCKING);
  handle = streams_.add(std::move(stream));
  return CUDA_SUCCESS;
}

CUresult Context::destroyStream(CUstream handle) {
  std::shared_ptr<Stream> stream = streams_.take(handle);
  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture)
    return invalidate(*stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                      "cuStreamDestroy of a stream that is captured");
  runUntil(*stream, stream->submitted); // nobody could ask for it afterwards
  return failure_;
}

std::shared_ptr<Stream> Context::stream(CUstream handle) const {
  return handle ? streams_.find(handle) : legacy_;
}

CUresult Context::submit(const std::shared_ptr<Stream> &stream, Action action, std::vector<Point> waits,
                         const Clock *behind) {
  if (stream->capture)
    return capture(*stream, std::move(action));
  Work work{std::move(action), std::move(waits), stream->clock};
  join(work.clock, host_);
  if (behind)
    join(work.clock, *behind);
  auto waitFor = [&](const std::shared_ptr<Stream> &other) {
    join(work.clock, other->clock);
    if (other->done < other->submitted)
      work.waits.push_back({other, other->submitted});
  };
  if (stream->blocking)
    waitFor(legacy_);
  if (stream->legacy)
    for (auto &[handle, other] : streams_) {
      if (other->capture && other->blocking)
        return invalidate(*other->capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
                          "work in the legacy stream during a capture");
      if (other->blocking)
        waitFor(other);
    }
  if (auto *launch = std::get_if<GraphLaunch>(&work.action)) {
    ExecutableGraph &graph = *launch->graph;
    graph.positions[0] = stream->chain < work.clock.size() ? work.clock[stream->chain] : 0;
    launch->bases = graph.positions;
    stream->clock = work.clock;
    for (size_t i = 0; i < graph.lengths.size(); ++i) {
      graph.positions[i] += graph.lengths[i];
      const uint32_t chain = i ? graph.chains[i] : stream->chain;
      advance(stream->clock, chain);
      stream->clock[chain] = graph.positions[i];
    }
  } else {
    advance(work.clock, stream->chain);
    stream->clock = work.clock;
  }
  stream->pending.push_back(std::move(work));
  ++stream->submitted;
  return CUDA_SUCCESS;
}

CUresult Context::launch(const Function &function, Launch launch, const std::shared_ptr<Stream> &stream) {
  const KernelEntry &kernel = *function.kernel;
  const std::string who = concat("kernel '", kernel.name, "': ");
  static constexpr uint32_t kMostGrid[] = {0x7FFFFFFF, 65535, 65535}, kMostBlock[] = {1024, 1024, 64};
  for (int i = 0; i < 3; ++i) {
    if (launch.grid[i] == 0 || launch.grid[i] > kMostGrid[i])
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    concat(who, "expected 1 to ", kMostGrid[i], " blocks in dimension ", i,
                           " of the grid, found ", launch.grid[i]));
    if (launch.block[i] == 0 || launch.block[i] > kMostBlock[i])
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    concat(who, "expected 1 to ", kMostBlock[i], " threads in dimension ", i,
                           " of a block, found ", launch.block[i]));
  }
  const uint64_t threads = uint64_t(launch.block[0]) * launch.block[1] * launch.block[2];
  if (threads > 1024)
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  concat(who, "expected at most 1024 threads a block, found ", threads));
  if (threads > kernel.threads)
    return refuse(
        CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
        concat(who, "it was compiled for at most ", kernel.threads, " threads a block, found ", threads));
  if (launch.blocks() > 0x7FFFFFFF)
    return refuse(CUDA_ERROR_NOT_SUPPORTED,
                  concat(who, "a grid of ", launch.blocks(), " blocks cannot be emulated"));
  const int most = settings.architecture->optInShared;
  if (int64_t(launch.shared) > function.dynamicShared || launch.sharedBytes() > uint64_t(most))
    return refuse(
        CUDA_ERROR_INVALID_VALUE,
        concat(who, launch.shared, " bytes of dynamic and ", kernel.shared,
               " of static shared memory are more than the ", int(kernel.shared) + function.dynamicShared,
               " bytes that the function may have (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)"));
  return submit(stream, std::move(launch));
}

void Context::rememberHost(const Copy &copy, std::vector<std::byte> &atCall, uint64_t &deviceWrites) const {
  if (!copy.pageable && !checker_)
    return;
  atCall.assign(copy.host, copy.host + copy.bytes);
  deviceWrites = memory->deviceWrites(copy.host);
}

CUresult Context::copy(Copy copy, const std::shared_ptr<Stream> &stream) {
  if (copy.bytes == 0)
    return CUDA_SUCCESS;
  const bool toHost = copy.kind == Copy::Kind::toHost, toDevice = copy.kind == Copy::Kind::toDevice;
  for (uint64_t address : {toHost ? 0 : copy.to, toDevice ? 0 : copy.from})
    if (address && !memory->contains(address, copy.bytes))
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    concat("a copy of ", copy.bytes, " bytes from or to memory of the device that is ",
                           memory->describe(address)));
  if (copy.kind == Copy::Kind::within) {
    const uint64_t apart = copy.to > copy.from ? copy.to - copy.from : copy.from - copy.to;
    if (apart < copy.bytes)
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    concat("a copy of ", copy.bytes, " bytes between ranges that overlap"));
    return submit(stream, std::move(copy));
  }
  bool whole = false;
  copy.pageable = !memory->isPinned(copy.host, copy.bytes, whole);
  if (!copy.pageable && !whole)
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  concat("a copy of ", copy.bytes,
                         " bytes from or to pinned memory of the host that ends before that"));
  if (copy.pageable && stream->capture)
    return invalidate(*stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                      "a copy of pageable memory of the host in a capture");
  // Pageable memory is read before the call returns, and written before it returns.
  if (toDevice && !stream->capture)
    rememberHost(copy, copy.atCall, copy.deviceWrites);
  const bool waits = copy.pageable && toHost;
  CUresult code = submit(stream, std::move(copy));
  return code == CUDA_SUCCESS && waits ? synchronize(stream) : code;
}

CUresult Context::fill(Fill fill, const std::shared_ptr<Stream> &stream) {
  if (fill.count == 0)
    return CUDA_SUCCESS;
  if (fill.to % fill.width || fill.count > UINT64_MAX / 8 || !memory->contains(fill.to, fill.bytes()))
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  concat("a fill of ", fill.bytes(), " bytes of memory of the device that is ",
                         memory->describe(fill.to)));
  return submit(stream, fill);
}

CUresult Context::synchronize(const std::shared_ptr<Stream> &stream) {
  if (CUresult code = forbidWhileCapturing(*stream, "cuStreamSynchronize"); code != CUDA_SUCCESS)
    return code;
  if (stream->legacy)
    for (auto &[handle, other] : streams_)
      if (other->blocking && !other->capture) {
        runUntil(*other, other->submitted);
        join(host_, other->clock);
      }
  runUntil(*stream, stream->submitted);
  join(host_, stream->clock);
  return failure_;
}

CUresult Context::query(const std::shared_ptr<Stream> &stream) {
  if (CUresult code = forbidWhileCapturing(*stream, "cuStreamQuery"); code != CUDA_SUCCESS)
    return code;
  if (stream->done == stream->submitted) {
    join(host_, stream->clock);
    return CUDA_SUCCESS;
  }
  step(*stream);
  return failure_ == CUDA_SUCCESS ? CUDA_ERROR_NOT_READY : failure_;
}

CUresult Context::record(Event &event, const std::shared_ptr<Stream> &stream) {
  if (stream->capture) {
    if (!stream->capture->valid)
      return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    event.capture = stream->capture;
    event.frontier = stream->frontier;
    return CUDA_SUCCESS;
  }
  event.capture = nullptr;
  auto timing = std::make_shared<Timing>();
  if (CUresult code = submit(stream, Mark{timing}); code != CUDA_SUCCESS)
    return code;
  event.timing = std::move(timing);
  event.point = {stream, stream->submitted};
  event.clock = stream->clock;
  return CUDA_SUCCESS;
}

CUresult Context::wait(const std::shared_ptr<Stream> &stream, const Event &event) {
  if (event.capture && !event.capture->ended) {
    if (stream->legacy)
      return invalidate(*event.capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
                        "the legacy stream waits for an event of a capture");
    if (stream->capture && stream->capture != event.capture)
      return invalidate(*stream->capture, CUDA_ERROR_STREAM_CAPTURE_MERGE,
                        "a capture waits for an event of another one");
    if (!event.capture->valid)
      return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (!stream->capture) {
      stream->capture = event.capture;
      stream->frontier = event.frontier;
      event.capture->streams.push_back(stream);
      return CUDA_SUCCESS;
    }
    for (uint32_t node : event.frontier)
      if (std::find(stream->frontier.begin(), stream->frontier.end(), node) == stream->frontier.end())
        stream->frontier.push_back(node);
    return CUDA_SUCCESS;
  }
  if (stream->capture)
    return invalidate(*stream->capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
                      "a captured stream waits for an event that was recorded outside of the capture");
  if (event.capture)
    return CUDA_ERROR_CAPTURED_EVENT;
  if (!event.timing) // never recorded: nothing to wait for
    return CUDA_SUCCESS;
  return submit(stream, std::monostate(), {event.point}, &event.clock);
}

CUresult Context::synchronize(const Event &event) {
  if (event.capture)
    return CUDA_ERROR_CAPTURED_EVENT;
  if (!event.timing)
    return CUDA_SUCCESS;
  runUntil(*event.point.stream, event.point.position);
  join(host_, event.clock);
  return failure_;
}

CUresult Context::query(const Event &event) {
  if (event.capture)
    return CUDA_ERROR_CAPTURED_EVENT;
  if (!event.timing || event.timing->passed) {
    join(host_, event.clock);
    return CUDA_SUCCESS;
  }
  step(*event.point.stream);
  return failure_ == CUDA_SUCCESS ? CUDA_ERROR_NOT_READY : failure_;
}

} // namespace moe::emu
