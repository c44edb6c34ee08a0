"""A signal before the first step ends moert at once, by that signal, and leaves nothing behind: early_signal.py
FOLDER with moert on the path, PROGRAM.moe of 28x28 images and 10 classes.

The data is compressed and large, so that training spends some time before its first step; the signal comes as soon as
the process has read anything. Had the signal been kept for the end of a step, that step would have been saved."""
import gzip, os, pathlib, signal, struct, subprocess, sys, time

program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
data, out = folder / "data", folder / "run"
subprocess.run(["rm", "-rf", str(folder)], check=True)
data.mkdir(parents=True)
for part, count in (("train", 100_000), ("t10k", 100)):
    with gzip.open(data / f"{part}-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(struct.pack(">IIII", 2051, count, 28, 28))
        for _ in range(count // 100):
            file.write(bytes(100 * 784))
    labels = struct.pack(">II", 2049, count) + bytes(k % 10 for k in range(count))
    (data / f"{part}-labels-idx1-ubyte").write_bytes(labels)


def ends(number, *arguments):
    # A shell may have started this with signals that are ignored.
    process = subprocess.Popen(["moert", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    while process.poll() is None and "moert" not in os.readlink(f"/proc/{process.pid}/exe"):
        time.sleep(0.001)  # not yet the tool
    time.sleep(0.03)
    process.send_signal(number)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == -number, (arguments[0], number, process.returncode, text)
    assert "stopped after step" not in text, text


for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    ends(number, "train", program, "--out", str(out), "--set", f"data.path={data}")
    assert not (out / "last").exists() and not (out / "last.tmp").exists(), os.listdir(out)
ends(signal.SIGTERM, "bench", program, "--steps", "1000000000")
print("ok")
