// The meaning of a program, checked rule by rule before anything acts on it. Afterwards every index is in
// range, every enumerator is known, names are unique, launches match the kernels that they call, and each
// temporary is written before it is read and lives exactly as long as it is used. Sizes depend on the batch:
// see plan/Layout.cpp.
#include "runtime/program/Verify.h"
#include "runtime/base/Printable.h"
#include "runtime/program/Launch.h"
#include "runtime/program/Program.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_set>

namespace moert {

namespace {

// Limits keep every count far from overflow; real programs stay orders of magnitude below.
constexpr size_t kMaxItems = 1 << 20;
constexpr size_t kMaxBuffers = 1 << 16; // of a plan: packing compares each with each
constexpr size_t kMaxText = 4096;
constexpr size_t kMaxExprOps = 4096;
constexpr int kMaxExprDepth = 64;
constexpr size_t kMaxRank = 16;
constexpr int64_t kMaxStateBytes = int64_t(1) << 40;
constexpr uint32_t kMaxThreads = 1024; // of a GPU's block

template <typename Enum> bool known(Enum value, Enum last) { return unsigned(value) <= unsigned(last); }

/// Vectors of tables are required by the schema, so a verified FlatBuffer has them.
template <typename T> size_t count(const flatbuffers::Vector<T> *vector) { return vector->size(); }

constexpr int64_t kMostElements = int64_t(1) << 46; // of bytes: half of what x86-64 gives a process

class Verifier {
public:
  Verifier(const fb::Program &program, std::span<const Section> sections)
      : program_(program), sections_(sections) {}
  Result<std::vector<std::unique_ptr<CodeImage>>> run();

private:
  Status text(const flatbuffers::String *string, const char *what, bool optional = false);
  Status index(const char *rule, uint64_t value, size_t size, const char *what, std::string_view where);
  Status expressions();
  Status states();
  Status scalars();
  Status port(const fb::Port &port, std::string_view entry);
  Status entries();
  Status capacities(const fb::Entry &entry);
  Status config();
  Status target(const fb::Target &target);
  Status kernels(const fb::Target &target, const CodeImage *image);
  Status buffers(const fb::Plan &plan);
  Status launch(const fb::Target &target, const fb::Plan &plan, const fb::Launch &launch, uint32_t number);
  Status work(const fb::Target &target, const fb::Launch &launch, const std::string &where);
  Status sizes(const flatbuffers::Vector<uint32_t> &exprs, size_t expected, const std::string &where);
  Status arguments(const fb::Target &target, const fb::Launch &launch, const std::string &where);
  Status aliases(const fb::Target &target, const fb::Launch &launch, const std::string &where);
  Status access(const fb::Plan &plan, const fb::Buffer &buffer, fb::Access access, bool prepare,
                const std::string &where);
  Status lifetimes(const fb::Target &target, const fb::Plan &plan);
  Status updates(const fb::Target &target, const fb::Plan &plan);

