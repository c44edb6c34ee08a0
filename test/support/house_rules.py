"""Checks what a reviewer should not have to: that each pass has its tests, that files open by saying what they are, that
none is too long, and that errors speak with one voice. Prints what is wrong and exits with 1 where anything is.

    house_rules.py ROOT
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
wrong = []
sources = [p for folder in ("dialects", "passes", "frontends", "runtime", "test")
           for p in sorted((root / folder).rglob("*")) if p.suffix in (".cpp", ".h", ".td", ".py")]

for path in sources:
    name, text = path.relative_to(root), path.read_text()
    lines = text.splitlines()
    if len(lines) > 1000:
        wrong.append(f"{name}: {len(lines)} lines; split it below 1000")
    header = path.with_suffix(".h")
    explained = header.read_text() if path.suffix == ".cpp" and header.exists() else text
    if not re.match(r'#!|//|"""|#pragma once\n//', explained):
        wrong.append(f"{name}: opens without saying what it is and why")

    # Errors: lower case, no full stop. Only literals that begin a message are looked at.
    for number, line in enumerate(lines, 1):
        for message in re.findall(r'emit(?:Op)?Error\((?:\w+, )?"([^"]*)"\)?;', line):
            if re.match(r"[A-Z][a-z]", message) or message.endswith("."):
                wrong.append(f"{name}:{number}: an error in lower case without full stop, found '{message}'")

    # A pass FooBar: flag moe-foo-bar, a test of that name, and one of its errors where it has any.
    flag = re.search(r'getArgument\(\) const (?:override|final) \{ return "moe-([a-z-]+)"', text)
    if path.parts[len(root.parts)] == "passes" and flag:
        words = "-".join(re.findall(r"[A-Z][a-z0-9]*", path.stem)).lower()
        if words != flag[1]:
            wrong.append(f"{name}: expected the flag --moe-{words}, found --moe-{flag[1]}")
        tests = root / "test/passes"
        if not (tests / f"{flag[1]}.mlir").exists() and not list(tests.glob(f"{flag[1]}-*.mlir")):
            wrong.append(f"{name}: expected test/passes/{flag[1]}.mlir, found none")
        # What begins with "internal:" is a fault of ours that no text provokes.
        if re.search(r'emit(Op)?(Error|Warning)\((?!\s*"internal:)', text) and not (tests / f"{flag[1]}-errors.mlir").exists():
            wrong.append(f"{name}: reports errors, but there is no test/passes/{flag[1]}-errors.mlir")

# A target is a back end behind one interface (passes/kernels/Backend.h): only the registry and a target's own tests know
# its folder.
REGISTRY = root / "passes/kernels/Backends.cpp"
TARGETS = re.findall(r'#include\s+[<"]passes/(\w+)/\w+Backend\.h', REGISTRY.read_text())
MAY_INCLUDE = ("passes/kernels/Backends.cpp", "test/numerics/", "test/fuzz/shapes/", "test/bench/kernels/")
for path in sources:
    name = str(path.relative_to(root))
    for target in TARGETS:
        own = (f"passes/{target}/", *MAY_INCLUDE)
        if re.search(rf'#\s*include\s+[<"]passes/{target}/', path.read_text()) and not name.startswith(own):
            wrong.append(f"{name}: includes passes/{target}/; ask kernels::Target for what it needs to know")

if not TARGETS:
    wrong.append(f"{REGISTRY}: expected the back ends of all targets, found none")

for path in sorted((root / "test").rglob("*.mlir")):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if re.search(r"CHECK[A-Z-]*:.*%\d", line):
            wrong.append(f"{path.relative_to(root)}:{number}: capture values by name, %[[X:.*]], never %0")

print("\n".join(wrong))
sys.exit(1 if wrong else 0)
