"""The least time that a GPU needs for a step of a model, kernel by kernel, and how its launches differ from those of the CPU.

    test/gpu/roofline.py BUILD [MODEL] [--batch 5x64] [--entry train] [--architecture sm_90a] [--top 40]

Nothing is run: `moec disassemble` says of each launch what it computes and the least that it moves, and how many blocks it has. A
kernel's limit is the longer of its bytes at the memory's speed and its FLOPs at the speed of arithmetic, as if it had
the whole GPU; a launch of few blocks cannot reach it. Prints Markdown, as docs/measurements/cuda.md has it.
"""

import argparse
import collections
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEMORY = 4.8e12       # bytes a second
F32, TF32 = 60e12, 400e12  # FLOP a second; tf32 is for products and convolutions alone
MULTIPROCESSORS = 132


class Size(int):
    """An integer in a size's text: `ceildiv` and `floordiv` bind as `*` does, and so do `@` and `//`."""

    def __mul__(self, other):
        return Size(int(self) * int(other))

    def __add__(self, other):
        return Size(int(self) + int(other))

    def __sub__(self, other):
        return Size(int(self) - int(other))

    def __floordiv__(self, other):
        return Size(int(self) // int(other))

    def __matmul__(self, other):
        return Size(-(-int(self) // int(other)))


def evaluate(text, domains, rows):
    text = text.replace("ceildiv", "@").replace("floordiv", "//")
    if not re.fullmatch(r"[\dDN@/*+\-() ]+", text):
        raise ValueError(f"expected a size, found '{text}'")
    return int(eval(re.sub(r"\d+", r"Size(\g<0>)", text), {"Size": Size, "D": Size(domains), "N": Size(rows)}))


class Launch:
    def __init__(self, text, kinds, batch):
        size = lambda words: evaluate(words, *batch)  # noqa: E731
        symbol = re.match(r"launch (?:prepare )?@(\w+)", text)
        self.symbol = symbol[1] if symbol else ("fill" if " fill " in text else "copy")
        self.kind = kinds.get(self.symbol, self.symbol)
        self.op, self.path = (m[1] if (m := re.search(rf'{word} "([^"]*)"', text)) else "" for word in ("op", "path"))
        flops, moved = re.search(r"flops (.*) bytes (.*)$", text).groups()
        self.flops, self.bytes = size(flops), size(moved)
        self.buffers = len(re.findall(r"%\w+\[", text))
        self.blocks = 0
        if grid := re.search(r"grid \[(.*?)\] block", text):
            self.blocks = 1
            for extent in grid[1].split(","):
                self.blocks *= size(extent.strip())

    def group(self):
        """What it is done for, in the words of the second table."""
        if self.kind in ("matmul", "conv"):
            # Partial sums are read from one buffer, and their sum is written to another.
            return "partial sums of a product or convolution" if self.buffers == 2 else "product or convolution"
        if self.kind != "loop":
            return self.kind
        if self.op == "reduce" and self.buffers == 2 and not self.flops:
            return "second launch of a reduction"
        if "optimizer" in (self.op, self.path):
            return "update: norm of gradients" if self.op == "reduce" else "update"
        return "reduction" if self.op == "reduce" else "elementwise"


def plans(text, entry, batch):
    """The launches of an entry by the kind of target: cpu, cuda."""
    found, kinds, target, plan = {}, {}, None, None
    for line in text.splitlines():
        line = line.strip()
        if m := re.match(r"target (\w+) ", line):
            target, kinds = m[1], {}
            found[target] = []
        elif m := re.match(r'kernel @(\w+) "(\w+)"', line):
            kinds[m[1]] = m[2]
        elif m := re.match(r'plan "(.*)" \{', line):
            plan = m[1]
        elif line.startswith("launch ") and plan == entry:
            found[target].append(Launch(line, kinds, batch))
    return found


REASONS = {
    "pack": "the CPU copies weights and rows into panels, in the order in which its micro-kernel reads them; a GPU's kernel copies its tiles to "
            "shared memory itself",
    "product or convolution": "",
    "partial sums of a product or convolution": "a product that sums over the batch is cut into chunks where it has too few work units or "
                                               "blocks otherwise; each target decides how many are enough",
    "reduction": "a loop takes in neighbours as far as its units, or blocks, share a dimension with them",
    "second launch of a reduction": "a sum over rows, or of a gradient's squares, is cut into chunks, and a second launch adds the chunks in a fixed "
                                    "order; a GPU needs many blocks, and cuts smaller sums",
    "elementwise": "as for reductions",
    "update: norm of gradients": "a gradient's square goes into the loop that makes the gradient, where that one has the sum in hand",
    "update": "updates of equal shape are one launch, as far as a kernel's parameters and units allow",
    "hold": "the last launch of a step, which tells later steps of a predicate that was 0; on the CPU the host knows it",
}


def micro(seconds):
    return f"{seconds * 1e6:.2f}"


def kernels_table(launches, top):
    kernels = {}
    for launch in launches:
        kernels.setdefault(launch.symbol, []).append(launch)
    rows = []
    for of_kernel in kernels.values():
        first = of_kernel[0]
        tensor_cores = first.kind in ("matmul", "conv") and first.buffers > 2
        memory = [launch.bytes / MEMORY for launch in of_kernel]
        f32 = sum(max(m, launch.flops / F32) for m, launch in zip(memory, of_kernel))
        tf32 = sum(max(m, launch.flops / (TF32 if tensor_cores else F32)) for m, launch in zip(memory, of_kernel))
        rows.append((f32, tf32, sum(memory), first, of_kernel))
    rows.sort(key=lambda row: (-row[0], row[3].symbol))
    print("| kernel | first use | launches | blocks | MB | MFLOP | memory, us | limit f32, us | limit tf32, us |")
    print("|---|---|---|---|---|---|---|---|---|")
    for f32, tf32, memory, first, of_kernel in rows[:top]:
        blocks = sorted({launch.blocks for launch in of_kernel})
        print(f"| {first.symbol[:first.symbol.find('_') + 7]} | {first.op} {first.path} | {len(of_kernel)} | "
              f"{blocks[0] if len(blocks) == 1 else f'{blocks[0]} to {blocks[-1]}'} | {sum(x.bytes for x in of_kernel) / 1e6:.2f} | "
              f"{sum(x.flops for x in of_kernel) / 1e6:.1f} | {micro(memory)} | {micro(f32)} | {micro(tf32)} |")
    for name, part in ((f"{len(rows) - top} more kernels", rows[top:]), (f"all {len(rows)} kernels", rows)):
        if part:
            uses = [launch for row in part for launch in row[4]]
            print(f"| {name} | | {len(uses)} | | {sum(x.bytes for x in uses) / 1e6:.2f} | {sum(x.flops for x in uses) / 1e6:.1f} | "
                  f"{micro(sum(r[2] for r in part))} | {micro(sum(r[0] for r in part))} | {micro(sum(r[1] for r in part))} |")
    few = [launch for launch in launches if launch.blocks < MULTIPROCESSORS]
    print(f"\n{len(few)} of {len(launches)} launches have fewer blocks than the {MULTIPROCESSORS} multiprocessors of an H200; by their limits "
          f"they are {micro(sum(max(x.bytes / MEMORY, x.flops / F32) for x in few))} us of the sum in f32.")


def launches_table(cpu, cuda):
    count = {}
    for name, plan in (("cpu", cpu), ("cuda", cuda)):
        count[name] = collections.Counter(launch.group() for launch in plan)
    print("| launches for | CPU | GPU | why they differ |")
    print("|---|---|---|---|")
    order = list(REASONS)
    for group in sorted(count["cpu"] | count["cuda"], key=lambda g: (order.index(g) if g in REASONS else len(order), g)):
        here, there = count["cpu"][group], count["cuda"][group]
        print(f"| {group} | {here} | {there} | {'' if here == there else REASONS.get(group, '')} |")
    print(f"| all | {len(cpu)} | {len(cuda)} | |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("model", nargs="?", type=pathlib.Path, default=ROOT / "examples/models/hmoe_28.mlir")
    parser.add_argument("--batch", default="5x64", help="domains x rows of each")
    parser.add_argument("--entry", default="train")
    parser.add_argument("--architecture", default="sm_90a")
    parser.add_argument("--top", type=int, default=40, help="rows of kernels; the others are summed up")
    a = parser.parse_args()
    batch = tuple(map(int, a.batch.split("x")))
    moec = a.build.resolve() / "bin/moec"
    with tempfile.TemporaryDirectory() as scratch:
        program, text = f"{scratch}/model.moe", f"{scratch}/model.txt"
        subprocess.run([moec, "compile", a.model, "--target=cpu:x86-64-v3", f"--target=cuda:{a.architecture}", "-o", program], check=True)
        subprocess.run([moec, "disassemble", program, "-o", text], check=True)
        found = plans(pathlib.Path(text).read_text(), a.entry, batch)
    print(f"{a.model.stem}, entry {a.entry}, {a.batch} images, {a.architecture}:\n")
    kernels_table(found["cuda"], a.top)
    print("\nIts launches beside the CPU's:\n")
    launches_table(found["cpu"], found["cuda"])


if __name__ == "__main__":
    main()
