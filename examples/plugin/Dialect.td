// The plugin's dialect. Ops of the language and of the graph may share one: the former are `extra.roll`, as an author
// writes them, the latter `extra.flow.roll`, as a graph is printed.
#ifndef EXTRA_DIALECT_TD
#define EXTRA_DIALECT_TD
include "dialects/flow/FlowOpBase.td"
include "dialects/moe/MoeOpBase.td"

def Extra_Dialect : Dialect {
  let name = "extra";
  let cppNamespace = "::extra";
  let summary = "an example of a plugin: roll and log_sum_exp";
}
#endif
