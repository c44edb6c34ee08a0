"""Speaks the protocol badly."""
import time

from client import Client

MODEL = "moe.model @net(%image: image[3, 32, 32]) {\n  %t = patches @p(%image) size = 5 to 8\n  %f = take %t token = 0\n  return logits = %f\n}\n"
path = "/nowhere/model.mlir"


def messages():
    return [each["message"] for each in client.diagnostics(path)]


with Client() as client:
    client.texts["/other.mlir"] = "x"
    print("not open:", client.at("hover", "/other.mlir", 0), client.at("definition", "/other.mlir", 0), client.of("documentSymbol", "/other.mlir"),
          client.at("completion", "/other.mlir", 0))
    client.open(path, MODEL.replace("= 5", "= 8"))
    uri = {"uri": client.uri(path)}
    print("outside:", client.ask("textDocument/hover", {"textDocument": uri, "position": {"line": 10**6, "character": -5}}))
    odd = []
    for method, params in [("initialize", [1]), ("textDocument/hover", None), ("textDocument/rename", {"textDocument": uri}),
                           ("textDocument/rename", {"textDocument": uri, "position": {"line": 0, "character": 12}, "newName": 7}),
                           ("textDocument/hover", {"textDocument": {"uri": 5}, "position": "here"})]:
        found = client.ask(method, params)
        odd.append("error" if isinstance(found, dict) and "error" in found else found if method == "textDocument/hover" and params else "error")
    print("odd parameters:", *odd)
    client.notify("textDocument/didChange", {"textDocument": uri, "contentChanges": "none"})
    client.notify("textDocument/didChange", {"textDocument": {"uri": "file:///other.mlir", "version": 3}, "contentChanges": [{"text": ""}]})
    client.notify("textDocument/didOpen", 3)
    client.notify("$/unknown", {})
    print("no such method:", client.ask("textDocument/fly", {}))
    client.server.stdin.write(b"Content-Length: 7\r\n\r\nno json")
    client.server.stdin.flush()
    print("still there:", messages())
    client.change(path, "moe.layer @L(%x) {\n  %y = linear @f(%x) to " + "(" * 5000 + "1" + ")" * 5000 + "\n  yield %y\n}\n")
    print("a deep text:", messages())
    began = time.monotonic()
    block = "moe.layer @B<n>(%x) {\n  %y = chain @c(%x) [n * @L<4096>]\n  yield %y\n}\n"
    client.change(path, "moe.layer @L<k>(%x) {\n  %y = chain @c(%x) [k * @M]\n  yield %y\n}\nmoe.layer @M(%x) {\n  %y = layer_norm @n(%x)\n  yield %y\n}\n" + block +
                  "moe.model @net(%v: vector[8]) {\n  %y = apply @b(%v) layer @B<4096>\n  return logits = %y\n}\n")
    print("a chain without end:", messages())
    assert time.monotonic() - began < 10, time.monotonic() - began
    # Many versions at once: only the last one matters, and what is asked meanwhile is answered.
    for i in range(200):
        client.change(path, MODEL.replace("patches", f"op{i}"))
    asked = [client.begin("textDocument/hover", {"textDocument": uri, "position": {"line": 1, "character": 3}}) for _ in range(20)]
    client.change(path, MODEL.replace("patches", "last"))
    for number in asked:
        client.answer(number)
    print("answered within 10 seconds")
    print("superseded:", messages())

