// Evaluates a plan at a batch size and packs its temporaries. Those that prepare makes and steps read outlive
// a run and so lie apart from the arena, which sessions share.
#include "runtime/session/Layout.h"
#include "runtime/program/Verify.h"
#include "runtime/session/Packer.h"

namespace moert {

namespace {

constexpr uint64_t kMaxBytes = uint64_t(1) << 46; // half of what x86-64 gives a process
constexpr int64_t kMaxElements = INT32_MAX;       // what a kernel's 32-bit lane can index

class Binder {
public:
  Binder(const Program &program, const fb::Target &target, const fb::Plan &plan, Binding binding)
      : program_(program), target_(target), plan_(plan),
        entry_(*program.table().entries()->Get(plan.entry())), binding_(binding) {}
  Result<Layout> run();

private:
  Status evaluate();
  /// The value of an expression; a failure where it has none.
  Result<int64_t> value(uint32_t expr) const;
  std::string nameOf(const fb::Buffer &buffer) const;
  Status ports(const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> &ports, std::vector<uint64_t> &bytes,
               std::vector<int64_t> &elements);
  Status buffers();
  std::string largestBatch(); // of as many domains
  Status launch(const fb::Launch &launch, uint32_t number);
  Status packTemporaries();

  const Program &program_;
  const fb::Target &target_;
  const fb::Plan &plan_;
  const fb::Entry &entry_;
  Binding binding_;
  std::vector<int64_t> values_;   // of every expression that evaluates, else -1
  std::vector<int64_t> elements_; // of every buffer
  std::vector<int64_t> inputs_, outputs_;
  Layout layout_;
};

// Only what the plan names must have a value: another entry may divide by what is zero here.
Status Binder::evaluate() {
  if (binding_.domains < 1 || binding_.rows < 1)
    return broken("B02", "expected at least one domain and one image, found ", binding_.domains, " x ",
                  binding_.rows);
  for (const fb::Expr *expr : *program_.table().exprs()) {
    Result<int64_t> value = evaluateExpr(*expr, binding_);
    values_.push_back(value ? *value : -1);
  }
  return {};
}

Result<int64_t> Binder::value(uint32_t expr) const {
  return values_[expr] >= 0 ? Result<int64_t>(values_[expr]) : program_.evaluate(expr, binding_);
}

std::string Binder::nameOf(const fb::Buffer &buffer) const {
  switch (buffer.kind()) {
  case fb::BufferKind::state:
    return concat(", state '", program_.table().states()->Get(buffer.index())->path()->string_view(), "'");
  case fb::BufferKind::input:
    return concat(", input '", entry_.inputs()->Get(buffer.index())->name()->string_view(), "'");
  case fb::BufferKind::output:
    return concat(", output '", entry_.outputs()->Get(buffer.index())->name()->string_view(), "'");
  default:
    return buffer.name() ? concat(", '", buffer.name()->string_view(), "'") : "";
  }
}

Status Binder::ports(const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> &ports,
                     std::vector<uint64_t> &bytes, std::vector<int64_t> &elements) {
  for (const fb::Port *port : ports) {
    MOERT_ASSIGN(std::vector<int64_t> shape, program_.shape(*port, binding_));
    int64_t count = 1, size;
    for (int64_t extent : shape)
      if (__builtin_mul_overflow(count, extent, &count))
        return broken("B01", "'", port->name()->string_view(), "' has too many elements at ",
                      binding_.domains, " x ", binding_.rows, " images");
    if (__builtin_mul_overflow(count, int64_t(elementBytes(port->type())), &size) ||
        uint64_t(size) > kMaxBytes)
      return broken("B05", "'", port->name()->string_view(), "' of ", count,
                    " elements does not fit in memory");
    elements.push_back(count);
    bytes.push_back(uint64_t(size));
    layout_.memory.ports += uint64_t(size);
    if (layout_.memory.ports > kMaxBytes)
      return broken("B05", "inputs and outputs do not fit in memory at ", binding_.domains, " x ",
                    binding_.rows, " images");
  }
  return {};
}

std::string Binder::largestBatch() {
  auto fits = [&](int64_t rows) {
    for (const fb::Buffer *buffer : *plan_.buffers()) {
      auto elements = program_.evaluate(buffer->extent(), {binding_.domains, rows});
      if (!elements.ok() || *elements > kMaxElements)
        return false;
    }
    return true;
  };
  int64_t fitting = 0, tooMany = binding_.rows; // sizes grow with the rows
  while (tooMany - fitting > 1) {
    int64_t middle = fitting + (tooMany - fitting) / 2;
    (fits(middle) ? fitting : tooMany) = middle;
  }
  return fitting ? concat("at most ", binding_.domains, " x ", fitting) : "fewer domains";
}

Status Binder::buffers() {
  for (unsigned i = 0; i < plan_.buffers()->size(); ++i) {
    const fb::Buffer &buffer = *plan_.buffers()->Get(i);
    MOERT_ASSIGN(int64_t elements, value(buffer.extent()));
    if (elements > kMaxElements)
      return broken("B06", "entry '", entry_.name()->string_view(), "', buffer ", i, nameOf(buffer),
                    ": expected at most ", kMaxElements, " elements, found ", elements, " at ",
                    binding_.domains, " x ", binding_.rows, " images; use ", largestBatch());
    int64_t bytes = elements * int64_t(elementBytes(buffer.type()));
    BufferLayout layout = {Place::arena, 0, buffer.index(), uint64_t(bytes)};
    int64_t expected = elements;
    switch (buffer.kind()) {
    case fb::BufferKind::state: {
      layout.place = Place::state;
      expected = 1;
      for (int64_t extent : *program_.table().states()->Get(buffer.index())->shape())
        expected *= extent; // V12 bounds the product
      break;
    }
    case fb::BufferKind::input:
      layout.place = Place::input;
      expected = inputs_[buffer.index()];
      break;
    case fb::BufferKind::output:
      layout.place = Place::output;
      expected = outputs_[buffer.index()];
      break;
    case fb::BufferKind::constant:
      layout.place = Place::constant;
      layout.offset = buffer.offset();
      layout_.memory.constants += uint64_t(bytes);
      break;
    case fb::BufferKind::temporary:
      break;
    }
    if (elements != expected)
      return broken("B03", "entry '", entry_.name()->string_view(), "', buffer ", i, ": expected the ",
                    expected, " elements of what it stands for, found ", elements, " at ", binding_.domains,
                    " x ", binding_.rows, " images");
    elements_.push_back(elements);
    layout_.buffers.push_back(layout);
  }
  return {};
}

Status Binder::launch(const fb::Launch &launch, uint32_t number) {
  LaunchLayout layout = {};
  MOERT_ASSIGN(layout.units, value(launch.units()));
  for (unsigned i = 0; i < launch.buffers()->size(); ++i) {
    MOERT_ASSIGN(int64_t extent, value(launch.extents()->Get(i)));
    uint32_t buffer = launch.buffers()->Get(i);
    if (extent > elements_[buffer])
      return broken("B04", "entry '", entry_.name()->string_view(), "', launch ", number, " (",
                    launch.op() ? launch.op()->string_view() : std::string_view("unnamed"),
                    "): expected to touch at most the ", elements_[buffer], " elements of buffer ", buffer,
                    ", found ", extent, " at ", binding_.domains, " x ", binding_.rows, " images");
    layout.extents.push_back(extent);
  }
  for (const fb::Arg *arg : *launch.scalars())
    if (arg->kind() == fb::ArgKind::extent)
      MOERT_TRY(value(uint32_t(arg->value())).status());
  layout.flops = double(values_[launch.flops()]);
  layout.bytes = double(values_[launch.bytes()]);
  const fb::Kernel &kernel = *target_.kernels()->Get(launch.kernel());
  layout_.scratch = std::max<uint64_t>(layout_.scratch, kernel.scratch());
  layout_.launches.push_back(std::move(layout));
  return {};
}

Status Binder::packTemporaries() {
  uint32_t prepares = plan_.prepare()->size();
  std::vector<PackItem> items;
  std::vector<uint32_t> which;
  uint64_t sum = 0;
  for (unsigned i = 0; i < layout_.buffers.size(); ++i) {
    const fb::Buffer &buffer = *plan_.buffers()->Get(i);
    if (buffer.kind() != fb::BufferKind::temporary)
      continue;
    BufferLayout &layout = layout_.buffers[i];
    sum += layout.bytes;
    if (sum > kMaxBytes)
      return broken("B05", "the temporaries do not fit in memory at ", binding_.domains, " x ", binding_.rows,
                    " images");
    if (buffer.first() < prepares && buffer.last() >= prepares) {
      uint64_t alignment = std::max<uint64_t>(buffer.alignment(), 64);
      layout.place = Place::prepared;
      layout.offset = (layout_.memory.prepared + alignment - 1) / alignment * alignment;
      layout_.memory.prepared = layout.offset + layout.bytes;
      continue;
    }
    items.push_back({layout.bytes, buffer.alignment(), buffer.first(), buffer.last()});
    which.push_back(i);
  }
  Packing packing = pack(items);
  for (size_t i = 0; i < which.size(); ++i)
    layout_.buffers[which[i]].offset = packing.offsets[i];
  layout_.memory.arena = packing.bytes;
  layout_.memory.live = packing.live;
  return {};
}

Result<Layout> Binder::run() {
  MOERT_TRY(evaluate());
  MOERT_TRY(ports(*entry_.inputs(), layout_.inputs, inputs_));
  MOERT_TRY(ports(*entry_.outputs(), layout_.outputs, outputs_));
  MOERT_TRY(buffers());
  uint32_t number = 0;
  for (const auto *launches : {plan_.prepare(), plan_.step()})
    for (const fb::Launch *each : *launches)
      MOERT_TRY(launch(*each, number++));
  MOERT_TRY(packTemporaries());
  return std::move(layout_);
}

} // namespace

Result<Layout> layOut(const Program &program, const fb::Target &target, const fb::Plan &plan,
                      Binding binding) {
  Result<Layout> layout = Binder(program, target, plan, binding).run();
  if (!layout)
    return Status(layout.status()).in(program.path());
  return layout;
}

static uint64_t stateBytes(const fb::Program &program) {
  uint64_t total = 0;
  for (const fb::State *state : *program.states()) {
    uint64_t bytes = elementBytes(state->type());
    for (int64_t extent : *state->shape())
      bytes *= uint64_t(extent);
    total += (bytes + 63) / 64 * 64;
  }
  return total;
}

Result<Session::MemoryUse> memoryUse(const Program &program, uint32_t target, std::string_view entry,
                                     Binding binding, int threads) {
  MOERT_ASSIGN(const fb::Entry *found, program.entry(entry));
  const fb::Target &row = *program.table().targets()->Get(target);
  MOERT_ASSIGN(Layout layout, layOut(program, row, program.plan(row, *found), binding));
  layout.memory.state = stateBytes(program.table());
  layout.memory.scratch = layout.scratch * uint64_t(threads);
  return layout.memory;
}

} // namespace moert
