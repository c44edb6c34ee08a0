#include "frontends/driver/Targets.h"
#include "passes/kernels/Backend.h"
#include "runtime/base/Printable.h"
#include <set>

namespace moe {

moert::Status checkTargets(const std::vector<std::string> &targets, bool finished) {
  std::set<std::string> before;
  for (const std::string &target : targets) {
    std::string error;
    std::unique_ptr<kernels::Target> machine = kernels::parseTarget(target, error);
    if (!machine)
      return moert::usageError(error);
    if (!before.insert(target).second)
      return moert::usageError("expected each target once, found --target=", target, " again");
    if (finished && !machine->canFinish(error))
      return moert::invalidInput(error);
  }
  return moert::okStatus();
}

} // namespace moe
