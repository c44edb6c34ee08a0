// Builds the test program through the schema's object API.
#include "test/support/TestProgram.h"
#include "runtime/program/cubins_generated.h"

#include <cstring>
#include <fstream>
#include <iterator>

namespace moert::test {

using namespace moe::fb;

namespace {

std::unique_ptr<ExprT> expr(std::vector<ExprOp> ops) {
  auto out = std::make_unique<ExprT>();
  out->ops = std::move(ops);
  return out;
}

ExprOp number(int64_t value) { return ExprOp(ExprCode::constant, value); }
enum class Symbol { D, N }; // rows of the program's symbols
ExprOp symbol(Symbol value) { return ExprOp(ExprCode::symbol, int64_t(value)); }
ExprOp times() { return ExprOp(ExprCode::mul, 0); }

std::unique_ptr<PortT> port(const char *name, ElementType type, std::vector<uint32_t> shape) {
  auto out = std::make_unique<PortT>();
  out->name = name;
  out->type = type;
  out->shape = std::move(shape);
  return out;
}

std::unique_ptr<StateT> state(const char *path, StateKind kind, std::unique_ptr<InitT> init, const char *of) {
  auto out = std::make_unique<StateT>();
  out->path = path;
  out->kind = kind;
  out->type = ElementType::f32;
  out->shape = {3};
  out->init = std::move(init);
  out->of = of;
  return out;
}

std::unique_ptr<InitT> init(InitKind kind, double a, double b, uint32_t stream) {
  auto out = std::make_unique<InitT>();
  out->kind = kind;
  out->a = a;
  out->b = b;
  out->stream = stream;
  return out;
}

std::unique_ptr<ScalarT> scalar(const char *key, ScalarKind kind, double fallback) {
  auto out = std::make_unique<ScalarT>();
  out->key = key;
  out->kind = kind;
  out->fallback = fallback;
  return out;
}

struct Param {
  Access access;
  ElementType type = ElementType::f32;
  int over = -1;
};

std::unique_ptr<KernelT> kernel(const char *symbol, std::vector<Param> params, uint32_t scalars,
                                uint32_t scratch) {
  auto out = std::make_unique<KernelT>();
  out->symbol = symbol;
  for (Param each : params) {
    auto param = std::make_unique<KernelParamT>();
    param->access = each.access;
    param->type = each.type;
    param->over = each.over;
    out->params.push_back(std::move(param));
  }
  out->scalars.assign(scalars, ScalarParam::value);
  out->scratch = scratch;
  out->kind = "loop";
  return out;
}

std::unique_ptr<BufferT> buffer(BufferKind kind, uint32_t index, uint32_t extent, const char *name,
                                ElementType type = ElementType::f32, uint32_t first = 0, uint32_t last = 0) {
  auto out = std::make_unique<BufferT>();
  out->kind = kind;
  out->index = index;
  out->extent = extent;
  out->name = name;
  out->type = type;
  out->first = first;
  out->last = last;
  return out;
}

std::unique_ptr<LaunchT> launch(uint32_t kernel, std::vector<uint32_t> buffers, std::vector<uint32_t> extents,
                                std::vector<Arg> scalars, uint32_t units, const char *op, uint32_t line) {
  auto out = std::make_unique<LaunchT>();
  CpuKernelT work;
  work.kernel = kernel;
  work.units = units;
  out->work.Set(std::move(work));
  out->buffers = std::move(buffers);
  out->extents = std::move(extents);
  out->scalars = std::move(scalars);
  out->op = op;
  out->path = "fc";
  out->file = "linear.mlir";
  out->line = line;
  out->flops = kOne;
  out->bytes = kOne;
  return out;
}

int64_t bits(float value) {
  uint32_t out;
  memcpy(&out, &value, sizeof out);
  return out;
}

} // namespace

void addParameter(TestProgram &program, const std::string &path, const std::vector<int64_t> &shape) {
  program.table.states.push_back(
      state(path.c_str(), StateKind::parameter, init(InitKind::constant, 0, 0, 0), ""));
  program.table.states.back()->shape = shape;
}

std::vector<uint8_t> testKernels() {
  std::ifstream file(MOERT_TEST_KERNELS, std::ios::binary);
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(file), {});
}

