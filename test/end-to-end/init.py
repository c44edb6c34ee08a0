"""Pretrained weights: what timm and `moert train --init` say of the same files.

    init.py BIN FOLDER [CHECK...]      (checks: those of CHECKS below)

Weights are timm's own models with random values, a file for each case; the data is a set of a few random images made here, since no
step is trained but where a check says so.
"""
import hashlib
import json
import pathlib
import shutil
import struct
import subprocess
import sys

import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer

MODEL = pathlib.Path(__file__).parent / "inputs/vit_timm.mlir"
SMALL = dict(patch_size=4, in_chans=1, num_classes=10, embed_dim=64, depth=4, num_heads=4)
SIZES = ["-Dchannels=1", "-Dsize=28", "-Dpatch=4", "-Ddim=64", "-Ddepth=4", "-Dheads=4", "-Dclasses=10"]
SPARSE = "-Dlast=@Sparse<heads = 4, count = 3>"


def random_model(seed, **options):
    """timm's model, every parameter of it random: its own biases are zeros, and its norms ones."""
    model = VisionTransformer(**SMALL | {"img_size": 28} | options).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn(p.shape, generator=draw) * (0.05 if p.dim() > 1 else 0.2) + (1 if "norm" in name and "weight" in name else 0))
    return model


class Init:
    def __init__(self, binaries, folder):
        self.binaries, self.folder = binaries, folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.programs, self.sets = {}, {}

    def program(self, name, *options, sizes=SIZES):
        path = self.folder / f"{name}.moe"
        if not path.exists():
            subprocess.run([self.binaries / "moec", "compile", MODEL, "-o", path, *sizes, *options], check=True, capture_output=True)
        return path

    def images(self, size=28):
        """A set of forty images, of ten classes."""
        folder = self.folder / f"images-{size}"
        if not folder.exists():
            folder.mkdir()
            pixels = np.random.default_rng(size)
            for part, count in (("train", 30), ("t10k", 10)):
                (folder / f"{part}-images-idx3-ubyte").write_bytes(
                    struct.pack(">IIII", 0x803, count, size, size) + pixels.integers(0, 256, (count, size, size), dtype=np.uint8).tobytes())
                (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count)))
        return folder

    def save(self, name, tensors):
        path = self.folder / f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
        return path

    def command(self, program, out, *more, size=28, steps=0):
        return [str(a) for a in (self.binaries / "moert", "train", program, "--out", self.folder / out, "--steps", steps, "--set",
                                 f"data.path={self.images(size)}", "--set", "data.angles=[0,10]", "--set", "train.batch_per_domain=4", *more)]

    def train(self, program, out, *more, **options):
        shutil.rmtree(self.folder / out, ignore_errors=True)
        done = subprocess.run(self.command(program, out, *more, **options), capture_output=True, text=True)
        assert done.returncode == 0, done
        return done.stdout

    def refused(self, program, *more, code=1, texts=(), **options):
        shutil.rmtree(self.folder / "refused", ignore_errors=True)
        done = subprocess.run(self.command(program, "refused", *more, **options), capture_output=True, text=True)
        assert done.returncode == code, done
        for text in texts:
            assert text in done.stderr, (text, done.stderr)
        assert not (self.folder / "refused").exists(), "a run that is refused leaves no folder"

    def tensors(self, out):
        return load_file(self.folder / out / "last/model.safetensors")

    def logits(self, program, out, image):
        np.save(self.folder / "image.npy", image.numpy())
        subprocess.run([self.binaries / "moert", "infer", program, "--checkpoint", self.folder / out / "last", "--input",
                        f"image=@{self.folder}/image.npy", "--output", f"logits=@{self.folder}/logits.npy"], check=True, capture_output=True)
        return torch.from_numpy(np.load(self.folder / "logits.npy"))

    # --- checks ---

    def same_logits(self):
        """timm's weights into a program and back: strictly the same tensors, and the same scores."""
        self.round_trip(random_model(1), self.program("dense"), "dense", 28)

    def vit_small(self):
        """The same of vit_small_patch16_224, and what its load takes of memory beside the model."""
        draw = torch.Generator().manual_seed(11)
        model = timm.create_model("vit_small_patch16_224", in_chans=1, num_classes=10).eval()
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn(p.shape, generator=draw) * 0.02)
        sizes = ["-Dchannels=1", "-Dclasses=10"]
        program = self.program("vit_small", sizes=sizes)
        self.round_trip(model, program, "vit_small", 224)
        half = self.save("half_small", {name: value.half() for name, value in model.state_dict().items()})
        for weights in (self.folder / "vit_small.safetensors", half):
            shutil.rmtree(self.folder / "memory", ignore_errors=True)
            peak = self.peak(self.command(program, "memory", "--init", weights))
            states = sum((self.folder / "memory/last" / name).stat().st_size for name in ("model.safetensors", "optimizer.safetensors")) / 2**20
            print(f"{weights.name}: {weights.stat().st_size / 2**20:.1f} MiB, states of {states:.1f} MiB, peak {peak:.1f} MiB")
            assert peak <= states + 24, "a load takes no memory for its file"

    @staticmethod
    def peak(command):
        """The most memory of a command, in MiB; by a process between, since a child counts as large as its parent was."""
        between = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); " \
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        return int(subprocess.run([sys.executable, "-S", "-c", between, *command], check=True, capture_output=True, text=True).stdout) / 1024

    def round_trip(self, model, program, out, size):
        weights = self.save(out, model.state_dict())
        said = self.train(program, out, "--init", weights, size=size)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        assert f"weights from {weights} (SHA-256 {digest}):" in said and f"loaded ({len(model.state_dict())}):" in said, said
        assert json.loads((self.folder / out / "last/state.json").read_text())["init"] == {"file": str(weights), "sha256": digest}
        again = VisionTransformer(**SMALL | {"img_size": 28}) if size == 28 else timm.create_model("vit_small_patch16_224", in_chans=1, num_classes=10)
        again.load_state_dict(self.tensors(out), strict=True)
        for name, p in model.state_dict().items():
            assert torch.equal(p, again.state_dict()[name]), name
        image = torch.rand((3, 1, size, size), generator=torch.Generator().manual_seed(7))
        with torch.no_grad():
            expected = again.eval()((image - 0.5) / 0.5)
        found = self.logits(program, out, image)
        error = ((found - expected).abs().max() / expected.abs().max()).item()
        assert error <= 1e-5, error
        print(f"logits agree to {error:.1e} of the largest")

    def experts(self):
        """Every expert begins as its block's dense layer, the router as the seed says."""
        model, program = random_model(2).state_dict(), self.program("sparse", SPARSE)
        weights = self.save("experts", model)
        said = self.train(program, "experts", "--init", weights)
        self.train(program, "scratch")
        found, scratch = self.tensors("experts"), self.tensors("scratch")
        copied = [name for name in found if ".experts." in name]
        assert len(copied) == 4 and "copied to each expert (4):" in said, said
        assert "blocks.3.mlp.experts.fc1.weight from blocks.3.mlp.fc1.weight [3, 256, 64]" in said, said
        for name in copied:
            dense = model[name.replace(".experts", "")]
            assert torch.equal(found[name], dense.expand(3, *dense.shape)), name
        assert torch.equal(found["blocks.3.mlp.gate.weight"], scratch["blocks.3.mlp.gate.weight"])
        assert "initial values (1):\n    blocks.3.mlp.gate.weight [3, 64]\n" in said and "skipped" not in said, said
        for name in set(found) - set(copied) - {"blocks.3.mlp.gate.weight"}:
            assert torch.equal(found[name], model[name]), name
        # The map says the same of itself, and something else where it is told to; a later line wins, an exact path always.
        recipe = self.folder / "map.toml"
        recipe.write_text('[init.map]\n"blocks.*.mlp.experts.fc1.*" = "blocks.*.mlp.fc1.*"\n"**.experts.fc2.*" = "**.fc2.*"\n')
        self.train(program, "mapped", "--recipe", recipe, "--init", weights)
        assert self.same(found, self.tensors("mapped"))
        recipe.write_text('[init]\nfile = "%s"\n[init.map]\n"blocks.3.mlp.experts.fc1.bias" = ""\n"blocks.*.mlp.experts.**" = "blocks.*.attn.**"\n'
                          '"**.experts.*.*" = "blocks.0.mlp.fc1.bias"\n' % weights)
        self.refused(program, "--recipe", recipe, texts=["'blocks.3.mlp.experts.fc1.weight' from 'blocks.0.mlp.fc1.bias': expected [3, 256, 64], found [256]"])
        said = self.train(program, "mapped", "--recipe", recipe, "--set", "init.map.blocks.*.mlp.experts.*.*=blocks.*.mlp.*.*", "--set",
                          "init.map.blocks.3.mlp.experts.fc2.weight=blocks.1.mlp.fc2.weight")
        other = self.tensors("mapped")
        assert torch.equal(other["blocks.3.mlp.experts.fc1.bias"], scratch["blocks.3.mlp.experts.fc1.bias"])
        assert torch.equal(other["blocks.3.mlp.experts.fc2.weight"][2], model["blocks.1.mlp.fc2.weight"])
        assert torch.equal(other["blocks.3.mlp.experts.fc2.bias"], found["blocks.3.mlp.experts.fc2.bias"])
        assert "blocks.3.mlp.experts.fc2.weight from blocks.1.mlp.fc2.weight [3, 64, 256]" in said, said
        # What was written here is read again by its own names: a whole mixture, or its experts from a file of one.
        said = self.train(program, "again", "--init", self.folder / "experts/last", "--seed", 5)
        assert self.same(found, self.tensors("again")) and "loaded (" in said and "copied" not in said, said

    @staticmethod
    def same(a, b):
        return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)

    def classes(self):
        """A head of other classes is dropped, and said to be."""
        model = random_model(3, num_classes=1000).state_dict()
        said = self.train(self.program("dense"), "classes", "--init", self.save("classes", model), "--seed", 4)
        self.train(self.program("dense"), "scratch", "--seed", 4)
        found, scratch = self.tensors("classes"), self.tensors("scratch")
        for name in found:
            assert torch.equal(found[name], scratch[name] if "head" in name else model[name]), name
        for line in ("initial values (2):", "head.weight [10, 64], not the file's [1000, 64]", "head.bias [10], not the file's [1000]",
                     "skipped: no parameter takes them (2):", "    head.weight [1000, 64]\n"):
            assert line in said, (line, said)
        # Without a head it is fresh as well; a file may hold what a program has no place for.
        del model["head.weight"], model["head.bias"]
        model["mask_token"] = torch.zeros(1, 64)
        model["num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
        model["x\n\x1b[31m"] = torch.zeros(1)
        said = self.train(self.program("dense"), "classes", "--init", self.save("headless", model), "--seed", 4)
        assert self.same(found, self.tensors("classes")) and "no parameter takes them (3):" in said, said
        assert "    x\\x0a\\x1b[31m [1]\n" in said and "    mask_token [1, 64]\n" in said and "    num_batches_tracked []\n" in said, said

    def resize(self):
        """Position tables of other grids become what timm makes of them."""
        for source, (height, width) in ((56, (28, 28)), (40, (28, 28)), (20, (28, 28)), (4, (28, 28)), (28, (8, 8)), (28, (16, 32)), (148, (28, 20))):
            model = random_model(source, img_size=source).state_dict()
            program = self.program(f"dense-{height}-{width}", f"-Dheight={height}", f"-Dwidth={width}")
            said = self.train(program, "resize", "--init", self.save("resize", model))
            grid = (height // 4, width // 4)
            expected = resample_abs_pos_embed(model["pos_embed"], grid, num_prefix_tokens=1)
            found = self.tensors("resize")["pos_embed"]
            assert found.shape == expected.shape, (found.shape, expected.shape)
            error = ((found - expected).abs().max() / expected.abs().max()).item()
            assert error <= 1e-6, (source, grid, error)
            assert f"resized (1):\n    pos_embed [1, {grid[0] * grid[1] + 1}, 64] of [1, {(source // 4) ** 2 + 1}, 64]: its grid of {source // 4} x " \
                f"{source // 4} to {grid[0]} x {grid[1]}, behind 1 prefix token\n" in said, said
            print(f"{source // 4} x {source // 4} to {grid[0]} x {grid[1]}: {error:.1e}")

    def types(self):
        """Every value of F16, and files of BF16 and F64."""
        half = torch.arange(65536, dtype=torch.int32).to(torch.int16).view(torch.float16).reshape(4, 256, 64)
        model = {name: value.half() for name, value in random_model(4).state_dict().items()}
        for i in range(4):
            model[f"blocks.{i}.mlp.fc1.weight"] = half[i]
        said = self.train(self.program("dense"), "half", "--init", self.save("half", model))
        found = self.tensors("half")
        for name, value in model.items():
            expected = value.float()
            nan = expected.isnan()
            assert torch.equal(found[name].isnan(), nan) and torch.equal(found[name][~nan].view(torch.int32), expected[~nan].view(torch.int32)), name
        wrong = int((~half.float().isfinite()).sum())
        assert "fc1.weight [256, 64] of F16" in said and f"note: {wrong} of " in said and "NaN or infinite, the first of them in blocks.1.mlp.fc1" in said, said
        for name, kind in (("BF16", torch.bfloat16), ("F64", torch.float64)):
            model = {key: (value.double() / 3).to(kind) for key, value in random_model(5, img_size=36).state_dict().items()}
            said = self.train(self.program("dense"), name, "--init", self.save(name, model))
            for key, value in self.tensors(name).items():
                if key != "pos_embed":
                    assert torch.equal(value, model[key].float()), key
            expected = resample_abs_pos_embed(model["pos_embed"].float(), (7, 7))
            assert (self.tensors(name)["pos_embed"] - expected).abs().max() <= 1e-6 * expected.abs().max()
            assert f"of [1, 82, 64] of {name}: its grid" in said, said

    def runs(self):
        """The same seed and file give the same bytes, also where the run was ended and resumed, before its first checkpoint as well."""
        program, weights = self.program("sparse", SPARSE), self.save("runs", random_model(6).state_dict())
        options = ("--init", weights, "--set", "train.checkpoint_every=2", "--set", "eval.every=0")
        self.train(program, "whole", *options, steps=4)
        names = ("last/model.safetensors", "last/optimizer.safetensors", "last/state.json", "recipe.toml")
        whole = [(self.folder / "whole" / name).read_bytes() for name in names]
        state = json.loads(whole[2])
        assert state["init"]["file"] == str(weights) and state["step"] == 4, state
        assert f'[init]\nfile = "{weights}"\n' in whole[3].decode()
        shutil.rmtree(self.folder / "whole/last")
        (self.folder / "whole/done").unlink()
        (self.folder / "whole/metrics.jsonl").unlink(missing_ok=True)
        resume = [str(a) for a in (self.binaries / "moert", "train", program, "--out", self.folder / "whole", "--resume")]
        done = subprocess.run(resume, capture_output=True, text=True)
        assert done.returncode == 0 and "copied to each expert" in done.stdout, done
        assert whole == [(self.folder / "whole" / name).read_bytes() for name in names]
        # Weights alone, and steps later: the recipe differs in its steps only.
        self.train(program, "later", *options)
        done = subprocess.run([*resume[:4], str(self.folder / "later"), "--resume", "--steps", "4"], capture_output=True, text=True)
        assert done.returncode == 0 and "weights from" not in done.stdout, done
        assert whole == [(self.folder / "later" / name).read_bytes() for name in names]
        # What was learnt goes on under another recipe; the new run names the file that it began with.
        self.train(program, "tuned", "--init", self.folder / "later/best" if (self.folder / "later/best").exists() else self.folder / "later/last", steps=1)
        assert json.loads((self.folder / "tuned/last/state.json").read_text())["init"]["file"].startswith(str(self.folder / "later"))
        for options in (["--init", str(weights)], ["--set", f"init.file={self.folder}/other"]):
            done = subprocess.run([*resume, *options], capture_output=True, text=True)
            assert done.returncode in (1, 2), done
        assert "init.file: expected" in done.stderr, done
        # Without a file the map is of no use, which is said.
        assert "[init.map], but nothing is taken from a file" in self.train(program, "none", "--set", "init.map.**.experts.**=**.**")

    def refusals(self):
        """What does not fit is named, with what comes nearest, and leaves nothing behind."""
        dense, good = self.program("dense"), random_model(7).state_dict()
        missing = self.folder / "none.safetensors"
        self.refused(dense, "--init", missing, texts=[f"{missing}: expected a checkpoint folder or a safetensors file, found no such file or folder"])
        self.refused(dense, "--init", missing, "--resume", code=2, texts=["expected --init or --resume, found both"])
        self.refused(dense, "--init=", code=2, texts=["expected a value after --init="])
        half = self.save("half", {name: value.half() for name, value in good.items()})
        np.save(self.folder / "image.npy", np.zeros((1, 1, 28, 28), np.float32))
        done = subprocess.run([self.binaries / "moert", "infer", dense, "--params", half, "--input", f"image=@{self.folder}/image.npy"], capture_output=True, text=True)
        assert done.returncode == 1 and "moert train --init makes a checkpoint of weights with other names, types or classes" in done.stderr, done
        renamed = {name.replace("blocks.", "layers.").replace("norm1", "ln1"): value for name, value in good.items()}
        self.refused(dense, "--init", self.save("renamed", renamed), texts=[
            "expected weights of the program", "48 missing, 0 of another shape or type", "'blocks.0.norm1.weight' is missing; nearest there: 'layers.0.",
            "[init.map] of the recipe gives other names"])
        recipe = self.folder / "renamed.toml"
        recipe.write_text('[init.map]\n"blocks.*.norm1.*" = "layers.*.ln1.*"\n"blocks.**" = "layers.**"\n"blocks.*.norm1.bias" = "layers.*.ln1.bias"\n')
        self.refused(dense, "--init", self.save("renamed", renamed), "--recipe", recipe, texts=["'blocks.0.norm1.weight' is missing (as 'layers.0.norm1.weight'); nearest there: 'layers.0."])
        recipe.write_text('[init.map]\n"blocks.**" = "layers.**"\n"blocks.*.norm1.*" = "layers.*.ln1.*"\n')
        self.train(dense, "renamed", "--init", self.save("renamed", renamed), "--recipe", recipe)
        assert self.same(good, self.tensors("renamed"))
        self.refused(dense, "--init", self.save("wide", random_model(8, embed_dim=80).state_dict()), texts=[
            "of another shape or type", "'cls_token': expected [1, 1, 64], found [1, 1, 80]", "\n  ..."])
        self.refused(dense, "--init", self.save("deep", random_model(8, depth=2).state_dict()), texts=["24 missing", "'blocks.2.norm1.weight' is missing"])
        self.refused(dense, "--init", self.save("rgb", random_model(8, in_chans=3).state_dict()), texts=["'patch_embed.proj.weight': expected [64, 1, 4, 4], found [64, 3, 4, 4]"])
        self.refused(dense, "--init", self.save("headless", random_model(8, class_token=False, global_pool="avg").state_dict()), texts=[
            "'cls_token' is missing"])
        table = good | {"pos_embed": torch.zeros(1, 196, 64)}
        self.refused(dense, "--init", self.save("table", table), texts=[
            "'pos_embed': expected a table of a square grid of patches behind as many prefix tokens as the model's [1, 50, 64] has, found [1, 196, 64]"])
        self.refused(dense, "--init", self.save("table", good | {"pos_embed": torch.zeros(50, 64)}), texts=["'pos_embed': expected [1, 50, 64], found [50, 64]"])
        self.refused(dense, "--init", self.save("table", good | {"pos_embed": torch.zeros(1, 82, 64)}), "--set", "init.resize=[]", texts=[
            "'pos_embed': expected [1, 50, 64], found [1, 82, 64]"])
        self.refused(dense, "--init", self.save("int", good | {"norm.bias": torch.zeros(64, dtype=torch.int64)}), texts=[
            "'norm.bias': expected F32, F16, BF16 or F64, found I64"])
        # A parameter of the experts' shape elsewhere is not copied unasked.
        sparse = self.program("sparse", SPARSE)
        self.refused(sparse, "--init", self.save("scope", {name.replace("blocks.3.mlp.fc", "blocks.3.mlp.experts.fc"): v for name, v in good.items()}), texts=[
            "'blocks.3.mlp.experts.fc1.weight': expected [3, 256, 64], found [256, 64]; to copy it to each of 3, write "
            '"blocks.3.mlp.experts.fc1.weight" = "blocks.3.mlp.experts.fc1.weight" in [init.map]'])
        self.refused(sparse, "--init", self.save("good", good), "--set", "init.fresh=[]", texts=["'blocks.3.mlp.gate.weight' is missing"])
        self.refused(sparse, "--init", self.save("good", good), "--set", "init.map.blocks.*.mlp.expert.**=blocks.*.mlp.**", texts=[
            "init.map: expected a pattern of the program's parameters, found 'blocks.*.mlp.expert.**', which matches none"])
        for setting, text in (("init.map.blocks.*.mlp.experts.**=blocks.*.mlp.fc1.weight", "expected no stars in the name, or the 2 of its pattern"),
                              ("init.map.x=3", "init.map.x: expected the name in the file, as a text in quotes, found an integer"),
                              ("init.fresh=head", 'init.fresh: expected a list of texts, found a text; did you mean ["head"]?'),
                              ("init.resize=[1]", "init.resize: expected a list of texts in quotes, found an integer"),
                              ("init.map=3", "expected the table [init.map], found an integer"),
                              ("init.fil=x", "unknown key 'init.fil'; did you mean 'init.file'?"),
                              ("train.pretrained=x", "did you mean 'init.file'?"),
                              ("init.map." + "*x" * 9 + "=y", "expected a pattern of at most 2048 bytes and 8 stars, found 18 and 9")):
            self.refused(dense, "--set", setting, texts=[text])
        bytes_ = (self.folder / "good.safetensors").read_bytes()
        bad = self.folder / "bad.safetensors"
        (self.folder / "folder").mkdir(exist_ok=True)
        self.refused(dense, "--init", self.folder / "folder", texts=["expected a checkpoint folder or a safetensors file, found none"])
        length, = struct.unpack("<Q", bytes_[:8])
        table = json.loads(bytes_[8:8 + length])
        def changed(change, data=bytes_[8 + length:]):
            copy = json.loads(json.dumps(table))
            change(copy)
            text = json.dumps(copy).encode()
            return struct.pack("<Q", len(text)) + text + data
        last = max(table, key=lambda name: table[name]["data_offsets"][1])
        first = min(table, key=lambda name: table[name]["data_offsets"])
        for content, text in ((bytes_[:-1], "the file is cut short or damaged"), (bytes_[:8 + length], "the file is cut short or damaged"),
                              (bytes_ + b"x", "bytes of data by its table"), (b"", "expected a safetensors file, found 0 bytes"),
                              (struct.pack("<Q", 1 << 62) + bytes_[8:], "whose first eight announce no table that fits"),
                              (struct.pack("<Q", len(bytes_)) + bytes_[8:], "whose first eight announce no table that fits"),
                              (b"PK\x03\x04" + bytes_, "it is a zip archive, as torch.save writes them"),
                              (b"\x80\x02\x8a\x0a" + bytes_, "it is a pickle"), (b"version https://git-lfs.github.com/spec/v1\n" * 3, "Git LFS"),
                              (changed(lambda t: t[last].update(data_offsets=[0, t[last]["data_offsets"][1] - t[last]["data_offsets"][0]])), "expected its bytes to start at"),
                              (changed(lambda t: t[last].update(data_offsets=[1 << 63, (1 << 63) + 4])), "the file is cut short or damaged"),
                              (changed(lambda t: t[last].update(shape=[1 << 62, 8])), "expected a shape of sizes that fit 64 bits"),
                              (changed(lambda t: t[last].update(shape=[-1, -64])), "as lists of integers from 0 up"),
                              (changed(lambda t: t[last].update(dtype="F31")), "unknown dtype 'F31'"),
                              (changed(lambda t: t.update({"x\n\x1b[31m" * 9: t.pop(first)})), "is missing"),
                              (struct.pack("<Q", length + 8) + b'{"a":1, ' + bytes_[9:], "expected an object with dtype"),
                              (bytes_[:8] + b"[" * length + bytes_[8 + length:], "expected a JSON object as the table")):
            bad.write_bytes(content)
            self.refused(dense, "--init", bad, texts=[f"{bad}: ", text])
        twice = bytes_[8:9] + json.dumps({first: table[first]})[1:-1].encode() + b"," + bytes_[9:8 + length]
        bad.write_bytes(struct.pack("<Q", len(twice)) + twice + bytes_[8 + length:])
        self.refused(dense, "--init", bad, texts=["expected each name once in the table"])
        # A checkpoint whose values were changed is told from its state.json.
        self.train(dense, "damaged", "--init", self.folder / "good.safetensors")
        file = self.folder / "damaged/last/model.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        self.refused(dense, "--init", self.folder / "damaged/last", texts=["the checkpoint is damaged"])


CHECKS = ("same_logits", "vit_small", "experts", "classes", "resize", "types", "runs", "refusals")


def main():
    init = Init(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    for name in sys.argv[3:] or CHECKS:
        getattr(init, name)()
        print(f"{name}: ok", flush=True)


if __name__ == "__main__":
    main()
