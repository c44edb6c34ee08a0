"""Checks inspect's JSON of a linear layer of 7 classes on 28x28 pixels at 5x64 images."""
import json
import sys

info = json.load(open(sys.argv[1]))
assert [(p["path"], p["shape"], p["count"]) for p in info["parameters"]] == [
    ("head.weight", [7, 784], 5488), ("head.bias", [7], 7)], info["parameters"]
assert info["parameters_total"] == 5495
entries = {e["name"]: e for e in info["entries"]}
assert set(entries) == {"train", "main"}, list(entries)
# Forward and the weight's gradient, a multiply-add as two; the input's gradient is nobody's.
assert entries["main"]["flops_per_image"] == 2 * 784 * 7
assert entries["train"]["flops_per_image"] == 2 * 2 * 784 * 7
for entry in entries.values():
    assert 0 < entry["kernels"] <= entry["launches"]
    assert entry["memory"]["live"] <= entry["memory"]["arena"] <= 1.1 * entry["memory"]["live"] + 4096
image, label, logits = 320 * 784 * 4, 320 * 4, 320 * 7 * 4
assert entries["main"]["memory"]["ports"] >= image + logits
# Parameters, and Adam's two moments of each beside its two corrections.
assert 3 * 5495 * 4 <= entries["train"]["memory"]["state"] <= 3 * 5495 * 4 + 64 * 10
assert info["peak_bytes"] == max(e["memory"]["total"] for e in entries.values())
