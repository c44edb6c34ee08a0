// The table of the words, and the check of axes, which both the parser (at the word's place) and the verifier
// (for modules that no parser of the language has read) make.
#include "dialects/moe/Words.h"
#include "dialects/moe/Nearest.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace moe;

Words moe::wordsOf(StringRef attribute) {
  if (attribute == "init" || attribute == "init_bias" || attribute == "weight" || attribute == "bias")
    return {{"zeros", "ones", "torch", "hyperfan_in"},
            {"constant", "uniform", "normal", "trunc_normal", "fan_in", "hyperfan_in"}};
  if (attribute == "args")
    return {{"label", "domain", "corrected"}, {"ramp"}};
  if (attribute == "schedule")
    return {{"dann"}, {"ramp"}};
  if (attribute == "axes")
    return {{"pixels", "features", "tokens", "experts", "rows", "domains"}, {}};
  if (attribute == "on" || attribute == "when")
    return {{"step"}, {}};
  if (attribute == "kind")
    return {{"distance", "linear", "cosine"}, {}};
  if (attribute == "rule")
    return {{"entropy", "balance_kl", "cross_entropy", "importance_load", "gshard", "z_loss"}, {}};
  if (attribute == "op")
    return {{"linear", "conv"}, {}};
  return {};
}

bool moe::isWord(StringRef attribute, ExprAttr e, bool whole) {
  whole |= attribute == "on" || attribute == "when"; // `step mod 2`: arithmetic on a number that is given
  return whole && e.getKind() == ExprKind::Name && llvm::is_contained(wordsOf(attribute).names, e.getText());
}

static void walk(ExprAttr e, bool whole, llvm::function_ref<void(ExprAttr, bool)> visit) {
  visit(e, whole);
  for (Attribute arg : e.getArgs())
    if (auto part = dyn_cast<ExprAttr>(arg))
      walk(part, false, visit);
}

void moe::walkExpressions(Attribute value, llvm::function_ref<void(ExprAttr, bool)> visit) {
  if (auto list = dyn_cast<ArrayAttr>(value)) {
    for (Attribute item : list)
      walkExpressions(item, visit);
  } else if (auto param = dyn_cast<ParamAttr>(value)) {
    if (param.getFallback())
      walkExpressions(param.getFallback(), visit);
  } else if (auto input = dyn_cast<InputAttr>(value)) {
    for (Attribute dim : input.getDims())
      walkExpressions(dim, visit);
    for (Attribute each : {input.getMean(), input.getDeviation()})
      if (each)
        walkExpressions(each, visit);
  } else if (auto e = dyn_cast<ExprAttr>(value)) {
    walk(e, true, visit);
  }
}

std::string moe::wrongAxes(ExprAttr axes, ExprAttr &odd) {
  Words words = wordsOf("axes");
  if (isWord("axes", axes, true))
    return "";
  walkExpressions(axes, [&](ExprAttr e, bool whole) {
    bool number = e.getKind() == ExprKind::Number || e.getKind() >= ExprKind::Add;
    if (!odd && !number && !(whole && e.getKind() == ExprKind::List))
      odd = e;
  });
  if (!odd)
    return "";
  std::string text = odd.str();
  std::string message = "expected an axis after 'over', found '" + text + "'";
  if (isWord("axes", odd, true))
    return message + "; an axis word stands alone, and a list has numbers: [0, -1]";
  return message + didYouMean(text, words.names) + "; axes are the words " + llvm::join(words.names, ", ") +
         ", or numbers such as 0, -1 or [0, 2], and no sizes";
}
