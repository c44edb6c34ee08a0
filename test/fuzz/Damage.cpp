// Probing one damaged program.
#include "test/fuzz/Damage.h"
#include "runtime/plan/Layout.h"

namespace moert::test {

namespace {

constexpr Binding kBindings[] = {{1, 1}, {5, 64}, {1 << 20, 1 << 20}};
constexpr Binding kRun = {2, 3};

/// Runs every entry twice. A failure to open is a refusal; what a run computes does not matter here.
Outcome runAll(std::shared_ptr<const Program> program, std::shared_ptr<Device> device) {
  Result<std::shared_ptr<States>> states = States::create(program, device, 1);
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

Outcome probe(const std::vector<uint8_t> &bytes, std::shared_ptr<Device> device) {
  Result<std::shared_ptr<const Program>> program = Program::verify(bytes, "damaged");
  if (!program)
    return Outcome::refused;
  // A state of another size is refused here, before memory for it is taken and filled.
  bool fits = true;
  for (const fb::Target *target : *(*program)->table().targets())
    for (const fb::Plan *plan : *target->plans()) {
      for (Binding binding : kBindings)
        (void)layOut(**program, *target, *plan, binding).ok();
      fits &= layOut(**program, *target, *plan, kRun).ok();
    }
  if (!fits)
    return Outcome::refused;
  return runAll(*std::move(program), std::move(device));
}

} // namespace moert::test
