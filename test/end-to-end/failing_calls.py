"""A training run in which one system call fails, comes short, or is where the process dies.

    failing_calls.py BIN FOLDER                     a sample
    failing_calls.py BIN FOLDER --all [--calls write,fsync] [--stride N]

Counts the calls of a short run, and of one that resumes after a kill, and then makes each of them fail in every way. As root,
disks of several sizes are filled too. Whatever happens, what is said must be true (exit status, reason, what stands), a
checkpoint that was there stays loadable, and the run, resumed, ends in the same bytes as one that nothing disturbed, with the
same lines of metrics but for timings. `--stride N` takes each N-th case alone. Needs a C compiler for
test/support/failing_calls.c, which is preloaded.
"""
import argparse
import errno
import json
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import zlib

MODEL = """moe.layer @Head(%x) {
  %y = linear @fc(%x) to 4
  yield %y
}
moe.model @small<classes = 4, channels = 1, size = 6>(%image: image[channels, size, size]) {
  %pixels = flatten %image
  %vector = linear @vector(%pixels) to 3
  %keys   = param @keys [2, 3] normal(1.0)
  %route  = route @gate(%vector) distance, keys = %keys
  %kept   = dropout %pixels, 0.2
  %each   = experts @each(%kept) layer @Head count = 2
  %mixed  = combine %route, %each
  aux @entropy entropy %route, 0.1
  return logits = %mixed
}
"""
# Evaluations, lines of losses alone and saves, at different steps.
RECIPE = ("data.angles=[0,10,20]", "data.classes=4", "train.steps=12", "train.batch_per_domain=4", "eval.every=4", "eval.batch=16",
          "log.every=3", "train.checkpoint_every=3", "optimizer.lr=0.02")
CALLS = ("write", "fsync", "rename", "renameat2", "openw", "openr", "close", "mkdir", "unlink", "pread", "read", "fstat", "flock")
ERRORS = ("EIO", "ENOSPC", "EINTR")
DEATHS = ("KILL", "KILL_AFTER")
TIMINGS = ("step_time", "images_per_s", "mem_gb")
CHECKPOINT = ("model.safetensors", "optimizer.safetensors", "state.json")


def idx(path, shape, data):
    path.write_bytes(bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + data)


def npy(shape, values):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(values)}f", *values)


