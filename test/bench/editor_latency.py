"""How long an author waits for the language server: editor_latency.py [MODEL]. moe-lsp has to be on the path. An edit is one key, which
leaves the model right or wrong; its time is that until the diagnostics of the new text are there. Interfering programs should
not run."""
import pathlib
import statistics
import sys
import time

root = pathlib.Path(__file__).parent.parent.parent
sys.path.insert(0, str(root / "test/lsp/inputs"))
from client import Client

path = str(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else root / "examples/models/gmoe.mlir").absolute())
text = pathlib.Path(path).read_text()


def timed(what, run, times=15):
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        found.append(1000 * (time.perf_counter() - begin))
    print(f"{what}: median {statistics.median(found):.0f} ms, most {max(found):.0f} ms")


with Client() as client:
    client.open(path, text)
    client.diagnostics(path)

    def correct():
        client.edit(path, 0, 0, "// x\n")
        client.diagnostics(path)

    def wrong():
        place = client.texts[path].rindex("return")
        client.edit(path, place, place, "x")
        client.diagnostics(path)

    timed("a correct edit", correct)
    middle = client.texts[path].rindex("%", 0, client.texts[path].rindex("return"))
    timed("hover", lambda: client.at("hover", path, middle + 1))
    timed("completion", lambda: client.at("completion", path, middle + 1))
    timed("document symbols", lambda: client.of("documentSymbol", path))
    timed("formatting", lambda: client.of("formatting", path, options={}))
    timed("a wrong edit", wrong)
