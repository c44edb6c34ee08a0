// Streams, events and graphs.
#include "runtime/emulator/Exports.h"

using namespace moe::emu;

namespace {

template <typename F> CUresult callEvent(CUevent handle, F f, const char *name = __builtin_FUNCTION()) {
  return callContext(
      [&](Context &context) -> CUresult {
        std::shared_ptr<Event> event = context.events.find(handle);
        return event ? f(context, *event) : CUDA_ERROR_INVALID_HANDLE;
      },
      name);
}

CUgraphNodeType typeOf(const Action &action) {
  if (std::holds_alternative<Launch>(action))
    return CU_GRAPH_NODE_TYPE_KERNEL;
  if (std::holds_alternative<Copy>(action))
    return CU_GRAPH_NODE_TYPE_MEMCPY;
  if (std::holds_alternative<Fill>(action))
    return CU_GRAPH_NODE_TYPE_MEMSET;
  return CU_GRAPH_NODE_TYPE_EMPTY;
}

} // namespace

MOERT_EMULATOR_EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  return callContext([&](Context &context) {
    return stream ? context.createStream(flags, *stream) : CUDA_ERROR_INVALID_VALUE;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuStreamDestroy_v2(CUstream stream) {
  return callContext([&](Context &context) { return context.destroyStream(stream); });
}

MOERT_EMULATOR_EXPORT CUresult cuStreamSynchronize(CUstream stream) {
  return callStream(
      stream, [](Context &context, const std::shared_ptr<Stream> &at) { return context.synchronize(at); });
}

MOERT_EMULATOR_EXPORT CUresult cuStreamQuery(CUstream stream) {
  return callStream(stream,
                    [](Context &context, const std::shared_ptr<Stream> &at) { return context.query(at); });
}

MOERT_EMULATOR_EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent handle, unsigned flags) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) -> CUresult {
    std::shared_ptr<Event> event = context.events.find(handle);
    if (!event)
      return CUDA_ERROR_INVALID_HANDLE;
    return flags ? CUDA_ERROR_INVALID_VALUE : context.wait(at, *event);
  });
}

MOERT_EMULATOR_EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) {
    return context.beginCapture(at, mode);
  });
}

MOERT_EMULATOR_EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) {
    return graph ? context.endCapture(at, *graph) : CUDA_ERROR_INVALID_VALUE;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuEventCreate(CUevent *event, unsigned flags) {
  return callContext([&](Context &context) {
    if (!event || flags & ~unsigned(CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING))
      return CUDA_ERROR_INVALID_VALUE;
    auto made = std::make_shared<Event>();
    made->flags = flags;
    *event = context.events.add(std::move(made));
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuEventDestroy_v2(CUevent event) {
  return callContext([&](Context &context) {
    return context.events.take(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuEventRecord(CUevent handle, CUstream stream) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) -> CUresult {
    std::shared_ptr<Event> event = context.events.find(handle);
    return event ? context.record(*event, at) : CUDA_ERROR_INVALID_HANDLE;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuEventQuery(CUevent event) {
  return callEvent(event, [](Context &context, Event &at) { return context.query(at); });
}

MOERT_EMULATOR_EXPORT CUresult cuEventSynchronize(CUevent event) {
  return callEvent(event, [](Context &context, Event &at) { return context.synchronize(at); });
}

MOERT_EMULATOR_EXPORT CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
  return callEvent(start, [&](Context &context, Event &from) -> CUresult {
    std::shared_ptr<Event> to = context.events.find(end);
    if (!to || !from.timing || !to->timing || (from.flags | to->flags) & CU_EVENT_DISABLE_TIMING)
      return CUDA_ERROR_INVALID_HANDLE;
    if (!milliseconds)
      return CUDA_ERROR_INVALID_VALUE;
    if (!from.timing->passed || !to->timing->passed)
      return CUDA_ERROR_NOT_READY;
    *milliseconds = float(to->timing->milliseconds - from.timing->milliseconds);
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph handle,
                                                           unsigned long long flags) {
  return callContext([&](Context &context) -> CUresult {
    std::shared_ptr<Graph> graph = context.graphs.find(handle);
    if (!graph || !executable || flags)
      return CUDA_ERROR_INVALID_VALUE;
    return context.instantiate(*graph, *executable);
  });
}

MOERT_EMULATOR_EXPORT CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
  return callStream(stream, [&](Context &context, const std::shared_ptr<Stream> &at) -> CUresult {
    std::shared_ptr<ExecutableGraph> graph = context.executables.find(executable);
    return graph ? context.launch(graph, at) : CUDA_ERROR_INVALID_VALUE;
  });
}

// A launch that was given to a stream keeps the graph.
MOERT_EMULATOR_EXPORT CUresult cuGraphExecDestroy(CUgraphExec executable) {
  return callContext([&](Context &context) {
    return context.executables.take(executable) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuGraphDestroy(CUgraph graph) {
  return callContext(
      [&](Context &context) { return context.graphs.take(graph) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

MOERT_EMULATOR_EXPORT CUresult cuGraphGetNodes(CUgraph handle, CUgraphNode *nodes, size_t *count) {
  return callContext([&](Context &context) {
    std::shared_ptr<Graph> graph = context.graphs.find(handle);
    if (!graph || !count)
      return CUDA_ERROR_INVALID_VALUE;
    if (nodes)
      for (size_t i = 0; i < *count; ++i) // those beyond the last are null
        nodes[i] = i < graph->nodes.size()
                       ? reinterpret_cast<CUgraphNode>(const_cast<Node *>(graph->nodes[i].get()))
                       : nullptr;
    *count = nodes ? std::min(*count, graph->nodes.size()) : graph->nodes.size();
    return CUDA_SUCCESS;
  });
}

MOERT_EMULATOR_EXPORT CUresult cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType *type) {
  return callContext([&](Context &context) {
    for (auto &[name, graph] : context.graphs)
      for (const std::shared_ptr<const Node> &node : graph->nodes)
        if (reinterpret_cast<CUgraphNode>(const_cast<Node *>(node.get())) == handle && type) {
          *type = typeOf(node->action);
          return CUDA_SUCCESS;
        }
    return CUDA_ERROR_INVALID_VALUE;
  });
}
