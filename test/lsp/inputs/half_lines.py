"""Half lines: half_lines.py ROOT. Each statement of the examples that stands on one line is cut behind each of its tokens, as it is while
an author writes it. An error is reported on that line, and not on one behind it, unless the half is right as it stands."""
import pathlib
import re
import sys

from client import Client

root = pathlib.Path(sys.argv[1])
TOKEN = re.compile(r'"[^"]*"|[%@]?[\w.$]+|[^\s\w]')
# What a statement without its last options means, and what does not fit it then.
RIGHT = re.compile("yields? 0|expected a routing to some experts|'importance_load' is of|expected at least one axis of features")
path = "/nowhere/half.mlir"
cut = right = 0
known = set()

with Client() as client:
    client.open(path, "")
    for example in sorted(root.glob("examples/models/*.mlir")):
        lines = example.read_text().splitlines()
        for number, line in enumerate(lines):
            code = line.split("//")[0].rstrip()
            follows = lines[number + 1].strip() if number + 1 < len(lines) else ""
            if not re.match(r"  [%a-z]", code) or re.match(r"[\[(]|ramp", follows) or code.endswith(","):
                continue
            for match in list(TOKEN.finditer(code))[:-1]:
                half = code[:match.end()]
                form = re.sub(r"\d+", "1", re.sub(r"([%@])\w+", r"\1x", half))
                if form in known:
                    continue
                known.add(form)
                client.change(path, "\n".join(lines[:number] + [half] + lines[number + 1:]) + "\n")
                cut += 1
                errors = [each for each in client.diagnostics(path) if each["severity"] == 1]
                other = [each for each in errors if each["range"]["start"]["line"] != number]
                if not errors or (other and RIGHT.search(other[0]["message"])):
                    right += 1
                elif other:
                    sys.exit(f"{example.name}:{number + 1}: expected the errors of '{half.strip()}' on its line, found line "
                             f"{other[0]['range']['start']['line'] + 1}: {other[0]['message']}")
                else:
                    last = errors[0]["range"]["end"]["character"]
                    assert len(errors) > 1 or last <= len(half) + 1, (half, errors)
assert cut > 200 and right < cut / 3, (cut, right)
print("half lines: the errors of all are on their lines")
