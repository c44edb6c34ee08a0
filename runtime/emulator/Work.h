// What streams and graphs consist of: pieces of work with all that they need copied at the call, except for pinned memory of the
// host, which is read and written when the work is done.
#pragma once

#include "runtime/emulator/Launch.h"

#include <deque>
#include <memory>
#include <thread>
#include <variant>

namespace moe::emu {

struct Copy {
  enum class Kind { toDevice, toHost, within } kind;
  uint64_t to = 0, from = 0; // of the device
  std::byte *host = nullptr;
  uint64_t bytes = 0;
  /// The bytes at the call. Of pageable memory they are what is copied; of pinned memory, in the checked mode, they show whether
  /// the host has changed the memory meanwhile.
  bool pageable = false;
  std::vector<std::byte> atCall = {};
  uint64_t deviceWrites = 0; // to that pinned memory, at the call
};

struct Fill {
  uint64_t to;
  uint32_t value, width; // bytes of a value: 1 or 4
  uint64_t count;
  uint64_t bytes() const { return count * width; }
};

/// The range counts as never written from then on.
struct Forget {
  uint64_t address, bytes;
};

/// When an event was passed.
struct Timing {
  bool passed = false;
  double milliseconds = 0;
};
struct Mark {
  std::shared_ptr<Timing> timing;
};

struct ExecutableGraph;
struct GraphLaunch {
  std::shared_ptr<ExecutableGraph> graph;
  std::vector<uint64_t> bases;                // position of each branch's chain before the launch
  std::vector<std::vector<std::byte>> atCall; // as in Copy, a node
  std::vector<uint64_t> deviceWrites;
};

/// Work that only waits has no action.
using Action = std::variant<std::monostate, Launch, Copy, Fill, Forget, Mark, GraphLaunch>;

struct Stream;
/// A place in a stream: behind the first `position` pieces of work that it was ever given.
struct Point {
  std::shared_ptr<Stream> stream;
  uint64_t position = 0;
};

struct Work {
  Action action;
  std::vector<Point> waits; // what is done first
  Clock clock;              // of a graph's launch: without the graph
};

struct Capture;
struct Stream {
  uint32_t chain = 0;
  bool legacy = false;   // the stream that null names
  bool blocking = false; // waits for the legacy stream, which waits for it
  std::deque<Work> pending;
  uint64_t submitted = 0, done = 0;
  Clock clock; // behind all that was submitted

  std::shared_ptr<Capture> capture;
  std::vector<uint32_t> frontier; // nodes that the next one comes behind
};

struct Event {
  unsigned flags = 0;
  std::shared_ptr<Timing> timing; // of the last record; none: never recorded
  Point point;
  Clock clock;
  std::shared_ptr<Capture> capture; // recorded in a capture: it stands for nodes of a graph
  std::vector<uint32_t> frontier;
};

struct Node {
  Action action;
  std::vector<uint32_t> after;
  /// Addresses of the device that it uses, and which blocks they were in when it was captured.
  std::vector<std::pair<uint64_t, uint64_t>> pointers;
  uint32_t branch = 0, indexInBranch = 0;
};

struct Graph {
  std::vector<std::shared_ptr<const Node>> nodes; // each behind those that it comes after
};

struct ExecutableGraph {
  std::vector<std::shared_ptr<const Node>> nodes;
  /// Branches of nodes that follow one another. The first is on the chain of the stream that the graph is launched in; each other
  /// one has a chain.
  std::vector<uint64_t> lengths;
  std::vector<uint32_t> chains;
  std::vector<uint64_t> positions;
  Point last; // its last launch: launches of one executable graph follow one another
  Clock lastClock;
};

struct Capture {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  std::vector<std::shared_ptr<Node>> nodes;
  std::shared_ptr<Stream> origin;
  std::vector<std::shared_ptr<Stream>> streams; // with the origin
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::thread::id thread = std::this_thread::get_id(); // that began it
  bool valid = true;
  bool ended = false;
};

} // namespace moe::emu
