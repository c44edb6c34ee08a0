"""Whole runs of a compiled model from outside: the same bytes whatever happens to the process, and what a user is told.

    runs.py BIN MODEL.mlir FOLDER [CHECK...]      (checks: those of CHECKS below, and learns)
    runs.py BIN MODEL.mlir FOLDER --options=-Ddim=64 --options=--optimizer=adamw        (options of moec)
    runs.py BIN PROGRAM.moe FOLDER kills --kills 30 --steps 120

Trains on a small set of images made here, whose class is a bright square at a place of its own.
"""

import argparse
import ctypes
import json
import math
import os
import pathlib
import random
import re
import resource
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib

SIZE, CLASSES = 28, 10
CHECKS = (
    "same_bytes", "kills", "interrupt", "lost_reader", "closed_streams", "lost_data", "together",
    "lost_folder", "lost_metrics", "lost_log", "lost_best", "watched", "mixed_files", "stale_done",
    "full_disk", "read_only", "not_finite", "memory", "verbs", "refusals")
FILES = ("last/model.safetensors", "last/optimizer.safetensors", "last/state.json", "best/model.safetensors", "best/state.json")


def idx(path, shape, data):
    path.write_bytes(bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + data)


def picture(rng, label):
    rows = [bytearray(rng.randrange(60) for _ in range(SIZE)) for _ in range(SIZE)]
    y, x = 3 + 12 * (label // 5), 1 + 5 * (label % 5)
    for row in rows[y:y + 8]:
        for column in range(x, x + 5):
            row[column] = 180 + rng.randrange(60)
    return b"".join(rows)


def make_set(folder, classes=CLASSES, shape=None):
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(5)
    for part, count in (("train", 500), ("t10k", 100)):
        labels = [i % classes for i in range(count)]
        if shape:
            idx(folder / f"{part}-images-idx3-ubyte", (count, *shape), rng.randbytes(count * shape[0] * shape[1]))
        else:
            idx(folder / f"{part}-images-idx3-ubyte", (count, SIZE, SIZE), b"".join(picture(rng, l) for l in labels))
        idx(folder / f"{part}-labels-idx1-ubyte", (count,), bytes(labels))
    return folder


def png(path, pixels, width, channels=1, depth=8, more=()):
    stride = width * channels * depth // 8
    raw = b"".join(b"\0" + pixels[i:i + stride] for i in range(0, len(pixels), stride))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, len(pixels) // stride, depth, 0 if channels == 1 else 2, 0, 0, 0)),
              *more, (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks))


