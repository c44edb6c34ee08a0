#include "frontends/moec/InspectKernels.h"
#include "runtime/device/cuda/Occupancy.h"
#include "runtime/program/cubins_generated.h"
#include "llvm/Support/Format.h"
#include <algorithm>
#include <map>

namespace fb = moe::fb;
using Json = nlohmann::ordered_json;

namespace moe {
namespace {

/// How a target's plans launch a kernel.
struct Use {
  uint64_t launches = 0;
  uint64_t shared = 0; // the most bytes of dynamic shared memory
  std::string op, path, file;
  uint32_t line = 0;
};

using Uses = std::map<std::string_view, Use>; // by the kernel's symbol

moert::Result<Uses> usesOf(const moert::Program &program, const fb::Target &target, moert::Binding binding) {
  Uses uses;
  auto text = [](const flatbuffers::String *string) { return string ? string->str() : std::string(); };
  for (const fb::Plan *plan : *target.plans())
    for (const auto *list : {plan->prepare(), plan->step()})
      for (const fb::Launch *launch : *list) {
        const fb::GpuKernel *work = launch->work_as_GpuKernel();
        if (!work)
          continue;
        Use &use = uses[target.kernels()->Get(work->kernel())->symbol()->string_view()];
        if (!use.launches++)
          use = {1, 0, text(launch->op()), text(launch->path()), text(launch->file()), launch->line()};
        MOERT_ASSIGN(int64_t shared, program.evaluate(work->shared(), binding));
        use.shared = std::max(use.shared, uint64_t(shared));
      }
  return uses;
}

} // namespace

moert::Result<Json> describeKernels(const moert::Program &program, uint32_t number, moert::Binding binding) {
  const fb::Target &target = *program.table().targets()->Get(number);
  if (target.kind() != fb::TargetKind::cuda)
    return Json();
  std::span<const uint8_t> section = program.section(target.code());
  flatbuffers::Verifier verifier(section.data(), section.size());
  if (!cubins::VerifySizePrefixedModuleBuffer(verifier))
    return moert::invalidInput(program.path(), ": the section of the target '", target.name()->string_view(),
                               "' has no table of kernels");
  const cubins::Module &module = *cubins::GetSizePrefixedModule(section.data());
  std::map<std::string_view, const cubins::Kernel *> code;
  for (const cubins::Kernel *kernel : *module.kernels())
    code[kernel->name()->string_view()] = kernel;
  MOERT_ASSIGN(Uses uses, usesOf(program, target, binding));
  auto multiprocessor = moert::cuda::multiprocessorOf(module.architecture()->string_view());
  Json out = Json::array();
  for (const fb::Kernel *row : *target.kernels()) {
    auto found = code.find(row->symbol()->string_view());
    if (found == code.end())
      return moert::invalidInput(program.path(), ": the section of the target '",
                                 target.name()->string_view(), "' has no code of the kernel '",
                                 row->symbol()->string_view(), "'");
    const cubins::Kernel &kernel = *found->second;
    const Use &use = uses[row->symbol()->string_view()];
    Json item = {{"symbol", row->symbol()->str()},
                 {"kind", row->kind() ? row->kind()->str() : ""},
                 {"op", use.op},
                 {"path", use.path},
                 {"file", use.file},
                 {"line", use.line},
                 {"launches", use.launches},
                 {"threads", kernel.threads()},
                 {"registers", kernel.registers()},
                 {"static_shared_bytes", kernel.shared()},
                 {"dynamic_shared_bytes", use.shared},
                 {"stack_bytes", kernel.stack()},
                 {"spill_store_bytes", kernel.spill_stores()},
                 {"spill_load_bytes", kernel.spill_loads()},
                 {"code_bytes", kernel.code()->size()}};
    if (multiprocessor) {
      const unsigned blocks = moert::cuda::residentBlocks(
          *multiprocessor, kernel.threads(), kernel.registers(), kernel.shared() + unsigned(use.shared));
      item["blocks_per_multiprocessor"] = blocks;
      item["occupancy"] = moert::cuda::occupancy(*multiprocessor, blocks, kernel.threads());
    }
    out.push_back(std::move(item));
  }
  return out;
}

void printKernels(const Json &kernels, llvm::raw_ostream &os) {
  if (kernels.empty())
    return;
  auto number = [](const Json &item, const char *key) { return item.value(key, 0u); };
  os << "  kernels:    launches  threads  registers  shared  stack  spilled  blocks  occupancy\n";
  for (const Json &item : kernels)
    os << "    " << llvm::format("%-10s", item["kind"].get<std::string>().c_str())
       << llvm::format("%6u %8u %10u %7u", number(item, "launches"), number(item, "threads"),
                       number(item, "registers"),
                       number(item, "static_shared_bytes") + number(item, "dynamic_shared_bytes"))
       << llvm::format("%7u %8u %7u", number(item, "stack_bytes"),
                       number(item, "spill_store_bytes") + number(item, "spill_load_bytes"),
                       number(item, "blocks_per_multiprocessor"))
       << llvm::format("%9.0f %%  ", 100 * item.value("occupancy", 0.0)) << item["op"].get<std::string>()
       << " " << item["path"].get<std::string>() << "\n";
}

} // namespace moe
