// The primary context of the emulated GPU: its memory, streams, events, modules and graphs. Work is given to streams and done as
// late as CUDA's rules allow: when the host waits for it or asks whether it is done, or when other work that is done waits for it.
// So a host that reads a result too early, or reuses memory that a copy is still to read, is wrong in every run.
//
// An error of a kernel or a copy ends the context, as on a GPU: every later call returns it.
#pragma once

#include "runtime/emulator/Executor.h"
#include "runtime/emulator/Work.h"

#include <map>
#include <unordered_map>

namespace moe::emu {

/// Objects by the handles that the host has. A handle that was destroyed is unknown again.
template <typename T, typename Handle> class Handles {
public:
  Handle add(std::shared_ptr<T> object) {
    auto handle = reinterpret_cast<Handle>(object.get());
    objects_[handle] = std::move(object);
    return handle;
  }
  std::shared_ptr<T> find(Handle handle) const {
    auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second;
  }
  std::shared_ptr<T> take(Handle handle) {
    std::shared_ptr<T> object = find(handle);
    objects_.erase(handle);
    return object;
  }
  auto begin() const { return objects_.begin(); }
  auto end() const { return objects_.end(); }

private:
  std::unordered_map<Handle, std::shared_ptr<T>> objects_;
};

struct Function {
  std::shared_ptr<const LoadedModule> module;
  const KernelEntry *kernel;
  int dynamicShared = 0; // bytes that a launch may ask for
};

struct ModuleObject {
  std::shared_ptr<const LoadedModule> module;
  std::map<std::string, std::shared_ptr<Function>> functions;
};

class Context {
public:
  /// Bytes of shared memory that a function may have before more dynamic memory is asked for by its attribute.
  static constexpr int kUsualShared = int(kMostStaticShared);

  static CUresult create(const Settings &settings, std::unique_ptr<Context> &context);
  ~Context();
  Context(const Context &) = delete;

  /// The error that has ended the context, or CUDA_SUCCESS.
  CUresult failure() const { return failure_; }
  /// What has ended the context, or else what was wrong with the call that was refused last, in words.
  const std::string &finding() const { return finding_; }
  /// A call is wrong by itself: the context goes on.
  CUresult refuse(CUresult code, std::string text);
  /// Ends the context.
  CUresult fail(Finding finding);

  // Work (Streams.cpp).
  CUresult createStream(unsigned flags, CUstream &handle);
  CUresult destroyStream(CUstream handle);
  /// Null is the legacy stream.
  std::shared_ptr<Stream> stream(CUstream handle) const;
  /// Adds work to a stream, or a node to the graph that it captures.
  CUresult submit(const std::shared_ptr<Stream> &stream, Action action, std::vector<Point> waits = {},
                  const Clock *behind = nullptr);
  CUresult launch(const Function &function, Launch launch, const std::shared_ptr<Stream> &stream);
  CUresult copy(Copy copy, const std::shared_ptr<Stream> &stream);
  CUresult fill(Fill fill, const std::shared_ptr<Stream> &stream);
  CUresult synchronize(const std::shared_ptr<Stream> &stream);
  /// Does one piece of work if there is any.
  CUresult query(const std::shared_ptr<Stream> &stream);
  CUresult record(Event &event, const std::shared_ptr<Stream> &stream);
  CUresult wait(const std::shared_ptr<Stream> &stream, const Event &event);
  CUresult synchronize(const Event &event);
  CUresult query(const Event &event);

  // Graphs (Graphs.cpp).
  CUresult beginCapture(const std::shared_ptr<Stream> &stream, CUstreamCaptureMode mode);
  CUresult endCapture(const std::shared_ptr<Stream> &stream, CUgraph &handle);
  CUresult instantiate(const Graph &graph, CUgraphExec &handle);
  CUresult launch(const std::shared_ptr<ExecutableGraph> &graph, const std::shared_ptr<Stream> &stream);
  /// Calls that the capture of a stream forbids invalidate it.
  CUresult forbidWhileCapturing(const char *call);
  CUresult forbidWhileCapturing(const Stream &stream, const char *call);

  const Settings settings;
  std::unique_ptr<DeviceMemory> memory;
  Handles<Event, CUevent> events;
  Handles<ModuleObject, CUmodule> modules;
  Handles<Function, CUfunction> functions;
  Handles<Graph, CUgraph> graphs;
  Handles<ExecutableGraph, CUgraphExec> executables;

private:
  explicit Context(const Settings &settings);

  // Executing (Perform.cpp).
  void runUntil(Stream &stream, uint64_t position);
  void runNext(Stream &stream);
  void step(Stream &stream);
  /// Forgets pieces of work that happened before all that is and will be given to streams.
  void forgetOldWork();
  void perform(Work &work, const Stream &stream);
  Findings perform(const Action &action, uint32_t chain, const Clock &clock);
  Findings perform(const Launch &launch, uint32_t chain, const Clock &clock);
  Findings perform(const Copy &copy, uint32_t chain, const Clock &clock);
  Findings perform(const Fill &fill, uint32_t chain, const Clock &clock);
  Findings perform(const Forget &forget, uint32_t chain, const Clock &clock);
  Findings perform(const GraphLaunch &launch, uint32_t chain, const Clock &clock);
  Findings copyToDevice(const Copy &copy, const std::vector<std::byte> &atCall, uint64_t deviceWrites);
  void rememberHost(const Copy &copy, std::vector<std::byte> &atCall, uint64_t &deviceWrites) const;

  CUresult capture(Stream &stream, Action action);
  CUresult invalidate(Capture &capture, CUresult code, std::string text);
  std::vector<std::pair<uint64_t, uint64_t>> pointersOf(const Action &action) const;

  Order order_;
  std::unique_ptr<Checker> checker_; // checked mode; after the memory that it observes
  Executor executor_;
  std::shared_ptr<Stream> legacy_;
  Handles<Stream, CUstream> streams_;
  std::vector<std::weak_ptr<Capture>> captures_;
  Clock host_; // behind what the host has waited for
  uint64_t graphLaunches_ = 0;
  uint64_t kernels_ = 0; // that were run, or failed
  CUresult failure_ = CUDA_SUCCESS;
  std::string finding_;
};

} // namespace moe::emu
