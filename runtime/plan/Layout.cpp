// Evaluates a plan at a batch size and packs its temporaries. Those that prepare makes and steps read outlive
// a run and so lie apart from the arena, which sessions share.
#include "runtime/plan/Layout.h"
#include "runtime/plan/Packer.h"
#include "runtime/program/Verify.h"

namespace moert {

namespace {

constexpr uint64_t kMaxBytes = uint64_t(1) << 46; // half of what x86-64 gives a process
constexpr int64_t kMaxUnits = INT32_MAX;          // what the threads' shared counter counts
// What a launch may ask of any GPU of compute capability 8.0 or later ("Technical Specifications per Compute
// Capability" in NVIDIA's CUDA C++ Programming Guide). A GPU may have less shared memory than the most of all.
constexpr std::array<int64_t, 3> kMaxGrid = {INT32_MAX, 65535, 65535};
constexpr std::array<int64_t, 3> kMaxBlock = {1024, 1024, 64};
constexpr int64_t kMaxShared = 227 * 1024;

class Binder {
public:
  Binder(const Program &program, const fb::Target &target, const fb::Plan &plan, Binding binding)
      : program_(program), target_(target), plan_(plan),
        entry_(*program.table().entries()->Get(plan.entry())), binding_(binding) {}
  Result<Layout> run();

private:
  Status evaluate();
  /// A size of what `where` says: a failure where it overflows, is less than 1, or is more than `most`.
  Result<int64_t> size(uint32_t expr, const std::string &where, int64_t most) const;
  Result<int64_t> size(uint32_t expr, const std::string &where) const {
    return size(expr, where, target_.most_elements());
  }
  /// A number of units.
  Result<int64_t> count(uint32_t expr, const std::string &where) const;
  std::string at() const { return concat(" at ", binding_.domains, " x ", binding_.rows, " images"); }
  std::string nameOf(const fb::Buffer &buffer) const;
  Status ports(const flatbuffers::Vector<flatbuffers::Offset<fb::Port>> &ports, std::vector<uint64_t> &bytes,
               std::vector<int64_t> &elements);
  Status buffers();
  /// "; use at least 1 x 5": the nearest batch of as many domains where the refused size, which is to be at
  /// most `most`, and all others are in their bounds; none where there is no such batch.
  std::string advice(uint32_t refused, int64_t most) const;
  /// How the sizes fit at a batch: -1 where one is too small, 1 where one is too large or none, else 0.
  int misfit(Binding binding, uint32_t refused, int64_t most) const;
  Status launch(const fb::Launch &launch, uint32_t number);
  Status grid(const fb::GpuKernel &work, const std::string &where, LaunchLayout &layout) const;
  Status packTemporaries();

  const Program &program_;
  const fb::Target &target_;
  const fb::Plan &plan_;
  const fb::Entry &entry_;
  Binding binding_;
  std::vector<int64_t> values_;   // of every expression that evaluates to 0 or more, else -1
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
    Result<int64_t> value = evaluateExpr(program_.table(), *expr, binding_);
    values_.push_back(value ? *value : -1);
  }
  return {};
}

Result<int64_t> Binder::count(uint32_t expr, const std::string &where) const {
  if (values_[expr] >= 0)
    return values_[expr];
  auto found = evaluateExpr(program_.table(), *program_.table().exprs()->Get(expr), binding_);
  return found.ok()
             ? found
             : Status(found.status()).in(concat("entry '", entry_.name()->string_view(), "', ", where));
}

Result<int64_t> Binder::size(uint32_t expr, const std::string &where, int64_t most) const {
  std::string place = concat("entry '", entry_.name()->string_view(), "', ", where);
  std::optional<int64_t> found = calculate(program_.table(), *program_.table().exprs()->Get(expr), binding_);
  if (!found)
    return broken("B01", place, ": a size overflows or divides by zero", at(), advice(expr, most));
  if (*found < 1)
    return broken(*found ? "B01" : "B07", place, ": expected sizes of at least 1, found ", *found, at(),
                  advice(expr, most));
  if (*found > most)
    return broken("B06", place, ": expected at most ", most, " elements, found ", *found, at(),
                  advice(expr, most));
  return *found;
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
    int64_t count = 1, size;
    for (uint32_t expr : *port->shape()) {
      MOERT_ASSIGN(int64_t extent, this->size(expr, concat("'", port->name()->string_view(), "'"),
                                              INT64_MAX)); // B06 is for products
      if (__builtin_mul_overflow(count, extent, &count))
        return broken("B01", "'", port->name()->string_view(), "' has too many elements", at());
    }
    if (__builtin_mul_overflow(count, int64_t(elementBytes(port->type())), &size) ||
        uint64_t(size) > kMaxBytes)
      return broken("B05", "'", port->name()->string_view(), "' of ", count,
                    " elements does not fit in memory");
    elements.push_back(count);
    bytes.push_back(uint64_t(size));
    layout_.memory.ports += uint64_t(size);
    if (layout_.memory.ports > kMaxBytes)
      return broken("B05", "inputs and outputs do not fit in memory", at());
  }
  return {};
}

