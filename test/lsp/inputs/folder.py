"""A model whose layers are in other files of its folder, in a temporary one."""
import pathlib
import tempfile

from client import Client

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
    alone = str(folder / "alone" / "library.mlir")
    client.open(alone, LAYERS)
    print("layers alone:", messages(alone))
    client.change(alone, LAYERS.replace("relu %flat", "reluu %flat"))
    print("with a mistake:", messages(alone))
    client.change(alone, "// nothing yet\n")
    print("nothing:", messages(alone))
