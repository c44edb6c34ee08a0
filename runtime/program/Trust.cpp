// Hashes, target by target, the code, and every launch as the code sees it: symbols and
// expressions by what they say, not by where they stand in the tables.
#include "runtime/program/Trust.h"
#include "runtime/program/Launch.h"

#include <cstring>
#include <sys/types.h>

extern "C" {
#include <sha2.h>
}

namespace moert {

namespace {

namespace fb = moe::fb;

class Hasher {
public:
  explicit Hasher(const fb::Program &program) : program_(program) { SHA256Init(&context_); }

  void bytes(const void *data, size_t size) {
    number(size); // so that no two sequences run together to the same bytes
    SHA256Update(&context_, static_cast<const uint8_t *>(data), size);
  }
  void number(uint64_t value) {
    SHA256Update(&context_, reinterpret_cast<const uint8_t *>(&value), sizeof value);
  }

  void expr(uint64_t index) {
    if (index >= program_.exprs()->size()) {
      number(index);
      return;
    }
    for (const fb::ExprOp *op : *program_.exprs()->Get(unsigned(index))->ops()) {
      number(uint64_t(op->code()));
      number(uint64_t(op->value()));
    }
  }

  void launch(const fb::Target &target, const fb::Plan &plan, const fb::Launch &launch) {
    number(uint64_t(launch.work_type()));
    if (auto index = kernelNumber(launch); index && *index < target.kernels()->size()) {
      const fb::Kernel &kernel = *target.kernels()->Get(*index);
      bytes(kernel.symbol()->data(), kernel.symbol()->size());
      number(kernel.scratch());
      number(kernel.threads());
      bytes(kernel.scalars()->data(), kernel.scalars()->size());
    }
    if (const fb::CpuKernel *work = launch.work_as_CpuKernel()) {
      expr(work->units());
    } else if (const fb::GpuKernel *work = launch.work_as_GpuKernel()) {
      for (const auto *sizes : {work->grid(), work->block()})
        for (uint32_t size : *sizes)
          expr(size);
      expr(work->shared());
    } else if (const fb::Fill *work = launch.work_as_Fill()) {
      number(work->bits());
    }
    for (uint32_t extent : *launch.extents())
      expr(extent);
    for (const fb::Arg *arg : *launch.scalars()) {
      number(uint64_t(arg->kind()));
      if (arg->kind() == fb::ArgKind::extent)
        expr(uint64_t(arg->value()));
      else
        number(uint64_t(arg->value()));
    }
    for (uint32_t index : *launch.buffers()) {
      if (index >= plan.buffers()->size())
        continue;
      fb::ElementType type = plan.buffers()->Get(index)->type();
      if (type == fb::ElementType::i32 || type == fb::ElementType::i64) // may be indices into another buffer
        number(index);
    }
  }

  uint64_t finish() {
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256Final(digest, &context_);
    uint64_t out;
    memcpy(&out, digest, sizeof out);
    return out;
  }

private:
  const fb::Program &program_;
  SHA2_CTX context_;
};

} // namespace

uint64_t trustOf(const fb::Program &program, std::span<const Section> sections) {
  Hasher hasher(program);
  for (const fb::Target *target : *program.targets()) {
    hasher.number(uint64_t(target->kind()));
    hasher.number(uint64_t(target->most_elements()));
    if (uint32_t section = target->code(); section != 0 && section < sections.size())
      hasher.bytes(sections[section].bytes.data(), sections[section].bytes.size());
    for (const fb::Plan *plan : *target->plans())
      for (const auto *launches : {plan->prepare(), plan->step()}) {
        hasher.number(launches->size());
        for (const fb::Launch *launch : *launches)
          hasher.launch(*target, *plan, *launch);
      }
  }
  return hasher.finish();
}

} // namespace moert
