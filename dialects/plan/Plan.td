// The executable form of a program, one to one with runtime/program/program.fbs: every table of the schema is an op
// or an attribute here, every index a symbol, a name or an SSA value. `moec disassemble` prints a program in it and
// `moec assemble` gives the same bytes back, so nothing that reaches the file may live outside these ops.
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"

def Plan_Dialect : Dialect {
  let name = "plan";
  let cppNamespace = "::plan";
  let summary = "buffers and launches over native kernels";
  let useDefaultAttributePrinterParser = 0;
  let useDefaultTypePrinterParser = 1;
  let extraClassDeclaration = [{
    ::mlir::Attribute parseAttribute(::mlir::DialectAsmParser &parser, ::mlir::Type type) const override;
    void printAttribute(::mlir::Attribute attribute, ::mlir::DialectAsmPrinter &printer) const override;
    void registerAttributes();
  }];
}

// Each enumeration has the schema's order, which passes/emit/EmitProgram.cpp asserts.

class Plan_Enum<string name, list<string> words>
    : I32EnumAttr<name, name, !foreach(i, !range(words), I32EnumAttrCase<words[i], i>)> {
  let cppNamespace = "::plan";
  let genSpecializedAttr = 0;
}
class Plan_Word<EnumAttrInfo words, string word> : EnumAttr<Plan_Dialect, words, word> { let assemblyFormat = "`` $value"; }

def Element : Plan_Enum<"Element", ["f32", "f64", "i32", "i64", "u8", "bf16"]>;
def StateKind : Plan_Enum<"StateKind", ["parameter", "buffer", "optimizer", "objective", "average"]>;
def InitKind : Plan_Enum<"InitKind", ["constant", "uniform", "normal", "trunc_normal"]>;
def ScalarKind : Plan_Enum<"ScalarKind", ["recipe", "step", "progress"]>;
def EntryKind : Plan_Enum<"EntryKind", ["train", "infer"]>;
def Access : Plan_Enum<"Access", ["read", "write"]>;
def BufferKind : Plan_Enum<"BufferKind", ["state", "input", "output", "temporary"]>;
def TargetKind : Plan_Enum<"TargetKind", ["cpu", "cuda", "emulator"]>;
def ArgKind : Plan_Enum<"ArgKind", ["constant_i64", "constant_f32", "extent", "scalar_f32", "step_i64", "seed_i64",
                                   "held_i64"]>;
def Part : Plan_Enum<"Part", ["forward", "backward", "update"]>;
def ScalarParam : Plan_Enum<"ScalarParam", ["value", "cell"]>;

def ElementAttr : Plan_Word<Element, "element">;
def StateKindAttr : Plan_Word<StateKind, "state_kind">;
def ScalarKindAttr : Plan_Word<ScalarKind, "scalar_kind">;
def EntryKindAttr : Plan_Word<EntryKind, "entry_kind">;
def TargetKindAttr : Plan_Word<TargetKind, "target_kind">;
def BufferKindAttr : Plan_Word<BufferKind, "buffer_kind">;
def PartAttr : Plan_Word<Part, "part">;
def ScalarParamAttr : Plan_Word<ScalarParam, "scalar_param">;

// Attributes are bare inside an op, #plan.kind<...> elsewhere.

class Plan_Attr<string name, string word> : AttrDef<Plan_Dialect, name> {
  let mnemonic = word;
  let hasCustomAssemblyFormat = 1;
}
class Plan_Array<Attr element, string what> : TypedArrayAttrBase<element, "a list of " # what>;

