"""What `--load` refuses, and how a plugin is heard: refused.py EXTRA BAD LIBRARY MODEL. EXTRA is the example's plugin, BAD the one that makes the mistake that
the environment variable MOE_BAD names, LIBRARY a library that is no plugin. Each command ends with its status and says what was
expected and found, in one line, and leaves no output."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

extra, bad, library, model = sys.argv[1:]
folder = pathlib.Path("refused")
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir()
(folder / "text.so").write_text("no library\n")
(folder / "cut.so").write_bytes(pathlib.Path(extra).read_bytes()[:5000])
os.mkfifo(folder / "pipe.so")
shutil.copy(extra, folder / "copy.so")
(folder / "link.so").symlink_to(extra)
compile_model = ["moec", "compile", model, "-o", str(folder / "out.moe")]
places = "one of before-elaborate, after-elaborate, before-differentiate, after-differentiate, before-simplify, after-simplify, " \
         "before-rematerialize, after-rematerialize, before-fuse, after-fuse, before-plan, after-plan, before-emit, after-emit"

# What MOE_BAD is, the files after --load, the status, and what the message has.
MISTAKES = [
    ("", [f"{folder}/gone.so"], 1, "gone.so: expected a plugin, found none: No such file or directory"),
    ("", [f"{folder}"], 1, "refused: expected a plugin, found a folder"),
    ("", [f"{folder}/pipe.so"], 1, "pipe.so: expected a plugin, found a pipe"),
    ("", [f"{folder}/text.so"], 1, "text.so: expected a plugin, found a file that cannot be loaded: "),
    ("", [f"{folder}/cut.so"], 1, "cut.so: expected a plugin that can be loaded, found one that ends the process: "),
    ("", [library], 1, "expected a plugin, found a library without the function 'moePlugin'"),
    ("", [extra, extra], 2, "expected each plugin once after --load, found"),
    ("", [extra, f"{folder}/link.so"], 2, "expected each plugin once after --load, found"),
    ("", [extra, f"{folder}/copy.so"], 2, "expected each plugin once after --load, found 'extra' in"),
    ("called-extra", [extra, bad], 2, "expected each plugin once after --load, found 'extra' in"),
    ("version", [bad], 1, "expected plugin 'bad' to be compiled for moe "),
    ("version", [bad], 1, ", found one for moe 0.0.9 with LLVM "),
    ("llvm", [bad], 1, " with LLVM 21.1.0; compile it again"),
    ("build", [bad], 1, "expected plugin 'bad' to be compiled against this build of moe "),
    ("build", [bad], 1, ", found one of another; compile it again"),
    ("buildless", [bad], 1, "expected plugin 'bad' to be compiled against this build of moe "),
    ("earlier", [bad], 1, "expected plugin 'bad' to be compiled against this build of moe "),
    ("nothing", [bad], 1, "expected the plugin's name and versions, found none"),
    ("nameless", [bad], 1, "expected the plugin's name and versions, found none"),
    ("idle", [bad], 1, "expected plugin 'bad' to have a function that extends the compiler, found none"),
    ("dialect-of-ours", [bad], 1, "plugin 'bad': expected a dialect of its own, found 'flow', which the compiler has"),
    ("dialect-of-mlir", [bad], 1, "expected a dialect of its own, found 'builtin', which the compiler has"),
    ("dialect-of-extra", [extra, bad], 1, "expected a dialect of its own, found 'extra', which plugin 'extra' has"),
    ("dialect-twice", [bad], 1, "expected each dialect once, found 'bad' twice"),
    ("op-twice", [bad], 1, "expected each op once, found 'bad.op' defined twice"),
    ("op-twice-to-mlir", [bad], 1, "expected a plugin that can be loaded, found one that ends the process: "),
    ("foreign-op", [bad], 1, "expected ops of dialect 'bad' to be called 'bad.NAME', found 'moe.intruder'"),
    ("foreign-op-to-mlir", [bad], 1, "expected ops of dialect 'bad' to be called 'bad.NAME', found 'moe.intruder'"),
    ("factless", [bad], 1, "expected every fact of op 'bad.op', found no gradient (flow::GradientInterface)"),
    ("costless", [bad], 1, "expected every fact of op 'bad.costless', found no cost (flow::CostInterface)"),
    ("traitless", [bad], 1, "expected op 'bad.traitless', which is elementwise, to have the trait Flow_Elementwise in its td file, found "
     "none: write [Flow_Elementwise, ...] as the traits of its Flow_ComputeOp"),
    ("calculating", [bad], 1, "expected op 'bad.calculating', which is a boundary, to compute nothing, found its evaluator"),
    ("caseless", [bad], 1, "expected a random case of op 'bad.caseless' to have its result as the output 'y', found none"),
    ("no-accumulators", [bad], 1, "expected op 'bad.reducing', a reduction, to have accumulators, found none"),
    ("double-accumulator", [bad], 1, "expected accumulator 1 of op 'bad.reducing' to be f32, i32 or i1, found f64"),
    ("short-accumulator", [bad], 1, "expected accumulator 0 of op 'bad.reducing' to be f32, i32 or i1, found i16"),
    ("late-sum", [bad], 1, "expected accumulator 0 of op 'bad.reducing', which sums reals, to be f32 and to start at 0, found f32 that "
     "starts at 1"),
    ("whole-sum", [bad], 1, "expected accumulator 1 of op 'bad.reducing', which sums reals, to be f32 and to start at 0, found i32 that "
     "starts at 0"),
    ("nameless-backend", [bad], 1, "plugin 'bad': expected a back end with a name, found one without"),
    ("colon-backend", [bad], 1, "expected a back end's name without ':', which is in front of a level, found 'bad:end'"),
    ("backend-of-ours", [bad], 1, "expected a back end of its own, found 'cpu', which there is already"),
    ("backend-twice", [bad], 1, "expected a back end of its own, found 'badend', which there is already"),
    ("targetless-backend", [bad], 1, "expected targets of back end 'badend', found none"),
    ("foreign-target", [bad], 1, "expected the targets of back end 'badend' to be called 'badend' or 'badend:LEVEL', found 'badendless'"),
    ("silent-target", [bad], 1, "expected back end 'badend' to make its target 'badend:far' or to say why not, found neither"),
    ("host-target", [bad], 1, "expected back end 'badend' to name this machine's targets among all of its own, found 'badend:near' there alone"),
    ("no-pass", [bad], 1, "expected a pass, found none"),
    ("flagless", [bad], 1, "expected a pass with a flag (getArgument), found '"),
    ("pass-of-ours", [bad], 1, "expected a pass of its own, found '--moe-simplify', which there is already"),
    ("pass-twice", [bad], 1, "expected a pass of its own, found '--bad-pass', which there is already"),
    ("pass-of-function", [bad], 1, "expected pass '--bad-pass' to run on 'builtin.module', found one for 'func.func'"),
    ("place", [bad], 1, f"expected a place of the pipeline for pass '--bad-pass', {places}; found 'after-lunch'"),
    ("failing", [extra, bad], 1, "expected the plugin's pass --bad-pass to succeed, found that it failed"),
]

wrong = []


def hold(command, mistake, status, message):
    run = subprocess.run(command, env={**os.environ, "MOE_BAD": mistake}, capture_output=True, text=True)
    if run.returncode != status or message not in run.stderr or run.stderr.count("\n") != 1 or run.stdout:
        wrong.append(f"{mistake or command}: expected status {status} and '{message}', found {run.returncode}:\n{run.stderr}{run.stdout}")
    if (folder / "out.moe").exists():
        wrong.append(f"{mistake or command}: expected no program, found one")


for mistake, files, status, message in MISTAKES:
    hold(compile_model + [word for file in files for word in ("--load", file)], mistake, status, message)
for tool in ("moe-opt", "moe-lsp"):
    hold([tool, "--load"], "", 2, f"{tool}: error: expected a plugin's file after --load, found none")
    hold([tool, f"--load={folder}/gone.so"], "", 1, f"{tool}: error: {folder}/gone.so: expected a plugin, found none")
    hold([tool, "--load", bad], "version", 1, f"{tool}: error: {bad}: expected plugin 'bad' to be compiled for moe ")
hold(["moec", "check-ops"], "", 2, "expected a plugin after --load, or a dialect after --dialect, found neither")
hold(["moec", "check-ops", "--load", extra, "--dialect", "flw"], "", 2,
     "expected a dialect whose ops compute after --dialect, one of extra, flow; found 'flw'")
# What depends on an op's attributes is asked of each case.
run = subprocess.run(["moec", "check-ops", "--load", bad], env={**os.environ, "MOE_BAD": "double-at-times"}, capture_output=True, text=True)
if run.returncode != 1 or not re.search(r"bad\.reducing, case \d+, case: expected accumulator 0 of op 'bad\.reducing' to be f32, i32 or i1, "
                                        "found f64\n", run.stderr):
    wrong.append(f"double-at-times: expected a case of which it is said, found {run.returncode}:\n{run.stderr}{run.stdout}")

# A plugin is loaded in a process of its own first; what it prints is printed once.
run = subprocess.run(["moec", "compile", model.replace("plugin/model", "models/linear"), "--load", bad, "-o", "-", "--to=parse"],
                     env={**os.environ, "MOE_BAD": "talkative"}, capture_output=True, text=True)
if run.returncode or run.stdout.count("out of bad\n") != 1 or "moe.model" not in run.stdout:
    wrong.append(f"talkative: expected a model and one line of the plugin's before it, found {run.returncode}:\n{run.stderr}{run.stdout}")
print("\n".join(wrong), file=sys.stderr)
print(f"{len(MISTAKES) + 10} commands")
sys.exit(1 if wrong else 0)
