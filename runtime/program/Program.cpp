// Loading, and the questions that one asks a program. The bytes start at a page, so that every section has
// the alignment in memory that it has in the file, and end where the file ends, so that sanitizers see a read
// past it.
#include "runtime/program/Program.h"
#include "runtime/base/Files.h"
#include "runtime/base/Nearest.h"
#include "runtime/program/Capacity.h"
#include "runtime/program/CodeImage.h"
#include "runtime/program/Header.h"
#include "runtime/program/Trust.h"
#include "runtime/program/Verify.h"

#include <cstring>

namespace moert {

SectionKind sectionOf(fb::TargetKind kind) {
  return kind == fb::TargetKind::cpu    ? SectionKind::host
         : kind == fb::TargetKind::cuda ? SectionKind::cubin
                                        : SectionKind::emulator;
}

size_t elementBytes(fb::ElementType type) {
  switch (type) {
  case fb::ElementType::f64:
  case fb::ElementType::i64:
    return 8;
  case fb::ElementType::f32:
  case fb::ElementType::i32:
    return 4;
  case fb::ElementType::bf16:
    return 2;
  case fb::ElementType::u8:
    return 1;
  }
  return 1;
}

const char *elementName(fb::ElementType type) { return fb::EnumNameElementType(type); }

namespace {
/// Division towards minus infinity, or plus infinity for `up`.
int64_t divide(int64_t a, int64_t b, bool up) {
  int64_t quotient = a / b;
  if (a % b != 0 && ((a < 0) == (b < 0)) == up)
    quotient += up ? 1 : -1;
  return quotient;
}
} // namespace

Result<std::shared_ptr<const Program>> Program::load(const std::string &path) {
  MOERT_ASSIGN(OpenFile file, OpenFile::open(path));
  MOERT_ASSIGN(uint64_t size, file.size("a program file"));
  if (size > kMaxFileBytes) // before it is read: it may be larger than memory
    return broken("V01", "expected a program of at most ", kMaxFileBytes, " bytes, found ", size).in(path);
  MOERT_ASSIGN(Bytes bytes, allocate(size_t(size), path));
  // Copied, not mapped: a file that shrinks while we run must not take the process down.
  MOERT_TRY(file.read(0, std::as_writable_bytes(std::span(bytes.data.get(), bytes.size))));
  return verifyBytes(std::move(bytes), path);
}

Result<Program::Bytes> Program::allocate(size_t size, const std::string &name) {
  Bytes bytes;
  void *memory = nullptr;
  if (posix_memalign(&memory, kSectionAlignment, size ? size : 1) != 0)
    return invalidInput(name, ": cannot allocate ", size, " bytes");
  bytes.data.reset(static_cast<uint8_t *>(memory));
  bytes.size = size;
  return bytes;
}

Result<std::shared_ptr<const Program>> Program::verify(std::span<const uint8_t> bytes, std::string name) {
  MOERT_ASSIGN(Bytes copy, allocate(bytes.size(), name));
  if (!bytes.empty())
    memcpy(copy.data.get(), bytes.data(), bytes.size());
  return verifyBytes(std::move(copy), std::move(name));
}

Result<std::shared_ptr<const Program>> Program::verifyBytes(Bytes bytes, std::string name) {
  std::shared_ptr<Program> program(new Program);
  program->bytes_ = std::move(bytes);
  program->path_ = std::move(name);
  auto failed = [&](Status status) { return std::move(status).in(program->path_); };

  Result<std::vector<Section>> sections = verifyFile({program->bytes_.data.get(), program->bytes_.size});
  if (!sections)
    return failed(sections.status());
  program->sections_ = *std::move(sections);
  Result<const fb::Program *> table = verifyStructure(program->sections_[0].bytes);
  if (!table)
    return failed(table.status());
  program->table_ = *table;
  Result<std::vector<std::unique_ptr<CodeImage>>> codes = verifyMeaning(*program->table_, program->sections_);
  if (!codes)
    return failed(codes.status());
  program->codes_ = *std::move(codes);
  const auto &header = *reinterpret_cast<const Header *>(program->bytes_.data.get());
  if (trustOf(*program->table_, program->sections_) != header.trust)
    return failed(broken(
        "V28", "the code, or a number that it relies on, is not what the compiler wrote; compile it again"));

  for (uint8_t byte : header.digest) {
    program->digest_ += "0123456789abcdef"[byte >> 4];
    program->digest_ += "0123456789abcdef"[byte & 15];
  }
  return std::shared_ptr<const Program>(std::move(program));
}

std::string_view Program::name() const { return table_->name()->string_view(); }

Result<const fb::Entry *> Program::entry(std::string_view name) const {
  std::vector<std::string> names;
  for (const fb::Entry *entry : *table_->entries()) {
    if (entry->name()->string_view() == name)
      return entry;
    names.push_back(entry->name()->str());
  }
  return invalidInput(path_, ": expected an entry of the program, found '", name, "'",
                      suggestion(name, names));
}

std::optional<std::string_view> Program::config(std::string_view key) const {
  for (const fb::KeyValue *pair : *table_->config())
    if (pair->key()->string_view() == key)
      return pair->value()->string_view();
  return std::nullopt;
}

std::optional<uint32_t> Program::state(std::string_view path) const {
  for (unsigned i = 0; i < table_->states()->size(); ++i)
    if (table_->states()->Get(i)->path()->string_view() == path)
      return i;
  return std::nullopt;
}

std::optional<uint32_t> Program::scalar(std::string_view key) const {
  for (unsigned i = 0; i < table_->scalars()->size(); ++i)
    if (table_->scalars()->Get(i)->key()->string_view() == key)
      return i;
  return std::nullopt;
}

const fb::Plan &Program::plan(const fb::Target &target, const fb::Entry &entry) const {
  for (const fb::Plan *plan : *target.plans())
    if (table_->entries()->Get(plan->entry()) == &entry)
      return *plan;
  fprintf(stderr, "internal: an entry of a verified program has no plan\n");
  abort();
}

std::optional<int64_t> valueOf(std::string_view symbol, Binding binding) {
  if (symbol == "D")
    return binding.domains;
  if (symbol == "N")
    return binding.rows;
  return std::nullopt;
}

std::optional<int64_t> calculate(const fb::Program &program, const fb::Expr &expr, Binding binding) {
  int64_t stack[64]; // V11 bounds the depth
  int depth = 0;
  for (const fb::ExprOp *op : *expr.ops()) {
    if (op->code() == fb::ExprCode::constant || op->code() == fb::ExprCode::symbol) {
      stack[depth++] = op->code() == fb::ExprCode::constant // V11: rows of symbols that have a value
                           ? op->value()
                           : *valueOf(program.symbols()->Get(unsigned(op->value()))->string_view(), binding);
      continue;
    }
    int64_t b = stack[--depth], &a = stack[depth - 1];
    bool failed = false;
    switch (op->code()) {
    case fb::ExprCode::add:
      failed = __builtin_add_overflow(a, b, &a);
      break;
    case fb::ExprCode::sub:
      failed = __builtin_sub_overflow(a, b, &a);
      break;
    case fb::ExprCode::mul:
      failed = __builtin_mul_overflow(a, b, &a);
      break;
    default:
      failed = b == 0 || (b == -1 && a == INT64_MIN);
      if (!failed)
        a = divide(a, b, op->code() == fb::ExprCode::ceildiv);
    }
    if (failed)
      return std::nullopt;
  }
  return stack[0];
}

Result<int64_t> evaluateExpr(const fb::Program &program, const fb::Expr &expr, Binding binding) {
  std::optional<int64_t> value = calculate(program, expr, binding);
  if (!value)
    return broken("B01", "a size of the program overflows or divides by zero at ", binding.domains, " x ",
                  binding.rows, " images");
  if (*value < 0)
    return broken("B01", "a size of the program is ", *value, " at ", binding.domains, " x ", binding.rows,
                  " images");
  return *value;
}

Result<int64_t> Program::evaluate(uint32_t expr, Binding binding) const {
  return evaluateExpr(*table_, *table_->exprs()->Get(expr), binding);
}

Result<std::vector<int64_t>> Program::shape(const fb::Port &port, Binding binding) const {
  std::vector<int64_t> shape;
  for (uint32_t expr : *port.shape()) {
    MOERT_ASSIGN(int64_t extent, evaluate(expr, binding));
    shape.push_back(extent);
  }
  return shape;
}

Status Program::checkCapacities(const fb::Entry &entry, Binding binding) const {
  if (!entry.capacities())
    return {};
  for (const fb::Capacity *each : *entry.capacities()) {
    MOERT_ASSIGN(int64_t rows, evaluate(each->rows(), binding));
    MOERT_TRY(checkCapacity(concat("entry '", entry.name()->string_view(), "' at ", binding.domains, " x ",
                                   binding.rows, " images"),
                            each->routing()->string_view(), rows, each->experts(), each->factor()));
  }
  return {};
}

} // namespace moert
