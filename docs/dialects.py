"""Writes flow.md or plan.md, the reference of a dialect's ops and attributes, out of their definitions. From the
repository's root, for each DIALECT and its FILE (flow: dialects/flow/FlowOps.td, plan: dialects/plan/Plan.td):

    llvm-tblgen --dump-json -I . -I $(llvm-config --includedir) FILE | python3 docs/dialects.py DIALECT FILE > docs/DIALECT.md

A test (test/dialects/reference.test) fails where a page is another text.
"""
import json
import pathlib
import re
import sys

HEADS = {
    "flow": """# The dialect `flow`

Made by [`dialects.py`](dialects.py) out of [`dialects/flow`](../dialects/flow). `flow` is the graph between elaboration of the
language and the plan; [architecture.md](architecture.md) says what holds of all of it. In the syntax, `$name` is an operand
(`%x`) or an attribute, and what stands between parentheses and `?` may be left out.

*Gradient* is `rule`, `inactive` (no derivative flows), `surrogate` (the rule of another function), or nothing where an op
computes nothing. *Computed as* is an op's ComputeKind: what back ends make its loops from. *Again* is what an element costs
that is computed once more instead of being stored.
""",
    "plan": """# The dialect `plan`

Made by [`dialects.py`](dialects.py) out of [`dialects/plan`](../dialects/plan). A plan is the executable form of a program,
one to one with the [schema](../runtime/program/program.fbs) of program files; `moec disassemble` prints it and `moec assemble`
gives the same bytes back.
""",
}


def cell(text):
    return " ".join((text or "").split()).rstrip(".").replace("|", "\\|")


def fact(record, name):
    """The enumerator that a fact's function returns."""
    found = re.search(r"return ::flow::\w+::(\w+);", record.get(name) or "")
    return found.group(1) if found else ""


def syntax(record, dialect):
    words = [f"{dialect}.{record['opName']}"]
    format = record.get("assemblyFormat")
    if not format:
        return f"`{words[0]}` (a syntax of its own)"
    format = re.sub(r"custom<\w+>\(([^)]*)\)", r"\1", format)
    format = re.sub(r"attr-dict-with-keyword|attr-dict", "", format)
    format = re.sub(r"functional-type\([^)]*\)|type\(\$?\w+\)", "TYPE", format)
    text = " ".join([*words, *format.replace("``", "").replace("`", "").replace("^", "").split()])
    text = re.sub(r"TYPE( , TYPE)+", "TYPES", text).replace(" ,", ",")
    return f"`{cell(text)}`"


def main():
    dialect, file = sys.argv[1:]
    records = json.load(sys.stdin)
    lines = pathlib.Path(file).read_text().splitlines()
    files = {path.name for path in pathlib.Path(file).parent.glob("*.td")}

    def ours(kind):
        found = []
        for name in records["!instanceof"].get(kind, []):
            place, line = records[name]["!locs"][-1].rsplit(":", 1)
            if pathlib.Path(place).name in files and not records[name]["!anonymous"]:
                found.append((int(line), records[name]))
        return [record for _, record in sorted(found, key=lambda each: each[0])], dict((id(r), l) for l, r in found)

    ops, line_of = ours("Op")
    # A comment of one line between blank ones begins a section.
    sections = [(i, line[3:]) for i, line in enumerate(lines, 1) if line.startswith("// ") and i > 1
                and dialect == "flow" and not lines[i - 2] and (i == len(lines) or not lines[i])]
    print(HEADS[dialect].rstrip())
    title = None
    for op in ops:
        own = [name for line, name in sections if line < line_of[id(op)]]
        own = own[-1] if own else "Ops"
        if own != title:
            title = own
            print(f"\n## {title[0].upper() + title[1:].rstrip('.')}\n")
            print("| op | meaning | gradient | computed as | again |\n|---|---|---|---|---|" if dialect == "flow" else "| op | meaning |\n|---|---|")
        meaning = ". ".join(filter(None, (cell(op["summary"]), cell(op["description"]))))
        row = [syntax(op, dialect), meaning]
        if dialect == "flow":
            row += [fact(op, "gradientKind"), fact(op, "computeKind"), fact(op, "effortKind")]
        print("| " + " | ".join(row) + " |")
    words, _ = ours("EnumInfo" if "EnumInfo" in records["!instanceof"] else "EnumAttrInfo")
    if dialect == "flow" and words:
        print("\n## Words\n\n| what | words |\n|---|---|")
        for enum in words:
            cases = ", ".join(f"`{records[case['def']]['str']}`" for case in enum["enumerants"])
            print(f"| {cell(enum['summary'])} | {cases} |")
    attributes, _ = ours("AttrDef")
    attributes = [a for a in attributes if a.get("mnemonic") and a.get("summary")]
    if attributes:
        print("\n## Attributes\n\n| attribute | meaning |\n|---|---|")
        for attribute in attributes:
            meaning = ". ".join(filter(None, (cell(attribute["summary"]), cell(attribute["description"]))))
            if "enum" in attribute:
                cases = records[attribute["enum"]["def"]]["enumerants"]
                meaning = "one of " + ", ".join(f"`{records[case['def']]['str']}`" for case in cases)
            print(f"| `#{dialect}.{attribute['mnemonic']}` | {meaning} |")


main()
