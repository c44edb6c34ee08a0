"""What a training run reports about itself: on the screen, in metrics.jsonl, by eval and infer.

    reports.py BIN FOLDER [CHECK...]      (checks: the methods below `# --- checks ---`)
"""
import fcntl
import json
import math
import os
import pathlib
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios

from failing_calls import MODEL, Small, idx, npy

WIDTH = 80


def settings(*values):
    return [word for value in values for word in ("--set", value)]


class Reports(Small):
    def lines(self, run):
        return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]

    # --- checks ---

    def one_count_of_steps(self):
        """The screen, the metrics, the checkpoint and eval count steps alike."""
        run = self.folder / "counted"
        text = self.good(self.train(run))
        shown = [int(step) for step in re.findall(r"^step (\d+)  mean loss", text, re.M)]
        lines = self.lines(run)
        assert shown == [line["step"] for line in lines if "score" in line] == [1, 5, 9, 12], (shown, lines)
        assert [line["step"] for line in lines] == [1, 4, 5, 7, 9, 10, 12], lines
        assert all(line["lr"] == 0.02 for line in lines), lines
        best = max((line for line in lines if "score" in line), key=lambda line: (line["score"], -line["step"]))
        assert f"best: step {best['step']}, " in text, (best, text)
        report = json.loads(self.good(self.moert_run("eval", self.program, "--checkpoint", run / "best", "--json")))
        assert report["step"] == best["step"], (report, best)

    def saves_are_no_steps(self):
        """Each flush of a save takes 20 ms here, and a step far less."""
        run = self.folder / "slow"
        self.good(self.train(run, *settings("eval.every=0", "train.checkpoint_every=2", "log.every=4"), call="fsync", at=1, how="SLOW",
                             again=True))
        lines = self.lines(run)
        assert lines[0]["step_time"] is None and lines[0]["images_per_s"] is None, lines
        for line in lines[1:]:
            assert 0 < line["step_time"] < 0.02 and math.isclose(line["images_per_s"] * line["step_time"], 8), lines

    def scores_that_are_not_finite(self):
        """They make no class, choose no best checkpoint, and are told of wherever accuracies are."""
        images = self.folder / "nonzero"
        images.mkdir()
        for part, count in (("train", 200), ("t10k", 40)):  # no pixel is 0 until an image is turned
            idx(images / f"{part}-images-idx3-ubyte", (count, 4, 4), bytes(1 + i * 7 % 255 for i in range(16 * count)))
            idx(images / f"{part}-labels-idx1-ubyte", (count,), bytes(0 if i % 3 else 1 + i % 2 for i in range(count)))
        program = self.compiled("logs", """moe.model @net<classes = 3, channels = 1, size = 4>(%image: image[channels, size, size]) {
  %pixels = flatten %image
  %logs   = log %pixels
  %logits = linear @head(%logs) to classes
  return logits = %logits
}
""")
        run = self.folder / "logs"
        out = self.good(self.moert_run("train", program, "--out", run, "--threads", 1, "--steps", 3, *settings(
            f"data.path={images}", "data.angles=[45,0,90]", "data.classes=3", "train.batch_per_domain=4", "eval.every=1")))
        note = "note: scores that are NaN or infinite, whose images count as wrong:\n  domain 0 (45): 64 of 64 in, 16 of 16 out\n"
        assert out.count(note) == 3 and "nan" not in out, out
        for line in self.lines(run):
            assert line["env0_in_acc"] == line["env0_out_acc"] == 0 and line["env1_in_acc"] > 0, line
            assert (line["env0_in_not_finite"], line["env0_out_not_finite"]) == (64, 16) and "env1_in_not_finite" not in line, line
        measure = ["eval", program, "--checkpoint", run / "last"]
        assert self.good(self.moert_run(*measure)).endswith(note)
        domains = json.loads(self.good(self.moert_run(*measure, "--json")))["entries"][0]["domains"]
        assert [(d["in_not_finite"], d["out_not_finite"], d["out_acc"] > 0) for d in domains] == [
            (64, 16, False), (0, 0, True), (0, 0, True)], domains
        # So does infer, of what no input or parameter explains.
        image = self.folder / "image.npy"
        image.write_bytes(npy((2, 1, 4, 4), [0.5] * 16 + [0.0] * 16))
        done = self.moert_run("infer", program, "--checkpoint", run / "last", "--input", f"image=@{image}")
        assert done.returncode == 0 and done.stderr == (
            "moert: note: expected finite scores in 'logits', found NaN or infinite ones in 1 of 2 rows\n"), done
        # A domain that is trained on counts such images as wrong ones for the score.
        line = self.lines(run)[-1]
        assert line["score"] == (line["env1_out_acc"] + line["env2_out_acc"]) / 2, line

    def parameters_that_are_not_finite(self):
        run = self.folder / "broken"
        self.good(self.train(run))
        path, image = self.folder / "broken.safetensors", self.folder / "image.npy"
        data = bytearray((run / "last/model.safetensors").read_bytes())
        start = 8 + struct.unpack("<Q", data[:8])[0]
        table = json.loads(data[8:start])
        place = start + table["each.fc.bias"]["data_offsets"][0]
        image.write_bytes(npy((2, 1, 6, 6), [0.5] * 72))
        infer = ["infer", self.program, "--params", path, "--input", f"image=@{image}"]
        path.write_bytes(data)
        done = self.moert_run(*infer)
        assert done.returncode == 0 and not done.stderr and "nan" not in done.stdout, done
        for value in (math.nan, -math.nan, math.inf):
            data[place:place + 4] = struct.pack("<f", value)
            path.write_bytes(data)
            done = self.moert_run(*infer)
            assert done.returncode == 0 and done.stdout == "".join(
                f"row {row}\nno class: its scores are not finite\n" for row in (0, 1)), done
            assert re.fullmatch(rf"moert: note: {path}: expected finite parameters, found 1 of \d+ NaN or infinite, the first in "
                                "'each.fc.bias'\n", done.stderr), done

    def the_folder_first(self):
        """A folder that is no run, or is one, is told of before anything of the data."""
        lost = settings("data.path=/nowhere")
        none, run = self.folder / "none", self.folder / "there"
        assert "none: expected the folder of a run to resume, found no recipe.toml" in self.train(none, "--resume", *lost).stderr
        self.good(self.train(run))
        assert "there: expected a folder without a run, found" in self.train(run, *lost).stderr

    def lost_best(self):
        run = self.folder / "bestless"
        text = self.good(self.train(run))
        assert f", in {run}/best\n" in text, text
        shutil.rmtree(run / "best")
        text = self.good(self.train(run, "--resume"))
        assert f", in {run}/best" not in text and f"whose checkpoint {run}/best is not there any more" in text, text

    def another_program(self):
        """`best` is no way out where it does not fit either."""
        run = self.folder / "other"
        self.good(self.train(run))
        right, self.program = self.program, self.compiled("wider", MODEL.replace("to 3", "to 4").replace("[2, 3]", "[2, 4]"))
        error = self.train(run, "--resume", "--steps", "13").stderr
        assert "those of another model" in error and "put a copy" not in error, error
        self.program = right
        (run / "last/model.safetensors").write_bytes(b"")
        error = self.train(run, "--resume", "--steps", "13").stderr
        assert f"put a copy of {run}/best in the place of {run}/last" in error, error

    def program_without_the_recipe(self):
        """What a run's recipe has and another program lacks is told as that: another program."""
        run = self.folder / "lacking"
        self.good(self.train(run))
        self.program = self.compiled("plain", MODEL.replace("  aux @entropy entropy %route, 0.1\n", ""))
        error = self.moert_run("train", self.program, "--out", run, "--resume").stderr
        assert re.match(rf"moert: error: {self.program}: expected the program that the run in {run} was trained with \([0-9a-f]{{12}}\), "
                        r"found another one \([0-9a-f]{12}\), which does not fit: .*the program has no auxiliary loss 'entropy'", error), error
        self.program = self.compiled("louder", MODEL.replace("entropy %route, 0.1", "entropy %route, 0.2"))
        error = self.moert_run("train", self.program, "--out", run, "--resume", "--set", "aux.entropi=1").stderr
        assert error.startswith("moert: error: --set aux.entropi=1: the program has no"), error
        self.program = self.folder / "plain.moe"
        error = self.moert_run("train", self.program, "--out", self.folder / "fresh", "--set", "aux.entropy=1").stderr
        assert error.startswith("moert: error: --set aux.entropy=1: the program has no"), error

    def entries_by_name(self):
        image = self.folder / "image.npy"
        image.write_bytes(npy((1, 1, 6, 6), [0.5] * 36))
        infer = ["infer", self.program, "--checkpoint", self.folder / "nowhere/best", "--input", f"image=@{image}"]
        for name, said in (("train", "'train' is not an inference entry; there are: main"),
                           ("gradients", "no inference entry 'gradients'; 'moec compile --gradients' adds it"),
                           ("mian", "no inference entry 'mian'; did you mean 'main'?")):
            error = self.moert_run(*infer, "--entry", name).stderr
            assert error == f"moert: error: {self.program}: {said}\n", error
        # A checkpoint that is not there, and a folder that is.
        (self.folder / "hollow").mkdir()
        for name, found in (("nowhere/best", "no such file or folder"), ("hollow", "none")):
            infer[3] = self.folder / name
            error = self.moert_run(*infer).stderr
            assert error == (f"moert: error: {infer[3]}: expected a checkpoint folder or a safetensors file, found {found}\n"), error

    def digest_that_cannot_be_made(self):
        """Then the checkpoints lack it, and the run says so; a later save tries again."""
        # Of one step, behind which the digest's are the last calls.
        run, told, more = self.folder / "unread", 0, settings("eval.every=0", "log.every=0", "train.steps=1")
        count = self.count("pread", run, *more)
        for again in (True, False):
            for at in range(count, count - 4, -1):
                shutil.rmtree(run)
                done = self.train(run, *more, call="pread", at=at, how="EIO", again=again)
                if done.returncode:
                    continue  # an image of a batch could not be read
                note = "note: the data could not be read again for its digest ("
                has = "data" in json.loads((run / "last/state.json").read_text())
                assert has != (note in done.stdout) and has != again, done
                told += not has
        assert told, "no pread of the digest was met"

    def narrow_terminal(self):
        """The status keeps loss, gate, speed and time left on a line of 80 columns."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
        process = subprocess.Popen(self.command(self.folder / "narrow", "--set", "aux.entropy=0.1"), stdout=slave, stderr=slave)
        os.close(slave)
        text = b""
        while True:
            try:
                piece = os.read(master, 1 << 16)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            text += piece
        assert process.wait() == 0, text
        drawn = [line for line in re.split(r"\r\x1b\[K|\r\n", text.decode()) if re.match(r"step \d+/\d+ ", line)]
        assert drawn and all(len(line) < WIDTH and re.search(r" loss .* gate .* images/s  ETA \d", line) for line in drawn), drawn
        assert any(line.startswith("step 12/12 ") for line in drawn), drawn


checks = [name for name in vars(Reports) if not name.startswith("_") and name != "lines"]
wrong = 0
for name in sys.argv[3:] or checks:
    try:
        getattr(Reports(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve() / name), name)()
        print(f"{name}: ok", flush=True)
    except AssertionError as failure:
        wrong += 1
        print(f"{name}: {failure}", flush=True)
sys.exit(wrong != 0)