TestProgram testProgram() {
  TestProgram program;
  ProgramT &p = program.table;
  p.name = "linear";
  p.compiler = "test";
  p.optimizer = "sgd";
  p.config.push_back(std::make_unique<KeyValueT>());
  p.config[0]->key = "classes";
  p.config[0]->value = "2";

  p.symbols = {"D", "N"};
  p.exprs.push_back(expr({symbol(Symbol::D), symbol(Symbol::N), times()}));
  p.exprs.push_back(expr({number(3)}));
  p.exprs.push_back(expr({number(1)}));
  p.exprs.push_back(expr({symbol(Symbol::D), symbol(Symbol::N), times(), number(3), times()}));
  p.exprs.push_back(expr({symbol(Symbol::D)}));
  p.exprs.push_back(expr({symbol(Symbol::N)}));

  p.states.push_back(state("fc.weight", StateKind::parameter, init(InitKind::uniform, -0.5, 0.5, 7), ""));
  p.states.push_back(
      state("momentum.fc.weight", StateKind::optimizer, init(InitKind::constant, 0, 0, 0), "fc.weight"));
  p.scalars.push_back(scalar("optimizer.lr", ScalarKind::recipe, 0.125));
  p.scalars.push_back(scalar("optimizer.momentum", ScalarKind::recipe, 0.5));
  p.scalars.push_back(scalar("step", ScalarKind::step, 0));
  p.scalars.push_back(scalar("progress", ScalarKind::progress, 0));

  p.entries.push_back(std::make_unique<EntryT>());
  p.entries[0]->name = "train";
  p.entries[0]->kind = EntryKind::train;
  p.entries[0]->inputs.push_back(port("image", ElementType::f32, {kB, kColumns}));
  p.entries[0]->inputs.push_back(port("label", ElementType::i32, {kB}));
  p.entries[0]->outputs.push_back(port("loss", ElementType::f32, {}));
  p.entries[0]->outputs.push_back(port("finite", ElementType::f32, {}));
  p.entries[0]->flops_per_image = 18;
  p.entries[0]->updates.push_back(std::make_unique<UpdateT>());
  p.entries[0]->updates[0]->predicate = 1;
  p.entries[0]->updates[0]->states = {kW, kMomentum};
  p.entries.push_back(std::make_unique<EntryT>());
  p.entries[1]->name = "main";
  p.entries[1]->kind = EntryKind::infer;
  p.entries[1]->inputs.push_back(port("image", ElementType::f32, {kB, kColumns}));
  p.entries[1]->outputs.push_back(port("logits", ElementType::f32, {kB}));
  p.entries[1]->outputs.push_back(port("mark", ElementType::f32, {kB}));

  p.targets.push_back(std::make_unique<TargetT>());
  TargetT &target = *p.targets[0];
  target.name = "cpu";
  target.level = "x86-64";
  target.most_elements = INT32_MAX;
  target.features = {"sse2"};
  target.code = 1;
  Param read = {Access::read}, write = {Access::write};
  Param readLabel = {Access::read, ElementType::i32};
  target.kernels.push_back(kernel("dot", {read, read, write}, 2, 64));
  target.kernels.push_back(kernel("squared_loss", {read, readLabel, write, write}, 1, 0));
  target.kernels.push_back(kernel("sgd",
                                  {read,
                                   read,
                                   readLabel,
                                   read,
                                   read,
                                   {Access::write, ElementType::f32, 4},
                                   read,
                                   {Access::write, ElementType::f32, 6}},
                                  4, 0));
  target.kernels.push_back(kernel("scale", {read, write}, 1, 0));
  target.kernels.push_back(kernel("mark", {write}, 2, 0));

  target.plans.push_back(std::make_unique<PlanT>());
  PlanT &train = *target.plans[0];
  train.entry = kTrain;
  train.buffers.push_back(buffer(BufferKind::input, 0, kImage, "image"));
  train.buffers.push_back(buffer(BufferKind::input, 1, kB, "label", ElementType::i32));
  train.buffers.push_back(buffer(BufferKind::state, kW, kColumns, "fc.weight"));
  train.buffers.push_back(buffer(BufferKind::state, kMomentum, kColumns, "momentum.fc.weight"));
  train.buffers.push_back(buffer(BufferKind::temporary, 0, kB, "%y", ElementType::f32, 0, 2));
  train.buffers.push_back(buffer(BufferKind::output, 0, kOne, "loss"));
  train.buffers.push_back(buffer(BufferKind::output, 1, kOne, "finite"));
  Arg columns(ArgKind::extent, kColumns), rows(ArgKind::extent, kB), bias(ArgKind::constant_f32, bits(0.25f));
  train.step.push_back(
      launch(kDot, {kTImage, kTW, kTY}, {kImage, kColumns, kB}, {columns, bias}, kB, "linear", 3));
  train.step.push_back(launch(kSquaredLoss, {kTY, kTLabel, kTLoss, kTFinite}, {kB, kB, kOne, kOne}, {rows},
                              kOne, "squared_loss", 4));
  train.step.push_back(launch(kSgd, {kTImage, kTY, kTLabel, kTFinite, kTW, kTW, kTMomentum, kTMomentum},
                              {kImage, kB, kB, kOne, kColumns, kColumns, kColumns, kColumns},
                              {Arg(ArgKind::scalar_f32, kLr), Arg(ArgKind::scalar_f32, kMu), rows, columns},
                              kColumns, "sgd", 5));

  target.plans.push_back(std::make_unique<PlanT>());
  PlanT &main = *target.plans[1];
  main.entry = kMain;
  main.buffers.push_back(buffer(BufferKind::input, 0, kImage, "image"));
  main.buffers.push_back(buffer(BufferKind::state, kW, kColumns, "fc.weight"));
  main.buffers.push_back(buffer(BufferKind::temporary, 0, kColumns, "%packed", ElementType::f32, 0, 3));
  main.buffers.push_back(buffer(BufferKind::temporary, 0, kB, "%y", ElementType::f32, 1, 2));
  main.buffers.push_back(buffer(BufferKind::output, 0, kB, "logits"));
  main.buffers.push_back(buffer(BufferKind::output, 1, kB, "mark"));
  main.prepare.push_back(launch(kScale, {kMW, kMPacked}, {kColumns, kColumns},
                                {Arg(ArgKind::constant_f32, bits(2))}, kColumns, "pack", 3));
  main.step.push_back(
      launch(kDot, {kMImage, kMPacked, kMY}, {kImage, kColumns, kB}, {columns, bias}, kB, "linear", 3));
  main.step.push_back(
      launch(kScale, {kMY, kMLogits}, {kB, kB}, {Arg(ArgKind::scalar_f32, kProgressScalar)}, kB, "scale", 6));
  main.step.push_back(
      launch(kMark, {kMMark}, {kB}, {Arg(ArgKind::step_i64, 0), Arg(ArgKind::seed_i64, 0)}, kB, "mark", 7));

  program.sections = {testKernels()};
  return program;
}

