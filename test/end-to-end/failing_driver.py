"""A training run in which one call of the GPU's driver fails, or one kernel.

    failing_driver.py BIN FOLDER                  a sample
    failing_driver.py BIN FOLDER --all [--stride N]

Makes each call to the emulator's driver fail, and each kernel, in turn, until a run ends before that call or kernel comes.
Whatever fails, the message says what, and which checkpoint stands; the run ends by itself with status 1; and the command that
the message gives, or else the same command with --resume, ends in the same bytes as a run that nothing disturbed, with the same
lines of metrics but for timings. A call that only gives something back may fail without a word. With --wait-launches the message of a
kernel names the step and the launch, with op and line.
"""
import argparse
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

from failing_calls import CHECKPOINT, Small, lines_of, step_of

CALL, KERNEL = "MOE_EMULATOR_FAIL_CALL", "MOE_EMULATOR_FAIL_KERNEL"
# As many faults in a row that nothing notices lie behind the end of a run: a call that gives something back is noticed by none.
BEHIND = 40


# Calls that launch a step, or that make the graph of one.
REFUSED = "cuGraphLaunch|cuLaunchKernel|cuGraphInstantiateWithFlags|cuStreamBeginCapture_v2"


class Driver(Small):
    target, device = "emulator:sm_90a", "emulator"

    def __init__(self, binaries, folder):
        super().__init__(binaries, folder)
        self.whole, self.run = folder / "whole", folder / "run"
        done = self.execute(self.command(self.whole))
        assert done.returncode == 0, done
        self.files = sorted(str(path.relative_to(self.whole)) for path in self.whole.rglob("*") if path.is_file())
        self.lines = lines_of(self.whole)

    def execute(self, command, **environment):
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120)

    def check(self, variable, at, *more):
        """Whether the fault was noticed."""
        shutil.rmtree(self.run, ignore_errors=True)
        done = self.execute(self.command(self.run, *more), **{variable: str(at)})
        assert done.returncode in (0, 1), done
        if done.returncode == 1:
            self.check_words(done.stderr, variable, at, more)
            self.go_on(done.stderr)
        else:
            assert not done.stderr, done.stderr
        found = sorted(str(path.relative_to(self.run)) for path in self.run.rglob("*") if path.is_file())
        assert found == self.files, found
        for name in (f"{folder}/{file}" for folder in ("last", "best") for file in CHECKPOINT):
            assert (self.run / name).read_bytes() == (self.whole / name).read_bytes(), f"{name} differs"
        assert lines_of(self.run) == self.lines, "lines of metrics differ"
        return done.returncode == 1

    def check_words(self, text, variable, at, more):
        assert text.startswith("moert: error: ") and f", which {variable} lets fail" in text, text
        stands = step_of(self.run / "last")
        if variable == KERNEL:
            assert re.search(fr"kernel '\w+' is kernel {at}, which", text), text
            assert re.match(r"moert: error: (step|the evaluation behind step) \d+", text), text
            assert ("there is no checkpoint yet" if stands is None else f"the last checkpoint is {self.run}/last") in text, text
        # What is refused before anything of a step was launched leaves the states, which are saved.
        if re.search(fr"({REFUSED}) is call", text):
            assert "last holds the " in text and "to go on in a new process" not in text, text
        for step in re.findall(r"last holds the (\d+) good steps before", text):
            assert int(step) == stands, (step, stands, text)
        step = re.match(r"moert: error: step (\d+) or the one behind it: ", text)
        assert not step or stands is None or stands < int(step[1]) <= 12, text
        if "--wait-launches" in more and variable == KERNEL:
            assert re.match(r"moert: error: (step|the evaluation behind step) \d+: launch \d+, '\w+'( at [\w.]+)? \(\S*small.mlir:\d+\), "
                            r"kernel '\w+': ", text), text

    def go_on(self, text):
        said = re.search(r"^to go on in a new process, run: moert (.*)$", text, re.M)
        started = (self.run / "recipe.toml").exists()
        command = [self.moert, *shlex.split(said[1])] if said else self.command(self.run, *(["--resume"] if started else []))
        assert not said or "--wait-launches" in command, text
        done = self.execute(command)
        assert done.returncode == 0, (command, done)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--stride", type=int, default=1)
    options = parser.parse_args()
    driver = Driver(options.binaries.resolve(), options.folder.resolve())
    wrong = 0
    for variable, more in ((CALL, ()), (KERNEL, ()), (KERNEL, ("--wait-launches",))):
        at, cases, quiet, noticed = 1, 0, 0, 0
        while quiet < (BEHIND if options.all else 3):
            try:
                saw = driver.check(variable, at, *more)
            except (AssertionError, OSError, subprocess.TimeoutExpired) as failure:
                wrong += 1
                saw = True
                print(f"{variable}={at} {' '.join(more)}: {failure}", flush=True)
            noticed, quiet, cases = noticed + saw, 0 if saw else quiet + 1, cases + 1
            at += options.stride if options.all else 1 + at // 3
        assert noticed > 5, f"{variable} lets nothing fail"
        print(f"{variable}{' with --wait-launches' if more else ''}: {cases} faults, {noticed} of them noticed")
    print(f"{wrong} wrong")
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
