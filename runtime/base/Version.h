// The version of compiler and runtime, which are released together: what --version prints and programs record.
#pragma once

namespace moert {
constexpr const char *version() { return "0.1.0"; }
} // namespace moert
