// Writes what the compiler would: tables of kernels and sites, and the code.
#include "test/support/EmulatorModule.h"
#include "runtime/emulator/module_generated.h"

#include <fstream>
#include <iterator>

namespace moert::test {

std::vector<uint8_t> emulatorModule(const std::function<void(moe::emu::ModuleT &)> &change) {
  using namespace moe::emu;
  struct Entry {
    const char *name;
    const char *params; // p: a pointer; c: a counter; otherwise the bytes of a number
    uint32_t shared = 0, threads = 256;
  };
  static constexpr Entry kKernels[] = {{"axpy", "pp44"},
                                       {"reverse", "p4", 1024},
                                       {"block_sum", "pp4", 1024},
                                       {"warp_sum", "pp4"},
                                       {"copy", "pp4"},
                                       {"meet", "p4"},
                                       {"exchange", "pp4", 1024},
                                       {"pipeline", "pp4", 8192},
                                       {"vector_copy", "pp4"},
                                       {"bytes", "p4"},
                                       {"count", "c4"},
                                       {"dynamic", "p4"},
                                       {"stack", "p4"},
                                       {"shuffles", "p4444"},
                                       {"ballots", "p4"},
                                       {"mma", "pppp", 0, 32},
                                       {"mixed", "12141p8"},
                                       {"indices", "p4", 0, 1024},
                                       {"divide", "p4"},
                                       {"follow", "p4"},
                                       {"script", "pp4", 32},
                                       {"product", "ppp4", 8192},
                                       {"dot", "ppp88", 0, 64},
                                       {"squared_loss", "pppp8p", 0, 64},
                                       {"sgd", "pppppppppp88p", 0, 64},
                                       {"scale", "pp8", 0, 64},
                                       {"mark", "ppp", 0, 64}};
  ModuleT module;
  module.architecture = "sm_90a";
  module.host = "x86-64-v3";
  module.features = {"sse2"};
  for (const Entry &entry : kKernels) {
    auto kernel = std::make_unique<KernelT>();
    kernel->name = entry.name;
    for (const char *at = entry.params; *at; ++at) {
      auto param = std::make_unique<ParamT>();
      const bool isPointer = *at == 'p' || *at == 'c';
      param->kind = isPointer ? ParamKind::pointer : ParamKind::scalar;
      param->bytes = isPointer ? 8 : uint32_t(*at - '0');
      param->counter = *at == 'c';
      kernel->params.push_back(std::move(param));
    }
    kernel->shared = entry.shared;
    kernel->threads = entry.threads;
    kernel->fast = std::string(entry.name) + "_fast";
    kernel->checked = std::string(entry.name) + "_checked";
    module.kernels.push_back(std::move(kernel));
  }
  for (uint32_t i = 0; i < 85; ++i) {
    auto site = std::make_unique<SiteT>();
    site->op = "op" + std::to_string(i);
    site->file = "kernels.mlir";
    site->line = i + 100;
    module.sites.push_back(std::move(site));
  }
  std::ifstream file(MOERT_EMULATOR_KERNELS, std::ios::binary);
  module.code.assign(std::istreambuf_iterator<char>(file), {});
  if (change)
    change(module);
  flatbuffers::FlatBufferBuilder builder;
  FinishSizePrefixedModuleBuffer(builder, CreateModule(builder, &module));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

} // namespace moert::test
