"""Runs whole models on a device, and compares what comes out with what the emulated GPU gave where the pack was made.

    models.py FOLDER --device cuda [--model NAME ...]     compares; FOLDER is an unpacked pack (pack.py)
    models.py FOLDER --device D --write FILE              writes what a device gives, as pack.py does for emulator and CPU

Kernels in f32 are meant to give the same bytes on a GPU and on the emulator, so digests of all states and outputs are equal: after
steps on made-up inputs (`moert bench`), and in the checkpoints of a run that was stopped and resumed (`moert train`), with two steps
in flight. Losses are compared with the CPU's, whose sums have another order. Prints a line a comparison, and exits with 1
where one differs or a run fails. Programs whose names end in `-tf32` promise a bound and not bytes: only their losses are compared, with
the emulator's.
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

# Of losses after a few steps, from the order of sums: the tolerance of the tests on the emulator (test/end-to-end/emulator.py).
LOSS = 2e-3
# In tf32, whose products are wrong by up to 2^-10 of themselves, and whose steps begin where the last one ended.
LOSS_TF32 = 1e-2
SEED = 3
# Steps of moert bench: three to warm up, then these.
STEPS = 1
BATCH = "2x2"


def moert(folder, *arguments, device):
    """What a command of moert prints on standard output. Ends this process where it fails."""
    # An emulator of the environment's settings would not be the one that the digests are of.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MOE_EMULATOR")}
    environment["MOE_EMULATOR_ARCHITECTURE"] = (folder / "architecture.txt").read_text().strip()
    command = [str(folder / "bin/moert"), *map(str, arguments), "--device", device]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def bench(folder, model, entry, device):
    out = json.loads(moert(folder, "bench", folder / f"programs/{model}.moe", "--entry", entry, "--batch", BATCH, "--steps", STEPS,
                           "--seed", SEED, "--json", device=device))
    return {"digest": out["digest"], "outputs": out["outputs"]}


def train(folder, model, device):
    """Four steps in two processes; the second resumes the first."""
    with tempfile.TemporaryDirectory() as scratch:
        run = pathlib.Path(scratch) / "run"
        program = folder / f"programs/{model}.moe"
        settings = {"data.path": folder / "images", "data.angles": "[0,10,20]", "train.batch_per_domain": 2, "eval.every": 0,
                    "log.every": 1, "train.seed": SEED}
        moert(folder, "train", program, "--out", run, "--steps", 2, *(word for key, value in settings.items() for word in
                                                                    ("--set", f"{key}={value}")), device=device)
        moert(folder, "train", program, "--out", run, "--steps", 4, "--resume", device=device)
        digest = hashlib.sha256()
        for file in ("model.safetensors", "optimizer.safetensors"):
            digest.update((run / "last" / file).read_bytes())
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return {"digest": digest.hexdigest(), "outputs": {f"loss of step {line['step']}": line["loss"] for line in lines}}


def results(folder, device, models, report=lambda name, result: None):
    """By the names of the runs: a digest, and outputs that are numbers."""
    found = {}
    for model in models:
        for name, run in ((f"{model}: steps", lambda: bench(folder, model, "train", device)),
                          (f"{model}: inference", lambda: bench(folder, model, "main", device)),
                          (f"{model}: training, resumed", lambda: train(folder, model, device))):
            try:
                found[name] = run()
            except RuntimeError as failure:
                found[name] = {"failure": str(failure)}
            report(name, found[name])
    return found


def differences(name, found, emulator, cpu):
    """What is wrong with a result, as a list of sentences."""
    if "failure" in found:
        return [found["failure"]]
    wrong = []
    tf32 = "-tf32:" in name
    if not tf32 and found["digest"] != emulator["digest"]:
        wrong.append(f"expected the emulator's bytes, digest {emulator['digest'][:16]}, found {found['digest'][:16]}; outputs there "
                     f"{emulator['outputs']}, here {found['outputs']}")
    whose, right, most = ("emulator's", emulator, LOSS_TF32) if tf32 else ("CPU's", cpu, LOSS)
    for output, value in right["outputs"].items():
        here = found["outputs"].get(output)
        if here is None or not abs(here - value) <= most * max(1, abs(value)):
            wrong.append(f"expected {output} to be the {whose} {value} within {most} of it, found {here}")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("--model", action="append", help="only this model")
    parser.add_argument("--write", type=pathlib.Path)
    a = parser.parse_args()
    models = sorted(path.stem for path in (a.folder / "programs").glob("*.moe"))
    if unknown := set(a.model or ()) - set(models):
        parser.error(f"expected a model of the pack ({', '.join(models)}), found '{unknown.pop()}'")
    models = a.model or models
    if a.write:
        found = results(a.folder, a.device, models)
        for name, result in found.items():
            if "failure" in result:
                sys.exit(f"{name} on {a.device}: {result['failure']}")
        a.write.write_text(json.dumps(found, indent=1) + "\n")
        return
    emulator, cpu = (json.loads((a.folder / f"expected-{device}.json").read_text()) for device in ("emulator", "cpu"))
    failed = []

    def report(name, result):
        wrong = differences(name, result, emulator[name], cpu[name])
        agrees = "the losses of the emulator" if "-tf32:" in name else "the bytes of the emulator, and the losses of the CPU"
        print(f"{name}: {'FAILED' if wrong else agrees}", flush=True)
        for sentence in wrong:
            print(f"  {sentence}", flush=True)
        failed.extend([name] * bool(wrong))

    results(a.folder, a.device, models, report)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