# Many edits a second, by a client that counts no versions, and with characters of several units.
with Client() as client:
    client.open(path, "// é🙂 \n" + MODEL.replace("= 5", "= 8"))
    uri = {"uri": client.uri(path)}
    for i in range(150):
        client.notify("textDocument/didChange", {"textDocument": uri, "contentChanges": [
            {"range": {"start": {"line": 0, "character": 6}, "end": {"line": 0, "character": 6}}, "text": "🙂"}]})
        time.sleep(0.005)
    client.open(path, MODEL)  # once more, without an end of the first
    print("opened twice:", messages())
    client.notify("textDocument/didChange", {"textDocument": uri, "contentChanges": [{"text": "// 🙂é\n" + MODEL}]})
    # Within a character of two units, before and behind all, and from behind to before.
    for start, end in (((0, 4), (0, 4)), ((0, -9), (0, 2**31 - 1)), ((2**31 - 1, 2**31 - 1), (-1, -1)), ((3, 0), (0, 0))):
        client.notify("textDocument/didChange", {"textDocument": {**uri, "version": None}, "contentChanges": [
            {"range": dict(zip(("start", "end"), ({"line": line, "character": character} for line, character in (start, end)))), "text": "x"}]})
    client.change(path, "// 🙂é\n" + MODEL)
    print("odd ranges:", messages())
    for line, character in ((0, 4), (0, 2**31 - 1), (2**31 - 1, 0), (-2**31, -2**31), (0, 3)):
        place = {"textDocument": uri, "position": {"line": line, "character": character}}
        found = [client.ask("textDocument/" + method, place) for method in ("hover", "completion", "definition", "references", "prepareRename")]
    print("odd places:", found[0], found[2:])
    print("huge numbers:", client.ask("textDocument/hover", {"textDocument": uri, "position": {"line": 10**30, "character": 1e300}}))
    print("addresses of nothing:", client.ask("textDocument/hover", {"textDocument": {"uri": "untitled:1"}}), client.ask("textDocument/hover", {"textDocument": {"uri": "file:///%zz"}}))

    # What is no message is answered, or passed over up to the next.
    def raw(text, head=None):
        client.server.stdin.write((head or b"Content-Length: %d\r\n\r\n" % len(text)) + text)
        client.server.stdin.flush()

    for text in (b"[1, 2]", b"{", b'"x"', b'{"id": 3, "method": "textDocument/hover"}', b'{"jsonrpc": "2.0", "id": 3, "method": 5}', b"\xff\xfe",
                 b'{"jsonrpc": "2.0", "id": 3, "method": "textDocument/hover", "params": ' + b"[" * 300000 + b"]" * 300000 + b"}"):
        raw(text)
    codes = []
    while len(codes) < 7:
        if "error" in (message := client.take()):
            codes.append(message["error"]["code"])
    print("no messages:", *codes)
    for head in (b"Content-Length: -5\r\n\r\n", b"Content-Length: many\r\n\r\n", b"Content-Length: 99999999999999999999\r\n\r\n", b"Content-Length: 4000000000\r\n\r\n",
                 b"Content-Type: x\r\n\r\n{}", b"\0garbage" * 5000 + b"\n\n", b"Content-Length: 0\r\n\r\n"):
        raw(b"", head)
        client.ask("textDocument/hover", {"textDocument": uri, "position": {"line": 1, "character": 3}})
    text = b'{"jsonrpc": "2.0", "id": "y", "method": "textDocument/documentSymbol", "params": {}}'
    raw(text, b"content-length:%d\n\n" % len(text))
    print("odd headers:", client.answer("y")["result"])


def code(method, params=None):
    return client.answer(client.begin(method, params)).get("error", {}).get("code")


# A document is closed at any moment of its analysis: none of its diagnostics stays.
with Client() as client:
    for number in range(3000):
        closed = f"/nowhere/{number}.mlir"
        client.open(closed, MODEL)
        time.sleep(number % 30 * 5e-5)
        client.close(closed)
    client.open(path, MODEL)
    client.diagnostics(path)
    client.close(path)
    client.ask("textDocument/documentSymbol", {"textDocument": {"uri": client.uri(path)}})
    print("left of closed documents:", [uri for uri, (_, found) in client.published.items() if found])


# The order of requests.
client = Client(begins=False)
print("before initialize:", code("textDocument/hover", {}), code("shutdown"))
client.notify("textDocument/didOpen", {"textDocument": {"uri": "file:///x.mlir", "version": 1, "text": "x"}})
client.initialize()
print("again:", code("initialize", {}))
print("shutdown:", code("shutdown"))
print("after shutdown:", code("textDocument/hover", {}), code("textDocument/rename", {}), code("shutdown"), code("initialize", {}))
client.notify("exit", None)
print("status", client.server.wait(20), len(client.published))
client = Client(options={"notesInMessage": True})
client.open(path, MODEL)
print("notes in messages:", messages()[0].replace("\n", " / "))
client.notify("exit", None)
print("without shutdown: status", client.server.wait(20))
