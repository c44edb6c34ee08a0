"""RotatedFashionMNIST as the programs see it, made again with numpy and Pillow: the witness's side of every paired run."""

import gzip
import hashlib
import pathlib

import numpy as np
from PIL import Image

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")


def idx(name):
    raw = gzip.open(FASHION / f"{name}.gz").read()
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def philox(seed, stream, step, block):
    """Philox 4x32-10 of many blocks at once: [n] -> [4, n] words."""
    block = np.asarray(block, np.uint64)
    c = [block & 0xFFFFFFFF, block >> np.uint64(32), np.full_like(block, stream), np.full_like(block, step)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), b & np.uint64(0xFFFFFFFF),
             (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), a & np.uint64(0xFFFFFFFF)]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c)


def stream(path):
    h = 0x811C9DC5
    for c in path.encode():
        h = ((h ^ c) * 0x01000193) & 0xFFFFFFFF
    return h


class Rotated:
    """DomainBed's RotatedMNIST over Fashion-MNIST, its splits (lib/misc.py), and the run's draws with replacement."""

    def __init__(self, data_seed=0, trial_seed=0, angles=(0, 15, 30, 45, 60, 75)):
        images = np.concatenate([idx("train-images-idx3-ubyte"), idx("t10k-images-idx3-ubyte")])
        labels = np.concatenate([idx("train-labels-idx1-ubyte"), idx("t10k-labels-idx1-ubyte")])
        order = np.random.RandomState(data_seed).permutation(len(labels))
        self.images, self.labels, self.split = [], [], []
        for d, angle in enumerate(angles):
            members = order[d::len(angles)]
            self.images.append(np.stack([np.asarray(Image.fromarray(images[i]).rotate(angle, Image.BILINEAR)) for i in members]))
            self.labels.append(labels[members].astype(np.int64))
            keys = list(range(len(members)))
            digest = hashlib.md5(str((trial_seed, d)).encode()).hexdigest()
            np.random.RandomState(int(digest, 16) % 2**31).shuffle(keys)
            n = int(len(keys) * 0.2)
            self.split.append({"out": np.array(keys[:n]), "in": np.array(keys[n:])})

    def batch(self, step, rows, seed, held_out=(0,)):
        """Image [D*rows,1,28,28] f32, label, domain (both [D*rows] i64) of a training step."""
        images, labels, domains = [], [], []
        training = [d for d in range(len(self.images)) if d not in held_out]
        for k, d in enumerate(training):
            inside = self.split[d]["in"]
            w = philox(seed, stream(f"data.{k}"), 0xFFFFFFFE, np.arange(step * rows, (step + 1) * rows))
            at = [((int(h) << 32 | int(l)) * len(inside)) >> 64 for h, l in zip(w[0], w[1])]
            images.append(self.images[d][inside[at]])
            labels.append(self.labels[d][inside[at]])
            domains.append(np.full(rows, k))
        image = np.concatenate(images).astype(np.float32)[:, None] / np.float32(255)
        return image, np.concatenate(labels), np.concatenate(domains)

    def evaluate(self, domain, split, limit=0):
        at = self.split[domain][split]
        at = at[:limit] if limit else at
        return self.images[domain][at].astype(np.float32)[:, None] / np.float32(255), self.labels[domain][at]
