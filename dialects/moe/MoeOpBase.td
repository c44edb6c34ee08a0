// Classes of ops. A format ends with the `options` directive, which reads `key = value` (`key!` is needed) and flags
// (`key?`) in any order and gives the op its author's %name as location. docs/ops.md is made of the formats, summaries and
// descriptions. The last argument of every class, `dialect`, is the op's dialect: a plugin names its own. Each op's C++ has
// one function, `LogicalResult Name::expand(moe::Expander &)`, unless the class or the definition says otherwise.
#ifndef MOE_OP_BASE_TD
#define MOE_OP_BASE_TD
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "dialects/moe/MoeDialect.td"
include "dialects/moe/MoeInterfaces.td"

class Moe_Options<string keys> { string s = " `` custom<Options>(prop-dict, \"MOE_KEYS(" # keys # ")\") "; }
// A word that the op needs: its absence is reported where it belongs.
class Moe_Clause<string word> { string s = " custom<Clause>(\"MOE_KEYS(" # word # ")\") "; }
defvar Expands = DeclareOpInterfaceMethods<Moe_ExpandInterface>;

class Moe_Op<string name, dag args, string format, list<Trait> traits = [], Dialect dialect = Moe_Dialect>
    : Op<dialect, name, traits # [Expands]> {
  let arguments = args;
  let results = (outs Moe_Value:$y);
  let assemblyFormat = format # " attr-dict";
  // 0 for a planned op, which parses and verifies but is an error at elaboration.
  bit compiled = 1;
  // The planned forms of an op that is compiled otherwise, and the words of its syntax that only they have. docs/ops.md
  // lists planned ops and forms in a section of their own.
  string planned = "";
  list<string> plannedWords = [];
  let extraClassDefinition = !if(compiled, "",
    "::llvm::LogicalResult $cppClass::expand(::moe::Expander &) { return ::moe::reportUnsupported(*this); }");
}

// An op that owns no parameters.
class Moe_Plain<string name, dag args, string format, string keys = "", Dialect dialect = Moe_Dialect>
    : Moe_Op<name, args, format # Moe_Options<keys>.s, [], dialect>;

// An op of one value along one of its axes, the last unless given; `more` arguments have the keys `keys`.
class Moe_AlongAxis<string name, string what, dag more = (ins), string keys = "", Dialect dialect = Moe_Dialect>
    : Moe_Plain<name, !con((ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$axis), more), "$x",
                "axis" # !if(!empty(keys), "", ", " # keys), dialect> {
  let summary = what;
}

// An op that owns parameters: `word [shared|frozen] @path ...`.
class Moe_Owner<string name, dag args, string before, string keys = "", string after = "", list<Trait> traits = [],
                Dialect dialect = Moe_Dialect>
    : Moe_Op<name, !con((ins SymbolNameAttr:$path, OptionalAttr<StrAttr>:$mode), args),
             "custom<Path>($path, $mode) " # before # Moe_Options<keys>.s # after, traits, dialect>;

// An op without a result.
class Moe_Effect<string name, dag args, string format, list<Trait> traits = [], Dialect dialect = Moe_Dialect>
    : Moe_Op<name, args, format, traits, dialect> {
  let results = (outs);
}

class Moe_Unary<string name, string what, Dialect dialect = Moe_Dialect>
    : Moe_Plain<name, (ins Moe_Value:$x), "$x", "", dialect> {
  let summary = what;
}
class Moe_Binary<string name, string what, Dialect dialect = Moe_Dialect>
    : Moe_Plain<name, (ins Moe_Value:$a, Moe_Value:$b), "$a `,` $b", "", dialect> {
  let summary = what;
}
class Moe_Reduce<string name, string what, Dialect dialect = Moe_Dialect>
    : Moe_Plain<name, (ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$axes), "$x (`over` custom<Axes>($axes)^)?", "", dialect> {
  let summary = what;
}
#endif
