"""What `moec compile` reports of a text, and what the server publishes of it, in one form, each as often as it is there:
(severity, line, column, message, notes), and a note is (line, column, message). Columns count bytes from 1, as the compiler does."""
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
    found, notes = [], None
    for line in out.stderr.splitlines():
        match = re.match(r"(.*?):(\d+):(\d+): (error|warning|note): (.*)", line)
        if match and match[4] == "note" and notes is not None:
            notes.append((int(match[2]), int(match[3]), match[5]))
        elif match and match[1] == str(path) and match[4] != "note":
            notes = []
            found.append((match[4], int(match[2]), int(match[3]), match[5], notes))
    # A file of layers alone is complete, as far as its editor is concerned.
    if len(found) == 1 and re.search(r"^\s*moe\.layer", pathlib.Path(path).read_text(), re.MULTILINE) and found[0][3].startswith("expected a model, found none"):
        return []
    return sorted((*each[:4], tuple(each[4])) for each in found)


def of_server(client, path, expected):
    """The places are those of `expected` where the server underlines them, or in their statement the name that the report is of."""
    lines = client.texts[path].split("\n")

    def column(line, units):
        return len(lines[line].encode("utf-16-le")[:2 * units].decode("utf-16-le", "ignore").encode()) + 1

    def snapped(reached, wanted, name=""):
        """The wanted column that a range reaches, or else the range's own."""
        begin, end = reached["start"], reached["end"]
        first = column(begin["line"], begin["character"])
        last = column(end["line"], end["character"]) if end["line"] == begin["line"] else 10**9
        text = lines[begin["line"]].encode()[first - 1:last - 1].decode(errors="replace")
        for each in wanted:
            if first <= each <= last or (name and text.lstrip("%@") == name.lstrip("%@")):
                return each
        return first

    found, left = [], list(expected)
    for each in client.diagnostics(path):
        severity, line, message = LEVELS[each["severity"]], each["range"]["start"]["line"] + 1, each["message"]
        notes = [(note["location"]["range"], note["message"]) for note in each.get("relatedInformation", [])]
        quoted = message.split("'")[1] if message.count("'") > 1 else ""
        named = quoted if message.startswith("unknown ") or message.endswith("is not used") else ""
        # The compiler's place of a name is that of its op, which may begin on a line before.
        if named and not any((other[0], other[1], other[3]) == (severity, line, message) for other in left):
            line = max((other[1] for other in left if (other[0], other[3]) == (severity, message) and other[1] < line), default=line)
        alike = [other for other in left if (other[0], other[1], other[3]) == (severity, line, message)]
        at = snapped(each["range"], [other[2] for other in alike], named)
        same = next((other for other in alike if other[2] == at), None)
        if same:
            left.remove(same)
        wanted = same[4] if same else ()
        found.append((severity, line, at, message, tuple(
            (place["start"]["line"] + 1, snapped(place, [note[1] for note in wanted if note[::2] == (place["start"]["line"] + 1, words)]), words)
            for place, words in notes)))
    return sorted(found)
