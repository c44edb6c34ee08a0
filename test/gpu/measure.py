"""Measures what has to do with GPUs and needs none, for docs/measurements/cuda.md: a step on the emulator, compile times, and how soon
`moert --device cuda` says that there is no driver. Prints Markdown, with the load of the machine before and after.

    test/gpu/measure.py BUILD [--rounds 3] [--architecture sm_90a]
"""

import argparse
import json
import os
import pathlib
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
    start = time.perf_counter()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=os.environ | environment)
    if check and done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - start, done


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--architecture", default="sm_90a")
    a = parser.parse_args()
    moec, moert = (a.build.resolve() / "bin" / name for name in ("moec", "moert"))
    print(f"load before: {load()}\n\n| what | seconds: median (all rounds) | goal |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        program = f"{scratch}/hmoe_28.moe"
        cold, again = [], []
        for number in range(a.rounds):
            for times in (cold, again):
                times.append(timed(moec, "compile", MODEL, f"--target=cuda:{a.architecture}", "-o", program,
                                   XDG_CACHE_HOME=f"{scratch}/cache{number}")[0])
        print(f"| `moec compile hmoe_28.mlir --target=cuda:{a.architecture}`, no kernel in the cache | {seconds(cold)} | 10 |\n"
              f"| the same again, all in the cache | {seconds(again)} | 2 |", flush=True)
        times = [timed(moert, "bench", program, "--device", "cuda", check=False) for _ in range(a.rounds)]
        if all(done.returncode and "expected a CUDA driver" in done.stderr for _, done in times):
            print(f"| `moert --device cuda` without a driver, to the message | {seconds([took for took, _ in times])} | 0.1 |", flush=True)
        else:
            print("| `moert --device cuda` without a driver: this machine has one | | 0.1 |", flush=True)
        timed(moec, "compile", MODEL, f"--target=emulator:{a.architecture}", "-o", program)
        for mode, goal in (("fast", 5), ("checked", 90)):
            steps = []
            for _ in range(a.rounds): # a process a round, whose three steps before the timed one are not counted
                _, done = timed(moert, "bench", program, "--device", "emulator", "--batch", "1x4", "--steps", "1", "--json", MOE_EMULATOR=mode)
                steps.append(json.loads(done.stdout)["median_ms"] / 1e3)
            print(f"| a step of training of `hmoe_28`, 4 images, on the emulator, {mode} | {seconds(steps)} | {goal} |", flush=True)
    print(f"\nload after: {load()}")


if __name__ == "__main__":
    main()