class Runs:
    def __init__(self, binaries, model, folder, kills, steps, options=()):
        self.moert, self.folder, self.kill_count, self.steps = binaries / "moert", folder, kills, steps
        shutil.rmtree(folder, ignore_errors=True)
        self.images = make_set(folder / "images")
        self.program = model
        if model.suffix == ".mlir":
            self.program = folder / "program.moe"
            subprocess.run([binaries / "moec", "compile", model, *options, "-o", self.program], check=True)

    def command(self, out, *extra, threads=2):
        return [str(a) for a in (self.moert, "train", self.program, "--out", self.folder / out, "--threads", threads, "--set",
                                 f"data.path={self.images}", "--set", "data.angles=[0,10,20]", "--set", f"train.steps={self.steps}", "--set",
                                 "train.batch_per_domain=8", "--set", "eval.every=25", "--set", "train.checkpoint_every=5", "--set", "eval.batch=16", *extra)]

    def compiled(self, name, text, *options):
        """A program of another model."""
        source, program = self.folder / f"{name}.mlir", self.folder / f"{name}.moe"
        source.write_text(text)
        subprocess.run([self.moert.with_name("moec"), "compile", source, "-o", program, *options], check=True)
        return program

    def run(self, command, **options):
        return subprocess.run(command, capture_output=True, text=True, **options)

    def train(self, out, *extra, threads=2, **options):
        done = self.run(self.command(out, *extra, threads=threads), **options)
        assert done.returncode == 0, done
        return done.stdout

    def reference(self):
        if not (self.folder / "whole/done").exists():
            shutil.rmtree(self.folder / "whole", ignore_errors=True)
            self.train("whole")
        return "whole"

    def expect_same(self, a, b, files=FILES):
        for name in files:
            left, right = ((self.folder / run / name).read_bytes() for run in (a, b))
            assert left == right, f"{a}/{name} and {b}/{name} differ"
        left, right = ([{k: v for k, v in json.loads(l).items() if k not in ("step_time", "images_per_s", "mem_gb")}
                        for l in open(self.folder / run / "metrics.jsonl")] for run in (a, b))
        assert left == right, f"metrics of {a} and {b} differ"

    def begin(self, *arguments, **options):
        """A run that has done its first step, and stands still."""
        process = subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        for line in process.stdout:
            if "first step done" in line:
                break
        process.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{process.pid}/task")
        while any(not (t / "stat").read_text().rpartition(")")[2].startswith(" T") for t in tasks.iterdir()):
            time.sleep(0.01)  # a signal that comes before all threads stand may find none to wake
        return process

    def end(self, process):
        process.send_signal(signal.SIGCONT)
        return process.communicate()

    def refused(self, command, code, *texts, **options):
        done = self.run([str(a) for a in command], **options)
        assert done.returncode == code, done
        for text in texts:
            assert text in done.stderr + done.stdout, (text, done)
        return done

    # --- checks ---

    def same_bytes(self):
        whole = self.reference()
        for threads in (1, 2, 3):
            self.train(f"threads{threads}", threads=threads)
            self.expect_same(whole, f"threads{threads}")
        self.train("poison", "--poison")
        self.expect_same(whole, "poison")

    def learns(self):
        """At the end nearly every image that was not trained on has the right class."""
        self.reference()
        scores = [json.loads(line)["score"] for line in open(self.folder / "whole/metrics.jsonl")]
        assert scores[-1] > 0.95 > 0.5 > scores[0], scores

    def kills(self):
        whole, rng, killed = self.reference(), random.Random(7), 0
        started = time.time()
        self.train("timed")
        length = time.time() - started
        pause = max(0.1, 4 * length / self.kill_count)  # so that most kills fall into one run
        while killed < self.kill_count:
            shutil.rmtree(self.folder / "killed", ignore_errors=True)
            while True:
                resume = ["--resume"] if (self.folder / "killed/recipe.toml").exists() else []
                process = subprocess.Popen(self.command("killed", *resume, threads=rng.choice((1, 2, 3))),
                                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                try:
                    _, error = process.communicate(timeout=rng.uniform(0, pause) if killed < self.kill_count else 60 + 10 * length)
                    assert process.returncode == 0, error
                    break
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    killed += 1
            self.expect_same(whole, "killed")
        print(f"  {killed} kills")

    def interrupt(self):
        whole = self.reference()
        folder = "it's\t\x1b\\in terrupted\u00e9"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            shutil.rmtree(self.folder / folder, ignore_errors=True)
            process = self.begin(folder)
            self.refused(self.command(folder, "--resume"), 1, "another process")
            process.send_signal(number)
            rest, _ = self.end(process)
            assert process.returncode == -number, process.returncode
            assert "stopped after step" in rest and "--resume" in rest, rest
            command = re.search("continue with: moert (.*)", rest).group(1)
            done = self.run(["bash", "-c", f"{self.moert} {command}"])
            assert done.returncode == 0, done
            self.expect_same(whole, folder)
        process = self.begin("nohup", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        process.send_signal(signal.SIGHUP)
        self.end(process)
        assert process.returncode == 0, process.returncode
        self.expect_same(whole, "nohup")

    def lost_reader(self):
        whole = self.reference()
        process = subprocess.Popen(self.command("piped"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()  # as `| head -1` does
        error = process.stderr.read()
        assert process.wait() == 0, (process.returncode, error)
        self.expect_same(whole, "piped")

    def closed_streams(self):
        """Nothing that is meant for a terminal reaches a file of ours, and results that nobody got are an error."""
        whole = self.reference()
        close = lambda: [os.close(number) for number in range(3)]
        process = subprocess.Popen(self.command("closed"), preexec_fn=close)
        links = set()
        while process.poll() is None:
            try:
                links |= {os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)} if links or (
                    self.folder / "closed/last").exists() else set()
            except FileNotFoundError:
                pass  # it has ended
        assert process.returncode == 0 and links == {"/dev/null"}, (process.returncode, links)
        self.expect_same(whole, "closed")
        best = self.folder / whole / "best"
        for tool in (self.moert, self.moert.with_name("moec")):
            for arguments in (["--version"], ["--help"]):
                self.refused([tool, *arguments], 1, "standard output cannot be written", preexec_fn=lambda: os.close(1))
        self.refused([self.moert, "eval", self.program, "--checkpoint", best], 1, "standard output cannot be written",
                     preexec_fn=lambda: os.close(1))

    def together(self):
        """Of processes that start in one folder at once, one trains, and nobody writes over what it made."""
        whole = self.reference()
        started = [subprocess.Popen(self.command("together", threads=1), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(5)]
        ends = sorted((process.communicate()[1], process.returncode) for process in started)
        assert ends[0] == ("", 0) and all(code == 1 and ("another process" in error or "without a run" in error) for error, code in ends[1:]), ends
        self.expect_same(whole, "together")

    def lost_folder(self):
        """The run's folder goes away while it trains: it is not made again without its recipe; put back, it goes on."""
        whole = self.reference()
        moved = self.folder / "moved"
        process = self.begin("gone")
        (self.folder / "gone").rename(moved)
        _, error = self.end(process)
        text = f"{self.folder}/gone: expected the run's folder as it was when training began, found it removed, renamed or replaced"
        assert process.returncode == 1 and error.count(text) == 1 and not (self.folder / "gone").exists(), error
        moved.rename(self.folder / "gone")
        self.train("gone", "--resume")
        self.expect_same(whole, "gone")

    def take_metrics(self, run):
        """Puts a folder in the place of the metrics of a run that stands still; gives both paths. The file is moved and not
        copied: the run may stand between opening it and writing its line."""
        metrics, kept = self.folder / run / "metrics.jsonl", self.folder / f"{run}.jsonl"
        if metrics.exists():
            metrics.rename(kept)
        else:
            kept.write_bytes(b"")
        metrics.mkdir()
        return metrics, kept

    def lost_metrics(self):
        """Metrics that cannot be written cost no step, and the evaluation is done again."""
        whole = self.reference()
        process = self.begin("nometrics", "--set", "train.checkpoint_every=1000")
        metrics, kept = self.take_metrics("nometrics")
        _, error = self.end(process)
        assert process.returncode == 1 and f"{metrics}: cannot open: Is a directory; " in error and "last holds the" in error, error
        state = json.loads((self.folder / "nometrics/last/state.json").read_text())
        assert state["pending_evaluation"] and state["step"] % 25 == 1, state
        metrics.rmdir()
        kept.rename(metrics)
        self.train("nometrics", "--resume", "--set", "train.checkpoint_every=1000")
        for name in FILES[:2]:  # its state has another recipe
            assert (self.folder / whole / name).read_bytes() == (self.folder / "nometrics" / name).read_bytes()
        steps = [[json.loads(l)["step"] for l in open(self.folder / run / "metrics.jsonl")] for run in (whole, "nometrics")]
        assert steps[0] == steps[1], steps

    def lost_log(self):
        """Nor does a line between two evaluations, which --resume writes."""
        settings = [a for pair in ("train.checkpoint_every=1000", "log.every=1", "eval.every=0") for a in ("--set", pair)]
        self.train("logged", *settings)
        process = self.begin("nolog", *settings)
        metrics, kept = self.take_metrics("nolog")
        _, error = self.end(process)
        assert process.returncode == 1 and f"{metrics}: cannot open: Is a directory; " in error and "last holds the" in error, error
        lines, state = kept.read_text().count("\n"), json.loads((self.folder / "nolog/last/state.json").read_text())
        assert state["step"] == lines + 1 and state["summed"] == 1, (state, lines)
        metrics.rmdir()
        kept.rename(metrics)
        self.train("nolog", "--resume", *settings)
        self.expect_same("logged", "nolog", [name for name in FILES if name.startswith("last")])

    def lost_best(self):
        """Nor does a best checkpoint that cannot be written, where the last one can."""
        if os.geteuid() != 0:
            return  # a folder of somebody else's takes root to make
        settings = ["--set", "train.checkpoint_every=1000"]
        self.train("withbest", *settings)
        drop = lambda: ctypes.CDLL(None).prctl(24, 3, 0, 0, 0) and os._exit(9)  # PR_CAPBSET_DROP, CAP_FOWNER
        process = self.begin("nobest", *settings, preexec_fn=drop)
        run = self.folder / "nobest"
        (run / "best").mkdir(exist_ok=True)
        (run / "best/mine").touch()
        for path in (run, run / "best"):
            os.chown(path, 1, 1)
        run.chmod(0o1777)  # what is in it only its owner may rename
        _, error = self.end(process)
        assert process.returncode == 1 and f"{run}/best: cannot rename: Operation not permitted" in error and "last holds the" in error, error
        state = json.loads((run / "last/state.json").read_text())
        assert state["pending_evaluation"] and state["summed"] and state["best_step"] < state["step"], state
        for path in (run, run / "best"):
            os.chown(path, 0, 0)
        self.train("nobest", "--resume", *settings)
        self.expect_same("withbest", "nobest")

    def watched(self):
        """Who looks at a checkpoint while training replaces it finds one step, whole."""
        self.train("early", "--set", "train.steps=5")
        live, fresh = self.folder / "live", self.folder / "live.tmp"
        kept = [self.folder / run / "last" for run in ("early", self.reference())]
        png(self.folder / "black.png", bytes(SIZE * SIZE), SIZE)
        measure = lambda place: json.loads(self.run([str(a) for a in (self.moert, "eval", self.program, "--checkpoint", place, "--json")]).stdout)
        known = {report["step"]: report["entries"] for report in map(measure, kept)}
        assert len(known) == 2 and known[5] != known[self.steps], known
        shutil.rmtree(live, ignore_errors=True)
        live.mkdir()
        over, count, names = threading.Event(), 0, [name[5:] for name in FILES[:3]]

        def replace():  # as training does, only faster
            nonlocal count
            exchange = ctypes.CDLL(None).renameat2
            while not over.is_set():
                fresh.mkdir()
                for name in names:
                    os.link(kept[count % 2] / name, fresh / name)
                assert exchange(-100, bytes(fresh), -100, bytes(live), 2) == 0  # AT_FDCWD, RENAME_EXCHANGE
                for name in names if count else ():
                    (fresh / name).unlink()
                fresh.rmdir()
                count += 1

        thread = threading.Thread(target=replace)
        thread.start()
        try:
            while not count:
                assert thread.is_alive(), "the folders could not be exchanged"
                time.sleep(0.001)
            infer = [self.moert, "infer", self.program, "--checkpoint", live, "--input", f"image=@{self.folder}/black.png", "--threads", "1"]
            for _ in range(300):
                done = self.run([str(a) for a in infer])
                assert done.returncode == 0, done
            for _ in range(20):
                report = measure(live)
                assert known[report["step"]] == report["entries"], report
        finally:
            over.set()
            thread.join()
        assert count > 100, count

    def stale_done(self):
        """A run that is not done does not train under a sign that it is."""
        self.train("stale", "--set", "train.steps=30")
        done = self.folder / "stale/done"
        done.unlink()
        done.mkdir()
        self.refused(self.command("stale", "--resume"), 1, f"{done}: cannot remove: Is a directory; it would say that all steps are done")
        done.rmdir()
        self.train("stale", "--resume")
        assert done.read_text() == "done\n"
        # A kill may have left an empty one.
        done.write_bytes(b"")
        self.train("stale", "--resume")
        assert done.read_text() == "done\n"

    def mixed_files(self):
        """A checkpoint whose files are of different steps, or not all there, measures nothing and continues nothing."""
        run = self.folder / "mixed"
        self.train("mixed")
        best = json.loads((run / "best/state.json").read_text())["step"]
        assert best < self.steps, best
        resume, recipe = self.command("mixed", "--resume"), (run / "recipe.toml").read_bytes()
        measure = [self.moert, "eval", self.program, "--checkpoint", run / "last"]
        good = (run / "last/model.safetensors").read_bytes()
        advice = f"to go on from step {best} instead, put a copy of {run}/best in the place of {run}/last"
        for content, text in (((run / "best/model.safetensors").read_bytes(), "its files are of different steps"),
                              (None, "last/model.safetensors: expected the file beside state.json, found none"),
                              (b"", "expected a safetensors file, found 0 bytes")):
            (run / "last/model.safetensors").unlink()
            if content is not None:
                (run / "last/model.safetensors").write_bytes(content)
            self.refused(measure, 1, text)
            self.refused(resume, 1, text, advice)
            self.refused([*resume, "--steps", 100000], 1, text)
            assert (run / "recipe.toml").read_bytes() == recipe  # a refusal is no promise of more steps
            (run / "last/model.safetensors").write_bytes(good)
        shutil.rmtree(run / "last")
        shutil.copytree(run / "best", run / "last")
        assert f"resuming at step {best} of" in self.train("mixed", "--resume")
        # Looking at a run that has ended writes nothing.
        before = (run / "done").stat()
        self.train("mixed", "--resume")
        after = (run / "done").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)

    def lost_data(self):
        whole = self.reference()
        path = self.images / "train-images-idx3-ubyte"
        before = path.read_bytes()
        process = self.begin("cut")
        os.truncate(path, 1000)
        _, error = self.end(process)
        assert process.returncode == 1, process.returncode
        assert "bytes as when it was opened, found 1000: the file" in error and re.search("holds the ([0-9]+ )?good steps? before", error), error
        path.write_bytes(before)
        self.train("cut", "--resume")
        self.expect_same(whole, "cut")

    def memory(self):
        """Sparse files that no memory holds: an error, not an exception."""
        best = self.folder / self.reference() / "best"
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({1 << 24}, 1, {SIZE}, {SIZE}), }}".ljust(117) + "\n"
        path = self.folder / "huge.npy"
        path.write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode())
        os.truncate(path, 128 + (4 * SIZE * SIZE << 24))
        table = json.dumps({"fc.weight": {"dtype": "F32", "shape": [1 << 34], "data_offsets": [0, 1 << 36]}}).encode()
        parameters = self.folder / "huge.safetensors"
        parameters.write_bytes(struct.pack("<Q", len(table)) + table)
        os.truncate(parameters, 8 + len(table) + (1 << 36))
        # A table of small values, which would take more memory than their text.
        wide = self.folder / "wide.safetensors"
        table = b'{"a":[' + b"[]," * (1 << 24) + b"1]}"
        wide.write_bytes(struct.pack("<Q", len(table)) + table)
        small = lambda: resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))
        words = "expected a file that fits in this machine's memory"
        infer = [self.moert, "infer", self.program, "--threads", 1]
        seven = f"image=@{self.folder}/huge.npy"
        self.refused([*infer, "--checkpoint", best, "--input", seven], 1, f"huge.npy: {words}", preexec_fn=small)
        png(self.folder / "black.png", bytes(SIZE * SIZE), SIZE)
        for file, text in ((parameters, "fc.weight"), (wide, "tensor 'a'")):
            self.refused([*infer, "--params", file, "--input", f"image=@{self.folder}/black.png"], 1, text, preexec_fn=small)
        limit = lambda mib: lambda: resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))
        self.refused(self.command("crowd", threads=1000), 1, "expected to start 1000 threads, could start ", "use --threads with a smaller number",
                     preexec_fn=limit(1000))
        assert not (self.folder / "crowd").exists()
        # The compiler, with all sizes between what its libraries take and what it needs.
        source, said = self.folder / "memory.mlir", set()
        source.write_text("moe.model @m(%image: image[1, 28, 28]) {\n  %p = flatten %image\n"
                          "  %y = linear @fc(%p) to 10\n  return logits = %y\n}\n")
        # A reader of its own names the file that does not fit.
        seven = self.npy("black.npy", "<f4", (1, SIZE, SIZE), bytes(4 * SIZE * SIZE))
        evaluate = [self.moert.with_name("moec"), "evaluate", source, "--output", f"logits=@{self.folder}/out.npy", "--params"]
        for file in (path, parameters):
            os.truncate(file, 2 << 30)
        for values, image, named in ((parameters, seven, parameters), (best / "model.safetensors", path, path)):
            self.refused([*evaluate, values, "--input", f"image=@{image}"], 1, f"{named}: ", preexec_fn=limit(1500))
        for mib in range(320, 640, 40):
            done = self.run([str(self.moert.with_name("moec")), "compile", str(source), "-o", str(self.folder / "memory.moe")], preexec_fn=limit(mib))
            assert done.returncode in (0, 1, 127) and "bug report" not in done.stderr, done  # 127: libraries do not fit
            said.add(done.stderr.partition(", found none")[0] if done.returncode == 1 else done.returncode)
        assert {"moec: error: expected more free memory", "moec: error: expected room for another thread"} & said, said

    def full_disk(self):
        whole = self.reference()
        self.train("full", "--set", "train.steps=30")
        before = (self.folder / "full/last/model.safetensors").read_bytes()
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        self.refused(self.command("full", "--resume"), 1, "cannot write", preexec_fn=limit)
        assert before == (self.folder / "full/last/model.safetensors").read_bytes()
        self.train("full", "--resume")
        # The progress of a run of 30 steps differs from that of a longer one: compare with one that was raised too.
        self.train("raised", "--set", "train.steps=30")
        self.train("raised", "--resume")
        self.expect_same("raised", "full")

    def read_only(self):
        place = pathlib.Path("/sys/moe-run")
        if os.geteuid() != 0:
            locked = self.folder / "locked"
            locked.mkdir(exist_ok=True)
            locked.chmod(0o555)
            place = locked / "run"
        self.refused([place if a == str(self.folder / "x") else a for a in self.command("x")], 1, str(place), "cannot create the folder")

    def not_finite(self):
        done = self.refused(self.command("nan", "--set", "optimizer.lr=1e38", "--set", "eval.every=0"), 1, "not finite", "new --out", "last holds the good step before")
        assert (self.folder / "nan/last/model.safetensors").exists(), done
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        self.refused(self.command("lost", "--set", "optimizer.lr=1e38", "--set", "eval.every=0", "--set", "train.checkpoint_every=0"), 1,
                     "not finite", "could not be saved", "cannot write", preexec_fn=limit)
        step = json.loads((self.folder / "nan/last/state.json").read_text())["step"]
        # The trap ends a step in the middle of its updates, and leaves what was before them.
        self.refused(self.command("trapped", "--trap-nan", "--set", "optimizer.lr=1e38", "--set", "eval.every=0"), 1, "step 1:", "made a NaN",
                     "trapped/last holds the initial values")
        self.train("initial", "--steps", 0)
        for name in FILES[:2]:
            assert (self.folder / "trapped" / name).read_bytes() == (self.folder / "initial" / name).read_bytes(), name
        self.refused(self.command("nan", "--resume", "--trap-nan", "--set", "optimizer.lr=1e38", "--set", "eval.every=0"), 1, f"step {step + 1}:")

    def verbs(self):
        best = self.folder / self.reference() / "best"
        done = self.run([self.moert, "eval", self.program, "--checkpoint", best, "--json"])
        assert done.returncode == 0, done
        report = json.loads(done.stdout)
        domains = report["entries"][0]["domains"]
        assert [d["held_out"] for d in domains] == [True, False, False] and all(0.6 < d["out_acc"] <= 1 for d in domains[1:]), report
        metrics = [json.loads(l) for l in open(self.folder / "whole/metrics.jsonl")]
        score = json.loads((best / "state.json").read_text())
        line = next(m for m in metrics if m.get("step") == score["best_step"])
        # What was measured, and over how many images: 200 of 600 a domain, 40 of them out.
        assert report["step"] == score["best_step"] and all(d["in_images"] == d["in_split"] == 160 and d["out_images"] == 40 for d in domains), report
        few = [self.moert, "eval", self.program, "--checkpoint", best, "--set", "eval.images=100"]
        text = self.run(few).stdout
        assert text.startswith(f"checkpoint {best}, step {score['best_step']}\nimages a split: 100 of 160 in, all 40 out; "
                               "--set eval.images=0 for all\n"), text
        domains_few = json.loads(self.run([*few, "--json"]).stdout)["entries"][0]["domains"]
        assert all((d["in_images"], d["in_split"], d["out_images"]) == (100, 160, 40) for d in domains_few), domains_few
        assert "images a split: all 160 in, all 40 out\n" in self.run([*few, "--set", "eval.images=0"]).stdout
        assert all(line[f"env{d}_{s}_acc"] == domains[d][f"{s}_acc"] for d in range(3) for s in ("in", "out")), (line, domains)
        pixels = picture(random.Random(9), 7)
        png(self.folder / "seven.png", pixels, SIZE)
        output = self.folder / "y.npy"
        for source in (("--checkpoint", best), ("--params", best / "model.safetensors")):
            done = self.run([self.moert, "infer", self.program, *source, "--input", f"image=@{self.folder}/seven.png", "--output",
                             f"logits=@{output}"])
            assert done.returncode == 0 and re.search(r"^class 7 ", done.stdout, re.M).start() < done.stdout.index("class", done.stdout.index("class") + 1), done
        values = struct.unpack(f"<{CLASSES}f", output.read_bytes()[-4 * CLASSES:])
        assert max(range(CLASSES), key=values.__getitem__) == 7, values
        # The same image as a tensor gives the same bytes.
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': (1, {SIZE}, {SIZE}), }}".ljust(117) + "\n"
        rounded = b"".join(struct.pack("<f", p / 255) for p in pixels)
        (self.folder / "seven.npy").write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + rounded)
        done = self.run([self.moert, "infer", self.program, "--checkpoint", best, "--input", f"image=@{self.folder}/seven.npy", "--output",
                         f"logits=@{self.folder}/z.npy"])
        assert done.returncode == 0 and (self.folder / "z.npy").read_bytes() == output.read_bytes(), done
        assert not done.stderr, done
        # So do 16 bits, for p * 257 / 65535 is p / 255, and what a file says of gamma changes nothing.
        png(self.folder / "deep.png", bytes(b for p in pixels for b in (p, p)), SIZE, depth=16, more=[(b"gAMA", struct.pack(">I", 45455))])
        done = self.run([self.moert, "infer", self.program, "--checkpoint", best, "--input", f"image=@{self.folder}/deep.png", "--output",
                         f"logits=@{self.folder}/z.npy"])
        assert done.returncode == 0 and (self.folder / "z.npy").read_bytes() == output.read_bytes(), done
        # Results in a folder that is made; pixels that training never saw are read, with a word.
        wild = self.npy("wild.npy", "<f4", (1, SIZE, SIZE), b"".join(struct.pack("<f", p) for p in pixels))
        done = self.run([self.moert, "infer", self.program, "--checkpoint", best, "--input", f"image=@{wild}", "--output-folder",
                         self.folder / "new/outs"])
        assert done.returncode == 0 and (self.folder / "new/outs/logits.npy").exists(), done
        assert f"note: {wild}: expected pixels from 0 to 1, as in training (divided by 255), found " in done.stderr, done
        # So are values that are no numbers, few or all, in a line that says how many.
        for wrong in ([0, SIZE * SIZE - 1], range(SIZE * SIZE)):
            values = [(math.nan if i % 2 else -math.inf) if i in wrong else p / 255 for i, p in enumerate(pixels)]
            bad = self.npy("bad.npy", "<f4", (1, SIZE, SIZE), b"".join(struct.pack("<f", v) for v in values))
            done = self.run([self.moert, "infer", self.program, "--checkpoint", best, "--input", f"image=@{bad}"])
            assert done.returncode == 0 and done.stderr == (
                f"moert: note: {bad}: expected finite values for input 'image', found {len(wrong)} of {SIZE * SIZE} NaN or infinite\n"), done

    def npy(self, name, kind, shape, data):
        header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        (self.folder / name).write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + data)
        return self.folder / name

    def refusals(self):
        best, train = self.folder / self.reference() / "best", self.command
        self.refused([self.moert], 2)
        self.refused([self.moert, "train", self.program, "--out", ""], 2, "expected a value after --out, found none")
        twice = self.folder / "twice.toml"
        twice.write_text("[train]\nseed = 1\nseed = 2\n")
        self.refused(train("x", "--recipe", twice), 1, f"{twice}:3:8: error while parsing key-value pair: cannot redefine existing integer 'seed'")
        self.refused([self.moert, "trian"], 2)
        self.refused([self.moert, "train", self.program, "--out", "x", "--threads", "many"], 2)
        self.refused(train("whole"), 1, "--resume")
        self.refused(train("x", "--set", "train.stepz=3"), 1, "did you mean 'train.steps'")
        self.refused(train("x", "--set", "data.held_out=[3]"), 1, "expected domains from 0 to 2, found 3")
        self.refused(train("x", "--set", f"data.path={self.folder}"), 1, "train-images-idx3-ubyte")
        seven = make_set(self.folder / "seven", 7)
        self.refused(train("x", "--set", f"data.path={seven}"), 1, "data 7", "moec compile", "-Dclasses=7")
        self.refused(train("x", "--set", "data.kind=colored"), 1, "channels", "-Dchannels=2", "-Dclasses=2")
        self.refused([self.moert, "eval", self.program, "--checkpoint", self.folder / "none"], 1, "found no such file or folder")
        self.refused([self.moert, "eval", self.program, "--checkpoint", best.parent], 1, "did you mean")
        self.refused([self.moert, "eval", self.program, "--checkpoint", best, "--entry", "mian"], 1, "main")
        infer = [self.moert, "infer", self.program, "--checkpoint", best, "--input"]
        png(self.folder / "small.png", bytes(100), 10)
        png(self.folder / "colour.png", bytes(3 * SIZE * SIZE), SIZE, 3)
        self.refused([*infer, f"image=@{self.folder}/small.png"], 1, f"expected 1 x {SIZE} x {SIZE}", "found 1 x 10 x 10")
        self.refused([*infer, f"image=@{self.folder}/colour.png"], 1, "expected an image of 1 channels, found 3")
        plain = self.npy("plain.npy", "<f4", (SIZE, SIZE), bytes(4 * SIZE * SIZE))
        self.refused([*infer, f"image=@{plain}"], 1, f"expected 1 x {SIZE} x {SIZE} a row for input 'image', found an array of {SIZE} x {SIZE}\n")
        (self.folder / "boot.jpg").write_bytes(b"\xff\xd8\xff\xe0 and so on, for some bytes")
        self.refused([*infer, f"image=@{self.folder}/boot.jpg"], 1, "boot.jpg: expected a PNG image or a .npy file, found another format")
        self.refused([*infer, f"image=@{self.folder}/none.jpg"], 1, "none.jpg: cannot open: No such file")
        self.refused([*infer, f"imgae=@{self.folder}/small.png"], 1, "did you mean 'image'")
        self.refused([*infer, f"label=@{self.folder}/small.png"], 1, "entry 'main' has no input 'label'; known: image")
        self.refused([*infer, "image=small.png"], 2, "--input image=small.png: expected name=@file\n")
        self.refused([*infer, "small.png"], 2, "--input small.png: expected name=@file, as in image=@small.png\n")
        self.refused([*infer, f"image=@{self.folder}/seven.png", "--input", f"image=@{self.folder}/small.png"], 2,
                     f"expected one file for input 'image', found {self.folder}/seven.png and {self.folder}/small.png")
        self.refused([*infer, f"image=@{self.folder}/seven.png", "--progress", "nan"], 2, "expected a part of the training from 0 to 1, found 'nan'")
        bytes_ = self.npy("bytes.npy", "|u1", (1, SIZE, SIZE), bytes(SIZE * SIZE))
        self.refused([*infer, f"image=@{bytes_}"], 1, "found u8; save it with .astype(np.float32) / 255")
        wide = self.npy("wide.npy", "<f8", (1, SIZE, SIZE), bytes(8 * SIZE * SIZE))
        self.refused([*infer, f"image=@{wide}"], 1, "found f64; save it with .astype(np.float32)")
        for type_, size in (("<f2", 2), (">f4", 4)):
            other = self.npy("other.npy", type_, (1, SIZE, SIZE), bytes(size * SIZE * SIZE))
            self.refused([*infer, f"image=@{other}"], 1, f"other.npy: expected f32, found '{type_}'; save it with .astype(np.float32)\n")
        zeros = self.npy("zeros.npy", "<f4", (1, SIZE, SIZE), bytes(4 * SIZE * SIZE))
        done = self.refused([*infer, f"image=@{zeros}", "--output", f"logits=@{self.folder}/no/l.npy"], 1,
                            f"{self.folder}/no/l.npy: cannot create: there is no folder {self.folder}/no; create it first")
        self.refused([self.moert, "eval", self.program, "--checkpoint", best / "model.safetensors"], 1, f"give the folder that it is in: {best}")
        # What a checkpoint is evaluated on: no compilation changes its shapes.
        few = [self.moert, "eval", self.program, "--checkpoint", best, "--set", f"data.path={self.folder}/seven"]
        self.refused(few, 1, "classes: program 10, data 7; set data.classes=10 where the set only lacks the last labels\n")
        done = self.run([str(a) for a in (*few, "--set", "data.classes=10", "--set", "eval.images=20")])
        assert done.returncode == 0 and done.stdout.count("\n") == 7, done
        done = self.refused([*few, "--set", "data.kind=colored"], 1, "channels: program 1, data 2; a checkpoint is evaluated with the program that it")
        assert "moec compile" not in done.stderr and "data.classes" not in done.stderr, done
        self.refused(train("x", "--set", "train.objective=dann"), 1, "expected erm, which the program was compiled with, found 'dann'")
        self.other_models()
        assert not (self.folder / "x").exists()

    def other_models(self):
        """Programs that no compile-time choice makes fit: refused before the run's folder is made, with advice that works."""
        other = lambda program: [program if a == str(self.program) else a for a in self.command("x")]
        head = "%image: image[channels, 28, 28]"
        wide = self.compiled("wide", f"moe.model @wide<classes = 10, channels = 1>({head}) {{\n  %p = flatten %image\n"
                             "  %y = linear @head(%p) to 32\n  return logits = %y\n}\n")
        done = self.refused(other(wide), 1, "classes: program 32, data 10", "it was compiled with classes=10, and returns 32 scores an image")
        assert "moec compile" not in done.stderr, done
        extra = self.compiled("extra", f"moe.model @extra<classes = 10, channels = 1>({head}, %k: vector[4]) {{\n  %p = flatten %image\n"
                              "  %y = linear @head(%p) to 10\n  %z = linear @more(%k) to 10\n  %s = add %y, %z\n  return logits = %s\n}\n")
        self.refused(other(extra), 1, "expected inputs that the data has (image, label, domain), found 'k'")
        mixture = ("moe.layer @Head(%x) {\n  %y = linear @fc(%x) to 10\n  yield %y\n}\n"
                   f"moe.model @tied<classes = 10, channels = 1, experts = 1>({head}) {{\n  %p = flatten %image\n  %v = linear @v(%p) to 8\n"
                   "  %keys = param @keys [experts, 8] normal(1.0)\n  %r = route @gate(%v) distance, keys = %keys\n"
                   "  %e = experts @each(%p) layer @Head count = experts\n  %m = combine %r, %e\n"
                   "  aux @dom cross_entropy %r, domain, 0.1\n  return logits = %m\n}\n")
        # Images of any size: what the trainer prints makes the program fit, also where a stem's width has another value.
        any_ = self.compiled("any", "moe.model @any<classes = 10, channels = 1, height = 28, width = 28, stem = 8>(%image: image[channels, height, width]) {\n"
                             "  %s = conv @stem(%image) kernel = 3 to stem\n  %p = flatten %s\n  %y = linear @head(%p) to classes\n  return logits = %y\n}\n")
        tall = make_set(self.folder / "tall", 7, (20, 12))
        done = self.refused([*other(any_), "--set", f"data.path={tall}"], 1, "image height: program 28, data 20, image width: program 28, data 12")
        advised = shlex.split(done.stderr.split("compile it for this data: ")[1])
        assert {"-Dclasses=7", "-Dheight=20", "-Dwidth=12", "-Dstem=8"} <= set(advised), advised
        subprocess.run([self.moert.with_name(advised[0]), *advised[1:]], check=True)
        fits = [self.folder / "any" if a == str(self.folder / "x") else a for a in other(any_)]
        done = self.run([*fits, "--set", f"data.path={tall}", "--set", "train.steps=2"])
        assert done.returncode == 0, done
        png(self.folder / "tall.png", bytes(240), 12)
        done = self.run([self.moert, "infer", any_, "--checkpoint", self.folder / "any/last", "--input", f"image=@{self.folder}/tall.png"])
        assert done.returncode == 0 and done.stdout.count("class") == 5, done
        stem = self.compiled("stem", "moe.model @stem<classes = 10, channels = 1, size = 8>(%image: image[channels, 28, 28]) {\n"
                             "  %s = conv @stem(%image) kernel = 3 to size\n  %p = flatten %s\n  %y = linear @head(%p) to classes\n  return logits = %y\n}\n")
        square = make_set(self.folder / "square", 10, (16, 16))
        done = self.refused([*other(stem), "--set", f"data.path={square}"], 1,
                            "image size: program 28, data 16; it was compiled with size=8, and its image has 28: change the model's text")
        assert "moec compile" not in done.stderr, done
        # Nor are parameters that only have the value of what needs a change: they feed something else, or nothing.
        same = self.compiled("same", "moe.model @same<classes = 10, channels = 1, height = 28, width = 28, size = 28, inner = 10>(%image: image[channels, height, 28]) {\n"
                             "  %s = conv @stem(%image) kernel = 3 to width\n  %p = flatten %s\n  %h = linear @inner(%p) to size - 18 + classes\n"
                             "  %y = linear @head(%h) to inner\n  return logits = %y\n}\n")
        for data, heights in ((tall, "image height: program 28, data 20, image width: program 28, data 12; "),
                              (square, "image size: program 28, data 16; its size=28 is not what sets the image size")):
            done = self.refused([*other(same), "--set", f"data.path={data}"], 1, heights)
            assert "moec compile" not in done.stderr and "its height" not in done.stderr, done
        self.refused([*other(same), "--set", f"data.path={tall}"], 1, "classes: program 10, data 7, ", "; its classes=10 is not what sets the classes: "
                     "change the model's text; its width=28 is not what sets the image width: change the model's text\n")
        done = self.run([str(self.moert.with_name("moec")), "inspect", str(same)])
        assert done.returncode == 0 and "size = 28" in done.stdout and "%" not in done.stdout, done
        # Where another value of the size does not compile, it may still be the one.
        odd = self.compiled("odd", "moe.model @odd<classes = 10, channels = 1, size = 28>(%image: image[channels, size, size]) {\n"
                            "  %p = flatten %image\n  %y = linear @head(%p) to classes * (size / 4) / 7\n  return logits = %y\n}\n")
        self.refused([*other(odd), "--set", f"data.path={square}"], 1, "compile it for this data: moec compile", "-Dsize=16")
        # A layer's arguments follow the sizes that they name.
        layer = self.compiled("layer", "moe.layer @Head<to>(%x) {\n  %y = linear @fc(%x) to to\n  yield %y\n}\n"
                              "moe.model @layer<classes = 10, channels = 1, @head = @Head<classes>>(%image: image[channels, 28, 28]) {\n"
                              "  %p = flatten %image\n  %y = apply @h(%p) layer @head\n  return logits = %y\n}\n")
        self.refused([*other(layer), "--set", f"data.path={self.folder}/seven"], 1, "compile it for this data: moec compile", "-Dclasses=7")
        tied = self.compiled("tied", mixture)
        self.refused(other(tied), 1, "training domains that aux.dom tells apart: program 1, data 2", "-Dexperts=2")
        free = self.compiled("free", mixture.replace("[experts, 8]", "[1, experts + 7]").replace("count = experts", "count = 1").replace("to 8", "to experts + 7"))
        done = self.refused(other(free), 1, "training domains that aux.dom tells apart: program 1, data 2", "change the model's text, or set aux.dom=0")
        assert "moec compile" not in done.stderr, done
        fits = [self.folder / "tied" if a == str(self.folder / "x") else a for a in other(self.compiled("tied", mixture, "-Dexperts=2"))]
        done = self.run([*fits, "--set", "train.steps=0"])
        assert done.returncode == 0, done
        # `domains` as well, and only where a loss that counts has fewer scores than there are training domains (2 here).
        named = mixture.replace("experts", "domains").replace("= domains @each", "= experts @each")
        self.refused(other(self.compiled("named", named)), 1, "training domains that aux.dom tells apart: program 1, data 2", "-Ddomains=2")
        for name, program, more in (("off", self.folder / "named.moe", ["--set", "aux.dom=0"]),
                                    ("more", self.compiled("more", named, "-Ddomains=3"), []),
                                    ("hidden", self.compiled("hidden", f"moe.model @hidden<classes = 10, channels = 1, domains = 7>({head}) {{\n  %p = flatten %image\n"
                                                             "  %h = linear @h(%p) to domains\n  %y = linear @y(%h) to classes\n  return logits = %y\n}\n"), [])):
            trains = [self.folder / name if a == str(self.folder / "x") else a for a in other(program)]
            done = self.run([*trains, *more, "--set", "train.steps=0"])
            assert done.returncode == 0, done
        done = self.run([self.moert, "eval", self.folder / "more.moe", "--checkpoint", self.folder / "more/last", "--set", "data.held_out=[]", "--set", "data.angles=[0,1,2,3,4]",
                         "--set", "eval.images=10"])
        assert done.returncode == 0, done


def main():
    a = argparse.ArgumentParser()
    a.add_argument("binaries", type=pathlib.Path)
    a.add_argument("model", type=pathlib.Path)
    a.add_argument("folder", type=pathlib.Path)
    a.add_argument("checks", nargs="*")
    a.add_argument("--kills", type=int, default=6)
    a.add_argument("--steps", type=int, default=120)
    a.add_argument("--options", action="append", default=[])
    a = a.parse_args()
    runs = Runs(a.binaries.absolute(), a.model.absolute(), a.folder.absolute(), a.kills, a.steps, a.options)
    for check in a.checks or CHECKS:
        started = time.time()
        getattr(runs, check)()
        print(f"{check}: ok ({time.time() - started:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