std::vector<uint8_t> cubinsOf(const TargetT &target) {
  namespace cubins = moe::cubins;
  cubins::ModuleT module;
  module.architecture = target.level;
  module.assembler = "none";
  for (const auto &row : target.kernels) {
    auto kernel = std::make_unique<cubins::KernelT>();
    kernel->name = row->symbol;
    kernel->threads = row->threads;
    kernel->code = {0};
    auto add = [&](cubins::ParamKind kind) {
      kernel->params.push_back(std::make_unique<cubins::ParamT>());
      kernel->params.back()->kind = kind;
      kernel->params.back()->bytes = 8;
    };
    for (size_t i = 0; i < row->params.size(); ++i)
      add(cubins::ParamKind::pointer);
    for (ScalarParam scalar : row->scalars)
      add(scalar == ScalarParam::cell ? cubins::ParamKind::pointer : cubins::ParamKind::scalar);
    module.kernels.push_back(std::move(kernel));
  }
  flatbuffers::FlatBufferBuilder builder;
  cubins::FinishSizePrefixedModuleBuffer(builder, cubins::CreateModule(builder, &module));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

TestProgram gpuProgram() {
  TestProgram program = testProgram();
  TargetT &target = *program.table.targets[0];
  program.kind = SectionKind::cubin;
  target.kind = TargetKind::cuda;
  target.name = "cuda";
  target.level = "sm_90a";
  target.features.clear();
  for (auto &kernel : target.kernels) {
    kernel->scratch = 0;
    kernel->threads = 64;
  }
  // Numbers that change from run to run are in cells, and what writes states is told of held updates.
  target.kernels[kScale]->scalars = {ScalarParam::value};
  target.kernels[kMark]->scalars = {ScalarParam::cell, ScalarParam::cell};
  target.kernels[kSgd]->scalars = {ScalarParam::cell, ScalarParam::cell, ScalarParam::value,
                                   ScalarParam::value, ScalarParam::cell};
  target.plans[kTrain]->step[kSgd]->scalars.push_back(Arg(ArgKind::held_i64, 0));
  // What finds out that an update is left out says so to later ones.
  target.kernels[kSquaredLoss]->scalars.push_back(ScalarParam::cell);
  target.plans[kTrain]->step[kSquaredLoss]->scalars.push_back(Arg(ArgKind::held_i64, 0));
  target.plans[kMain]->step[1]->scalars = {Arg(ArgKind::constant_f32, bits(1))};
  for (auto &plan : target.plans)
    for (auto *launches : {&plan->prepare, &plan->step})
      for (auto &launch : *launches) {
        const CpuKernelT work = *launch->work.AsCpuKernel();
        GpuKernelT gpu;
        gpu.kernel = work.kernel;
        gpu.grid = {work.units, kOne, kOne};
        gpu.block = {kColumns, kOne, kOne};
        gpu.shared = kOne;
        launch->work.Set(std::move(gpu));
      }
  program.sections = {cubinsOf(target)};
  return program;
}

std::vector<uint8_t> TestProgram::flatbuffer() const {
  flatbuffers::FlatBufferBuilder builder;
  FinishProgramBuffer(builder, moe::fb::Program::Pack(builder, &table));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

std::vector<uint8_t> TestProgram::encode() const {
  std::vector<Section> rest;
  for (const std::vector<uint8_t> &code : sections)
    rest.push_back({kind, code});
  return encodeProgram(flatbuffer(), rest);
}

} // namespace moert::test
