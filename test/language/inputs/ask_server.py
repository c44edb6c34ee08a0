"""Asks the language server about a model: ask_server.py SERVER MODEL. Prints what it answers, one line a question."""
import json
import subprocess
import sys

text = open(sys.argv[2]).read()
lines = text.split("\n")
server = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
diagnostics = []
document = {"uri": "file:///tmp/model.mlir"}


def send(method, params, number=None):
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if number is not None:
        message["id"] = number
    body = json.dumps(message).encode()
    server.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    server.stdin.flush()


def receive():
    length = 0
    while line := server.stdout.readline().strip():
        if line.startswith(b"Content-Length"):
            length = int(line.split(b":")[1])
    return json.loads(server.stdout.read(length))


def ask(method, params, number):
    send(method, params, number)
    while (message := receive()).get("id") != number:
        if message.get("method", "").endswith("publishDiagnostics"):
            diagnostics[:] = [d["message"] for d in message["params"]["diagnostics"]]
    return message.get("result")


def position(needle, skip):
    index = text.index(needle) + skip
    line = text.count("\n", 0, index)
    return {"line": line, "character": index - (text.rfind("\n", 0, index) + 1)}


def change(new, version):
    send("textDocument/didChange", {"textDocument": {**document, "version": version}, "contentChanges": [{"text": new}]})
    ask("textDocument/hover", {"textDocument": document, "position": {"line": 0, "character": 0}}, 100 + version)


def definition(needle, skip, number):
    found = ask("textDocument/definition", {"textDocument": document, "position": position(needle, skip)}, number)
    line = found[0]["range"]["start"]["line"]
    return f"line {line + 1}: {lines[line].strip()}"


ask("initialize", {"processId": None, "rootUri": None, "capabilities": {}}, 0)
send("textDocument/didOpen", {"textDocument": {**document, "languageId": "mlir", "version": 1, "text": text}})
ask("textDocument/hover", {"textDocument": document, "position": {"line": 0, "character": 0}}, 1)
def completion(new, version):
    """What the server offers at the '|' of a text."""
    at = new.index("|")
    change(new.replace("|", ""), version)
    line, character = new.count("\n", 0, at), at - (new.rfind("\n", 0, at) + 1)
    found = ask("textDocument/completion", {"textDocument": document, "position": {"line": line, "character": character}}, 200 + version)
    return " ".join(sorted(item["label"] for item in found["items"]))


print("diagnostics:", diagnostics)
print("definition of @Dense:", definition("@Dense<256", 2, 2))
print("definition of %theta:", definition("weights %theta", 10, 3))
symbols = ask("textDocument/documentSymbol", {"textDocument": document}, 4)
print("symbols:", " ".join(f"{s['name']} {s.get('detail', '')}" for s in symbols))
change(text.replace("silu %sum", "siluu %sum"), 2)
print("misspelt op:", diagnostics)
change(text.replace("to vec\n", "to vek\n"), 3)
print("misspelt size:", diagnostics)
LAYER = """moe.layer @Pool<slots, gain: number = 1.0, @ffn>(%x: [tokens, dim], %y: [_, dim]) {
  %p = param @phi [dim, slots] normal(gain)
  HERE
  yield %z
}
"""
print("sizes:", completion(LAYER.replace("HERE", "%z = linear @fc(%x) to |"), 4))
print("sizes of a part:", completion(LAYER.replace("HERE", "%z = linear @fc(%x) to 2 * di|"), 5))
print("options:", completion(LAYER.replace("HERE", "%z = conv @c(%x) to dim |"), 6))
change(LAYER.replace("HERE", "%z = clamp %x max = size(%x, tokens)"), 7)
print("new words:", diagnostics)
hover = ask("textDocument/hover", {"textDocument": document, "position": {"line": 2, "character": 9}}, 8)
print("hover:", json.dumps(hover))
found = ask("textDocument/definition", {"textDocument": document, "position": {"line": 2, "character": 28}}, 9)
print("definition from a size:", found[0]["range"]["start"] if found else found)
server.kill()
