"""The runtime's data against numpy and Pillow: every image of RotatedFashionMNIST and ColoredFashionMNIST, labels, splits, draws.

    data_check.py build/bin/data-digest
"""

import json
import random
import subprocess
import sys
import zlib

import numpy as np

import data


def crc(array, dtype):
    return zlib.crc32(np.ascontiguousarray(array, dtype))


def ours(binary, *settings):
    return json.loads(subprocess.run([binary, *settings], capture_output=True, text=True, check=True).stdout)


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: expected {wanted}, found {found}")


def check_domains(name, report, images, labels, splits):
    expect(f"{name}: domains", len(report["domains"]), len(images))
    for d, row in enumerate(report["domains"]):
        expect(f"{name}: images of domain {d}", row["images"], crc(images[d].astype(np.float32) / np.float32(255), np.float32))
        expect(f"{name}: labels of domain {d}", row["labels"], crc(labels[d], np.int32))
        for split in ("in", "out"):
            expect(f"{name}: {split}-split of domain {d}", row[split], crc(splits[d][split], np.uint32))


def check_batches(name, report, witness, rows, seed, held_out):
    for row in report["batches"]:
        image, label, domain = witness.batch(row["step"], rows, seed, held_out)
        for key, array, dtype in (("image", image, np.float32), ("label", label, np.int32), ("domain", domain, np.int32)):
            expect(f"{name}: {key} of step {row['step']}", row[key], crc(array, dtype))


def rotated(binary):
    rng = random.Random(0)
    cases = [((0, 15, 30, 45, 60, 75), 0, 0, 0, (0,)),
             (tuple(round(rng.uniform(-360, 360), 3) for _ in range(17)) + (90, 180, 270, -90), 11, 3, 2**40 + 5, (2, 7))]
    for angles, data_seed, trial_seed, seed, held_out in cases:
        witness = data.Rotated(data_seed, trial_seed, angles)
        report = ours(binary, f"data.angles={list(angles)}", f"data.seed={data_seed}", f"data.trial_seed={trial_seed}",
                      f"train.seed={seed}", f"data.held_out={list(held_out)}", "train.batch_per_domain=16")
        check_domains("rotated", report, witness.images, witness.labels, witness.split)
        check_batches("rotated", report, witness, 16, seed, held_out)


def colored(binary, seed=4, flips=(0.1, 0.2, 0.9)):
    """DomainBed's color_dataset, its draws taken from one numpy generator in the order that docs/recipe.md states."""
    plain = data.Rotated(seed, 0, (0,) * len(flips))  # the deal of images to domains is the same
    every = np.concatenate([data.idx("train-labels-idx1-ubyte"), data.idx("t10k-labels-idx1-ubyte")])
    generator = np.random.RandomState(seed)
    generator.permutation(len(every))
    images, labels = [], []
    for d, flip in enumerate(flips):
        label = (plain.labels[d] < 5) ^ (generator.random_sample(len(plain.labels[d])) < 0.25)
        colour = label ^ (generator.random_sample(len(label)) < flip)
        image = np.stack([plain.images[d], plain.images[d]], axis=1)
        image[np.arange(len(label)), (~colour).astype(int)] = 0
        images.append(image)
        labels.append(label)
    report = ours(binary, "data.kind=colored", f"data.seed={seed}", "data.held_out=[2]")
    check_domains("colored", report, images, labels, plain.split)


rotated(sys.argv[1])
colored(sys.argv[1])
print("data agrees with numpy and Pillow")
