// The plugin itself: its dialect, and what it gives the compiler.
#include "frontends/driver/Plugin.h"
#include "Extra.h"
#include "Passes.h"

using namespace mlir;
using namespace moe; // the directives of the language's formats

#include "ExtraDialect.cpp.inc"
#define GET_OP_CLASSES
#include "Extra.cpp.inc"

void extra::ExtraDialect::initialize() {
  addOps<
#define GET_OP_LIST
#include "Extra.cpp.inc"
      >(*this);
}

static void extend(PluginRegistry &registry) {
  registry.dialect<extra::ExtraDialect>();
  registry.pass(extra::createClipGradients, "after-elaborate");
}
MOE_PLUGIN("extra", extend)