def make_set(folder):
    folder.mkdir(parents=True)
    rng = random.Random(5)
    for part, count in (("train", 60), ("t10k", 30)):
        labels = [i % 4 for i in range(count)]
        images = b"".join(bytes((200 if i // 9 == label else 30) + rng.randrange(40) for i in range(36)) for label in labels)
        idx(folder / f"{part}-images-idx3-ubyte", (count, 6, 6), images)
        idx(folder / f"{part}-labels-idx1-ubyte", (count,), bytes(labels))


def step_of(folder):
    """The step of a checkpoint that is whole; None where there is none, or a part of one."""
    try:
        state = json.loads((folder / "state.json").read_text())
        for name in ("model", "optimizer"):
            data = (folder / f"{name}.safetensors").read_bytes()
            if zlib.crc32(data[8 + struct.unpack("<Q", data[:8])[0]:]) != state[f"{name}_checksum"]:
                return None
        return state["step"]
    except (OSError, ValueError, KeyError, struct.error):
        return None


def lines_of(run):
    text = (run / "metrics.jsonl").read_text()
    assert not text or text.endswith("\n"), f"{run}: the last line of metrics is cut"
    return [{k: v for k, v in json.loads(line).items() if k not in TIMINGS} for line in text.splitlines()]


class Small:
    """A small model, its data, and runs of it in which calls may fail."""

    target, device = "cpu:x86-64-v3", "cpu"

    def __init__(self, binaries, folder):
        self.moert, self.moec, self.folder = binaries / "moert", binaries / "moec", folder
        shutil.rmtree(folder, ignore_errors=True)
        make_set(folder / "images")
        self.program, self.shim, self.log = self.compiled("small", MODEL), folder / "failing_calls.so", folder / "log"
        source = pathlib.Path(__file__).resolve().parent.parent / "support/failing_calls.c"
        compiler = next(c for c in ("clang-22", "clang", "cc", "gcc") if shutil.which(c))
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", source, "-o", self.shim, "-ldl"], check=True)

    def compiled(self, name, text):
        (self.folder / f"{name}.mlir").write_text(text)
        program = self.folder / f"{name}.moe"
        subprocess.run([self.moec, "compile", self.folder / f"{name}.mlir", f"--target={self.target}", "-o", program],
                       check=True, stderr=subprocess.DEVNULL)
        return program

    def moert_run(self, *words):
        return subprocess.run([str(word) for word in (self.moert, *words)], capture_output=True, text=True, timeout=60)

    def good(self, done):
        assert done.returncode == 0, done
        return done.stdout

    def command(self, run, *more):
        settings = [word for setting in (f"data.path={self.folder}/images", *RECIPE) for word in ("--set", setting)]
        return [str(word) for word in (self.moert, "train", self.program, "--out", run, "--device", self.device, "--threads", "1",
                                      *settings, *more)]

    def train(self, run, *more, call=None, at=0, how=None, again=False, exchange=True):
        environment = dict(os.environ)
        if call:
            environment |= {"LD_PRELOAD": str(self.shim), "FAIL_CALL": call, "FAIL_AT": str(at), "FAIL_LOG": str(self.log)}
            environment |= ({"FAIL_HOW": how} if how else {}) | ({"FAIL_AGAIN": "1"} if again else {})
            environment |= {} if exchange else {"NO_EXCHANGE": "1"}
            self.log.unlink(missing_ok=True)
        return subprocess.run(self.command(run, *more), capture_output=True, text=True, env=environment, timeout=60)

    def count(self, call, run, *more, exchange=True):
        """How many calls of the name a run makes."""
        done = self.train(run, *more, call=call, exchange=exchange)
        assert done.returncode == 0, done
        return int(self.log.read_text().split()[1])


class Faults(Small):
    def __init__(self, binaries, folder):
        super().__init__(binaries, folder)
        self.whole, self.killed, self.run = folder / "whole", folder / "killed", folder / "run"
        done = self.train(self.whole)
        assert done.returncode == 0, done
        self.lines = lines_of(self.whole)
        bests = {line["score"] for line in self.lines if "score" in line}
        assert len(bests) > 1, "the best checkpoint is never replaced"
        # A run that was killed while it wrote the best checkpoint's state, with lines behind its last one.
        middle = self.count("write", self.killed) * 6 // 10
        shutil.rmtree(self.killed)
        assert self.train(self.killed, call="write", at=middle, how="KILL_AFTER").returncode == -signal.SIGKILL
        assert step_of(self.killed / "last"), "the run was killed too early"

    def cases(self, calls):
        for resumed in (False, True):
            for exchange in (True, False):
                for call in calls:
                    if exchange is False and call not in ("fsync", "rename", "unlink", "mkdir", "openr", "write"):
                        continue  # nothing of theirs is near the renames
                    self.begin(resumed)
                    count = self.count(call, self.run, *(["--resume"] if resumed else []), exchange=exchange)
                    for at in range(1, count + 1):
                        for how in (*ERRORS, *DEATHS, *(("SHORT",) if call == "write" else ())):
                            for again in (False, True) if how in ("EIO", "ENOSPC") else (False,):  # no signal comes for ever
                                yield dict(call=call, at=at, how=how, again=again, exchange=exchange), resumed

    def begin(self, resumed):
        shutil.rmtree(self.run, ignore_errors=True)
        if resumed:
            shutil.copytree(self.killed, self.run)

    def check(self, fault, resumed):
        self.begin(resumed)
        before = step_of(self.run / "last")
        done = self.train(self.run, *(["--resume"] if resumed else []), **fault)
        self.check_end(done, fault, met=self.log.exists(), before=before)

    def check_full_disk(self, kib):
        """A disk of so many KiB, which then gets more room."""
        disk, self.run = self.folder / "disk", self.folder / "disk/run"
        disk.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", disk], check=True)
        try:
            done = self.train(self.run)
            subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
            self.check_end(done, dict(how="ENOSPC"), met=True, before=None)
            return done.returncode
        finally:
            subprocess.run(["umount", disk], check=True)
            self.run = self.folder / "run"

    def check_end(self, done, fault, met, before):
        stands = next((step for name in ("last", "last.previous") if (step := step_of(self.run / name)) is not None), None)
        assert stands is not None or before is None, "the checkpoint is lost"
        if met and fault["how"] in DEATHS:
            assert done.returncode == -signal.SIGKILL, done.returncode
        else:
            assert done.returncode in ((0, 1) if met and fault["how"] in ERRORS else (0,)), done.returncode
            self.check_words(done, fault, stands)
        if done.returncode == 0:
            assert (self.run / "done").read_text() == "done\n"
        # And on it goes.
        resume = ["--resume"] if (self.run / "recipe.toml").exists() else []
        if done.returncode != 0 or not (self.run / "done").exists():
            rest = self.train(self.run, *resume)
            assert rest.returncode == 0, rest.stderr
            assert not resume or stands is not None or "has no checkpoint yet" in rest.stdout, rest.stdout
        else:
            rest = None
        found = sorted(str(p.relative_to(self.run)) for p in self.run.rglob("*") if not p.is_dir())
        wanted = sorted(str(p.relative_to(self.whole)) for p in self.whole.rglob("*") if not p.is_dir())
        lost = "could not be read again for its digest" in done.stdout + (rest.stdout if rest else "")
        assert found == wanted, (found, wanted)
        for name in (f"{folder}/{file}" for folder in ("last", "best") for file in CHECKPOINT):
            mine, right = ((run / name).read_bytes() for run in (self.run, self.whole))
            if name.endswith("state.json") and lost:  # said, so the digest may lack
                mine, right = ({k: v for k, v in json.loads(text).items() if k != "data"} for text in (mine, right))
            assert mine == right, f"{name} differs"
        assert lines_of(self.run) == self.lines, ([m["step"] for m in lines_of(self.run)], [m["step"] for m in self.lines])

    def check_words(self, done, fault, stands):
        text = done.stderr
        if done.returncode == 0:
            assert not text, text
            return
        assert text.startswith("moert: error: "), text
        assert os.strerror(getattr(errno, fault["how"])) in text, text
        for step in re.findall(r"last is the new checkpoint, of step (\d+), unless", text):
            assert int(step) == stands, (step, stands, text)
        for step in re.findall(r"last holds the (\d+) good steps before", text):
            assert int(step) == stands, (step, stands, text)
        for kept in re.findall(r"the one before is kept as (\S+);", text):
            assert step_of(pathlib.Path(kept)) is not None, text
        for kept in re.findall(r"the checkpoint before stands as (\S+);", text):
            assert step_of(pathlib.Path(kept)) is not None, text
        if "the checkpoint before is untouched" in text and f"{self.run}/last" in text:
            assert step_of(self.run / "last") is not None, text
        if "there was no checkpoint before" in text and f"{self.run}/last" in text and f"{self.run}/best" not in text:
            assert stands is None, text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--calls", default=",".join(CALLS))
    parser.add_argument("--stride", type=int, default=1)
    options = parser.parse_args()
    faults = Faults(options.binaries.resolve(), options.folder.resolve())
    cases = list(faults.cases(options.calls.split(",")))
    if options.all:
        cases = cases[::options.stride]
    else:  # some of each call, with the ways to fail taken in turn; each flush and close of the whole run once
        chosen = [(case, resumed) for case, resumed in cases if case["call"] in ("fsync", "close") and case["how"] == "EIO"
                  and case["exchange"] and not case["again"] and not resumed]
        for number, key in enumerate(sorted({(case["call"], case["exchange"], resumed) for case, resumed in cases})):
            these = [(case, resumed) for case, resumed in cases if (case["call"], case["exchange"], resumed) == key]
            some = 2 if key[0] in ("write", "fsync", "rename", "close") else 1
            chosen += [these[((2 * i + 1) * len(these) // (2 * some) + 3 * number) % len(these)] for i in range(some)]
        cases = chosen
    wrong = 0
    if options.all and os.geteuid() == 0:
        sizes, full = range(8, 104, 4), 0
        for kib in sizes:
            try:
                full += faults.check_full_disk(kib)
            except subprocess.CalledProcessError as failure:
                print(f"no disk of {kib} KiB was made: {failure}")
                break
            except AssertionError as failure:
                wrong += 1
                print(f"disk of {kib} KiB: {failure}", flush=True)
        print(f"disks of {sizes[0]} to {sizes[-1]} KiB, {full} of them full")
    for case, resumed in cases:
        try:
            faults.check(case, resumed)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as failure:
            wrong += 1
            print("FAIL_CALL={call} FAIL_AT={at} FAIL_HOW={how}{}{}{}: {}".format(
                " FAIL_AGAIN=1" if case["again"] else "", "" if case["exchange"] else " NO_EXCHANGE=1",
                ", resumed" if resumed else "", failure, **case), flush=True)
    print(f"{len(cases)} faults, {wrong} of them wrong")
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
