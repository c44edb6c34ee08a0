"""Measures what has to do with GPUs and needs none, for docs/measurements/cuda.md: a step on the emulator, compile times, and how soon
`moert --device cuda` says that there is no driver. Prints Markdown, with the load of the machine before and after. Processor time says more
than wall time where the machine has other work. The checked emulator uses one core, the fast one all.

    test/gpu/measure.py BUILD [--rounds 3] [--architecture sm_90a]
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples/models/hmoe_28.mlir"


def load():
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def seconds(values):
    return f"{statistics.median(values):.2f} ({', '.join(f'{value:.2f}' for value in values)})"


def timed(*command, check=True, **environment):
    """Wall seconds, processor seconds, and what the process left."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=os.environ | environment)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if check and done.returncode:
        raise SystemExit(done.stderr)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done


def row(what, rounds, goal):
    wall, processor = ([one[i] for one in rounds] for i in (0, 1))
    print(f"| {what} | {seconds(wall)} | {statistics.median(processor):.2f} | {goal} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--architecture", default="sm_90a")
    a = parser.parse_args()
    moec, moert = (a.build.resolve() / "bin" / name for name in ("moec", "moert"))
    print(f"load before: {load()}\n\n| what | wall seconds: median (all rounds) | processor seconds | goal |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        program = f"{scratch}/hmoe_28.moe"
        cold, again = [], []
        for number in range(a.rounds):
            for times in (cold, again):
                times.append(timed(moec, "compile", MODEL, f"--target=cuda:{a.architecture}", "-o", program,
                                   XDG_CACHE_HOME=f"{scratch}/cache{number}"))
        row(f"`moec compile hmoe_28.mlir --target=cuda:{a.architecture}`, no kernel in the cache", cold, 10)
        row("the same again, all in the cache", again, 2)
        times = [timed(moert, "bench", program, "--device", "cuda", check=False) for _ in range(a.rounds)]
        if all("expected a CUDA driver" in done.stderr for _, _, done in times):
            row("`moert --device cuda` without a driver, to the message", times, 0.1)
        else:
            print("| `moert --device cuda` without a driver: this machine has one | | | 0.1 |", flush=True)
        timed(moec, "compile", MODEL, f"--target=emulator:{a.architecture}", "-o", program)
        for mode, goal in (("fast", 5), ("checked", 90)):
            steps = []
            for _ in range(a.rounds):  # a process each, of which a quarter of the time is a step: three are to warm up
                _, processor, done = timed(moert, "bench", program, "--device", "emulator", "--batch", "1x4", "--steps", "1", "--json",
                                           MOE_EMULATOR=mode)
                steps.append((json.loads(done.stdout)["median_ms"] / 1e3, processor / 4, done))
            row(f"a step of training of `hmoe_28`, 4 images, on the emulator, {mode}", steps, goal)
    print(f"\nload after: {load()}")


if __name__ == "__main__":
    main()
