"""RealBoost: decision trees on bytes, each fitted to what those before it leave (RPN+BF sec. 3.2; the authors train
with Piotr's Computer Vision Toolbox, whose rules these are).

Axes: F features, N examples, T trees. A tree of depth D has 2^D - 1 places to split, in the order of a heap, and 2^D
leaves.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.part import Count

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.float64]
PURE, DONE = 1e-3, 1e-40  # a node of one kind but for this share is a leaf; a loss this small ends the boosting
FEW = 1000  # examples of a node whose features are counted many at once, which is quicker there and says the same
BLOCK = 2**16  # numbers that are counted at once


@dataclass(frozen=True)
class Boost:
    """How a forest is grown: a stage for each of `stages`, which are numbers of trees; each begins with no tree.

    Its first negatives are `first` regions drawn at random, then `more` of those that the last forest scores above
    `hard`, at most `each` a picture and class; `most` are kept, and new ones take the places of old ones. Positives are
    the objects, and regions that overlap one by `above`; negatives overlap all by less than `below`.
    A split looks at a `share` of the features, drawn anew, and is made in a node that holds `least` of all weight.
    A leaf says half the logarithm of the odds, within `limit`; every tree adds `lift`, so that fewer regions fall below
    `hard`.
    """

    stages: tuple[Count, ...] = (64, 128, 256, 512, 1024, 1536, 2048)
    depth: int = 5
    share: float = 0.25
    least: float = 0.01
    limit: float = 4.0
    first: Count = 30_000
    more: int = 5_000
    most: Count = 50_000
    each: Count = 25
    above: float = 0.8
    below: float = 0.5
    hard: float = -1.0
    lift: float = 0.005
    seed: int = 0


@dataclass(frozen=True)
class Trees:
    """Trees in whole heaps: an example goes left where its byte of `feature` is `at` or less. A place that is not split
    sends all to the left."""

    feature: NDArray[np.int32]  # (T, 2^D - 1)
    at: Bytes  # (T, 2^D - 1)
    leaf: NDArray[np.float32]  # (T, 2^D)


def boost(x: Bytes, start: Numbers, positives: int, trees: int, b: Boost, rng: np.random.Generator,
          tick: Callable[[], object] = lambda: None) -> Trees:
    """`trees` trees for the examples `x` (F, N), the first `positives` of which are positive, on top of what was said
    of them before, `start` (N,). Fewer where nothing is left to learn. `tick` is called after each.

    Each kind weighs a half before exp(-y H), H being all that is said of an example so far.
    """
    y = np.where(np.arange(len(start)) < positives, 1.0, -1.0)
    share = np.where(y > 0, 0.5 / max(positives, 1), 0.5 / max(len(y) - positives, 1))
    said, grown = start.copy(), []
    for _ in range(trees):
        weight = np.exp(-y * said) * share
        loss = weight.sum()
        if loss < DONE:
            break
        tree, more = grow(x, y * weight / loss, b, rng)
        grown.append(tree)
        said += more
        tick()
    empty = 2**b.depth
    return Trees(np.stack([t.feature for t in grown]) if grown else np.zeros((0, empty - 1), np.int32),
                 np.stack([t.at for t in grown]) if grown else np.zeros((0, empty - 1), np.uint8),
                 np.stack([t.leaf for t in grown]) if grown else np.zeros((0, empty), np.float32))


def grow(x: Bytes, mass: Numbers, b: Boost, rng: np.random.Generator) -> tuple[Trees, Numbers]:
    """One tree (arrays without T), and what it says of each example. `mass`: weights, in all 1, with the sign of the
    kind."""
    places = 2**b.depth - 1
    feature, at = np.zeros(places, np.int32), np.full(places, 255, np.uint8)
    leaf, said = np.zeros(places + 1, np.float32), np.zeros(x.shape[1])
    waiting: deque[tuple[int, int, NDArray[np.int64] | None]] = deque([(0, 0, None)])  # place, depth, its examples
    while waiting:
        place, depth, rows = waiting.popleft()
        m = mass if rows is None else mass[rows]
        weight, odds = np.abs(m).sum(), m[m > 0].sum()
        prior = odds / weight if weight > 0 else 0.5
        found = None
        if depth < b.depth and weight >= b.least and PURE <= prior <= 1 - PURE:
            found = _split(x, m, rows, rng.permutation(len(x))[: max(int(len(x) * b.share), 1)])
        if found is None:
            with np.errstate(divide="ignore"):
                h = np.float32(np.clip(0.5 * np.log(prior / (1 - prior) if prior < 1 else np.inf), -b.limit, b.limit))
            for _ in range(b.depth - depth):
                place = 2 * place + 1
            leaf[place - places] = h
            said[slice(None) if rows is None else rows] = h
            continue
        feature[place], at[place], left = found
        rows = np.arange(x.shape[1]) if rows is None else rows
        waiting += [(2 * place + 1, depth + 1, rows[left]), (2 * place + 2, depth + 1, rows[~left])]
    return Trees(feature, at, leaf), said


def _split(x: Bytes, m: Numbers, rows: NDArray[np.int64] | None,
           features: NDArray[np.int64]) -> tuple[int, int, NDArray[np.bool_]] | None:
    """(feature, byte, who goes left) of the stump of least weighted error, either side being the positive one; None
    where it parts nothing.

    The error of a stump is 1/2 |all| - |sum of mass on its left - 1/2 of the whole|, so that one sum of signed weights
    a byte is enough.
    """
    count = len(features)
    sums: Numbers = np.empty((count, 256))
    if len(m) < FEW:
        step = max(BLOCK // max(len(m), 1), 1)
        for k in range(0, count, step):
            some = features[k : k + step]
            places = (x[some] if rows is None else x[some[:, None], rows]).astype(np.intp)
            places += 256 * np.arange(len(some))[:, None]
            sums[k : k + step] = np.bincount(places.ravel(), np.tile(m, len(some)), 256 * len(some)).reshape(-1, 256)
    else:
        weights = torch.from_numpy(m)  # torch counts bytes as they are, in the same order; numpy widens them first
        for k, f in enumerate(features):
            own = x[f] if rows is None else x[f].take(rows)
            sums[k] = torch.bincount(torch.from_numpy(own), weights, 256).numpy()
    gain = np.abs(sums.cumsum(1)[:, :-1] - 0.5 * m.sum())
    k, byte = divmod(int(gain.argmax()), 255)
    left = (x[features[k]] if rows is None else x[features[k]].take(rows)) <= byte
    return (int(features[k]), byte, left) if left.any() and not left.all() else None


class Examples:
    """Regions as bytes, a row a feature: positives to the left of column `middle`, negatives to its right, so that both
    are one piece. Nothing is copied as they come."""

    def __init__(self, features: int, positives: int, most: int) -> None:
        self.x: Bytes = np.empty((features, positives + most), np.uint8)
        self.start = np.zeros(positives + most)
        self.middle, self.most = positives, most
        self.positives = self.negatives = 0
        self.old: list[int] = []

    def positive(self, rows: Bytes, start: Numbers) -> None:
        """Add examples (n, F) as far as there is room."""
        n = min(len(rows), self.middle - self.positives)
        self._put(np.arange(n) + self.middle - self.positives - n, rows[:n], start[:n])
        self.positives += n

    def stage(self, rng: np.random.Generator) -> None:
        """What is held now is old: new negatives take its places, in an order of chance, once there is no room."""
        self.old = rng.permutation(self.negatives).tolist()

    def negative(self, rows: Bytes, start: Numbers) -> None:
        n = min(len(rows), self.most - self.negatives)
        at = [*range(self.negatives, self.negatives + n)]
        while len(at) < len(rows) and self.old:
            at.append(self.old.pop())
        self._put(self.middle + np.array(at, np.int64), rows[: len(at)], start[: len(at)])
        self.negatives += n

    def _put(self, at: NDArray[np.int64], rows: Bytes, start: Numbers) -> None:
        self.x[:, at] = rows.T
        self.start[at] = start

    def held(self) -> tuple[Bytes, Numbers, int]:
        """(bytes (F, N), what is said of them beforehand, how many are positive), positives first; views."""
        part = slice(self.middle - self.positives, self.middle + self.negatives)
        return self.x[:, part], self.start[part], self.positives