  const fb::Program &program_;
  std::span<const Section> sections_;
  std::vector<std::unique_ptr<CodeImage>> images_;
  const fb::Program &p() const { return program_; }
};

Status Verifier::text(const flatbuffers::String *string, const char *what, bool optional) {
  if (!string)
    return optional ? Status() : broken("V10", "expected ", what, ", found none");
  if (string->size() > kMaxText || (string->size() == 0 && !optional))
    return broken("V10", "expected ", what, " of 1 to ", kMaxText, " bytes, found ", string->size());
  if (!isPlain(string->string_view()))
    return broken("V10", "expected ", what, " in UTF-8 without control characters, found '",
                  printable(string->string_view().substr(0, 100), /*line=*/true), "'");
  return {};
}

Status Verifier::index(const char *rule, uint64_t value, size_t size, const char *what,
                       std::string_view where) {
  if (value < size)
    return {};
  return broken(rule, where, ": expected ", what, " below ", size, ", found ", value);
}

// V11: every expression is a postfix program that leaves one value, over symbols that a batch has values of.
Status Verifier::expressions() {
  std::unordered_set<std::string_view> symbols;
  for (const flatbuffers::String *symbol : *p().symbols()) {
    MOERT_TRY(text(symbol, "a symbol's name"));
    if (!valueOf(symbol->string_view(), Binding()) || !symbols.insert(symbol->string_view()).second)
      return broken("V11", "expected the symbols D and N, each once, found '", symbol->string_view(), "'");
  }
  if (count(p().exprs()) > kMaxItems)
    return broken("V11", "expected at most ", kMaxItems, " expressions, found ", count(p().exprs()));
  for (unsigned i = 0; i < p().exprs()->size(); ++i) {
    const auto *ops = p().exprs()->Get(i)->ops();
    if (ops->size() == 0 || ops->size() > kMaxExprOps)
      return broken("V11", "expression ", i, ": expected 1 to ", kMaxExprOps, " steps, found ", ops->size());
    int depth = 0;
    for (const fb::ExprOp *op : *ops) {
      switch (op->code()) {
      case fb::ExprCode::symbol:
        MOERT_TRY(
            index("V11", uint64_t(op->value()), count(p().symbols()), "a symbol", concat("expression ", i)));
        [[fallthrough]];
      case fb::ExprCode::constant:
        if (++depth > kMaxExprDepth)
          return broken("V11", "expression ", i, ": expected at most ", kMaxExprDepth,
                        " values on the stack");
        break;
      case fb::ExprCode::add:
      case fb::ExprCode::sub:
      case fb::ExprCode::mul:
      case fb::ExprCode::floordiv:
      case fb::ExprCode::ceildiv:
        if (--depth < 1)
          return broken("V11", "expression ", i, ": expected two values on the stack, found fewer");
        break;
      default:
        return broken("V11", "expression ", i, ": expected a known code, found ", int(op->code()));
      }
    }
    if (depth != 1)
      return broken("V11", "expression ", i, ": expected one value at the end, found ", depth);
  }
  return {};
}

// V12: states have unique paths, sound shapes and rules, and optimizer state says whose it is.
Status Verifier::states() {
  std::unordered_set<std::string_view> paths;
  int64_t total = 0;
  if (count(p().states()) > kMaxItems)
    return broken("V12", "expected at most ", kMaxItems, " states, found ", count(p().states()));
  for (const fb::State *state : *p().states()) {
    MOERT_TRY(text(state->path(), "a state's path"));
    std::string where = concat("state '", state->path()->string_view(), "'");
    if (!paths.insert(state->path()->string_view()).second)
      return broken("V12", where, ": expected a path of its own, found it twice");
    if (!known(state->kind(), fb::StateKind::MAX) || !known(state->type(), fb::ElementType::MAX))
      return broken("V12", where, ": expected a known kind and element type, found ", int(state->kind()),
                    " and ", int(state->type()));
    if (state->shape()->size() > kMaxRank)
      return broken("V12", where, ": expected at most ", kMaxRank, " axes, found ", state->shape()->size());
    int64_t bytes = int64_t(elementBytes(state->type()));
    for (int64_t extent : *state->shape())
      if (extent < 1 || __builtin_mul_overflow(bytes, extent, &bytes))
        return broken("V12", where, ": expected positive extents, found ", extent);
    if (__builtin_add_overflow(total, bytes, &total) || total > kMaxStateBytes)
      return broken("V12", where, ": expected at most ", kMaxStateBytes, " bytes of state");
    const fb::Init &init = *state->init();
    if (!known(init.kind(), fb::InitKind::MAX) || !std::isfinite(init.a()) || !std::isfinite(init.b()))
      return broken("V12", where, ": expected a known rule of finite numbers, found rule ", int(init.kind()),
                    " (", init.a(), ", ", init.b(), ")");
    if (init.kind() == fb::InitKind::uniform ? init.b() < init.a()
                                             : init.kind() != fb::InitKind::constant && init.b() < 0)
      return broken("V12", where, ": expected an ordered range or a positive deviation, found (", init.a(),
                    ", ", init.b(), ")");
    if (init.kind() != fb::InitKind::constant && state->type() != fb::ElementType::f32)
      return broken("V12", where, ": expected random initial values to be f32, found ",
                    elementName(state->type()));
    MOERT_TRY(text(state->of(), "a parameter's path", /*optional=*/true));
  }
  for (const fb::State *state : *p().states())
    if (state->of() && !paths.count(state->of()->string_view()))
      return broken("V12", "state '", state->path()->string_view(),
                    "': expected to belong to a state, found '", state->of()->string_view(), "'");
  return {};
}

// V13: scalars have unique keys and finite fallbacks.
Status Verifier::scalars() {
  std::unordered_set<std::string_view> keys;
  for (const fb::Scalar *scalar : *p().scalars()) {
    MOERT_TRY(text(scalar->key(), "a scalar's key"));
    std::string_view key = scalar->key()->string_view();
    if (!keys.insert(key).second)
      return broken("V13", "scalar '", key, "': expected a key of its own, found it twice");
    if (!known(scalar->kind(), fb::ScalarKind::MAX) || !std::isfinite(scalar->fallback()))
      return broken("V13", "scalar '", key, "': expected a known kind and a finite fallback, found ",
                    int(scalar->kind()), " and ", scalar->fallback());
  }
  return {};
}

// V14: entries and their ports have unique names and known shapes; a training entry says its loss, and what it updates
// by which predicate.
Status Verifier::port(const fb::Port &port, std::string_view entry) {
  MOERT_TRY(text(port.name(), "a port's name"));
  std::string where = concat("entry '", entry, "', '", port.name()->string_view(), "'");
  if (!known(port.type(), fb::ElementType::MAX))
    return broken("V14", where, ": expected a known element type, found ", int(port.type()));
  if (port.shape()->size() > kMaxRank)
    return broken("V14", where, ": expected at most ", kMaxRank, " axes, found ", port.shape()->size());
  for (uint32_t expr : *port.shape())
    MOERT_TRY(index("V14", expr, count(p().exprs()), "an expression", where));
  return {};
}

Status Verifier::entries() {
  std::unordered_set<std::string_view> names;
  if (count(p().entries()) == 0)
    return broken("V14", "expected an entry, found none");
  for (const fb::Entry *entry : *p().entries()) {
    MOERT_TRY(text(entry->name(), "an entry's name"));
    std::string_view name = entry->name()->string_view();
    if (!names.insert(name).second)
      return broken("V14", "entry '", name, "': expected a name of its own, found it twice");
    if (!known(entry->kind(), fb::EntryKind::MAX) || !std::isfinite(entry->flops_per_image()))
      return broken("V14", "entry '", name, "': expected a known kind and finite FLOPs, found ",
                    int(entry->kind()), " and ", entry->flops_per_image());
    MOERT_TRY(text(entry->objective(), "an objective's name", /*optional=*/true));
    for (const fb::Saved *saved : *entry->saved()) {
      MOERT_TRY(text(saved->name(), "a saved value's name"));
      MOERT_TRY(text(saved->reason(), "a reason", /*optional=*/true));
      MOERT_TRY(
          index("V14", saved->bytes(), count(p().exprs()), "an expression", concat("entry '", name, "'")));
    }
    auto isNumber = [](const fb::Port &port) {
      return port.type() == fb::ElementType::f32 && port.shape()->size() == 0;
    };
    bool hasLoss = false;
    for (const auto *ports : {entry->inputs(), entry->outputs()}) {
      std::unordered_set<std::string_view> seen;
      for (const fb::Port *each : *ports) {
        MOERT_TRY(port(*each, name));
        std::string_view portName = each->name()->string_view();
        if (!seen.insert(portName).second)
          return broken("V14", "entry '", name, "', '", portName,
                        "': expected a name of its own, found it twice");
        hasLoss |= ports == entry->outputs() && portName == "loss" && isNumber(*each);
      }
    }
    MOERT_TRY(capacities(*entry));
    const bool trains = entry->kind() == fb::EntryKind::train;
    if (trains && !hasLoss)
      return broken("V14", "entry '", name, "': expected a 0-d f32 output 'loss'");
    if (!trains && entry->updates()->size())
      return broken("V14", "entry '", name, "': expected updates in a training entry alone, found ",
                    entry->updates()->size());
    for (const fb::Port *port : *entry->inputs())
      if (port->exposed())
        return broken("V14", "entry '", name, "': expected exposed outputs alone, found an exposed input");
    for (const fb::Port *port : *entry->outputs())
      if (port->exposed() && trains)
        return broken("V14", "entry '", name, "': expected exposed outputs in an inference entry alone");
    std::unordered_set<uint32_t> updated, predicates;
    for (const fb::Update *update : *entry->updates()) {
      std::string of = concat("entry '", name, "', an update");
      MOERT_TRY(index("V14", update->predicate(), entry->outputs()->size(), "an output", of));
      if (!isNumber(*entry->outputs()->Get(update->predicate())))
        return broken("V14", of, ": expected a 0-d f32 output as predicate, found '",
                      entry->outputs()->Get(update->predicate())->name()->string_view(), "'");
      if (update->states()->size() == 0 || !predicates.insert(update->predicate()).second)
        return broken("V14", of, ": expected states, and a predicate of its own");
      for (uint32_t state : *update->states()) {
        MOERT_TRY(index("V14", state, count(p().states()), "a state", of));
        if (!updated.insert(state).second)
          return broken("V14", of, ": expected a state in one update, found '",
                        p().states()->Get(state)->path()->string_view(), "' in two");
      }
    }
  }
  return {};
}

// V35: limits to the rows of experts: of routings that are named once, of sizes that exist, and numbers that give a limit.
Status Verifier::capacities(const fb::Entry &entry) {
  std::unordered_set<std::string_view> routings;
  if (!entry.capacities())
    return {};
  for (const fb::Capacity *each : *entry.capacities()) {
    MOERT_TRY(text(each->routing(), "a routing's path"));
    std::string where = concat("entry '", entry.name()->string_view(), "', the capacity of '",
                               each->routing()->string_view(), "'");
    if (!routings.insert(each->routing()->string_view()).second)
      return broken("V35", where, ": expected each routing once, found it twice");
    MOERT_TRY(index("V35", each->rows(), count(p().exprs()), "an expression", where));
    for (auto [what, number] : {std::pair{"experts", each->experts()},
                                {"choices", each->top()},
                                {"rows to align to", each->alignment()}})
      if (number < 1 || number > INT32_MAX)
        return broken("V35", where, ": expected 1 to ", INT32_MAX, " ", what, ", found ", number);
    if (!std::isfinite(each->factor()) || each->factor() == 0)
      return broken("V35", where, ": expected a finite factor other than 0, found ", each->factor());
  }
  return {};
}

// V15: compile-time choices have unique keys.
Status Verifier::config() {
  MOERT_TRY(text(p().name(), "the model's name"));
  MOERT_TRY(text(p().optimizer(), "an optimizer's name", /*optional=*/true));
  MOERT_TRY(text(p().compiler(), "the compiler's version", /*optional=*/true));
  std::unordered_set<std::string_view> keys;
  for (const fb::KeyValue *pair : *p().config()) {
    MOERT_TRY(text(pair->key(), "a key"));
    MOERT_TRY(text(pair->value(), "a value", /*optional=*/true));
    if (!keys.insert(pair->key()->string_view()).second)
      return broken("V15", "config '", pair->key()->string_view(),
                    "': expected a key of its own, found it twice");
  }
  return {};
}

// V16: a target has sections of its own and exactly one plan an entry. V17: its code is a sound image.
Status Verifier::target(const fb::Target &target) {
  MOERT_TRY(text(target.name(), "a target's name"));
  MOERT_TRY(text(target.level(), "a target's level"));
  std::string where = concat("target '", target.name()->string_view(), "'");
  if (!known(target.kind(), fb::TargetKind::MAX))
    return broken("V16", where, ": expected a known kind of target, found ", int(target.kind()));
  for (const flatbuffers::String *feature : *target.features())
    MOERT_TRY(text(feature, "a CPU feature"));
  if (target.most_elements() < 1 || target.most_elements() > kMostElements)
    return broken("V16", where, ": expected buffers of at most 1 to ", kMostElements, " elements, found ",
                  target.most_elements());
  if (target.code() == 0)
    return broken("V16", where, ": expected a code section, found section 0, which is the FlatBuffer");
  MOERT_TRY(index("V16", target.code(), sections_.size(), "a code section", where));
  const SectionKind held = sections_[target.code()].kind;
  if (held != sectionOf(target.kind()))
    return broken("V16", where, ": expected a section of kind ", uint64_t(sectionOf(target.kind())),
                  " for a target of kind ", fb::EnumNameTargetKind(target.kind()), ", found kind ",
                  uint64_t(held));
  std::vector<int> plans(count(p().entries()));
  for (const fb::Plan *plan : *target.plans()) {
    MOERT_TRY(index("V16", plan->entry(), plans.size(), "an entry", where));
    ++plans[plan->entry()];
  }
  for (size_t i = 0; i < plans.size(); ++i)
    if (plans[i] != 1)
      return broken("V16", where, ": expected one plan of entry '",
                    p().entries()->Get(unsigned(i))->name()->string_view(), "', found ", plans[i]);

  images_.emplace_back();
  if (target.kind() == fb::TargetKind::cpu) {
    Result<CodeImage> image = CodeImage::read(sections_[target.code()].bytes);
    if (!image)
      return broken("V17", where, ": ", image.status().message());
    images_.back() = std::make_unique<CodeImage>(*std::move(image));
  }
  MOERT_TRY(kernels(target, images_.back().get()));
  for (const fb::Plan *plan : *target.plans()) {
    MOERT_TRY(buffers(*plan));
    uint32_t number = 0;
    for (const auto *launches : {plan->prepare(), plan->step()})
      for (const fb::Launch *each : *launches)
        MOERT_TRY(launch(target, *plan, *each, number++));
    MOERT_TRY(lifetimes(target, *plan));
    MOERT_TRY(updates(target, *plan));
  }
  if (target.kind() == fb::TargetKind::cpu)
    return {};
  return verifyGpuCode(target, sections_[target.code()].bytes, where);
}

// V18: kernels have unique symbols, which the image of a CPU's defines, and known parameters, and say what their kind
// of target needs and nothing else. What a GPU's code must have is V34's (VerifyGpuCode.cpp).
Status Verifier::kernels(const fb::Target &target, const CodeImage *image) {
  const bool cpu = target.kind() == fb::TargetKind::cpu;
  std::unordered_set<std::string_view> symbols;
  for (const fb::Kernel *kernel : *target.kernels()) {
    MOERT_TRY(text(kernel->symbol(), "a kernel's symbol"));
    MOERT_TRY(text(kernel->kind(), "a kernel's kind", /*optional=*/true));
    std::string where = concat("kernel '", kernel->symbol()->string_view(), "'");
    if (!symbols.insert(kernel->symbol()->string_view()).second)
      return broken("V18", where, ": expected a symbol of its own, found it twice");
    if (image && !image->functions.count(kernel->symbol()->string_view()))
      return broken("V18", where, ": expected a function in the code section, found none");
    if (kernel->scratch() > kMaxScratch)
      return broken("V18", where, ": expected at most ", kMaxScratch, " bytes of scratch, found ",
                    kernel->scratch());
    if (cpu ? kernel->threads() != 0 : kernel->scratch() != 0)
      return broken("V18", where,
                    ": expected scratch of CPU kernels alone and threads of GPU kernels alone, found ",
                    kernel->scratch(), " bytes and ", kernel->threads(), " threads");
    if (!cpu && (kernel->threads() == 0 || kernel->threads() > kMaxThreads))
      return broken("V18", where, ": expected blocks of at most 1 to ", kMaxThreads, " threads, found ",
                    kernel->threads());
    for (fb::ScalarParam param : *kernel->scalars())
      if (!known(param, cpu ? fb::ScalarParam::value : fb::ScalarParam::MAX))
        return broken("V18", where, ": expected scalars by value", cpu ? "" : " or in cells", ", found kind ",
                      int(param));
    for (const fb::KernelParam *param : *kernel->params())
      if (param->kind() != fb::ParamKind::buffer)
        return broken("V18", where, ": expected parameters that are buffers, found ",
                      known(param->kind(), fb::ParamKind::MAX) ? fb::EnumNameParamKind(param->kind())
                                                               : "one of an unknown kind");
    for (const fb::KernelParam *param : *kernel->params())
      if (!known(param->access(), fb::Access::MAX) || !known(param->type(), fb::ElementType::MAX))
        return broken("V18", where, ": expected known accesses and element types, found ",
                      int(param->access()), " and ", int(param->type()));
    for (const fb::KernelParam *param : *kernel->params()) {
      if (param->over() < 0)
        continue;
      bool sound = param->access() == fb::Access::write && unsigned(param->over()) < kernel->params()->size();
      if (sound) {
        const fb::KernelParam &read = *kernel->params()->Get(unsigned(param->over()));
        sound = read.access() == fb::Access::read && read.type() == param->type();
      }
      if (!sound)
        return broken("V18", where,
                      ": expected a written parameter to share the buffer of a read one of its type, found ",
                      param->over());
    }
  }
  return {};
}

// V19: a buffer stands for what it says, with its type; V20: no two stand for the same thing.
Status Verifier::buffers(const fb::Plan &plan) {
  const fb::Entry &entry = *p().entries()->Get(plan.entry());
  std::string_view entryName = entry.name()->string_view();
  if (count(plan.buffers()) > kMaxBuffers)
    return broken("V19", "entry '", entryName, "': expected at most ", kMaxBuffers, " buffers, found ",
                  count(plan.buffers()));
  std::unordered_set<uint64_t> taken;
  for (unsigned i = 0; i < plan.buffers()->size(); ++i) {
    const fb::Buffer &buffer = *plan.buffers()->Get(i);
    std::string where = concat("entry '", entryName, "', buffer ", i);
    MOERT_TRY(text(buffer.name(), "a buffer's name", /*optional=*/true));
    if (!known(buffer.kind(), fb::BufferKind::MAX) || !known(buffer.type(), fb::ElementType::MAX))
      return broken("V19", where, ": expected a known kind and element type, found ", int(buffer.kind()),
                    " and ", int(buffer.type()));
    MOERT_TRY(index("V19", buffer.extent(), count(p().exprs()), "an expression", where));
    if (buffer.alignment() < elementBytes(buffer.type()) || buffer.alignment() > kSectionAlignment ||
        (buffer.alignment() & (buffer.alignment() - 1)) != 0)
      return broken("V19", where, ": expected an alignment that is a power of two up to ", kSectionAlignment,
                    ", found ", buffer.alignment());
    if (buffer.kind() == fb::BufferKind::temporary)
      continue;
    if (buffer.alignment() > 64)
      return broken("V19", where, ": expected an alignment of at most 64 outside the arena, found ",
                    buffer.alignment());
    fb::ElementType type;
    if (buffer.kind() == fb::BufferKind::state) {
      MOERT_TRY(index("V19", buffer.index(), count(p().states()), "a state", where));
      type = p().states()->Get(buffer.index())->type();
    } else {
      const auto &ports = buffer.kind() == fb::BufferKind::input ? *entry.inputs() : *entry.outputs();
      MOERT_TRY(index("V19", buffer.index(), ports.size(), "a port", where));
      type = ports.Get(buffer.index())->type();
    }
    if (type != buffer.type())
      return broken("V19", where, ": expected elements of ", elementName(type), ", found ",
                    elementName(buffer.type()));
    if (!taken.insert(uint64_t(buffer.kind()) << 32 | buffer.index()).second)
      return broken("V20", where, ": expected one buffer a state and port, found a second");
  }
  return {};
}

static std::string launchName(const fb::Program &program, const fb::Plan &plan, const fb::Launch &launch,
                              uint32_t number) {
  return concat("entry '", program.entries()->Get(plan.entry())->name()->string_view(), "', launch ", number,
                " (", launch.op() ? launch.op()->string_view() : std::string_view("unnamed"), ")");
}

// V30: a launch's work is of a kind that its target does, and a copy or fill has the buffers that it takes.
Status Verifier::work(const fb::Target &target, const fb::Launch &launch, const std::string &where) {
  const fb::Work kernelWork =
      target.kind() == fb::TargetKind::cpu ? fb::Work::CpuKernel : fb::Work::GpuKernel;
  const fb::Work work = launch.work_type();
  if (work != kernelWork && work != fb::Work::Copy && work != fb::Work::Fill)
    return broken("V30", where, ": expected a ", fb::EnumNameWork(kernelWork),
                  ", Copy or Fill on a target of kind ", fb::EnumNameTargetKind(target.kind()), ", found ",
                  known(work, fb::Work::MAX) ? fb::EnumNameWork(work) : "work of an unknown kind");
  if (const fb::CpuKernel *cpu = launch.work_as_CpuKernel()) {
    MOERT_TRY(index("V22", cpu->kernel(), count(target.kernels()), "a kernel", where));
    if (cpu->grain() == 0)
      return broken("V22", where, ": expected a grain of at least 1, found 0");
    return index("V22", cpu->units(), count(p().exprs()), "an expression", where);
  }
  if (const fb::GpuKernel *gpu = launch.work_as_GpuKernel()) {
    MOERT_TRY(index("V22", gpu->kernel(), count(target.kernels()), "a kernel", where));
    for (const auto *sizes : {gpu->grid(), gpu->block()}) {
      if (sizes->size() != 3)
        return broken("V30", where, ": expected a grid and blocks of three axes, found ", sizes->size());
      for (uint32_t expr : *sizes)
        MOERT_TRY(index("V22", expr, count(p().exprs()), "an expression", where));
    }
    if (gpu->cluster() || gpu->resident())
      return broken("V30", where,
                    ": expected a plain grid, found clusters or a grid of resident blocks, which ",
                    "this version cannot launch");
    return index("V22", gpu->shared(), count(p().exprs()), "an expression", where);
  }
  const size_t buffers = work == fb::Work::Copy ? 2 : 1;
  if (count(launch.buffers()) != buffers || count(launch.extents()) != buffers || launch.scalars()->size())
    return broken("V30", where, ": expected a ", fb::EnumNameWork(work), " of ", buffers,
                  " buffers and extents without scalars, found ", count(launch.buffers()), ", ",
                  count(launch.extents()), " and ", count(launch.scalars()));
  if (work == fb::Work::Copy && launch.extents()->Get(0) != launch.extents()->Get(1))
    return broken("V30", where, ": expected a copy of as much as it writes, found extents ",
                  launch.extents()->Get(1), " and ", launch.extents()->Get(0));
  return {};
}

// V22: a launch gives its kernel what the kernel declares. V23: no buffer that a launch writes is named twice by it,
// but for a pair that the kernel declares to work in place.
Status Verifier::launch(const fb::Target &target, const fb::Plan &plan, const fb::Launch &launch,
                        uint32_t number) {
  for (const flatbuffers::String *string : {launch.op(), launch.path(), launch.file()})
    MOERT_TRY(text(string, "a launch's origin", /*optional=*/true));
  std::string where = launchName(p(), plan, launch, number);
  MOERT_TRY(work(target, launch, where));
  for (uint32_t expr : {launch.flops(), launch.bytes()})
    MOERT_TRY(index("V22", expr, count(p().exprs()), "an expression", where));
  if (launch.part() && !known(*launch.part(), fb::Part::MAX))
    return broken("V22", where, ": expected a known part of a step, found ", int(*launch.part()));
  const fb::Kernel *kernel = kernelOf(target, launch);
  if (kernel) {
    where += concat(", kernel '", kernel->symbol()->string_view(), "'");
    const size_t params = count(kernel->params());
    if (count(launch.buffers()) != params || count(launch.extents()) != params)
      return broken("V22", where, ": expected ", params, " buffers and extents, found ",
                    count(launch.buffers()), " and ", count(launch.extents()));
    MOERT_TRY(arguments(target, launch, where));
  }

  const bool prepare = number < count(plan.prepare());
  bool changesStates = false;
  std::optional<fb::ElementType> copied;
  for (unsigned i = 0; i < launch.buffers()->size(); ++i) {
    uint32_t at = launch.buffers()->Get(i);
    MOERT_TRY(index("V22", at, count(plan.buffers()), "a buffer", where));
    MOERT_TRY(index("V22", launch.extents()->Get(i), count(p().exprs()), "an expression", where));
    const fb::Buffer &buffer = *plan.buffers()->Get(at);
    const fb::ElementType type = kernel ? kernel->params()->Get(i)->type() : copied.value_or(buffer.type());
    copied = type;
    if (type != buffer.type())
      return broken("V22", where, ": expected ", elementName(type), " as buffer ", i, ", found ",
                    elementName(buffer.type()));
    const bool written = writes(target, launch, i);
    changesStates |= written && buffer.kind() == fb::BufferKind::state;
    MOERT_TRY(access(plan, buffer, written ? fb::Access::write : fb::Access::read, prepare, where));
  }
  // V30: drivers of GPUs fill with words of 1 and 4 bytes.
  if (const fb::Fill *fill = launch.work_as_Fill();
      fill && fill->bits() && target.kind() != fb::TargetKind::cpu) {
    const size_t bytes = elementBytes(*copied);
    if (bytes != 1 && bytes != 4)
      return broken(
          "V30", where,
          ": expected a fill of elements of 1 or 4 bytes, or of zeros, on a GPU, found elements of ", bytes,
          " bytes");
  }
  // V33: what changes states can be held back after a step that left out its update. A copy or fill cannot.
  if (changesStates && !kernel)
    return broken("V33", where, ": expected states to be written by kernels alone");
  if (changesStates && target.kind() != fb::TargetKind::cpu &&
      std::none_of(launch.scalars()->begin(), launch.scalars()->end(),
                   [](const fb::Arg *arg) { return arg->kind() == fb::ArgKind::held_i64; }))
    return broken("V33", where,
                  ": expected a kernel that writes states to be told of held updates (held_i64)");
  return aliases(target, launch, where);
}

Status Verifier::aliases(const fb::Target &target, const fb::Launch &launch, const std::string &where) {
  const fb::Kernel *kernel = kernelOf(target, launch);
  // Sorted, so that a launch of a million buffers takes no million million comparisons.
  std::vector<std::pair<uint32_t, unsigned>> named;
  for (unsigned i = 0; i < launch.buffers()->size(); ++i)
    named.push_back({launch.buffers()->Get(i), i});
  std::sort(named.begin(), named.end());
  for (size_t first = 0, end; first < named.size(); first = end) {
    auto over = [&](size_t at) { return kernel ? kernel->params()->Get(named[at].second)->over() : -1; };
    bool written = false;
    for (end = first; end < named.size() && named[end].first == named[first].first; ++end)
      written |= writes(target, launch, named[end].second);
    bool inPlace = end - first == 2 && (over(first) == int(named[first + 1].second) ||
                                        over(first + 1) == int(named[first].second));
    if (end - first > 1 && written && !inPlace)
      return broken("V23", where, ": expected buffers that do not alias what is written, found buffer ",
                    named[first].first, " twice");
  }
  return {};
}

// V32: numbers that change from run to run are in cells where a launch may be recorded and run again, as on GPUs.
Status Verifier::arguments(const fb::Target &target, const fb::Launch &launch, const std::string &where) {
  const auto &params = *kernelOf(target, launch)->scalars();
  if (count(launch.scalars()) != params.size())
    return broken("V22", where, ": expected ", params.size(), " scalars, found ", count(launch.scalars()));
  for (unsigned i = 0; i < params.size(); ++i) {
    const fb::Arg &arg = *launch.scalars()->Get(i);
    bool changes = true;
    switch (arg.kind()) {
    case fb::ArgKind::extent:
      MOERT_TRY(index("V22", uint64_t(arg.value()), count(p().exprs()), "an expression", where));
      changes = false;
      break;
    case fb::ArgKind::constant_i64:
    case fb::ArgKind::constant_f32:
      changes = false;
      break;
    case fb::ArgKind::scalar_f32:
      MOERT_TRY(index("V22", uint64_t(arg.value()), count(p().scalars()), "a scalar", where));
      break;
    case fb::ArgKind::step_i64:
    case fb::ArgKind::seed_i64:
      break;
    case fb::ArgKind::held_i64:
      if (target.kind() == fb::TargetKind::cpu)
        return broken("V22", where,
                      ": expected no word of held updates on the CPU, whose plans hold them back");
      break;
    default:
      return broken("V22", where, ": expected a known kind of scalar, found ", int(arg.kind()));
    }
    const bool cell = params.Get(i) == fb::ScalarParam::cell;
    if (target.kind() != fb::TargetKind::cpu && cell != changes)
      return broken("V32", where, ": expected scalar ", i, " ", changes ? "in a cell" : "by value",
                    ", found it ", cell ? "in a cell" : "by value");
  }
  return {};
}

// V24: what may be done to a buffer follows from its kind. Inputs are read; states change in
// training entries only; prepare sees nothing of a batch, and what it makes are temporaries.
Status Verifier::access(const fb::Plan &plan, const fb::Buffer &buffer, fb::Access access, bool prepare,
                        const std::string &where) {
  bool writes = access != fb::Access::read;
  bool trains = p().entries()->Get(plan.entry())->kind() == fb::EntryKind::train;
  bool allowed = true;
  switch (buffer.kind()) {
  case fb::BufferKind::input:
    allowed = !writes && !prepare;
    break;
  case fb::BufferKind::state:
    allowed = !writes || (trains && !prepare);
    break;
  case fb::BufferKind::output:
    allowed = !prepare;
    break;
  case fb::BufferKind::temporary:
    break;
  }
  if (allowed)
    return {};
  return broken("V24", where, ": expected ", prepare ? "prepare" : "a step", " not to ",
                writes ? "write" : "read", " a buffer of kind ", fb::EnumNameBufferKind(buffer.kind()));
}

// V25: a temporary or output is written before it is read. V26: a temporary's lifetime is from its first
// launch to its last, or to the plan's end where prepare made it and a step reads it. V27: every output is
// written. V29: what prepare made for the steps no step changes, since the next one reads it again.
Status Verifier::lifetimes(const fb::Target &target, const fb::Plan &plan) {
  struct Use {
    int64_t first = -1, last = -1;
  };
  std::vector<Use> uses(count(plan.buffers()));
  std::string entry = concat("entry '", p().entries()->Get(plan.entry())->name()->string_view(), "'");
  int64_t prepares = int64_t(count(plan.prepare())), launches = prepares + int64_t(count(plan.step()));
  for (int64_t number = 0; number < launches; ++number) {
    const fb::Launch &launch = launchOf(plan, size_t(number));
    for (unsigned i = 0; i < launch.buffers()->size(); ++i) {
      uint32_t at = launch.buffers()->Get(i);
      fb::BufferKind kind = plan.buffers()->Get(at)->kind();
      bool fresh = kind == fb::BufferKind::temporary || kind == fb::BufferKind::output;
      if (uses[at].first < 0)
        uses[at].first = number;
      // Every parameter of the first launch: one that works in place names the buffer twice.
      const bool written = writes(target, launch, i);
      if (fresh && uses[at].first == number && !written)
        return broken("V25", launchName(p(), plan, launch, uint32_t(number)), ": expected buffer ", at,
                      " to be written before it is read");
      uses[at].last = number;
      bool prepared = uses[at].first < prepares && number >= prepares;
      if (kind == fb::BufferKind::temporary && prepared && written)
        return broken("V29", launchName(p(), plan, launch, uint32_t(number)),
                      ": expected a step to read buffer ", at,
                      ", which prepare made for all steps, found one that writes it");
    }
  }
  std::vector<bool> written(count(p().entries()->Get(plan.entry())->outputs()));
  for (unsigned i = 0; i < plan.buffers()->size(); ++i) {
    const fb::Buffer &buffer = *plan.buffers()->Get(i);
    if (buffer.kind() == fb::BufferKind::output && uses[i].first >= 0)
      written[buffer.index()] = true;
    if (buffer.kind() != fb::BufferKind::temporary)
      continue;
    bool prepared = uses[i].first >= 0 && uses[i].first < prepares && uses[i].last >= prepares;
    int64_t last = prepared ? launches - 1 : uses[i].last;
    if (buffer.first() != uses[i].first || buffer.last() != last)
      return broken("V26", entry, ", buffer ", i, ": expected to live from launch ", uses[i].first, " to ",
                    last, ", where it is used, found ", buffer.first(), " to ", buffer.last());
  }
  for (unsigned i = 0; i < written.size(); ++i)
    if (!written[i])
      return broken("V27", entry, ": expected output '",
                    p().entries()->Get(plan.entry())->outputs()->Get(i)->name()->string_view(),
                    "' to be written, found no launch that does");
  return {};
}

// V31: what an entry says that it updates, its plan writes. It may write more: states that change whatever the
// predicates are, such as running means.
Status Verifier::updates(const fb::Target &target, const fb::Plan &plan) {
  const fb::Entry &entry = *p().entries()->Get(plan.entry());
  std::unordered_set<uint32_t> written;
  for (const fb::Launch *launch : *plan.step())
    for (unsigned i = 0; i < launch->buffers()->size(); ++i) {
      const fb::Buffer &buffer = *plan.buffers()->Get(launch->buffers()->Get(i));
      if (buffer.kind() == fb::BufferKind::state && writes(target, *launch, i))
        written.insert(buffer.index());
    }
  for (const fb::Update *update : *entry.updates())
    for (uint32_t state : *update->states())
      if (!written.count(state))
        return broken("V31", "entry '", entry.name()->string_view(), "', target '",
                      target.name()->string_view(), "': expected state '",
                      p().states()->Get(state)->path()->string_view(),
                      "' of an update to be written, found no launch that does");
  if (target.kind() == fb::TargetKind::cpu || entry.updates()->size() == 0)
    return {};
  // V33: and where kernels ask a word whether updates are held back, one that knows all predicates sets it.
  auto tells = [&](const fb::Launch *launch) {
    std::unordered_set<uint32_t> outputs;
    for (unsigned i = 0; i < launch->buffers()->size(); ++i)
      if (writes(target, *launch, i) &&
          plan.buffers()->Get(launch->buffers()->Get(i))->kind() == fb::BufferKind::state)
        return false; // it does what it would have to hold back
    for (uint32_t at : *launch->buffers())
      if (plan.buffers()->Get(at)->kind() == fb::BufferKind::output)
        outputs.insert(plan.buffers()->Get(at)->index());
    return std::any_of(launch->scalars()->begin(), launch->scalars()->end(),
                       [](const fb::Arg *arg) { return arg->kind() == fb::ArgKind::held_i64; }) &&
           std::all_of(entry.updates()->begin(), entry.updates()->end(),
                       [&](const fb::Update *update) { return outputs.count(update->predicate()) > 0; });
  };
  if (std::none_of(plan.step()->begin(), plan.step()->end(), tells))
    return broken(
        "V33", "entry '", entry.name()->string_view(), "', target '", target.name()->string_view(),
        "': expected a launch that is given every predicate and the word of held updates, found none");
  return {};
}

Result<std::vector<std::unique_ptr<CodeImage>>> Verifier::run() {
  MOERT_TRY(expressions());
  MOERT_TRY(states());
  MOERT_TRY(scalars());
  MOERT_TRY(entries());
  MOERT_TRY(config());
  if (count(p().targets()) == 0)
    return broken("V16", "expected a target, found none");
  for (const fb::Target *each : *p().targets())
    MOERT_TRY(target(*each));
  return std::move(images_);
}

} // namespace

Result<std::vector<std::unique_ptr<CodeImage>>> verifyMeaning(const moe::fb::Program &program,
                                                              std::span<const Section> sections) {
  return Verifier(program, sections).run();
}

} // namespace moert
