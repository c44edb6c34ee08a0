"""A model whose layers are in other files of its folder, in a temporary one."""
import pathlib
import tempfile

from client import Client, applied

folder = pathlib.Path(tempfile.mkdtemp())
LAYERS = """moe.layer @Classifier<classes>(%x) {
  %flat = flatten %x
  %s    = relu %flat
  %y    = linear @fc(%s) to classes
  yield %y
}

moe.layer @Twice<classes>(%x) {
  %y = apply @one(%x) layer @Classifier<classes>
  yield %y
}
"""
MODEL = """moe.layer @Classifier<classes>(%x)

moe.layer @Unused(%x)

moe.model @net<classes = 10>(%image: image[1, 28, 28]) {
  %logits = apply @head(%image) layer @Classifier<classes>
  return logits = %logits
}
"""
(folder / "layers.mlir").write_text(LAYERS)
(folder / "notes.txt").write_text("no model")
(folder / "other.mlir").write_text("moe.model @other(%v: vector[4]) {\n  %y = linear @fc(%v) to 2\n  return logits = %y\n}\n")
layers, model = str(folder / "layers.mlir"), str(folder / "model.mlir")


def messages(path):
    return [each["message"] for each in client.diagnostics(path)]


def places(found):
    return sorted(f"{pathlib.Path(each['uri']).name}:{each['range']['start']['line'] + 1}" for each in found)


with Client() as client:
    text = MODEL.replace("moe.layer @Unused(%x)\n\n", "")
    client.open(model, text)
    (folder / "model.mlir").write_text(text)
    print("the model:", messages(model))
    print("a value of the other file's layer:", client.at("hover", model, text.index("%logits"))["contents"]["value"])
    client.open(layers, LAYERS)
    print("the layer's file: %y:", client.at("hover", layers, LAYERS.index("%y    ="))["contents"]["value"])
    found = client.at("definition", model, text.index("@Classifier<classes>\n") + 1)
    print("definition:", pathlib.Path(found[0]["uri"]).name, found[0]["range"]["start"]["line"] + 1)
    print("references:", *places(client.at("references", model, text.index("@Classifier<classes>\n") + 1, context={"includeDeclaration": True})))
    print("rename:", *sorted(pathlib.Path(uri).name for uri in client.at("rename", model, text.index("@Classifier<"), newName="Head")["changes"]))
    client.change(layers, LAYERS.replace("relu %flat", "reshape %flat to [8]"))
    client.diagnostics(layers)
    client.at("hover", model, 0)
    print("an edit there:", [each["message"] for each in client.published[client.uri(layers)][1]])
    print("its diagnostics:", [f"{each['range']['start']['line'] + 1} {each['message']}" for each in client.diagnostics(layers)])
    client.change(model, text.replace("@Classifier", "@Classifier"))
    client.close(layers)
    (folder / "layers.mlir").unlink()
    client.change(model, text + "\n")
    print("no such layer:", messages(model))
    (folder / "layers.mlir").write_text(LAYERS)

    # Two models of one folder use a layer, and one has another layer of the same name.
    OTHER = MODEL.replace("moe.layer @Unused(%x)\n\n", "").replace("@net", "@second")
    OWN = LAYERS.split("\n\n")[0] + "\n\nmoe.model @own(%image: image[1, 28, 28]) {\n  %y = apply @a(%image) layer @Classifier<10>\n  return logits = %y\n}\n"
    (folder / "second.mlir").write_text(OTHER)
    (folder / "own.mlir").write_text(OWN)
    client.change(model, text)
    at = text.index("@Classifier<classes>\n") + 1
    print("references in all models:", *places(client.at("references", model, at, context={"includeDeclaration": True})))
    changes = client.at("rename", model, at, newName="Head")["changes"]
    print("rename in all models:", *sorted(pathlib.Path(uri).name for uri in changes))
    for uri, edits in changes.items():
        name = pathlib.Path(uri).name
        new = applied({"model.mlir": text, "layers.mlir": LAYERS, "second.mlir": OTHER}[name], edits)
        assert "@Head" in new and "@Classifier" not in new, new
    client.open(str(folder / "own.mlir"), OWN)
    print("a layer's own name:", *sorted(pathlib.Path(uri).name for uri in client.at("rename", str(folder / "own.mlir"), 12, newName="Head")["changes"]))
    client.close(str(folder / "own.mlir"))
    print("a name that another model has:", client.at("rename", model, at, newName="second")["error"])
    (folder / "second.mlir").write_text(OTHER.replace("%image) layer @Cl", "%image, layer @Cl"))
    print("behind an error there:", client.at("rename", model, at, newName="Head")["error"])
    (folder / "second.mlir").unlink()

    # What a document uses changes: in the editor, on disk, and when it is closed.
    def published(path, wanted):
        for _ in range(50):
            client.at("hover", path, 0)
            if (found := [each["message"] for each in client.published[client.uri(path)][1]]) == wanted:
                break
        return found

    WIDER = LAYERS.replace("relu %flat", "reshape %flat to [8]")
    WRONG = ["expected a value of 8 elements a sample, as '[8]' has, found [784]"]
    NONE = ["layer '@Classifier' is only declared; name the file that has its body as well"]
    (folder / "layers.mlir").unlink()
    client.change(model, text)
    print("no file:", published(model, NONE) == NONE)
    client.open(layers, LAYERS)  # a document that is on no disk
    print("unsaved:", published(model, []))
    client.change(layers, WIDER)
    print("edited:", published(model, WRONG) == WRONG, client.published[client.uri(model)][1][0]["relatedInformation"][0]["location"]["uri"] == client.uri(layers))
    client.close(layers)
    print("closed:", published(model, NONE) == NONE)
    for what, content, kind in (("made", LAYERS, 1), ("changed", WIDER, 2), ("deleted", None, 3)):
        (folder / "layers.mlir").unlink() if content is None else (folder / "layers.mlir").write_text(content)
        client.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": client.uri(layers), "type": kind}]})
        print(what + ":", len(published(model, {"made": [], "changed": WRONG, "deleted": NONE}[what])), end=" ")
    print()
    (folder / "layers.mlir").write_text(LAYERS)
    client.notify("textDocument/didSave", {"textDocument": {"uri": client.uri(layers)}})
    print("saved:", published(model, []))

    # One file may have several addresses.
    address = client.uri(model).replace("file:///", "file://localhost/")
    client.close(model)
    client.notify("textDocument/didOpen", {"textDocument": {"uri": address, "languageId": "moe", "version": 1, "text": text}})
    print("file://localhost:", client.ask("textDocument/hover", {"textDocument": {"uri": client.uri(model)}, "position": {"line": 3, "character": 4}})["contents"]["value"],
          client.published[address][1])
    client.notify("textDocument/didClose", {"textDocument": {"uri": address}})

    alone = str(folder / "alone" / "library.mlir")
    client.open(alone, LAYERS)
    print("layers alone:", messages(alone))
    client.change(alone, LAYERS.replace("relu %flat", "reluu %flat"))
    print("with a mistake:", messages(alone))
    client.change(alone, "// nothing yet\n")
    print("nothing:", messages(alone))

client = Client(capabilities={"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": True}}})
while (message := client.take()).get("method") != "client/registerCapability":
    pass
print("watched:", message["params"]["registrations"][0]["method"], message["params"]["registrations"][0]["registerOptions"])
client.send({"id": message["id"], "result": None})
client.__exit__(None)
