// libFuzzer's target for the reader of models: parser, verifier and elaboration. Built by the `fuzz` preset,
// with the front end's sources instrumented (LLVM and MLIR are not):
//   python3 test/fuzz/text/corpus.py corpus/ words.dict        (the models of the tree, and their words)
//   ASAN_OPTIONS=allow_user_poisoning=0 build-fuzz/bin/text-fuzz -dict=words.dict corpus/
#include "dialects/flow/Flow.h"
#include "dialects/moe/MoeDialect.h"
#include "test/fuzz/text/TextCheck.h"
#include <cstdio>
#include <cstdlib>
#include <memory>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static std::unique_ptr<mlir::MLIRContext> context;
  static unsigned cases = 0;
  if (cases++ % 500 == 0) { // what a context has seen stays in it
    mlir::DialectRegistry registry;
    registry.insert<moe::MoeDialect, flow::FlowDialect>();
    context = std::make_unique<mlir::MLIRContext>(registry, mlir::MLIRContext::Threading::DISABLED);
    context->printOpOnDiagnostic(false);
  }
  moe::test::TextResult result = moe::test::checkText({reinterpret_cast<const char *>(data), size}, *context);
  if (result.fault.empty())
    return 0;
  fprintf(stderr, "%s\n", result.fault.c_str());
  abort();
}
