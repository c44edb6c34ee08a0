"""Prints the gpu.module of a plan's text: the kernels of a target for GPUs, as a text of their own.

    gpu_module.py PLAN
"""
import pathlib
import re
import sys

lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
begin = next(i for i, line in enumerate(lines) if re.match(r" *gpu\.module ", line))
indent = len(lines[begin]) - len(lines[begin].lstrip())
end = next(i for i in range(begin, len(lines)) if lines[i] == " " * indent + "}")
print("\n".join(lines[begin:end + 1]))
