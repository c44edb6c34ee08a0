"""Holds the compiler's work against a model's length: of two models, one of them four times as long, the longer may take
little more than four times the work. What fusion does is counted (moe-opt --moe-form-groups=report-work), so that it is the
same on every machine. The whole compiler's is user CPU time up to the plan, with a generous bound and further tries.

    compile_work.py          a few kinds of model, in seconds; --all takes every kind, eight times as long
    compile_work.py --kind blocks --length 24
"""
import argparse
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

RESIDUAL = """moe.layer @Block(%x) {
  %n = layer_norm @norm(%x)
  %l = linear @up(%n) to 32
  %g = gelu %l
  %d = linear @down(%g) to 16
  %y = add %x, %d
  yield %y
}
moe.model @m(%image: image[1, 4, 4]) {
  %v = flatten %image
  %z = chain @body(%v) [LENGTH * @Block]
  %y = linear @head(%z) to 3
  return logits = %y
}
"""
RESNET = """moe.layer @Block(%x) {
  %a = conv @conv1(%x) to 16
  %n = group_norm @norm1(%a) groups = 4
  %r = relu %n
  %b = conv @conv2(%r) to 16
  %m = group_norm @norm2(%b) groups = 4
  %s = add %x, %m
  %y = relu %s
  yield %y
}
moe.model @m(%image: image[3, 16, 16]) {
  %f = conv @stem(%image) to 16
  %z = chain @body(%f) [LENGTH * @Block]
  %p = mean %z over pixels
  %y = linear @head(%p) to 3
  return logits = %y
}
"""


def plain(body, last):
    return ("moe.model @m(%image: image[1, 4, 4]) {\n  %v0 = flatten %image\n" + body
            + f"  %y = linear @head({last}) to 3\n  return logits = %y\n}}\n")


def row(line, n):
    return plain("".join(line(i) for i in range(n)), f"%v{n}")


def sum_of_readers(reader, n):
    body = "".join(reader(i) for i in range(n)) + "  %s1 = add %a0, %a1\n"
    body += "".join(f"  %s{i} = {('add', 'mul')[i % 2]} %s{i - 1}, %a{i}\n" for i in range(2, n))
    return plain(body, f"%s{n - 1}")


# By kind: the shorter model's length, and the text of a model of a length.
KINDS = {
    "blocks": (24, lambda n: RESIDUAL.replace("LENGTH", str(n))),
    "resnet": (6, lambda n: RESNET.replace("LENGTH", str(n))),
    "linear": (40, lambda n: row(lambda i: f"  %l{i} = linear @l{i}(%v{i}) to 16\n  %v{i + 1} = tanh %l{i}\n", n)),
    "parameters": (150, lambda n: row(
        lambda i: f"  %p{i} = param @p{i} [16] normal(1.0)\n  %v{i + 1} = add %v{i}, %p{i}\n", n)),
    "softmax": (100, lambda n: row(lambda i: f"  %v{i + 1} = softmax %v{i}\n", n)),
    "elementwise": (300, lambda n: row(
        lambda i: f"  %v{i + 1} = {('tanh', 'sigmoid', 'neg', 'silu')[i % 4]} %v{i}\n", n)),
    "where": (25, lambda n: plain("  %x0 = linear @l(%v0) to 16\n" + "".join(
        f"  %s{i} = sqrt %x{i}\n  %r{i} = relu %x{i}\n  %x{i + 1} = where %r{i}, %s{i}, %v0\n" for i in range(n)),
        f"%x{n}")),
    "concat": (100, lambda n: plain(
        "".join(f"  %p{i} = param @p{i} [16] normal(1.0)\n  %q{i} = mul %v0, %p{i}\n" for i in range(n))
        + "  %c = concat " + ", ".join(f"%q{i}" for i in range(n)) + "\n", "%c")),
    # What is read through two views in each of a row of layers.
    "couplings": (10, lambda n: row(
        lambda i: f"  %a{i} = slice %v{i} start = 0, size = 8\n  %b{i} = slice %v{i} start = 8, size = 8\n  %t{i} = tanh %a{i}\n"
        f"  %c{i} = add %b{i}, %t{i}\n  %v{i + 1} = concat %c{i}, %a{i}\n", n)),
    "readers": (200, lambda n: sum_of_readers(
        lambda i: f"  %a{i} = {('tanh', 'sigmoid', 'relu', 'silu')[i % 4]} %v0\n", n)),
    "heads": (60, lambda n: sum_of_readers(lambda i: f"  %a{i} = linear @l{i}(%v0) to 8\n", n)),
}
USUAL = ["blocks", "resnet", "parameters", "where", "couplings"]
TIMES = 4  # the longer model's length
COUNTED = 1.5 * TIMES  # of what is counted
# Of CPU time, beside a quarter of a second. Other work on a machine that shares its cores changes it by half.
TIMED, TRIES = 1.75 * TIMES, 3


def cpu(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def fusion_work(folder, model):
    flow = folder / "flow.mlir"
    subprocess.run(["moec", "compile", model, "--target=cpu:x86-64-v3", "--to=rematerialize", "-o", flow], check=True)
    said = subprocess.run(["moe-opt", flow, "--moe-form-groups=report-work=true", "-o", "/dev/null"], check=True,
                          capture_output=True, text=True).stderr
    found = re.findall(r"fusion of '\w+': (\d+) ops, (\d+) analyses of (\d+) ops, (\d+) search steps", said)
    return dict(zip(("ops", "analyses", "analysed ops", "search steps"), (sum(map(int, x)) for x in zip(*found))))


def check(kind, length):
    text, wrong = KINDS[kind][1], []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        models = []
        for n in (length, TIMES * length):
            models.append(folder / f"{n}.mlir")
            models[-1].write_text(text(n))
        few, many = (fusion_work(folder, model) for model in models)
        for what in few:
            if many[what] > COUNTED * few[what] + 1000:
                wrong.append(f"{what} of fusion: {few[what]} and {many[what]}")
        command = ["moec", "compile", "--target=cpu:x86-64-v3", "--to=plan", "-o", folder / "plan"]
        for attempt in range(TRIES):
            short, long = (cpu(command + [model]) for model in models)
            if long <= TIMED * short + 0.25:
                break
        else:
            wrong.append(f"CPU seconds: {short:.2f} and {long:.2f}")
    print(f"{kind:12} {length} and {TIMES * length} long: fusion {few} and {many}, {short:.2f} and {long:.2f} s")
    for line in wrong:
        print(f"{kind}: a model {TIMES} times as long takes too much more: {line}")
    return not wrong



arguments = argparse.ArgumentParser()
arguments.add_argument("--all", action="store_true")
arguments.add_argument("--kind", choices=KINDS)
arguments.add_argument("--length", type=int)
options = arguments.parse_args()
kinds = [options.kind] if options.kind else list(KINDS) if options.all else USUAL
sys.exit(0 if all([check(kind, options.length or KINDS[kind][0] * (4 if options.all else 1)) for kind in kinds]) else 1)
