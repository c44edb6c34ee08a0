"""Asks the language server about texts of a plugin's ops: server.py EXTRA MODEL. Prints the diagnostics of the model, and of the
model with its op written without the dialect, misspelt with it, unlike any, and with another dialect; and of the model what the server
says of the op and of its value."""
import json
import subprocess
import sys

text = open(sys.argv[2]).read()
server = subprocess.Popen(["moe-lsp", "--load", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def send(message):
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    server.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    server.stdin.flush()


def answer():
    while True:
        length = 0
        while line := server.stdout.readline().strip():
            if line.startswith(b"Content-Length"):
                length = int(line.split(b":")[1])
        if not length:
            sys.exit("expected an answer, found the server's end")
        yield json.loads(server.stdout.read(length))


def diagnostics():
    for message in answer():
        if message.get("method", "").endswith("publishDiagnostics"):
            return [d["message"] for d in message["params"]["diagnostics"]]


def hover(word):
    line = text.count("\n", 0, text.index(word))
    place = {"line": line, "character": text.splitlines()[line].index(word)}
    send({"id": 1, "method": "textDocument/hover", "params": {"textDocument": {"uri": "file:///tmp/0.mlir"}, "position": place}})
    for message in answer():
        if message.get("id") == 1:
            return message["result"]["contents"]["value"]


send({"id": 0, "method": "initialize", "params": {"processId": None, "rootUri": None, "capabilities": {}}})
for version, what in enumerate([text] + [text.replace("extra.roll", word)
                                       for word in ("rol", "extra.rol", "extra.turn_over", "other.roll")]):
    document = {"uri": f"file:///tmp/{version}.mlir", "languageId": "mlir", "version": version, "text": what}
    send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
    print(diagnostics())
print("page:", hover("extra.roll").replace("\n", " "))
print("shape:", hover("%moved"))
server.kill()
