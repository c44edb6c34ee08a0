"""What benchmarks read of a compiled program."""

import pathlib
import subprocess

BIN = pathlib.Path(__file__).parents[2] / "build" / "bin"


def parameter_shapes(program):
    """The path and shape of each parameter, as `moec inspect` lists them."""
    lines = subprocess.run([BIN / "moec", "inspect", program], check=True, capture_output=True, text=True).stdout.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("parameters:"))
    for line in lines[first + 1:]:
        if not line.startswith("  "):
            return
        name, *shape, _ = line.replace(" x ", " ").split()
        yield name, [int(extent) for extent in shape]
