// A small program that runtime tests build, break and run. It has one of everything: a training and an
// inference entry, a launch that prepares, a constant, temporaries, optimizer state, and every kind of
// scalar.
//
//   train: image f32 [B, 3], label i32 [B]  ->  loss, finite      one step of SGD with momentum on a linear
//   model main:  image f32 [B, 3]  ->  logits f32 [B], mark f32 [B]      with weights that prepare doubled
#pragma once

#include "runtime/program/Program.h"

namespace moert::test {

struct TestProgram {
  moe::fb::ProgramT table;
  std::vector<std::vector<uint8_t>> sections; // the target's code
  SectionKind kind = SectionKind::host;       // of all sections

  std::vector<uint8_t> flatbuffer() const;
  std::vector<uint8_t> encode() const;
};

TestProgram testProgram();
/// Adds a parameter that no entry uses: zeros in all but its shape.
void addParameter(TestProgram &program, const std::string &path, const std::vector<int64_t> &shape);
/// The same for a GPU, as its tables say it: one block a unit of work, and code that no GPU can load.
TestProgram gpuProgram();
/// A section of a GPU's code as a target's table of kernels describes it: a byte of code each.
std::vector<uint8_t> cubinsOf(const moe::fb::TargetT &target);

/// The bytes of the kernels' shared object.
std::vector<uint8_t> testKernels();

// Places in the program, for tests that change them.
enum Expr : uint32_t { kB, kColumns, kOne, kImage, kD, kN };
enum State : uint32_t { kW, kMomentum };
enum Scalar : uint32_t { kLr, kMu, kStepScalar, kProgressScalar };
enum EntryIndex : uint32_t { kTrain, kMain };
enum Kernel : uint32_t { kDot, kSquaredLoss, kSgd, kScale, kMark };
enum TrainBuffer : uint32_t { kTImage, kTLabel, kTW, kTMomentum, kTY, kTLoss, kTFinite };
enum MainBuffer : uint32_t { kMImage, kMW, kMPacked, kMY, kMLogits, kMMark };

} // namespace moert::test
