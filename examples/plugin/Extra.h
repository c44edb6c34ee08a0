// The plugin's dialect and ops, and what their facts are written with.
#pragma once
#include "dialects/flow/Build.h"
#include "dialects/flow/Define.h"
#include "dialects/flow/Emit.h"
#include "dialects/flow/RandomCase.h"
#include "dialects/moe/Directives.h"
#include "dialects/moe/Expander.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include "ExtraDialect.h.inc"
#define GET_OP_CLASSES
#include "Extra.h.inc"
