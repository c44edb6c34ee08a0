// What native code takes on trust, as one number. A kernel believes its launch: which kernel it is, how many
// units or threads there are, its scalars, how much of each buffer it may touch, which integers are indices, and the
// constants. Verification can check that all of these are in range, not that they are the right ones for the
// code; if one of them is wrong, the kernel reads or writes anywhere. So the compiler writes a digest of them
// and of the code into the header, beside the digest of the file, and rule V28 compares it: a tool that edits
// a program and seals it again may change names, rules of initial values or config, and is refused where it
// touched what the code relies on.
#pragma once

#include "runtime/program/Header.h"
#include "runtime/program/program_generated.h"

#include <cstdint>
#include <span>

namespace moert {

/// Follows indices with care, since it is asked about unverified programs too; those it cannot follow count
/// as numbers.
uint64_t trustOf(const moe::fb::Program &program, std::span<const Section> sections);

} // namespace moert
