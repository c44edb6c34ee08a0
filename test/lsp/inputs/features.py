"""Asks the language server of the features that docs/editors.md lists: features.py ROOT. Prints what it answers."""
import pathlib
import re
import subprocess
import sys
import tempfile

from client import Client, applied, offset, part

root = pathlib.Path(sys.argv[1])
folder = tempfile.mkdtemp()
LEVELS = {1: "error", 2: "warning", 3: "information"}
client = Client()
count = 0


def opened(text):
    """A document of its own with a text."""
    global count
    count += 1
    path = f"{folder}/{count}/model.mlir"
    client.open(path, text)
    return path


def show(path):
    for each in sorted(client.diagnostics(path), key=lambda each: each["range"]["start"]["line"]):
        place = part(client.texts[path], each["range"])
        print(f"{each['range']['start']['line'] + 1}: {LEVELS[each['severity']]}: {each['message']} at '{place}'")
        for other in each.get("relatedInformation", []):
            print(f"   line {other['location']['range']['start']['line'] + 1}: {other['message']}")


def hover(title, path, needle, skip=0):
    found = client.at("hover", path, client.texts[path].index(needle) + skip)
    lines = found["contents"]["value"].strip().replace("```moe\n", "").split("\n") if found else ["None"]
    print(f"{title}: " + "\n  ".join(lines))


def line_of(place):
    text = pathlib.Path(place["uri"].removeprefix("file://")).read_text() if "/examples/" in place["uri"] else client.texts[path]
    number = place["range"]["start"]["line"]
    return f"{number + 1}: {text.splitlines()[number]}"


def definition(title, path, needle, skip=0):
    found = client.at("definition", path, client.texts[path].index(needle) + skip)
    print(f"definition of {title}: {line_of(found[0]) if found else found}")


def references(title, path, needle, skip=0):
    found = client.at("references", path, client.texts[path].index(needle) + skip, context={"includeDeclaration": True})
    places = sorted((each["range"]["start"]["line"] + 1, each["range"]["start"]["character"]) for each in found)
    print(f"references of {title}: " + " ".join(f"{line}:{column}" for line, column in places))


