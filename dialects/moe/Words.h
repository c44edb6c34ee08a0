// The words with a meaning of their own where an expression may stand: an axis after `over`, an initial value
// after `init`, `label` in a loss, `dann` in a schedule. One rule holds for all of them: at its place such a
// word is always the word, whatever sizes, numbers and layers are called; everywhere else the name is the
// parameter's.
#pragma once
#include "dialects/moe/MoeDialect.h"

namespace moe {

/// The words of an attribute, by its name: those that stand alone, and those that take arguments (`ramp(0,
/// 1)`). The words of `kind` (of routers), `rule` (of losses) and `op` (of `default`) are no expressions.
struct Words {
  llvm::SmallVector<llvm::StringRef> names, calls;
};
Words wordsOf(llvm::StringRef attribute);

/// Whether `e`, a node of the attribute's value, is one of its words. `whole`: it is all of the value, or all
/// of an item of a list of values such as the arguments of `aux`; a part of it, such as the argument of a
/// rule, is a parameter's name.
bool isWord(llvm::StringRef attribute, ExprAttr e, bool whole);

/// Calls `visit` with each node of an attribute's expressions, and whether the node is the whole of one.
void walkExpressions(mlir::Attribute value, llvm::function_ref<void(ExprAttr, bool)> visit);

/// What is wrong with what stands after `over`, or nothing; `odd` is then the part that is wrong.
std::string wrongAxes(ExprAttr axes, ExprAttr &odd);

} // namespace moe
