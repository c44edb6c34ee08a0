// Probing one damaged program.
#include "test/fuzz/Damage.h"
#include "runtime/session/Layout.h"

#include <algorithm>

namespace moert::test {

namespace {

constexpr Binding kBindings[] = {{1, 1}, {2, 3}, {5, 64}, {1 << 20, 1 << 20}};
constexpr Binding kRun = {2, 3};

bool sameBytes(std::span<const uint8_t> a, std::span<const uint8_t> b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

bool sameValue(const Program &a, uint32_t exprA, const Program &b, uint32_t exprB) {
  Result<int64_t> valueA = a.evaluate(exprA, kRun), valueB = b.evaluate(exprB, kRun);
  return valueA.ok() && valueB.ok() && *valueA == *valueB;
}

bool sameLaunch(const Program &a, const fb::Target &targetA, const fb::Launch &launchA, const Program &b,
                const fb::Target &targetB, const fb::Launch &launchB) {
  const fb::Kernel &kernelA = *targetA.kernels()->Get(launchA.kernel()),
                   &kernelB = *targetB.kernels()->Get(launchB.kernel());
  if (kernelA.symbol()->string_view() != kernelB.symbol()->string_view() || kernelA.scratch() != kernelB.scratch() ||
      launchA.buffers()->size() != launchB.buffers()->size() ||
      launchA.scalars()->size() != launchB.scalars()->size() ||
      !sameValue(a, launchA.units(), b, launchB.units()))
    return false;
  for (unsigned i = 0; i < launchA.extents()->size(); ++i)
    if (!sameValue(a, launchA.extents()->Get(i), b, launchB.extents()->Get(i)))
      return false;
  for (unsigned i = 0; i < launchA.scalars()->size(); ++i) {
    const fb::Arg &argA = *launchA.scalars()->Get(i), &argB = *launchB.scalars()->Get(i);
    if (argA.kind() != argB.kind())
      return false;
    if (argA.kind() == fb::ArgKind::extent ? !sameValue(a, uint32_t(argA.value()), b, uint32_t(argB.value()))
                                           : argA.value() != argB.value())
      return false;
  }
  return true;
}

bool trustsTheSame(const Program &a, const Program &b) {
  const fb::Program &tableA = a.table(), &tableB = b.table();
  if (tableA.targets()->size() != tableB.targets()->size() || tableA.entries()->size() != tableB.entries()->size())
    return false;
  for (unsigned i = 0; i < tableA.targets()->size(); ++i) {
    const fb::Target &targetA = *tableA.targets()->Get(i), &targetB = *tableB.targets()->Get(i);
    if (!sameBytes(a.section(targetA.code()), b.section(targetB.code())))
      return false;
    for (unsigned j = 0; j < tableA.entries()->size(); ++j) {
      const fb::Plan &planA = a.plan(targetA, *tableA.entries()->Get(j)),
                     &planB = b.plan(targetB, *tableB.entries()->Get(j));
      using Launches = const flatbuffers::Vector<flatbuffers::Offset<fb::Launch>>;
      for (auto [launchesA, launchesB] : {std::pair<Launches *, Launches *>(planA.prepare(), planB.prepare()),
                                          std::pair<Launches *, Launches *>(planA.step(), planB.step())}) {
        if (launchesA->size() != launchesB->size())
          return false;
        for (unsigned k = 0; k < launchesA->size(); ++k)
          if (!sameLaunch(a, targetA, *launchesA->Get(k), b, targetB, *launchesB->Get(k)))
            return false;
      }
    }
  }
  return true;
}

/// Runs every entry twice. A failure to open is a refusal; what a run computes does not matter here.
Outcome runAll(std::shared_ptr<const Program> program, std::shared_ptr<Device> device) {
  Result<std::shared_ptr<States>> states = States::create(program, 1);
  if (!states)
    return Outcome::refused;
  for (const fb::Entry *entry : *program->table().entries()) {
    Result<std::unique_ptr<Session>> session =
        Session::open(program, *states, device, entry->name()->string_view(), kRun);
    if (!session)
      return Outcome::refused;
    for (uint64_t step = 0; step < 2; ++step)
      if (!(*session)->run({.step = step}).ok())
        return Outcome::refused;
  }
  return Outcome::ran;
}

} // namespace

Outcome probe(std::vector<uint8_t> bytes, const Program &original, std::shared_ptr<Device> device) {
  Result<std::shared_ptr<const Program>> program = Program::verify(std::move(bytes), "damaged");
  if (!program)
    return Outcome::refused;
  bool fits = true;
  for (const fb::Target *target : *(*program)->table().targets())
    for (const fb::Plan *plan : *target->plans())
      for (Binding binding : kBindings) {
        bool laidOut = layOut(**program, *target, *plan, binding).ok();
        if (binding.domains == kRun.domains && binding.rows == kRun.rows)
          fits &= laidOut;
      }
  if (!fits)
    return Outcome::refused;
  // A state may have grown to what would only slow the test down; that it verifies is what mattered.
  Result<Session::MemoryUse> use =
      memoryUse(**program, 0, (*program)->table().entries()->Get(0)->name()->string_view(), kRun, 1);
  if (!use || use->total() > (uint64_t(1) << 28) || !trustsTheSame(**program, original))
    return Outcome::laidOut;
  return runAll(*std::move(program), std::move(device));
}

} // namespace moert::test
