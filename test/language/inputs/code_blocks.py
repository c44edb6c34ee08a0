"""Writes the mlir blocks of a Markdown file as 0.mlir, 1.mlir, ... of a folder, so that what a page shows is compiled."""
import pathlib
import re
import sys

folder = pathlib.Path(sys.argv[2])
folder.mkdir(exist_ok=True)
for index, block in enumerate(re.findall(r"```mlir\n(.*?)```", pathlib.Path(sys.argv[1]).read_text(), re.S)):
    (folder / f"{index}.mlir").write_text(block)
