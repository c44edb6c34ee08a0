// Verified code of the host in memory where it can run: a copy and an mprotect, since images that need more are refused.
#pragma once

#include "runtime/base/Memory.h"
#include "runtime/program/CodeImage.h"

namespace moert {

/// The image at the begin of the block; all of it is read-only. `elf` is what the image was read from.
Result<Memory> mapCode(const CodeImage &image, std::span<const uint8_t> elf);

} // namespace moert
