"""A client of the language server, for tests: starts it, speaks the protocol, and keeps what it publishes.

    with Client() as client:
        client.open("/folder/model.mlir", text)
        client.diagnostics("/folder/model.mlir")
"""
import json
import pathlib
import queue
import subprocess
import threading
import time

TIMEOUT = 60  # seconds until a request counts as unanswered


class Client:
    def __init__(self, *arguments, options=None, capabilities=None, begins=True):
        self.server = subprocess.Popen(["moe-lsp", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL)
        self.messages = queue.Queue()
        self.published = {}  # by addresses: the version and its diagnostics
        self.texts, self.versions, self.number = {}, {}, 0
        threading.Thread(target=self.receive, daemon=True).start()
        if begins:
            self.initialize(options, capabilities)

    def initialize(self, options=None, capabilities=None):
        if capabilities is None:
            capabilities = {"textDocument": {"publishDiagnostics": {"relatedInformation": True}}}
        self.initialized = self.ask("initialize", {"processId": None, "rootUri": None, "capabilities": capabilities,
                                                   "initializationOptions": options or {}})
        self.notify("initialized", {})

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is None:
            self.ask("shutdown", None)
            self.notify("exit", None)
            self.server.stdin.close()
            status = self.server.wait(TIMEOUT)
            assert status == 0, f"expected the server to end well, found status {status}"
        else:
            self.server.kill()

    def receive(self):
        while True:
            length = 0
            while line := self.server.stdout.readline().strip():
                if line.startswith(b"Content-Length"):
                    length = int(line.split(b":")[1])
            if not length:
                return self.messages.put(None)
            self.messages.put(json.loads(self.server.stdout.read(length)))

    def send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.server.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.server.stdin.flush()

    def notify(self, method, params):
        self.send({"method": method, "params": params})

    def take(self):
        message = self.messages.get(timeout=TIMEOUT)
        if message is None:
            raise SystemExit("expected an answer, found the server's end")
        if message.get("method") == "textDocument/publishDiagnostics":
            params = message["params"]
            self.published[params["uri"]] = (params.get("version"), params["diagnostics"])
        return message

    def begin(self, method, params):
        """Sends a request; its number."""
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        return self.number

    def answer(self, number):
        while (message := self.take()).get("id") != number:
            pass
        return message

    def ask(self, method, params):
        message = self.answer(self.begin(method, params))
        if "error" in message:
            return {"error": message["error"]["message"]}
        return message["result"]

    # Documents.
    @staticmethod
    def uri(path):
        return pathlib.Path(path).absolute().as_uri()

    def open(self, path, text):
        self.texts[path], self.versions[path] = text, 1
        self.notify("textDocument/didOpen", {"textDocument": {"uri": self.uri(path), "languageId": "moe", "version": 1,
                                                              "text": text}})

    def close(self, path):
        self.notify("textDocument/didClose", {"textDocument": {"uri": self.uri(path)}})

    def change(self, path, text):
        """The whole text."""
        self.texts[path] = text
        self.changed(path, [{"text": text}])

    def edit(self, path, begin, end, new):
        """A part of the text, in characters, as an editor sends it."""
        old = self.texts[path]
        self.texts[path] = old[:begin] + new + old[end:]
        self.changed(path, [{"range": {"start": position(old, begin), "end": position(old, end)}, "text": new}])

    def changed(self, path, changes):
        self.versions[path] += 1
        self.notify("textDocument/didChange", {"textDocument": {"uri": self.uri(path), "version": self.versions[path]},
                                               "contentChanges": changes})

    def diagnostics(self, path):
        """Those of the latest version."""
        uri = self.uri(path)
        end = time.monotonic() + TIMEOUT
        while self.published.get(uri, (None,))[0] != self.versions[path]:
            assert time.monotonic() < end, "expected diagnostics, found none"
            self.take()
        return self.published[uri][1]

    def at(self, method, path, offset, **more):
        return self.ask("textDocument/" + method, {"textDocument": {"uri": self.uri(path)},
                                                   "position": position(self.texts[path], offset), **more})

    def of(self, method, path, **more):
        return self.ask("textDocument/" + method, {"textDocument": {"uri": self.uri(path)}, **more})


def position(text, offset):
    line = text.count("\n", 0, offset)
    begin = text.rfind("\n", 0, offset) + 1
    return {"line": line, "character": len(text[begin:offset].encode("utf-16-le")) // 2}


def offset(text, place):
    begin = 0
    for _ in range(place["line"]):
        begin = text.index("\n", begin) + 1
    units = 0
    while units < place["character"]:
        units += 2 if ord(text[begin]) > 0xffff else 1
        begin += 1
    return begin


def part(text, place):
    """What a range has of a text."""
    return text[offset(text, place["start"]):offset(text, place["end"])]


def applied(text, edits):
    for edit in sorted(edits, key=lambda each: offset(text, each["range"]["start"]), reverse=True):
        begin, end = offset(text, edit["range"]["start"]), offset(text, edit["range"]["end"])
        text = text[:begin] + edit["newText"] + text[end:]
    return text
