"""The random numbers of a program's training step, made again with numpy: docs/architecture.md, "Random numbers"."""

import numpy as np
import torch
from data import philox, stream


class Draws:
    """Those of one step. A path is a value's: of a layer's `%kept`, applied as `@mlp`, it is "mlp.kept"."""

    def __init__(self, seed=0, step=0):
        self.seed, self.step = seed, step

    def words(self, path, index):
        """The uniform numbers of these logical indices, and of the two words of each index's pair."""
        index = np.asarray(index, np.uint64).ravel()
        blocks, place = np.unique(index // np.uint64(4), return_inverse=True)
        block = philox(self.seed, stream(path), self.step, blocks)
        lane = (index % np.uint64(4)).astype(int)
        uniform = (block >> np.uint64(8)).astype(np.float64) * 2.0**-24
        return uniform[lane, place], uniform[lane & 2, place], uniform[lane | 1, place]

    def uniform(self, path, index):
        return torch.from_numpy(self.words(path, index)[0].reshape(np.shape(index)))

    def normal(self, path, index):
        _, first, second = self.words(path, index)
        radius, angle = np.sqrt(-2 * np.log(1 - first)), 2 * np.pi * second
        odd = np.asarray(index).ravel() % 2 == 1
        return torch.from_numpy((radius * np.where(odd, np.sin(angle), np.cos(angle))).reshape(np.shape(index)))

    def kept(self, x, path, index, rate):
        """The factor of dropout and of drop path, of x's type."""
        return (self.uniform(path, index) >= rate).to(x.dtype) / (1 - rate)

    def kept_rows(self, x, path, row, columns, rate):
        """`kept` of whole rows of a number of columns that four divides, whose indices are row * columns + column: without looking
        for the blocks of single numbers, of which a step of training has a million."""
        block = (np.asarray(row, np.uint64)[:, None] * np.uint64(columns // 4) + np.arange(columns // 4, dtype=np.uint64)).ravel()
        word = philox(self.seed, stream(path), self.step, block) >> np.uint64(8)
        kept = word.astype(np.float64) * 2.0**-24 >= rate
        return torch.from_numpy(kept.T.reshape(len(row), columns)).to(x.dtype) / (1 - rate)
