// A file of layers alone is a library: nothing in it is unused, and nothing stops a compilation.
// RUN: moe-opt %s --moe-check-unused --verify-diagnostics
moe.layer @Library(%x) {
  yield %x
}
