"""Facts that are not true are found: wrong_facts.py PLUGIN BUILD. PLUGIN is a copy of examples/plugin that is built in BUILD; each
round puts one mistake into each op, builds again, and asks `moec check-ops`, which says which op differs, in which case and how."""
import pathlib
import re
import subprocess
import sys

plugin, build = map(pathlib.Path, sys.argv[1:])

# File, the text that is changed, what it becomes, and what is said: the op, the check and the difference.
ROUNDS = [
    [("Roll.cpp", "dy, -getBy(), getAxis()", "dy, getBy(), getAxis()", r"extra\.flow\.roll, case \d+, gradient: expected d loss / d x0\[\d+\] "
      r"to be \S+ by central differences, found \S+, of"),
     ("LogSumExp.cpp", "getContext(), {-INFINITY, 0}", "getContext(), {0, 0}", r"extra\.flow\.log_sum_exp, case \d+, accesses: "
      r"expected combining with the start to leave \(\S+ 1\) as it is, found \(0, "),
     ("Softsign.cpp", "splat(b, loc, v[0].getType(), 1), size", "splat(b, loc, v[0].getType(), 2), size",
      r"extra\.flow\.softsign, case \d+, compiled code: expected y\[\d+\] on cpu\S* to be \S+ within \S+, found \S+, of")],
    [("Roll.cpp", "(at - getBy()) %", "(at + getBy()) %", r"extra\.flow\.roll, case \d+, accesses: expected "
      r"y\[\d+\] to be \S+ by the accesses as by the evaluator, found \S+, of"),
     ("LogSumExp.cpp", "errorFactor() { return 16; }", "errorFactor() { return 1e-9; }", r"extra\.flow\.log_sum_exp, case \d+, compiled code: "
      r"expected y\[\d+\] on cpu\S* to be \S+ within \S+, found \S+, of"),
     # Numbers have all digits that tell them apart, here two neighbours of f32.
     ("Softsign.cpp", "errorFactor() { return 3; }", "errorFactor() { return 0; }", r"extra\.flow\.softsign, case \d+, compiled code: "
      r"expected y\[\d+\] on cpu\S* to be (\S*\.\d{8}\S*) within 0, found (?!\1,)\S*\.\d{8}\S*, of")],
    # A gradient that was forgotten: the op says that it has none. The roll is wrong so that its seed can be tried.
    [("Extra.td", '"flow.softsign", "rule"', '"flow.softsign", "inactive"', r"extra\.flow\.softsign, case \d+, gradient: expected d loss / "
      r"d x0\[\d+\] to be \S+ by central differences, found 0, of"),
     ("Softsign.cpp", "LogicalResult SoftsignOp::buildGradient", "#if 0\nLogicalResult SoftsignOp::buildGradient", None),
     ("Softsign.cpp", "void SoftsignOp::evaluate", "#endif\nvoid SoftsignOp::evaluate", None),
     ("Roll.cpp", "dy, -getBy(), getAxis()", "dy, getBy(), getAxis()", r"extra\.flow\.roll, case \d+, gradient: ")],
    # A cost with digits too many, one that forgets what there is, and one of another kind.
    [("Extra.td", '$x attr-dict `:` type($x)";\n}\n\n// roll', '$x attr-dict `:` type($x)";\n  let extraClassDeclaration = facts # '
      '"::flow::Cost cost() { return {::flow::Extent::constant(getContext(), 123456789)}; }";\n}\n\n// roll',
      r"extra\.flow\.softsign, case \d+, case: expected a cost of \d+ to \d+ operations, found 123456789, of"),
     ("Extra.td", "  let hasCanonicalizeMethod = 1;", "  let hasCanonicalizeMethod = 1;\n  let extraClassDeclaration = facts # "
      '"::flow::Cost cost() { return {::flow::Extent::constant(getContext(), 1), true}; }";',
      r"extra\.flow\.roll, case \d+, case: expected a contraction to be an emitter, found an op that is computed by a body"),
     ("Extra.td", '["buildElement", "buildFinish"]>;', '["buildElement", "buildFinish"]> {\n  let extraClassDeclaration = facts # '
      '"::flow::Cost cost() { return {::flow::Extent::constant(getContext(), 0)}; }";\n}',
      r"extra\.flow\.log_sum_exp, case \d+, case: expected a cost of \d+ to \d+ operations, found 0, of")],
]

wrong = []
for changes in ROUNDS:
    texts = {}
    for name, before, after, _ in changes:
        text = (plugin / name).read_text()
        texts.setdefault(name, text)
        if before not in text:
            wrong.append(f"expected '{before}' in {name}, found none")
        (plugin / name).write_text(text.replace(before, after))
    ops = sum(said is not None for *_, said in changes)
    subprocess.run(["cmake", "--build", build], check=True, capture_output=True)
    run = subprocess.run(["moec", "check-ops", "--load", build / "extra.so"], capture_output=True, text=True)
    for name, before, after, said in changes:
        if said and not re.search(said, run.stderr):
            wrong.append(f"{name} with '{after}': expected {said}, found\n{run.stderr}")
    if run.returncode != 1 or f"expected all 3 ops to agree with their evaluators, found {ops} that do not" not in run.stderr:
        wrong.append(f"expected status 1 and {ops} ops, found {run.returncode}:\n{run.stderr}")
    seed = re.search(r"extra\.flow\.roll, case (\d+)", run.stderr)
    alone = ["moec", "check-ops", "--load", build / "extra.so", "--cases", "1", "--seed", seed[1] if seed else "0"]
    if f"extra.flow.roll, case {alone[-1]}" not in subprocess.run(alone, capture_output=True, text=True).stderr:
        wrong.append("expected the case's seed to run it alone, found that it does not")
    for name, text in texts.items():
        (plugin / name).write_text(text)
print("\n".join(wrong), file=sys.stderr)
sys.exit(1 if wrong else 0)