int Binder::misfit(Binding binding, uint32_t refused, int64_t most) const {
  int result = 0;
  auto fits = [&](uint32_t expr, int64_t largest) {
    auto size = calculate(program_.table(), *program_.table().exprs()->Get(expr), binding);
    result = size && *size < 1 ? -1 : result;
    return size && *size <= largest;
  };
  if (!fits(refused, most))
    return 1;
  for (const fb::Buffer *buffer : *plan_.buffers())
    if (!fits(buffer->extent(), target_.most_elements()))
      return 1;
  for (const auto *launches : {plan_.prepare(), plan_.step()})
    for (const fb::Launch *launch : *launches)
      for (const fb::Arg *arg : *launch->scalars())
        if (arg->kind() == fb::ArgKind::extent && !fits(uint32_t(arg->value()), target_.most_elements()))
          return 1;
  return result;
}

// Sizes grow with the rows, and with the domains. Only a batch that was tried is advised.
std::string Binder::advice(uint32_t refused, int64_t most) const {
  auto fit = [&](int64_t domains, int64_t rows) { return misfit({domains, rows}, refused, most); };
  int64_t low = 0, high = binding_.rows;
  if (fit(binding_.domains, high) < 0) {
    for (low = high; fit(binding_.domains, high) < 0; low = high, high *= 2)
      if (high > INT32_MAX)
        return "";
    while (high - low > 1) {
      int64_t middle = low + (high - low) / 2;
      (fit(binding_.domains, middle) < 0 ? low : high) = middle;
    }
    return fit(binding_.domains, high) ? "" : concat("; use at least ", binding_.domains, " x ", high);
  }
  // The largest number that is not too large, from 0, which is not tried, to `end`, which is.
  auto largest = [](int64_t end, auto misfit) {
    int64_t last = 0;
    while (end - last > 1) {
      int64_t middle = last + (end - last) / 2;
      (misfit(middle) > 0 ? end : last) = middle;
    }
    return last;
  };
  if (int64_t rows = largest(high, [&](int64_t rows) { return fit(binding_.domains, rows); }))
    return fit(binding_.domains, rows) ? "" : concat("; use at most ", binding_.domains, " x ", rows);
  int64_t domains = largest(binding_.domains, [&](int64_t domains) { return fit(domains, 1); });
  return !domains || fit(domains, 1) ? "" : concat("; use at most ", domains, " x 1");
}

