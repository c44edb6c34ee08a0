"""Writes ops.md, the reference of the language's ops, out of their definitions: the syntax is read from the assembly
formats, the meaning from summaries and descriptions, so that nothing is said twice. From the repository's root:

    llvm-tblgen --dump-json -I . -I $(llvm-config --includedir) dialects/moe/MoeOps.td | python3 docs/ops.py > docs/ops.md

A test (test/language/ops.test) fails where docs/ops.md is another text.
"""
import json
import pathlib
import re
import sys

HEAD = """# The ops of the language

Made by [`ops.py`](ops.py) out of [`dialects/moe`](../dialects/moe); what [language.md](language.md) says of values, names
and sizes is not said again. In the syntax, capital letters stand for an expression or word of the author, brackets
enclose what may be left out, wholly or in part, and `...` means that more may follow. Options (`KEY = VALUE` and flags)
stand where they are shown, in any order, with commas between them. `@name` of an op that owns parameters may be
`shared @name` or `frozen @name`; what `linear @fc1` owns as `weight` in a layer applied as `@a` has the path `a.fc1.weight`.
"""
TOKEN = re.compile(r"``|`[^`]+`|custom<(\w+)>\(((?:[^()]|\([^()]*\))*)\)|\$(\w+)|\^|\(|\)\?|[\w-]+")


class Op:
    def __init__(self, record, all_records):
        self.record, self.records = record, all_records
        self.arguments = {name: kind["def"] for kind, name in record["arguments"]["args"]}

    def constraint(self, name):
        """'Moe_Value' and how often: one, optional, variadic."""
        kind = self.records[self.arguments[name]]
        bases = kind.get("!superclasses", [])
        often = "variadic" if "Variadic" in bases else "optional" if {"Optional", "OptionalAttr"} & set(bases) else "one"
        base = (kind.get("baseType") or kind.get("baseAttr") or {"def": kind["!name"]})["def"]
        return base, often

    def word(self, name):
        if name not in self.arguments:  # a region
            return "{ ... }"
        base, often = self.constraint(name)
        if base == "Moe_Value":
            return f"%{name}" + (", ..." if often == "variadic" else "")
        return "@name" if base == "SymbolNameAttr" else name.upper()

    @staticmethod
    def options(keys):
        """What is needed (`key!`), then in brackets what is not; flags (`key?`) have no value."""
        names = {key: key.rstrip("?!") for key in keys}
        text = {key: name if key.endswith("?") else f"{name} = {name.upper()}" for key, name in names.items()}
        needed = ", ".join(text[key] for key in keys if key.endswith("!"))
        free = ", ".join(text[key] for key in keys if not key.endswith("!"))
        return needed + (f"[{', ' if needed else ''}{free}]" if free else "")

    def custom(self, directive, inside):
        names = re.findall(r"\$(\w+)", inside)
        keys = re.findall(r"MOE_KEYS\((.*)\)", inside)
        keys = [key for key in keys[0].split(", ") if key] if keys else []
        if directive == "Options":
            return [self.options(keys)] if keys else []
        if directive == "KeysOptions":
            return ["[, keys = %keys, " + self.options(keys)[1:]]
        fixed = {"Path": "@name", "Clause": " ".join(keys), "Params": "[<PARAMETER, ...>]", "Results": "",
                 "Body": "(%x, ...) { ... }", "Signature": "(%x: INPUT, ...) { ... }", "Named": "NAME = %value, ..."}
        if directive in fixed:
            return [fixed[directive]]
        if directive == "Exprs":
            return [names[0].upper() + ", ..."]
        if directive == "Condition":
            return [" == ".join(name.upper() for name in names)]
        if directive in ("Word", "OptionalWord", "Axes"):
            return [names[0].upper()]
        raise ValueError(f"unknown directive {directive} of {self.record['opName']}: say in docs/ops.py how it reads")

    def syntax(self):
        words, stack = [], []
        # Only these stand outside of a body, where the dialect's name is needed.
        op = ("moe." if "custom<Params>" in self.record["assemblyFormat"] else "") + self.record["opName"]
        for found in TOKEN.finditer(self.record["assemblyFormat"]):
            token = found.group(0)
            if found.group(1):
                words += [word for word in self.custom(found.group(1), found.group(2)) if word]
            elif found.group(3):
                words.append(self.word(found.group(3)))
            elif token == "(":
                stack.append(len(words))
            elif token == ")?":
                at = stack.pop()
                words[at:] = ["[" + self.join(words[at:]) + "]"]
            elif token.startswith("`") and token != "``":
                words.append(token.strip("`"))
        results = self.record["results"]["args"]
        many = results and "Variadic" in self.records[results[0][0]["def"]]["!superclasses"]
        return ("%y, ... = " if many else "%y = " if results else "") + self.join([op] + words)

    @staticmethod
    def join(words):
        text = ""
        for word in words:
            tight = not text or word[0] in "),(" or text[-1] == "(" or word.startswith(("[,", "[<"))
            text += word if tight else " " + word
        return text

    def row(self):
        parts = [self.record["summary"], self.record["description"]]
        parts = [" ".join(part.split()) for part in parts if part]
        text = ". ".join(parts)
        if not self.record["compiled"]:
            text = "*read, not compiled yet*: " + text
        cell = lambda content: content.replace("|", "\\|")
        return f"| `{cell(self.syntax())}` | {cell(text.rstrip('.'))} |"


def main():
    records = json.load(sys.stdin)
    folder = pathlib.Path(__file__).parent.parent / "dialects/moe"
    places = {}
    for name in records["!instanceof"]["Op"]:
        file, line = records[name]["!locs"][-1].rsplit(":", 1)
        places.setdefault(pathlib.Path(file).name, []).append((int(line), name))
    print(HEAD)
    for include in re.findall(r'include "dialects/moe/(\w+\.td)"', (folder / "MoeOps.td").read_text()):
        comment = []
        for line in (folder / include).read_text().splitlines():
            if not line.startswith("// "):
                break
            comment.append(line[3:])
        title, _, rest = " ".join(comment).partition(". ")
        print(f"## {title.rstrip('.')}\n")
        if rest:
            print(rest + "\n")
        print("| op | meaning |\n|---|---|")
        for _, name in sorted(places[include]):
            print(Op(records[name], records).row())
        print()


main()
