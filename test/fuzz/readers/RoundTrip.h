// "What is written is read back", as a property over random values: the recipe and its keys as --set,
// state.json, safetensors, npy, the lines of metrics, and the file of a program.
#pragma once

#include <random>

namespace moert::test {

/// Some values of each kind, drawn from the generator. Aborts with the difference where there is one.
void checkRoundTrips(std::mt19937 &random);

} // namespace moert::test
