"""moec compile that ends early leaves what was there, and nothing else.

    unfinished.py CLANG MODEL.mlir FOLDER

The program is written beside its name and renamed. A shim in the place of `rename` is where the process is ended: by a signal,
or as if memory were lost there. Its kernels pass the linker through memory, so that no folder for temporary files is needed.
"""
import os
import pathlib
import resource
import shutil
import subprocess
import sys

clang, model, folder = sys.argv[1], *map(pathlib.Path, sys.argv[2:])
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)
program, shim = folder / "out/p.moe", folder / "shim.so"
program.parent.mkdir()
subprocess.run([clang, "-shared", "-fPIC", "-x", "c", "-", "-o", shim], check=True, text=True, input="""
#include <signal.h>
#include <stdlib.h>
void (*_ZSt15get_new_handlerv(void))(void); /* std::get_new_handler */
int rename(const char *from, const char *to) {
  if (getenv("LOSE_MEMORY"))
    _ZSt15get_new_handlerv()();
  raise(SIGTERM);
  abort();
}
""")


def compiled(**options):
    return subprocess.run(["moec", "compile", model, "-o", program], capture_output=True, text=True, **options)


def check(done, code, text):
    assert done.returncode == code and text in done.stderr, done
    assert [path.name for path in program.parent.iterdir()] == ["p.moe"] and program.read_text() == "kept", done


def limit(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


program.write_text("kept")
preload = {"LD_PRELOAD": str(shim), "PATH": os.environ["PATH"]}
check(compiled(env=preload), -15, "")
check(compiled(env=preload | {"LOSE_MEMORY": "1"}), 1, "moec: error: expected more free memory, found none left")
for size in (1, 1000, 10000):
    check(compiled(preexec_fn=limit(size)), 1, "File too large")
check(compiled(preexec_fn=limit(1000)), 1, "expected room for the kernels' object code in memory, found none")
check(compiled(preexec_fn=limit(10000)), 1, "p.moe: cannot be written")
done = compiled(env={"PATH": preload["PATH"], "TMPDIR": str(folder / "none")})
assert done.returncode == 0 and [path.name for path in program.parent.iterdir()] == ["p.moe"] and program.stat().st_size > 10000, done
