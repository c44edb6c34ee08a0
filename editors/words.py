"""Writes the language's words into the highlighting of editors: editors/vscode/syntaxes/moe.tmLanguage.json and
editors/neovim/syntax/moe.vim. The words are those of the ops' definitions and of the tables of words in dialects/moe/Words.cpp.
Run from the repository's root:

    llvm-tblgen --dump-json -I . -I $(llvm-config --includedir) dialects/moe/MoeOps.td | python3 editors/words.py

A test (test/lsp/editors.test) fails if a file differs. `words.py FOLDER` writes into another folder than `editors`.
"""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent
# Words of the language's own syntax: what stands in headers, expressions and in front of names.
HEADER = ["number", "image", "vector", "mean", "deviation"]
FIXED = ["shared", "frozen", "mod", "size", "with", "ramp", "from"]
# Ops that make the structure of a text.
STRUCTURE = ["yield", "return", "expose", "aux", "default", "assign", "update", "entry", "apply", "chain", "experts", "hyper"]


def main():
    records = json.load(sys.stdin)
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "editors"
    ops, top, options, keywords = set(), set(), set(), set(FIXED)
    for name in records["!instanceof"]["Op"]:
        record = records[name]
        format = record["assemblyFormat"]
        (top if "custom<Params>" in format else ops).add(record["opName"])
        for keys in re.findall(r"MOE_KEYS\(([^)]*)\)", format):
            for key in re.findall(r"[^, ][^,]*", keys):
                word = re.match(r"\w+", key).group()
                if "custom<Operands>" in format and ":" not in key:
                    continue  # the names of values
                (keywords if ":" in key else options).add(word)
        keywords |= set(re.findall(r"`([a-z_]+)`", format))
    words = (ROOT / "dialects/moe/Words.cpp").read_text()
    names = set()
    for names_, calls in re.findall(r"return \{\{([^}]*)\},\s*\{([^}]*)\}\};", words):
        names |= set(re.findall(r'"(\w+)"', names_ + calls))
    ops -= top
    classes = {
        "structure": sorted(ops & set(STRUCTURE)),
        "op": sorted(ops - set(STRUCTURE)),
        "option": sorted(options),
        "keyword": sorted(keywords - ops),
        "word": sorted((names - ops - {""}) | set(HEADER)),
    }
    write_vscode(folder / "vscode/syntaxes/moe.tmLanguage.json", sorted(top), classes)
    write_vim(folder / "neovim/syntax/moe.vim", sorted(top), classes)


def write_vscode(path, top, classes):
    # A word is none of these behind a mark, and an option is one only before '=' or where flags stand.
    whole = lambda words: rf"(?<![\w@%.$])(?:{'|'.join(words)})(?![\w.$])"
    pattern = lambda name, match: {"name": f"{name}.moe", "match": match}
    grammar = {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "moe",
        "scopeName": "source.moe",
        "patterns": [
            pattern("comment.line.double-slash", "//.*$"),
            pattern("string.quoted.double", r'"(?:[^"\\\n]|\\.)*"'),
            pattern("keyword.declaration", rf"(?<![\w@%.$])moe\.(?:{'|'.join(top)})(?![\w.$])"),
            pattern("variable.other", r"%[\w.$-]+(?:#\d+)?"),
            pattern("entity.name.type", r"@(?:[A-Z][\w.$]*)"),
            pattern("entity.name.label", r'@(?:[\w.$]+|"[^"\n]*")'),
            pattern("constant.numeric", r"(?<![\w.$@%])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.$])"),
            # In front of a call or a name, or behind '=' and at the beginning of a line, an op stands.
            pattern("keyword.control", rf"(?:(?<=[={{])\s*|^\s*){whole(classes['structure'])}"),
            pattern("support.function", rf"(?:(?<=[={{])\s*|^\s*){whole(classes['op'])}"),
            pattern("support.function", r"(?<=[={])\s*\w+\.\w[\w.]*"),
            pattern("variable.parameter", rf"{whole(classes['option'])}(?=\s*(?:=|,|$|//|to\b))"),
            pattern("keyword.other", whole(classes["keyword"])),
            pattern("constant.language", whole(classes["word"])),
            pattern("keyword.operator", r"==|[-+*/=]"),
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(grammar, indent=2) + "\n")


def write_vim(path, top, classes):
    lines = ['" Highlighting of the model language; written by editors/words.py.',
             "if exists('b:current_syntax')", "  finish", "endif",
             "syntax case match",
             "syntax iskeyword @,48-57,_,$,.",
             "syntax match moeComment '//.*$' contains=@Spell",
             r"""syntax match moeString '"\([^"\\]\|\\.\)*"'""",
             r"syntax match moeValue '%[A-Za-z0-9_.$-]\+\(#\d\+\)\?'",
             r"""syntax match moeName '@\([A-Za-z0-9_.$]\+\|"[^"]*"\)'""",
             r"syntax match moeLayer '@[A-Z][A-Za-z0-9_.$]*'",
             r"syntax match moeNumber '\<\d\+\(\.\d\+\)\?\(e-\?\d\+\)\?\>'",
             "syntax keyword moeTop " + " ".join("moe." + each for each in top)]
    groups = {"structure": "moeStructure", "op": "moeOp", "option": "moeOption", "keyword": "moeKeyword", "word": "moeWord"}
    seen = set()
    for kind, group in groups.items():
        # Vim knows a word by one class only: the first that has it.
        words = [word for word in classes[kind] if word not in seen]
        seen |= set(words)
        lines.append(f"syntax keyword {group} {' '.join(words)}")
    links = {"moeComment": "Comment", "moeString": "String", "moeValue": "Identifier", "moeName": "Label", "moeLayer": "Type",
             "moeNumber": "Number", "moeTop": "Structure", "moeStructure": "Statement", "moeOp": "Function",
             "moeOption": "Special", "moeKeyword": "Keyword", "moeWord": "Constant"}
    lines += [f"highlight default link {group} {link}" for group, link in links.items()]
    lines.append("let b:current_syntax = 'moe'")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


main()
