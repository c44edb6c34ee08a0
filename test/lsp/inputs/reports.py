"""What `moec compile` reports of a text, and what the server publishes of it, in one form: (severity, line, message)."""
import pathlib
import re
import subprocess

LEVELS = {1: "error", 2: "warning", 3: "information"}


def of_moec(path, *others, load=()):
    # Up to differentiation, where the mistakes of a text have all been found.
    command = ["moec", "compile", str(path), *map(str, others), "--to=differentiate", "-o", "-"]
    for plugin in load:
        command += ["--load", plugin]
    out = subprocess.run(command, capture_output=True, text=True)
    assert out.returncode in (0, 1), (out.returncode, out.stderr)
    found = set()
    for line in out.stderr.splitlines():
        match = re.match(re.escape(str(path)) + r":(\d+):\d+: (error|warning): (.*)", line)
        if match:
            found.add((match[2], int(match[1]), match[3]))
    text = pathlib.Path(path).read_text()
    # A file of layers alone is complete, as far as its editor is concerned.
    if len(found) == 1 and "moe.layer" in text and next(iter(found))[2].startswith("expected a model, found none"):
        return set()
    return found


def of_server(client, path):
    return {(LEVELS[each["severity"]], each["range"]["start"]["line"] + 1, each["message"]) for each in client.diagnostics(path)}