def ExprAttr : Plan_Attr<"Expr", "expr"> {
  let summary = "a size over the program's symbols D and N";
  let description = [{
    The schema stores a size as a postfix program, one code and one value per step. It is printed infix, and what is
    printed parses to exactly the same steps.
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$steps);
}
def InitAttr : Plan_Attr<"Init", "init"> {
  let summary = "the rule of a state's initial values: uniform(-0.1, 0.1) stream 7";
  let parameters = (ins "::plan::InitKind":$kind, "::llvm::APFloat":$a, "::llvm::APFloat":$b, "uint32_t":$stream);
}
def PortAttr : Plan_Attr<"Port", "port"> {
  let summary = "an input or output of an entry: \"image\" f32[D * N, 1, 28, 28]";
  let description = "`exposed` follows where an author's `expose` made the output: it is no result of the model.";
  let parameters = (ins "::mlir::StringAttr":$name, "::plan::Element":$element,
                        ArrayRefParameter<"::plan::ExprAttr">:$shape, "bool":$exposed);
}
def ParamAttr : Plan_Attr<"Param", "param"> {
  let summary = "how a kernel touches one buffer: read f32, write f32 over 0";
  let description = [{
    `over` is the parameter whose buffer a written one may share: the kernel reads each of its elements before it
    writes that place, in the same work unit. -1: none.
  }];
  let parameters = (ins "::plan::Access":$access, "::plan::Element":$element, "int32_t":$over);
  let builders = [AttrBuilder<(ins "::plan::Access":$access, "::plan::Element":$element),
                              [{ return $_get($_ctxt, access, element, -1); }]>];
}
def ArgAttr : Plan_Attr<"Arg", "arg"> {
  let summary = "one 64-bit scalar of a launch";
  let description = [{ `value` is an integer, a float, an #plan.expr, a scalar's key or nothing, by kind. }];
  let parameters = (ins "::plan::ArgKind":$kind, "::mlir::Attribute":$value);
}
def UpdateAttr : Plan_Attr<"Update", "update"> {
  let summary = "states that change together, where an output is not 0: when \"finite\" [\"fc.weight\", \"fc.bias\"]";
  let parameters = (ins "::mlir::StringAttr":$predicate, ArrayRefParameter<"::mlir::StringAttr">:$states);
}
def SavedAttr : Plan_Attr<"Saved", "saved"> {
  let summary = "a forward value kept for the backward pass, its bytes and why it is kept";
  let parameters = (ins "::mlir::StringAttr":$name, "::plan::ExprAttr":$bytes, "::mlir::StringAttr":$reason);
}
def CapacityAttr : Plan_Attr<"Capacity", "capacity"> {
  let summary = "the most rows that each expert of a routing takes: \"gate\" rows D * N experts 4 top 1 factor 1.5 alignment 1";
  let description = "flow.capacity says how many rows these are. `rows` are all that the routing sees.";
  let parameters = (ins "::mlir::StringAttr":$routing, "::plan::ExprAttr":$rows, "int64_t":$experts, "int64_t":$top,
                        "::llvm::APFloat":$factor, "int64_t":$alignment);
}

// What a launch does: one of the members of the schema's union, bare inside a launch.
class Plan_Work<string name, string word> : Plan_Attr<name, word>;
def CpuWorkAttr : Plan_Work<"CpuWork", "cpu_work"> {
  let summary = "work units that threads of the host share, and how many one claims at once: units D * N grain 2";
  let parameters = (ins "::plan::ExprAttr":$units, "uint32_t":$grain);
}
def GpuWorkAttr : Plan_Work<"GpuWork", "gpu_work"> {
  let summary = "blocks, threads of a block, and bytes of shared memory: grid [N, 1, 1] block [256, 1, 1] shared 0";
  let parameters = (ins ArrayRefParameter<"::plan::ExprAttr">:$grid, ArrayRefParameter<"::plan::ExprAttr">:$block,
                        "::plan::ExprAttr":$shared);
}
def CopyWorkAttr : Plan_Work<"CopyWork", "copy_work"> {
  let summary = "the first buffer becomes what the second one is: copy";
}
def FillWorkAttr : Plan_Work<"FillWork", "fill_work"> {
  let summary = "each element of the buffer becomes these bits: fill 0";
  let parameters = (ins "uint64_t":$bits);
}

def Buffer : TypeDef<Plan_Dialect, "Buffer"> {
  let mnemonic = "buffer";
  let summary = "a buffer of a plan";
}

class Plan_Op<string name, list<Trait> traits = []> : Op<Plan_Dialect, name, traits>;
class Plan_Body<string name, list<Trait> traits = []>
    : Plan_Op<name, traits # [OpAsmOpInterface, NoTerminator, SingleBlock, NoRegionArguments]> {
  let regions = (region SizedRegion<1>:$body);
  let extraClassDeclaration = [{ static ::llvm::StringRef getDefaultDialect() { return "plan"; } }];
}

def ProgramOp : Plan_Body<"program", [IsolatedFromAbove, SymbolTable]> {
  let summary = "a compiled program";
  let description = [{ `config` is what was chosen at compile time: classes = "10", objective = "erm". }];
  let arguments = (ins StrAttr:$name, OptionalAttr<StrAttr>:$optimizer, OptionalAttr<StrAttr>:$compiler,
                       DictionaryAttr:$config);
  let assemblyFormat = [{
    $name (`optimizer` $optimizer^)? (`compiler` $compiler^)? `config` $config attr-dict-with-keyword $body
  }];
}
def StateOp : Plan_Op<"state", [HasParent<"ProgramOp">]> {
  let summary = "a tensor that outlives a step";
  let arguments = (ins StrAttr:$path, StateKindAttr:$kind, ElementAttr:$element, DenseI64ArrayAttr:$shape,
                       InitAttr:$init, OptionalAttr<StrAttr>:$of);
  let assemblyFormat = "$path $kind $element `` custom<Shape>($shape) $init (`of` $of^)? attr-dict";
  let hasVerifier = 1;
}
def ScalarOp : Plan_Op<"scalar", [HasParent<"ProgramOp">]> {
  let summary = "a number that every step is given";
  let arguments = (ins StrAttr:$key, ScalarKindAttr:$kind, F64Attr:$fallback);
  let assemblyFormat = "$key $kind $fallback attr-dict";
}
def EntryOp : Plan_Op<"entry", [HasParent<"ProgramOp">]> {
  let summary = "what a caller may run: its inputs and outputs by name";
  let arguments = (ins StrAttr:$name, EntryKindAttr:$kind, Plan_Array<PortAttr, "ports">:$inputs,
                       Plan_Array<PortAttr, "ports">:$outputs,
                       OptionalAttr<StrAttr>:$objective, F64Attr:$flops_per_image,
                       Plan_Array<SavedAttr, "saved values">:$saved, Plan_Array<UpdateAttr, "updates">:$updates,
                       Plan_Array<CapacityAttr, "capacities">:$capacities);
  let assemblyFormat = [{
    $name $kind (`objective` $objective^)? `flops` $flops_per_image `inputs` custom<Ports>($inputs)
    `outputs` custom<Ports>($outputs) custom<UpdateList>($updates) custom<SavedList>($saved)
    custom<CapacityList>($capacities) attr-dict
  }];
}
def TargetOp : Plan_Body<"target", [HasParent<"ProgramOp">, SymbolTable]> {
  let summary = "the kernels and plans for one kind of machine";
  let description = [{
    `code` is the section with the kernels' code, absent before it is made; until then the functions are in a nested
    builtin module. `most_elements` is the most that a buffer may have: what the kernels' indices can count.
  }];
  let arguments = (ins TargetKindAttr:$kind, StrAttr:$name, StrAttr:$level, StrArrayAttr:$features,
                       I64Attr:$most_elements, OptionalAttr<AnyAttr>:$code);
  let assemblyFormat = [{
    $kind $name `level` $level `features` $features `elements` $most_elements (`code` $code^)? attr-dict-with-keyword
    $body
  }];
}
def KernelOp : Plan_Op<"kernel", [HasParent<"TargetOp">, Symbol]> {
  let summary = "a native function and how it touches its buffers";
  let description = [{
    A scalar is a `value`, or in a `cell`: the kernel is given the address of a value that may change between two runs of
    one launch, as recorded launches of GPUs need. `scalars 2` are two values. `scratch` is bytes a thread, of a kernel
    for the CPU; `threads` the most threads of a block, of one for a GPU.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$kind, Plan_Array<ParamAttr, "parameters">:$params,
                       Plan_Array<ScalarParamAttr, "scalar parameters">:$scalars,
                       DefaultValuedAttr<I32Attr, "0">:$scratch, DefaultValuedAttr<I32Attr, "0">:$threads);
  let assemblyFormat = [{
    $sym_name $kind custom<Params>($params) custom<Scalars>($scalars) (`scratch` $scratch^)? (`threads` $threads^)?
    attr-dict
  }];
  let hasVerifier = 1;
}
def PlanOp : Plan_Body<"plan", [HasParent<"TargetOp">]> {
  let summary = "what running an entry on a target does";
  let description = [{
    Launches are numbered from 0, those of `prepare` first. A temporary's lifetime is in these numbers; one that
    `prepare` writes and a step reads lives to the plan's last launch, since steps repeat without `prepare`.
  }];
  let arguments = (ins StrAttr:$entry);
  let assemblyFormat = "$entry attr-dict-with-keyword $body";
  let hasVerifier = 1;
}
def BufferOp : Plan_Op<"buffer", [HasParent<"PlanOp">]> {
  let summary = "memory that a plan's launches touch";
  let description = [{
    `target` names the state, input or output; `live` is the first and last launch that touches a temporary. `extent`
    counts elements.
  }];
  let arguments = (ins BufferKindAttr:$kind, OptionalAttr<StrAttr>:$target,
                       ElementAttr:$element, ExprAttr:$extent, DefaultValuedAttr<I32Attr, "64">:$alignment,
                       OptionalAttr<DenseI64ArrayAttr>:$live, OptionalAttr<StrAttr>:$name);
  let results = (outs Buffer:$buffer);
  let assemblyFormat = [{
    $kind ($target^)? $element `` custom<Extent>($extent) (`align` $alignment^)?
    (`live` $live^)? (`name` $name^)? attr-dict
  }];
  let hasVerifier = 1;
}
def LaunchOp : Plan_Op<"launch", [HasParent<"PlanOp">]> {
  let summary = "one call of a kernel, or a copy or fill of a buffer";
  let description = [{
    Each buffer is followed by the number of elements that may be touched of it. `work` says what the launch does: on the
    CPU, `units` is the number of work units, which threads share, and a thread claims at most `grain` of them at once; on
    a GPU, `grid` and `block` are the blocks and their threads; `copy` and `fill` have no kernel. `flops` and `bytes` are
    what the launch computes and moves, recomputation included. `of` is the part of a training step that it belongs to.
  }];
  let arguments = (ins UnitAttr:$prepare, OptionalAttr<FlatSymbolRefAttr>:$kernel, Variadic<Buffer>:$buffers,
                       Plan_Array<ExprAttr, "sizes">:$extents, Plan_Array<ArgAttr, "arguments">:$scalars,
                       AnyAttrOf<[CpuWorkAttr, GpuWorkAttr, CopyWorkAttr, FillWorkAttr]>:$work, StrAttr:$op,
                       StrAttr:$path, StrAttr:$file, DefaultValuedAttr<I32Attr, "0">:$line, ExprAttr:$flops,
                       ExprAttr:$bytes, OptionalAttr<PartAttr>:$part);
  let assemblyFormat = [{
    (`prepare` $prepare^)? ($kernel^)? `` custom<Touched>($buffers, $extents) custom<Args>($scalars)
    custom<Work>($work) `op` $op `path` $path `from` $file (`:` $line^)?
    `flops` $flops `bytes` $bytes (`of` $part^)? attr-dict
  }];
  let extraClassDeclaration = [{
    /// The kernel of the target that it runs; null where it runs none, or where there is none of that name.
    KernelOp kernelOp();
    /// Whether it writes its buffer `i`, rather than reads it.
    bool writes(unsigned i);
  }];
  let hasVerifier = 1;
}
