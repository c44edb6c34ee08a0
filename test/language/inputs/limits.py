"""Texts that no person writes end with one error at its place, soon and in little memory: limits.py FOLDER.

Tokens without end, through the file and through -D; layers in layers that make ops without end; characters that are not
seen. Each case says which line and which words the error has; the compiler gets 4 GB of address space and some seconds.
"""
import pathlib
import re
import resource
import subprocess
import sys
import time

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
wrong = []
SECONDS = 20  # some hundredths of a second where nothing else runs; the old faults took minutes


def model(body, header="", layers=""):
    return f"{layers}moe.model @m{header}(%image: image[1, 6, 6]) {{\n{body}\n  %f = flatten %z\n  %y = linear @h(%f) to 3\n  return logits = %y\n}}\n"


def check(name, text, place, words, *options, status=1):
    file = folder / f"{name}.mlir"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    start = time.monotonic()
    try:
        done = subprocess.run(["moec", "compile", file, "--target=cpu:x86-64-v3", "-o", folder / "out.moe", *options],
                              capture_output=True, text=True, timeout=SECONDS,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)))
        lines = [line for line in done.stderr.splitlines() if "error:" in line or line.startswith("moec: ")]
        expected = f"{file}:{place}: error: {words}" if place else f"moec: error: {words}"
        # What layers make has its error at one line of several, as the walk goes.
        found = [line.replace(str(file), "") for line in lines]
        good = len(found) == 1 and (re.match(rf":\d+:\d+: error: {words}", found[0]) if place == "any" else lines[0].startswith(expected))
        if done.returncode != status or (status and not good):
            wrong.append(f"{name}: expected {expected[:300]}\n  found {[line[:300] for line in lines]} ({done.returncode})")
    except subprocess.TimeoutExpired:
        wrong.append(f"{name}: still at work after {SECONDS} s")
    print(f"{name}: {time.monotonic() - start:.2f} s")


for first, digits in (("0.", 50000), ("0.", 1000000), ("9", 30000), ("9", 1000000), ("1e", 50000), ("0x", 50000)):
    found = len(first) + digits
    check(f"number-{first}-{digits}", model(f"  %z = dropout %image, {first}{'3' * digits}"), "2:24",
          f"expected a number of at most 1100 characters, found {found}")
check("number-in-size", model("  %z = relu %image", header=f"<size = {'7' * 40000}>"), "1:21", "expected a number of at most 1100 characters, found 40000")
check("number-given", model("  %z = dropout %image, rate", header="<rate: number = 0.5>"), "",
      "-Drate=0.333", "-Drate=0." + "3" * 50000, status=2)
check("size-given", model("  %z = relu %image", header="<size = 5>"), "", "-Dsize=333", "-Dsize=" + "3" * 60000, status=2)
check("all-digits-of-a-double", model(f"  %z = dropout %image, 0.{'1' * 1090}"), "", "", status=0)
check("name-of-a-value", model(f"  %{'z' * 100000} = relu %image\n  %z = relu %image"), "2:3", "expected a name of 1 to 255 bytes, found one of 100000")
check("name-of-a-size", model("  %z = relu %image", header=f"<{'s' * 100000} = 3>"), "1:14", "expected a name of 1 to 255 bytes, found one of 100000")
check("name-of-an-op", model(f"  %z = {'relu' * 1000} %image"), "2:8", "expected a name of 1 to 255 bytes, found one of 4000")
check("name-of-parameters", model(f"  %z = conv @{'z' * 100000}(%image) to 3"), "2:13", "expected a name of 1 to 255 bytes, found one of 100000")
check("name-in-quotes", model(f"  %z = conv @\"{'z' * 100000}\"(%image) to 3"), "2:8", "expected a name of 1 to 255 bytes, found one of 100000")
check("behind-a-lone-return", model(f"  // comment\r  %z = dropout %image, 0.{'3' * 50000}"), "3:24", "expected a number of at most 1100 characters, found 50002")

RELU = "moe.layer @R(%x) {\n  %y = relu %x\n  yield %y\n}\n"
check("chains", model("  %z = chain @c(%image) [4096 * @S]", layers=RELU + "moe.layer @S(%x) {\n  %y = chain @k(%x) [4096 * @R]\n  yield %y\n}\n"),
      "any", "expected a model of at most 250000 ops when its layers are applied, found more")
twice = RELU.replace("@R", "@A0") + "".join(
    f"moe.layer @A{i}(%x) {{\n  %a = apply @a(%x) layer @A{i - 1}\n  %b = apply @b(%a) layer @A{i - 1}\n  yield %b\n}}\n" for i in range(1, 31))
check("twice", model("  %z = apply @z(%image) layer @A30", layers=twice), "any", "expected a model of at most 2000000 steps when its layers are applied, found more")
nothing = twice.replace("  %y = relu %x\n  yield %y", "  yield %x")
check("twice-nothing", model("  %z = apply @z(%image) layer @A30", layers=nothing), "any", "expected a model of at most 2000000 steps when its layers are applied, found more")
check("shared-draws", model("  %0 = apply @d(%image) layer @D\n" + "".join(f"  %{i} = apply shared @d(%{i - 1}) layer @D\n" for i in range(1, 8000)) +
                            "  %z = relu %7999\n  %q = relu %nothing", layers="moe.layer @D(%x) {\n  %y = dropout %x, 0.5\n  yield %y\n}\n"),
      "8007:13", "unknown value '%nothing'")

calls = "".join(f"moe.layer @L{i}(%x) {{\n  %y = apply @a(%x) layer @L{i + 1}\n  yield %y\n}}\n" for i in range(5000))
check("layers-that-call-the-next", model("  %z = conv @c(%image) to nothing", layers=calls + RELU.replace("@R", "@L5000")), "20006:8",
      "unknown size or number 'nothing'")

GOOD = model("  %z = relu %image")
check("mark", b"\xef\xbb\xbf" + GOOD.encode(), "", "", status=0)
check("mark-and-slip", b"\xef\xbb\xbfmo.model" + GOOD.encode()[9:], "1:1", "unknown op 'mo.model'")
check("returns", GOOD.replace("\n", "\r\n"), "", "", status=0)
for character, name in (("\u00a0", "U+00A0 (no-break space)"), ("\u200b", "U+200B (zero width space)"), ("\ufeff", "U+FEFF (byte order mark)"),
                        ("\u202e", "U+202E (mark of the direction of writing)"), ("\u3000", "U+3000 (ideographic space)"), ("\U000e0041", "U+E0041 (tag)")):
    check(f"seen-{ord(character):x}", GOOD.replace("relu %image", f"relu{character}%image"), "2:12",
          f"expected a character that is seen, found {name}; take it out, or write a blank")
check("in-a-comment", GOOD.replace("relu %image", "relu %image // a\u00a0b \u200b"), "", "", status=0)
check("seen-given", model("  %z = relu %image", header="<size = 5>"), "", "-Dsize=5\u00a0: expected a character that is seen, found U+00A0", "-Dsize=5\u00a0", status=2)

print("\n".join(wrong) or "all: ok")
sys.exit(bool(wrong))
