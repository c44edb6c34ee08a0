// The check of a name. MLIR's texts can write any byte into a quoted name (`@"a\09b"`), and bytecode into
// any.
#include "dialects/moe/Names.h"
#include "runtime/base/Printable.h"

using namespace mlir;

LogicalResult moe::checkName(Location at, StringRef mark, StringRef name) {
  if (name.empty() || name.size() > longestName)
    return emitError(at) << "expected a name of 1 to " << longestName << " bytes, found one of "
                         << name.size();
  if (!moert::isPlain(name))
    return emitError(at) << "expected a name in UTF-8 without control characters, found '" << mark
                         << moert::printable(name, /*line=*/true) << "'";
  return success();
}
