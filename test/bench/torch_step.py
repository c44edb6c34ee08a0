"""One PyTorch variant of a training step, timed in a process of its own. Prints one JSON line.

Memory is anonymous resident memory above what stands after imports and model construction, sampled every millisecond; on a GPU, what
PyTorch has allocated there at most. On a GPU a step's time is between two events in the stream, so the host waits for none of them.
"""

import argparse
import json
import pathlib
import sys
import time

import peak_memory
import safetensors.torch
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "witness"))
import models  # noqa: E402


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--model", required=True)
    a.add_argument("--params", required=True)
    a.add_argument("--batch", type=int, default=320)
    a.add_argument("--steps", type=int, default=5)
    a.add_argument("--warmup", type=int, default=2)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--variant", choices=("eager", "channels_last", "compile", "compile_channels_last", "compile_graphs"), default="eager")
    a.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    a.add_argument("--precision", choices=("f32", "tf32"), default="f32", help="of products on a GPU, whose results are f32 in both")
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    on_gpu = a.device == "cuda"
    if on_gpu:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = a.precision == "tf32"
        torch.backends.cudnn.benchmark = True
    p = {k: v.to(a.device).requires_grad_() for k, v in safetensors.torch.load_file(a.params).items()}
    image, label = torch.rand(a.batch, 1, 28, 28).to(a.device), torch.randint(0, 10, (a.batch,)).to(a.device)
    if "channels_last" in a.variant:
        image = image.to(memory_format=torch.channels_last)
        p = {k: (v.detach().to(memory_format=torch.channels_last).requires_grad_() if v.dim() == 4 else v) for k, v in p.items()}
    optimizer = torch.optim.Adam(p.values(), lr=1e-3)
    loss_of = models.LOSSES[a.model]
    if a.variant.startswith("compile"): # "compile_graphs" records CUDA graphs of the forward and the backward part
        loss_of = torch.compile(loss_of, mode="reduce-overhead" if a.variant == "compile_graphs" else None)
    base = peak_memory.anonymous()
    watched = peak_memory.PeakMemory().__enter__()
    times, events = [], [torch.cuda.Event(enable_timing=True) for _ in range(a.steps + 1)] if on_gpu else []
    for step in range(a.warmup + a.steps):
        if on_gpu and step >= a.warmup:
            events[step - a.warmup].record()
        start = time.perf_counter()
        optimizer.zero_grad()
        loss, _ = loss_of(p, image, label, progress=0.25)
        loss.backward()
        optimizer.step()
        if on_gpu:
            continue
        loss.item()
        if step >= a.warmup:
            times.append((time.perf_counter() - start) * 1e3)
    watched.__exit__()
    used = watched.bytes - base
    if on_gpu:
        events[-1].record()
        torch.cuda.synchronize()
        times = [start.elapsed_time(end) for start, end in zip(events, events[1:])]
        used = torch.cuda.max_memory_allocated()
    print(json.dumps({"variant": a.variant, "ms": times, "peak_bytes": used}))


main()