def elaborated(text):
    """The program of a text, without its records of names and places."""
    pathlib.Path(folder, "model.mlir").write_text(text)
    out = subprocess.run(["moec", "compile", "model.mlir", "--to=elaborate", "-o", "-"], cwd=folder, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    return re.sub(r"config = \{.*?\}", "", out.stdout)


def rename(title, path, needle, name, skip=0, show=None):
    text = client.texts[path]
    found = client.at("rename", path, text.index(needle) + skip, newName=name)
    if "error" in found:
        return print(f"rename {title}: {found['error']}")
    edits = found["changes"][client.uri(path)]
    new = applied(text, edits)
    if show:
        for line in new.splitlines():
            if re.search(show, line):
                print(line.strip() if title.startswith("%") else f"rename {title}: {line.strip()}")
    else:
        same = elaborated(text) == elaborated(new)
        print(f"rename {title}: {len(edits)} edits, {'the same program' if same else 'ANOTHER PROGRAM'}")
    return len(edits)


def completion(title, text):
    """What is offered at the '|' of a text."""
    at = text.index("|")
    path = opened(text.replace("|", ""))
    found = client.at("completion", path, at)
    print(f"{title}: " + " ".join(item["label"] for item in found["items"]))


gmoe, hmoe = (str(root / "examples/models" / name) for name in ("gmoe.mlir", "hmoe_28.mlir"))
for path in (gmoe, hmoe):
    client.open(path, pathlib.Path(path).read_text())
print("diagnostics of hmoe_28:", client.diagnostics(hmoe))
assert client.diagnostics(gmoe) == []

print("mistakes:")
show(opened("""moe.layer @Mlp<dim, hidden>(%x: [tokens, dim]) {
  %up   = linear @fc1(%x) to hiden
  %act  = geluu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.model @net<classes = 10>(%image: image[3, 32, 32]) {
  %p      = patches @p(%image) size = 5 to 64
  %q      = patches @q(%image) size = 8 to 64
  %small  = linear @fc(%q) to 10
  %sum    = add %q, %small
  %first  = take %q token = 0
  %logits = linear @head(%first) to classes
  return logits = %logits
}
"""))
print("unused:")
show(opened("""moe.layer @L<k>(%x) {
  %y = relu %x
  %lost = gelu %x
  yield %y
}

moe.layer @Never(%x) {
  yield %x
}

moe.model @net(%image: image[1, 8, 8]) {
  %a = apply @a(%image) layer @L<1>
  %f = flatten %a
  %y = linear @fc(%f) to 10
  return logits = %y
}
"""))
print("statements of several lines:")
LAYERS = "moe.layer @A<k>(%x) {\n  %y = linear @fc(%x) to k\n  yield %y\n}\n\nmoe.layer @B(%x) {\n  %y = relu %x\n  yield %y\n}\n\n"
for lines in ("%y = chain @c(%x)\n         [@A<8>,\n          2 * @C]", "%y = chain @c(%x)\n         [@A<8>\n          @B]", "%y = chain @c(%x)\n         [@A<8>, @B\n         ramp k from 0 to 1",
              "%y = chain @c(%x)\n         [@A<8>, 2 * @B", "%y = chain @c(\n         %x) [@A<8", "%y = chain @c(%x) [@A<8>] ramp k\n         from n to 1",
              "%r = route @g(%x) linear,\n         experts = 4,  // of them\n         tops = 2\n  %y = relu %x"):
    show(opened(LAYERS + f"moe.model @net(%x: vector[8]) {{\n  {lines}\n  %z = linear @fc(%y) to 4\n  return logits = %z\n}}\n"))
print("where the layer is applied:")
show(opened("""moe.layer @Head(%x) {
  %f = conv @c(%x) to 8
  %y = linear @fc(%f) to 4
  %z = add %x, %y
  yield %z
}

moe.model @net(%image: image[1, 8, 8]) {
  %maps = conv @conv(%image) to 64
  %y    = apply @head(%maps) layer @Head
  return logits = %y
}
"""))
print()

hover("%tokens", gmoe, "%tokens  =")
hover("%up", gmoe, "%up   = linear @fc1(%x) to hidden\n", 1)
hover("%each", hmoe, "%each  =")
hover("%route", hmoe, "%route = ", 2)
two = opened("""moe.layer @L(%x) {
  %y = linear @fc(%x) to 4
  yield %y
}

moe.model @net(%v: vector[8]) {
  %a = apply @a(%v) layer @L
  %b = apply @b(%a) layer @L
  return logits = %b
}
""")
hover("%x in two applications", two, "%x) {")
hover("dim", gmoe, "dim]) {\n  %up")
hover("drop_path", gmoe, "drop_path = drop_path\n  yield", 14)
hover("@fc1", gmoe, "@fc1(%x) to hidden init", 1)
hover("@Block", gmoe, "@Block<heads, @Mlp", 2)
hover("linear", gmoe, "linear @fc1")
hover("an option", gmoe, "capacity = 1.5")
hover("a comment", gmoe, "GMoE-S/16")
print()

symbols = client.of("documentSymbol", gmoe)
print("symbols:", ", ".join(f"{each['name']} ({each.get('detail', 'not applied')})" for each in symbols))
print("values of @Mlp:", ", ".join(f"{each['name']} {each['detail']}" for each in symbols[0]["children"]))
whole = {"start": {"line": 0, "character": 0}, "end": {"line": 27, "character": 0}}
print("hints:", client.of("inlayHint", gmoe, range=whole) or "off")
client.notify("workspace/didChangeConfiguration", {"settings": {"moe": {"inlayHints": True}}})
lines = client.texts[gmoe]
print("hints:", " ".join(re.search(r"%\w+$", lines[:offset(lines, each["position"])]).group() + each["label"]
                         for each in client.of("inlayHint", gmoe, range=whole)))
print()

definition("@Dense", hmoe, "@Dense<256", 2)
definition("%theta", hmoe, "weights %theta", 10)
definition("gain in fan_in(gain)", hmoe, "fan_in(gain)", 8)
path = opened("""moe.layer @Pool<slots>(%x: [tokens, dim]) {
  %s = clamp %x max = size(%x, tokens)
  %y = linear @fc(%s) to dim
  yield %y
}
""")
definition("a value in a size", path, "size(%x", 6)
definition("a bound size", path, "to dim", 4)
references("drop_path", gmoe, "drop_path from")
references("@Mlp", gmoe, "@Mlp<ratio", 1)
print()

print("rename %up:", 3, "edits")
assert rename("%up", gmoe, "%up   = linear @fc1(%x) to hidden\n", "high", 1, "high")
rename("@Mlp", gmoe, "@Mlp<ratio", "FeedForward", 1)
rename("dim of the model", gmoe, "dim = 384", "width")
key = opened("""moe.layer @L<to, drop: number = 0.1>(%x) {
  %y = linear @fc(%x) to to
  %z = dropout %y, drop
  yield %z
}

moe.model @net(%x: vector[8]) {
  %y = apply @l(%x) layer @L<8, drop = 0.5>
  return logits = %y
}
""")
rename("a layer's parameter with its key", key, "drop: number", "rate", 0, "apply")
rename("to a name that is there", gmoe, "%up   = linear @fc1(%x) to hidden\n", "%act", 1)
rename("to a word that is no name", gmoe, "%up   = linear", "1x", 1)
ramp = opened("""moe.layer @A<p: number>(%x) {
  %y = dropout %x, p
  yield %y
}

moe.layer @B<p: number>(%x) {
  %y = dropout %x, p
  yield %y
}

moe.model @net(%x: vector[8]) {
  %y = chain @c(%x) [@A, @B] ramp p from 0.0 to 0.5
  %z = linear @fc(%y) to 4
  return logits = %z
}
""")
rename("a ramped parameter of two layers", ramp, "p: number", "q")
rename("a path", gmoe, "@fc1", "fc", 1)
taken = opened("""moe.layer @A<k, @inner>(%x: [dim]) {
  %a = linear @fc(%x) to k
  %b = apply @in(%a) layer @inner
  yield %b
}

moe.layer @B<m>(%x) {
  %y = linear @fc(%x) to m
  yield %y
}

moe.model @net(%x: vector[8]) {
  %y = apply @l(%x) layer @A<8, @B<4>>
  return logits = %y
}
""")
for what, place, name in (("to any size", "k, @inner", "_"), ("to any value", "%a = ", "_"), ("to a size that a pattern binds", "k, @inner", "dim"),
                          ("to a layer", "@B<m>", "A"), ("to a layer's parameter", "@B<m>", "inner"),
                          ("to the model", "@B<m>", "net"), ("of a parameter to a layer", "@inner>", "B")):
    rename(what, taken, place, name, 1 if place[0] in "@%" else 0)
behind = opened("""moe.layer @A<hidden>(%x) {
  %a = linear @fc(%x) to hidden
  %b = linear @fd(%a,) to hidden
  yield %b
}

moe.layer @B<hidden, @a>(%x) {
  %b = linear @fd(%x) to hidden
  yield %b
}

moe.model @net(%x: vector[8]) {
  %y = apply @l(%x) layer @A<8>
  %z = apply @m(%y), layer @A<hidden = 8>
  return logits = %z
}
""")
rename("with a use behind an error", behind, "hidden>", "width")
print("may", client.at("prepareRename", behind, client.texts[behind].index("hidden>"))["error"])
rename("of a layer with a use behind an error", behind, "@A<h", "C", 1)
rename("of another layer's parameter of that name, as a key behind an error", behind, "hidden, @a", "width")
rename("%b of the line with the error", behind, "%b = linear", "other", 1, "other")
print()

LAYER = """moe.layer @Small<k>(%x) {
  yield %x
}

moe.layer @Pool<slots, gain: number = 1.0, @ffn>(%x: [tokens, dim], %y: [_, dim]) {
  %p = param @phi [dim, slots] normal(gain)
  HERE
  yield %z
}

moe.layer @Wide<to, rate: number = 0.1, @act = @Small<2>>(%x) {
  yield %x
}
"""
for title, line in {
        "sizes": "%z = linear @fc(%x) to |", "a part of a size": "%z = linear @fc(%x) to 2 * di|",
        "options": "%z = conv @c(%x) |", "options behind a comma": "%z = conv @c(%x) kernel = 5, |",
        "routers": "%z = route @r(%x) |", "losses": "aux @a |", "initial values": "%z = linear @fc(%x) to 8 init |",
        "second initial values": "%z = linear @fc(%x) to 8 init torch, |", "initial values of all": "default linear |",
        "arguments of a loss": "aux @a cross_entropy %x, |", "a factor of a loss": "aux @a entropy %x, 2 * |",
        "axes": "%z = mean %x over |", "schedules": "%z = reverse_gradient %x by |", "layers": "%z = apply @a(%x) layer |",
        "layers in a list": "%z = chain @a(%x) [2 * @|", "keys": "%z = apply @a(%x) layer @Wide<|", "keys behind an argument": "%z = apply @a(%x) layer @Wide<8, act = @Small<2>, |",
        "keys in a list": "%z = chain @a(%x) [2 * @Wide<to = 8, |", "values": "%z = add %|", "values behind yield": "yield |",
        "more values behind yield": "yield %x, |", "values behind return": "return |", "results": "return logits = |",
        "no word of MLIR": "%z = relu %x |", "ops": "%z = |", "ends": "|"}.items():
    completion(title, LAYER.replace("HERE", line))
completion("inputs", "moe.model @m(%image: |\n")
completion("top", "// A model\n|")
completion("in a header", "moe.model @net<classes = 10,\n                |\n")
completion("behind a declaration", "moe.layer @L(%x)\n|\n")
completion("a name of parameters", LAYER.replace("HERE", "%z = linear @|"))
completion("a comment", LAYER.replace("HERE", "%z = relu %x // %|"))
print()

same = 0
for path in sorted(root.glob("examples/**/*.mlir")) + sorted(root.glob("test/language/*.mlir")):
    text = path.read_text()
    if "RUN:" in text and "examples" not in str(path) and path.name not in ("models.mlir", "gmoe.mlir"):
        continue
    document = opened(text)
    edits = client.of("formatting", document, options={"tabSize": 2, "insertSpaces": True})
    assert not edits, (path, edits)
    same += 1
print(f"formatted: 7 examples and {same - 7} texts stay as they are")
crooked = """// A layer.
   moe.layer  @L<a,b:number=-1.0>( %x:[_,a] ){   // its head
 %one =linear @fc( %x )to a*2-1 init normal(1e-6),zeros
      // between
   %long= chain @c(%one)
 [2*@M<a,k=[1,-2]>,
  @N]    // the last
    ramp p from 0.0 to b


   %a,%b   = apply @p(%long) layer @Two
    yield %b
  }
"""
path = opened(crooked)
new = applied(crooked, client.of("formatting", path, options={}))
print("formatted:\n" + new)
client.change(path, new)
assert not client.of("formatting", path, options={}), "what is formatted changes again"

# The line ends of the first line, and a byte order mark.
mark = "\ufeff"
for ends in ("\r\n", "\n"):
    first, rest = crooked.split("\n", 1)
    path = opened(mark + first + ends + rest.replace("\n", "\r\n" if ends == "\n" else "\n", 3))
    made = applied(client.texts[path], client.of("formatting", path, options={}))
    assert made == mark + new.replace("\n", ends), made
    client.change(path, made)
    assert not client.of("formatting", path, options={}), "what is formatted changes again"
print("line ends: those of the first line")
# A '\r' ends a line as well: for the places of errors and of what is asked, and behind a comment.
path = opened("// a comment\rmoe.model @net(%x: vector[8]) {\r  %y = linear @fc(%x) to hiden // told\r  %z = relu %y\r\n  return logits = %w\r}\r")
uri = {"uri": client.uri(path)}
print("returns:", *((each["range"]["start"]["line"] + 1, each["range"]["start"]["character"], each["message"].split(";")[0]) for each in client.diagnostics(path)))
client.changed(path, [{"range": {"start": {"line": 2, "character": 25}, "end": {"line": 2, "character": 30}}, "text": "4"},
                      {"range": {"start": {"line": 4, "character": 19}, "end": {"line": 4, "character": 20}}, "text": "z"}])
print("returns:", client.diagnostics(path), client.ask("textDocument/hover", {"textDocument": uri, "position": {"line": 4, "character": 19}})["contents"]["value"],
      *(each["range"]["start"] for each in client.ask("textDocument/definition", {"textDocument": uri, "position": {"line": 4, "character": 19}})))
path = opened(mark + "moe.layer @L(%-x) {\n  %y-1 = gelu %-x\n  yield %y-1\n}\n")
print("a mark and odd names:", client.diagnostics(path), client.of("formatting", path, options={}), client.of("documentSymbol", path)[0]["name"])
references("%-x", path, "%-x", 1)

path = opened("// ein Satz mit Umlauten: äöü 🙂\nmoe.layer @L(%x) { /* 🙂 */ %y = gelu %x\n  yield %y\n}\n".replace("/* 🙂 */ ", ""))
client.edit(path, client.texts[path].index("äöü"), client.texts[path].index("🙂") + 1, "🙂🙂 é")
client.edit(path, client.texts[path].index("gelu") + 4, client.texts[path].index("gelu") + 4, "u")
print("units: ", end="")
show(path)
client.__exit__(None)
