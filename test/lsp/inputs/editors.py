"""Checks the files of editors/vscode: editors.py ROOT."""
import json
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
folder = root / "editors/vscode"
package = json.loads((folder / "package.json").read_text())
json.loads((folder / "language-configuration.json").read_text())
grammar = json.loads((folder / "syntaxes/moe.tmLanguage.json").read_text())
print("package.json, language-configuration.json and moe.tmLanguage.json are JSON")
assert list(package["dependencies"]) == ["vscode-languageclient"], package["dependencies"]
code = (folder / "extension.js").read_text()
assert set(re.findall(r'require\("([^"]*)"\)', code)) == {"vscode", "vscode-languageclient/node"}
print("the only dependency is vscode-languageclient")

# What the packaging tool asks for, or warns of where it is missing.
assert re.fullmatch(r"[a-z][a-z0-9-]*", package["name"]) and re.fullmatch(r"[a-z][a-z0-9-]*", package["publisher"])
assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"]) and re.fullmatch(r"\^1\.\d+\.\d+", package["engines"]["vscode"])
assert package["license"] == "SEE LICENSE IN LICENSE" and (folder / "LICENSE").read_bytes() == (root / "LICENSE").read_bytes()
ignored = (folder / ".vscodeignore").read_text().split()
assert not any(pathlib.PurePath(name).match(pattern) for name in ("LICENSE", "README.md", "extension.js", "package.json", "language-configuration.json") for pattern in ignored)
assert "](" not in (folder / "README.md").read_text()  # links need a repository
assert {language["id"] for language in package["contributes"]["languages"]} == {grammar["language"] for grammar in package["contributes"]["grammars"]}
assert grammar["scopeName"] == package["contributes"]["grammars"][0]["scopeName"]
print("complete for its packaging tool")

contributes = package["contributes"]
named = [package["main"]] + [each["configuration"] for each in contributes["languages"]] + [each["path"] for each in contributes["grammars"]]
for name in named:
    assert (folder / name).is_file(), f"expected {name}, which package.json names"
settings = {f"moe.{name}" for name in re.findall(r'settings\(\)\.get\("(\w+)"\)', code)}
assert settings == set(contributes["configuration"]["properties"]), (settings, contributes["configuration"]["properties"])
page = (root / "docs/editors.md").read_text()
for setting in settings:
    assert f"`{setting}`" in page, f"expected {setting} in docs/editors.md"
version = re.search(r'return "([\d.]+)"', (root / "runtime/base/Version.h").read_text())[1]
assert package["version"] == version, (package["version"], version)


def scopes(line):
    """The scope of each character of a line, as an editor that tries the patterns in order at each place has it."""
    found, at = [None] * len(line), 0
    while at < len(line):
        for pattern in grammar["patterns"]:
            match = re.compile(pattern["match"]).match(line, at)
            if match and match.end() > at:
                found[at:match.end()] = [pattern["name"]] * (match.end() - at)
                at = match.end()
                break
        else:
            at += 1
    return found


words = 0
for path in sorted(root.glob("examples/models/*.mlir")):
    for line in path.read_text().splitlines():
        names = scopes(line)
        code = line.split("//")[0]
        for match in re.finditer(r"^ *(?:%\w+ *= *)?([a-z_]\w*)(?= [@%\w]| \d)", code):
            expected = ("support.function.moe", "keyword.control.moe", "keyword.other.moe")
            assert names[match.start(1)] in expected, (path.name, line, match[1], names[match.start(1)])
            words += 1
        for match in re.finditer(r" (to|init|layer|weights|over|by|trunk|for|ramp|from) ", code):
            assert names[match.start(1)] == "keyword.other.moe", (path.name, line, match[1], names[match.start(1)])
            words += 1
        for match in re.finditer(r"%\w+", code):
            assert names[match.start()] == "variable.other.moe", (path.name, line)
        for match in re.finditer(r"\b(kernel|stride|heads|capacity|eps|experts)(?= = )", code):
            if "moe.model" not in line and "(%" in code:
                assert names[match.start(1)] in ("variable.parameter.moe", "support.function.moe"), (line, match[1], names[match.start(1)])
                words += 1
print(f"{words} words of the examples are highlighted")
