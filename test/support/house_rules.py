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

# A target is a back end behind one interface (passes/kernels/Backend.h), and its device one behind another
# (runtime/device/Device.h): only their registries and their own tests know their folders.
REGISTRY = "passes/kernels/Backends.cpp"
# What is included, as the registry of back ends spells it, is what makes a folder a target's.
TARGETS = re.findall(r'#include\s+[<"]passes/(\w+)/\w+Backend\.h', (root / REGISTRY).read_text())
# A folder, and who may include it besides its own files.
KNOWN_BY = {f"passes/{target}": (REGISTRY, "test/numerics/", "test/fuzz/shapes/", "test/bench/kernels/") for target in TARGETS}
# Code for the host, which back ends share.
KNOWN_BY["passes/host"] = tuple(f"passes/{target}/" for target in TARGETS) + ("test/numerics/",)
# Devices are a matter of the runtime; a back end asks its own what it can do. Inspection shows the resources that the table
# of a GPU's kernels has.
KNOWN_BY |= {f"runtime/device/{path.name}": ("runtime/", "test/", f"passes/{path.name}/", "frontends/moec/InspectKernels.cpp")
             for path in sorted((root / "runtime/device").iterdir()) if path.is_dir()}


def included(path, text):
    """The files of the project that a file includes, whichever way it spells them, by their names from the root."""
    for name in re.findall(r'^[ \t]*#[ \t]*(?:include|import)(?:_next)?[ \t]*[<"]([^>"]+)[>"]', text, re.M):
        for folder in (path.parent, root):
            file = (folder / name).resolve()
            if file.is_file() and file.is_relative_to(root.resolve()):
                yield str(file.relative_to(root.resolve()))
                break


for path in sources:
    name = str(path.relative_to(root))
    for file in included(path, path.read_text()):
        for folder, others in KNOWN_BY.items():
            if file.startswith(folder + "/") and not name.startswith((folder + "/", *others)):
                interface = "kernels::Target" if folder.startswith("passes/") else "moert::Device"
                wrong.append(f"{name}: includes {file}; ask {interface} for what it needs to know")

if not TARGETS:
    wrong.append(f"{REGISTRY}: expected the back ends of all targets, found none")

for path in sorted((root / "test").rglob("*.mlir")):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if re.search(r"CHECK[A-Z-]*:.*%\d", line):
            wrong.append(f"{path.relative_to(root)}:{number}: capture values by name, %[[X:.*]], never %0")

print("\n".join(wrong))
sys.exit(1 if wrong else 0)
