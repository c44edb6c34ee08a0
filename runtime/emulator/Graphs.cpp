// Capturing streams into graphs, and launching graphs. A node has what its work needs, copied when it was captured; the addresses in
// it are compared with the live blocks each time the graph is launched.
#include "runtime/emulator/Context.h"

#include <cstring>

namespace moe::emu {

CUresult Context::invalidate(Capture &capture, CUresult code, std::string text) {
  capture.valid = false;
  return refuse(code, std::move(text));
}

CUresult Context::forbidWhileCapturing(const char *call) {
  for (const std::weak_ptr<Capture> &weak : captures_)
    if (auto capture = weak.lock(); capture && !capture->ended) {
      const bool isOwn = capture->thread == std::this_thread::get_id();
      if (capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL ||
          (capture->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL && isOwn))
        return invalidate(*capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                          concat(call, " during a capture in the ",
                                 capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL
                                     ? "global mode"
                                     : "thread-local mode, by the thread that captures"));
    }
  return CUDA_SUCCESS;
}

CUresult Context::forbidWhileCapturing(const Stream &stream, const char *call) {
  if (stream.capture)
    return invalidate(*stream.capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                      concat(call, " of a stream that is captured"));
  return CUDA_SUCCESS;
}

CUresult Context::beginCapture(const std::shared_ptr<Stream> &stream, CUstreamCaptureMode mode) {
  if (stream->legacy)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (mode > CU_STREAM_CAPTURE_MODE_RELAXED)
    return CUDA_ERROR_INVALID_VALUE;
  if (stream->capture)
    return invalidate(*stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a stream is captured twice");
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  stream->capture->streams = {stream};
  stream->frontier.clear();
  std::erase_if(captures_, [](const std::weak_ptr<Capture> &capture) { return capture.expired(); });
  captures_.push_back(stream->capture);
  return CUDA_SUCCESS;
}

std::vector<std::pair<uint64_t, uint64_t>> Context::pointersOf(const Action &action) const {
  std::vector<std::pair<uint64_t, uint64_t>> pointers;
  auto add = [&](uint64_t address) {
    if (address) // null stands for no memory
      pointers.push_back({address, memory->identity(address)});
  };
  if (auto *launch = std::get_if<Launch>(&action))
    for (const Parameter &parameter : launch->kernel->parameters) {
      uint64_t address = 0;
      if (parameter.pointer)
        memcpy(&address, launch->arguments.data() + parameter.offset, sizeof address);
      add(address);
    }
  if (auto *copy = std::get_if<Copy>(&action)) {
    add(copy->to);
    add(copy->from);
  }
  if (auto *fill = std::get_if<Fill>(&action))
    add(fill->to);
  if (auto *forget = std::get_if<Forget>(&action))
    add(forget->address);
  return pointers;
}

CUresult Context::capture(Stream &stream, Action action) {
  Capture &capture = *stream.capture;
  if (!capture.valid)
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (std::holds_alternative<GraphLaunch>(action))
    return invalidate(capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a graph is launched in a capture");
  auto node = std::make_shared<Node>();
  node->pointers = pointersOf(action);
  node->action = std::move(action);
  node->after = stream.frontier;
  stream.frontier = {uint32_t(capture.nodes.size())};
  capture.nodes.push_back(std::move(node));
  return CUDA_SUCCESS;
}

CUresult Context::endCapture(const std::shared_ptr<Stream> &stream, CUgraph &handle) {
  std::shared_ptr<Capture> capture = stream->capture;
  if (!capture)
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (capture->origin != stream)
    return invalidate(*capture, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED,
                      "a capture ends in another stream than it began in");
  // What the end is behind: everything else was never joined.
  std::vector<bool> joined(capture->nodes.size());
  std::vector<uint32_t> left = stream->frontier;
  while (!left.empty()) {
    const uint32_t node = left.back();
    left.pop_back();
    if (joined[node])
      continue;
    joined[node] = true;
    left.insert(left.end(), capture->nodes[node]->after.begin(), capture->nodes[node]->after.end());
  }
  for (const std::shared_ptr<Stream> &each : capture->streams) {
    each->capture = nullptr;
    each->frontier.clear();
  }
  capture->ended = true;
  if (!capture->valid)
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (std::find(joined.begin(), joined.end(), false) != joined.end())
    return refuse(CUDA_ERROR_STREAM_CAPTURE_UNJOINED,
                  "a capture ends, and work of another stream was not joined to it");
  capture->graph->nodes.assign(capture->nodes.begin(), capture->nodes.end());
  handle = graphs.add(capture->graph);
  return CUDA_SUCCESS;
}

CUresult Context::instantiate(const Graph &graph, CUgraphExec &handle) {
  auto executable = std::make_shared<ExecutableGraph>();
  executable->lengths = {0};
  executable->chains = {0};
  std::vector<bool> continued(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    auto node = std::make_shared<Node>(*graph.nodes[i]);
    // It continues the branch of the first node before it that nothing continues yet.
    node->branch = UINT32_MAX;
    for (uint32_t before : node->after)
      if (!continued[before] && node->branch == UINT32_MAX) {
        continued[before] = true;
        node->branch = executable->nodes[before]->branch;
      }
    if (node->branch == UINT32_MAX) {
      node->branch = executable->lengths[0] == 0 ? 0 : uint32_t(executable->lengths.size());
      if (node->branch) {
        executable->lengths.push_back(0);
        executable->chains.push_back(order_.newChain());
      }
    }
    node->indexInBranch = uint32_t(executable->lengths[node->branch]++);
    executable->nodes.push_back(std::move(node));
  }
  executable->positions.resize(executable->lengths.size());
  handle = executables.add(std::move(executable));
  return CUDA_SUCCESS;
}

CUresult Context::launch(const std::shared_ptr<ExecutableGraph> &graph,
                         const std::shared_ptr<Stream> &stream) {
  GraphLaunch launch{graph, {}, {}, {}};
  launch.atCall.resize(graph->nodes.size());
  launch.deviceWrites.resize(graph->nodes.size());
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    const Node &node = *graph->nodes[i];
    for (auto [address, identity] : node.pointers) {
      const uint64_t now = memory->identity(address);
      if (now == identity && now)
        continue;
      auto *kernel = std::get_if<Launch>(&node.action);
      return fail(
          {CUDA_ERROR_ILLEGAL_ADDRESS,
           concat("graph: ", kernel ? concat("kernel '", kernel->kernel->name, "'") : "a copy or fill",
                  " was captured with an address that is ", memory->describe(address),
                  now ? "; another block was there at the capture" : "")});
    }
    if (auto *copy = std::get_if<Copy>(&node.action); copy && copy->kind == Copy::Kind::toDevice) {
      bool whole = false;
      if (!memory->isPinned(copy->host, copy->bytes, whole) || !whole)
        return fail({CUDA_ERROR_ILLEGAL_ADDRESS,
                     "graph: a copy was captured with pinned memory of the host that was freed"});
      rememberHost(*copy, launch.atCall[i], launch.deviceWrites[i]);
    }
  }
  std::vector<Point> waits;
  if (graph->last.stream && graph->last.stream->done < graph->last.position)
    waits.push_back(graph->last);
  const Clock behind = graph->lastClock;
  if (CUresult code = submit(stream, std::move(launch), std::move(waits), &behind); code != CUDA_SUCCESS)
    return code;
  graph->last = {stream, stream->submitted};
  graph->lastClock = stream->clock;
  return CUDA_SUCCESS;
}

} // namespace moe::emu
