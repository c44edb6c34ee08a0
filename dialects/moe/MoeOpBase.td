// Classes of ops. A format ends with the `Options` directive, which reads an op's options and keywords in any order and gives the
// op its author's %name as location; Options.h says how they are listed. docs/ops.md is made of the formats, summaries and
// descriptions. The last argument of every class, `dialect`, is the op's dialect: a plugin names its own. Each op's C++ has
// one function, `LogicalResult Name::expand(moe::Expander &)`, unless the class or the definition says otherwise.
#ifndef MOE_OP_BASE_TD
#define MOE_OP_BASE_TD
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "dialects/moe/MoeDialect.td"
include "dialects/moe/MoeInterfaces.td"

class Moe_Options<string keys> { string s = " `` custom<Options>(ref($sized), prop-dict, \"MOE_KEYS(" # keys # ")\") "; }
// The same where one or two of them take a value: `weights %theta`. `values` are the operands, in the order of the keys.
class Moe_ValueOptions<list<string> values, string keys> {
  string s = " `` custom<ValueOptions>($" # !interleave(values, ", $") # ", ref($sized), prop-dict, \"MOE_KEYS(" # keys # ")\") ";
}
// An expression, in which sizes of values may stand.
class Moe_In<string name> { string s = " custom<Expr>($" # name # ", ref($sized)) "; }
// Where `sized` is declared: it reads and prints nothing. The other directives add to it.
defvar Moe_Sized = " `` custom<Sized>($sized) ";
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
class Moe_Plain<string name, dag args, string format, string keys = "", Dialect dialect = Moe_Dialect, list<Trait> traits = []>
    : Moe_Op<name, !con(args, (ins Variadic<Moe_Value>:$sized)), Moe_Sized # format # Moe_Options<keys>.s, traits, dialect>;

// An op of one value along one of its axes, the last unless given; `more` arguments have the keys `keys`.
class Moe_AlongAxis<string name, string what, dag more = (ins), string keys = "", Dialect dialect = Moe_Dialect>
    : Moe_Plain<name, !con((ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$axis), more), "$x",
                "axis" # !if(!empty(keys), "", ", " # keys), dialect> {
  let summary = what;
}

// An op that owns parameters: `word [shared|frozen] @path ...`. `values` are the operands that options or keywords take, if any.
class Moe_Owner<string name, dag args, string before, string keys = "", string after = "", list<Trait> traits = [],
                Dialect dialect = Moe_Dialect, list<string> values = []>
    : Moe_Op<name, !con((ins SymbolNameAttr:$path, OptionalAttr<StrAttr>:$mode), args, (ins Variadic<Moe_Value>:$sized)),
             Moe_Sized # "custom<Path>($path, $mode) " # before #
                 !if(!empty(values), Moe_Options<keys>.s, Moe_ValueOptions<values, keys>.s) # after,
             traits, dialect>;

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
// An op of so many values, each of which may be a number instead: `sub 1, %x`. `values` are its names in docs/ops.md.
class Moe_Elementwise<string name, string values, string what, Dialect dialect = Moe_Dialect>
    : Moe_Plain<name, (ins Variadic<Moe_Value>:$values, OptionalAttr<Moe_Places>:$numbers),
                "custom<Operands>($values, $numbers, ref($sized), \"MOE_KEYS(" # values # ")\")", "", dialect,
                [AttrSizedOperandSegments]> {
  let summary = what;
  let hasVerifier = 1;
}
class Moe_Reduce<string name, string what, Dialect dialect = Moe_Dialect>
    : Moe_Plain<name, (ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$axes), "$x", "over:axes", dialect> {
  let summary = what;
}
#endif
