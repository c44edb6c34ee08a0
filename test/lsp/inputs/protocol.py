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

client = Client(options={"notesInMessage": True})
client.open(path, MODEL)
print("notes in messages:", messages()[0].replace("\n", " / "))
client.notify("exit", None)
print("without shutdown: status", client.server.wait(20))
