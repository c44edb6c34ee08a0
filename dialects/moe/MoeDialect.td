// The model language: a dialect written for people. Every value has the one type !moe.value, which is never printed,
// so a model's text holds no types; sizes, numbers, layers and lists are one attribute, a small expression tree that
// prints as it is written. Ops are in MoeStructureOps.td (layers, models, entries, losses), MoeParameterOps.td (ops that
// own parameters), MoeRoutingOps.td (mixtures) and MoeTensorOps.td (ordinary ops).
#ifndef MOE_DIALECT_TD
#define MOE_DIALECT_TD
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/OpBase.td"

def Moe_Dialect : Dialect {
  let name = "moe";
  let cppNamespace = "::moe";
  let summary = "mixture-of-experts vision models as text";
  let useDefaultAttributePrinterParser = 0;
  let useDefaultTypePrinterParser = 1;
  let extraClassDeclaration = [{
    ::mlir::Attribute parseAttribute(::mlir::DialectAsmParser &parser, ::mlir::Type) const override;
    void printAttribute(::mlir::Attribute attribute, ::mlir::DialectAsmPrinter &printer) const override;
    /// Called for ops that the dialect does not have: reports the nearest name.
    std::optional<ParseOpHook> getParseOperationHook(::llvm::StringRef name) const override;
    /// Who is told what is found in a text; null where nobody is.
    ::moe::Listener *listener = nullptr;
    ::moe::Faults faults;
  }];
}

// A tensor, a routing, dispatched rows or a bundle of generated weights: which one is found by elaboration.
def Moe_Value : TypeDef<Moe_Dialect, "Value"> {
  let mnemonic = "value";
  let summary = "what an op of the language yields; it has no parameters and is never printed";
}

// Attributes print bare inside an op, and as #moe.kind<...> in generic form and bytecode.
class Moe_Attr<string name, string word> : AttrDef<Moe_Dialect, name> {
  let mnemonic = word;
  let hasCustomAssemblyFormat = 1;
}

def Moe_Expr : Moe_Attr<"Expr", "expr"> {
  let summary = "a size, number, name, layer with arguments, list or call";
  let description = [{
    `4 * dim`, `(size / patch) * (size / patch) + 1`, `1e-6`, `trunc_normal(0.02)`, `@Block<heads, @ffn>`,
    `[2 * @A, @B<7>]`. Numbers keep their shortest exact spelling. A layer's first argument is its symbol. The size of a value,
    `size(%x, tokens)`, has the number of the operand among the op's `sized` and the axis as arguments, and is written
    `size(0, tokens)` where the operand is not known.
  }];
  let parameters = (ins "::moe::ExprKind":$kind, StringRefParameter<>:$text, ArrayRefParameter<"::mlir::Attribute">:$args);
  let extraClassDeclaration = [{
    ExprAttr arg(unsigned i) const { return ::llvm::cast<ExprAttr>(getArgs()[i]); }
    bool isName(::llvm::StringRef word) const { return getKind() == ExprKind::Name && getText() == word; }
    /// The value of `key = value` among the arguments of a call or layer, or null.
    ExprAttr key(::llvm::StringRef name) const;
    /// The arguments without keys and without a layer's symbol.
    std::vector<ExprAttr> positional() const;
    std::string str() const;
  }];
}

def Moe_Param : Moe_Attr<"Param", "param"> {
  let summary = "a parameter of a layer, model or objective";
  let description = [{
    `dim`, `dim = 384` (sizes), `drop: number = 0.0`, `mean: numbers = [0.5, 0.4, 0.3]`, `@ffn`, `@ffn = @Mlp` (layers). `at` is
    where the text declares the parameter, for reports: it is not printed, and null in what was no text.
  }];
  let parameters = (ins StringRefParameter<>:$kind, StringRefParameter<>:$name, "::mlir::Attribute":$fallback,
                        "::mlir::LocationAttr":$at);
}

def Moe_Input : Moe_Attr<"Input", "input"> {
  let summary = "a model's input; the batch is implied";
  let description = [{
    `image[channels, height, width]`, `vector[length]` or `index`. The pixels of an image may have a mean and a deviation, a
    number or one for each channel; both are expressions, and null where they are not given.
  }];
  let parameters = (ins StringRefParameter<>:$kind, ArrayRefParameter<"::mlir::Attribute">:$dims, "::mlir::Attribute":$mean,
                        "::mlir::Attribute":$deviation);
}

def Moe_Params : TypedArrayAttrBase<Moe_Param, "parameters">;
def Moe_Inputs : TypedArrayAttrBase<Moe_Input, "typed inputs">;
def Moe_Exprs : TypedArrayAttrBase<Moe_Expr, "expressions">;
// An expression for each place, or a unit where it has none.
def Moe_Places : TypedArrayAttrBase<AnyAttrOf<[Moe_Expr, UnitAttr]>, "expressions or units">;
#endif