Status Binder::buffers() {
  for (unsigned i = 0; i < plan_.buffers()->size(); ++i) {
    const fb::Buffer &buffer = *plan_.buffers()->Get(i);
    MOERT_ASSIGN(int64_t elements, size(buffer.extent(), concat("buffer ", i, nameOf(buffer))));
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

/// The sizes of a GPU kernel's launch.
Status Binder::grid(const fb::GpuKernel &work, const std::string &where, LaunchLayout &layout) const {
  std::string place = concat("entry '", entry_.name()->string_view(), "', ", where);
  auto within = [&](uint32_t expr, int64_t least, int64_t most, const char *what, uint32_t &out) -> Status {
    std::optional<int64_t> found =
        calculate(program_.table(), *program_.table().exprs()->Get(expr), binding_);
    if (!found || *found < least || *found > most)
      return broken("B10", place, ": expected ", least, " to ", most, " ", what, ", found ",
                    found ? std::to_string(*found) : "more than 64 bits can count", at());
    out = uint32_t(*found);
    return {};
  };
  const uint32_t threads = target_.kernels()->Get(work.kernel())->threads();
  uint64_t block = 1;
  for (unsigned axis = 0; axis < 3; ++axis) {
    MOERT_TRY(within(work.grid()->Get(axis), 1, kMaxGrid[axis], "blocks along an axis", layout.grid[axis]));
    MOERT_TRY(within(work.block()->Get(axis), 1, kMaxBlock[axis], "threads along an axis of a block",
                     layout.block[axis]));
    block *= layout.block[axis];
  }
  if (block > threads)
    return broken("B10", place, ": expected blocks of at most the ", threads,
                  " threads that the kernel was compiled for, found ", block, at());
  return within(work.shared(), 0, kMaxShared, "bytes of shared memory", layout.shared);
}

Status Binder::launch(const fb::Launch &launch, uint32_t number) {
  LaunchLayout layout = {};
  std::string where =
      concat("launch ", number, " (", launch.op() ? launch.op()->string_view() : "unnamed",
             launch.path() && launch.path()->size() ? concat(" of ", launch.path()->string_view()) : "", ")");
  if (const fb::CpuKernel *work = launch.work_as_CpuKernel()) {
    MOERT_ASSIGN(layout.units, count(work->units(), where));
    if (layout.units > kMaxUnits)
      return broken("B08", "entry '", entry_.name()->string_view(), "', ", where, ": expected at most ",
                    kMaxUnits, " units of work, found ", layout.units, at());
    layout_.scratch = std::max<uint64_t>(layout_.scratch, kernelOf(target_, launch)->scratch());
  } else if (const fb::GpuKernel *work = launch.work_as_GpuKernel()) {
    MOERT_TRY(grid(*work, where, layout));
  }
  for (unsigned i = 0; i < launch.buffers()->size(); ++i) {
    MOERT_ASSIGN(int64_t extent, count(launch.extents()->Get(i), where));
    uint32_t buffer = launch.buffers()->Get(i);
    if (extent > elements_[buffer])
      return broken("B04", "entry '", entry_.name()->string_view(), "', ", where,
                    ": expected to touch at most the ", elements_[buffer], " elements of buffer ", buffer,
                    ", found ", extent, at());
    layout.extents.push_back(extent);
  }
  for (const fb::Arg *arg : *launch.scalars())
    if (arg->kind() == fb::ArgKind::extent)
      MOERT_TRY(size(uint32_t(arg->value()), where).status());
  layout.flops = double(values_[launch.flops()]);
  layout.bytes = double(values_[launch.bytes()]);
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

uint64_t bytesOf(const fb::State &state) {
  uint64_t bytes = elementBytes(state.type());
  for (int64_t extent : *state.shape())
    bytes *= uint64_t(extent); // V12 bounds the product
  return bytes;
}

Result<MemoryUse> memoryUse(const Program &program, uint32_t target, std::string_view entry, Binding binding,
                            int threads) {
  MOERT_ASSIGN(const fb::Entry *found, program.entry(entry));
  const fb::Target &row = *program.table().targets()->Get(target);
  MOERT_ASSIGN(Layout layout, layOut(program, row, program.plan(row, *found), binding));
  for (const fb::State *state : *program.table().states())
    layout.memory.state += padded(bytesOf(*state));
  layout.memory.scratch = layout.scratch * uint64_t(threads);
  return layout.memory;
}

} // namespace moert
