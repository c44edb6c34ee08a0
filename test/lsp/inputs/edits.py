"""Random edits of the examples: edits.py ROOT SEED,... EDITS. Several documents are open at once. Nothing ends the server, every request is answered, and what is published
at the end of each round is what moec reports of the same text. Some lines are typed key by key."""
import pathlib
import random
import sys
import tempfile

from client import Client, offset, part, position
from reports import of_moec, of_server

root, seeds, edits = pathlib.Path(sys.argv[1]), [int(seed) for seed in sys.argv[2].split(",")], int(sys.argv[3])
folder = pathlib.Path(tempfile.mkdtemp())
texts = {path.name: path.read_text() for path in sorted((root / "examples/models").glob("*.mlir"))}
# Large models only cost time: their sizes are no matter of edits.
names = [name for name in texts if len(texts[name]) < 9000]
ROUND = 110  # edits; every second round has a few only, whose text is still a model
LINES = ["  %y = linear @fc(%x) to 8\n", "  %z = add %x, sub 1, %y\n", "  aux @a entropy %route, 0.1\n", "  yield %x\n", "}\n",
         "moe.layer @L<a, b: number = 0.5, @c>(%x: [a, _]) {\n", "  %q = chain @blocks(%x) [2 * @Mlp<8>, 3 * [@B]] ramp p from 0 to 1\n",
         "  %é = apply @p(%x) layer @L<a, b = 1 / 3, @c = @Mlp<4>> // 🙂 é\n", "  %s = reshape %x to [size(%x, tokens), -1]\n",
         "  return logits = %nothing\n", "  %r = route @g(%x) cosine, experts = 4, top = 2\n"]
PIECES = ["%", "@", "(", ")", "[", "]", "<", ">", "{", "}", "=", ",", "/", "//", "\"", "-", ".", "0", "9999999", "1e-6", " ", "\n", "\t",
          "é", "🙂", "%x", "to", "layer", "moe.layer", "mod", "size(", "\u00a0", "#", "^", "!", "$"]
REQUESTS = ["hover", "completion", "definition", "references", "prepareRename", "rename", "documentSymbol", "inlayHint", "formatting"]
DOCUMENTS = 3  # open at once, each in a folder of its own
paths = [str(folder / str(number) / "model.mlir") for number in range(DOCUMENTS)]
count = {"edits": 0, "requests": 0, "rounds": 0, "reports": 0}


def edit(client, path):
    """One random change."""
    text = client.texts[path]
    at = rng.randrange(len(text) + 1)
    kind = rng.randrange(8)
    if kind < 3:
        client.edit(path, at, at, rng.choice(PIECES))
    elif kind == 3:
        client.edit(path, at, min(len(text), at + rng.choice([1, 1, 2, 5, 30])), "")
    elif kind == 4:
        begin = text.rfind("\n", 0, at) + 1
        end = text.find("\n", at) + 1 or len(text)
        client.edit(path, begin, end, "" if rng.random() < 0.5 else text[begin:end] * 2)
    elif kind == 5:
        begin = text.rfind("\n", 0, at) + 1
        client.edit(path, begin, begin, rng.choice(LINES))
    elif kind == 6:
        other = texts[rng.choice(names)]
        begin = rng.randrange(len(other))
        client.edit(path, at, at, other[begin:begin + rng.choice([3, 20, 200])])
    else:
        client.edit(path, at, len(text) if rng.random() < 0.2 else at, "")
    return 1


def type_line(client, path):
    """A line, or half of one, key by key."""
    text = client.texts[path]
    at = text.rfind("\n", 0, rng.randrange(len(text) + 1)) + 1
    line = rng.choice(LINES)
    for character in line[:rng.randrange(1, len(line) + 1)]:
        client.edit(path, at, at, character)
        at += len(character)
    return len(line)


def request(client, path):
    text = client.texts[path]
    method = rng.choice(REQUESTS)
    params = {"textDocument": {"uri": client.uri(path)}}
    if method in ("formatting",):
        params["options"] = {"tabSize": 2, "insertSpaces": True}
    elif method == "inlayHint":
        params["range"] = {"start": {"line": 0, "character": 0}, "end": {"line": 999, "character": 0}}
    elif method != "documentSymbol":
        place = position(text, rng.randrange(len(text) + 1))
        if rng.random() < 0.1:
            place = {"line": rng.choice([-1, 0, 10**6]), "character": rng.choice([-1, 0, 10**6])}
        params["position"] = place
        params |= {"newName": rng.choice(["name", "%a", "1", "", "é"])} if method == "rename" else {}
    return client.begin("textDocument/" + method, params)


def check(client, path, seed):
    """What the server says of a document is what moec says."""
    text = client.texts[path]
    pathlib.Path(path).write_text(text)
    expected = of_moec(path) if text.strip() else []
    found = of_server(client, path, expected)
    if text.strip() and found != expected:
        failed = folder / "failed.mlir"
        failed.write_text(text)
        sys.exit(f"seed {seed}, round {count['rounds']}: expected what moec reports\n{expected}\nfound\n{found}\nthe text is in {failed}")
    count["reports"] += len(found)
    for each in client.diagnostics(path):
        part(text, each["range"])  # a place of the text


for seed in seeds:
    rng = random.Random(seed)
    wanted = count["edits"] + edits // len(seeds)
    with Client(options={"inlayHints": True}) as client:
        for path in paths:
            pathlib.Path(path).parent.mkdir(exist_ok=True)
            client.open(path, "")
        while count["edits"] < wanted:
            count["rounds"] += 1
            for path in paths:
                client.change(path, texts[rng.choice(names)])
            asked = []
            done = 0
            few = rng.randrange(1, 6) if count["rounds"] % 2 else ROUND
            while done < few:
                path = rng.choice(paths)
                done += type_line(client, path) if rng.random() < 0.03 else edit(client, path)
                if rng.random() < 0.15:
                    asked.append(request(client, path))
            count["edits"] += done
            for number in asked:
                message = client.answer(number)
                assert "result" in message or message["error"]["code"] == -32803, message
            count["requests"] += len(asked)
            for path in paths:
                check(client, path, seed)
print(f"at least {edits} edits in {count['rounds']} rounds with {len(seeds)} seeds, {count['requests']} requests answered, {count['reports']} reports as moec's")
