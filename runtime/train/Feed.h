// Puts a batch into a session's inputs by name. An entry takes what it declares; what it does not declare is
// left out.
#pragma once

#include "runtime/data/Batches.h"
#include "runtime/session/Session.h"

namespace moert {

Status feed(Session &session, const Batch &batch);

} // namespace moert
