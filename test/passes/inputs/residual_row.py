"""Counts what rematerialisation keeps and computes again in rows of 24 and of 48 residual blocks."""
import re
import subprocess
import tempfile

MODEL = """moe.layer @Block(%x) {
  %a = conv @conv(%x) to 16
  %n = group_norm @norm(%a) groups = 4
  %s = add %x, %n
  %y = relu %s
  yield %y
}
moe.model @m(%image: image[3, 32, 32]) {
  %f = conv @stem(%image) to 16
  %z = chain @body(%f) [LENGTH * @Block]
  %p = mean %z over pixels
  %y = linear @head(%p) to 3
  return logits = %y
}
"""


def count(length):
    with tempfile.NamedTemporaryFile("w", suffix=".mlir") as model:
        model.write(MODEL.replace("LENGTH", str(length)))
        model.flush()
        text = subprocess.run(["moec", "compile", model.name, "--to=rematerialize", "-o", "-"], check=True,
                              capture_output=True, text=True).stdout
    kept = re.findall(r'op = "flow\.(\w+)", path = "body\.\d+"', text)
    return kept.count("relu") + kept.count("add"), len(re.findall("flow.barrier", text))


(few, short), (many, long) = count(24), count(48)
print("sums kept:", few, many, "barriers:", short, long)
assert 2 <= few <= 4 and 5 <= many <= 7, "one sum is kept every few blocks"
assert long <= 2.2 * short, "what is computed again grows with the row"
