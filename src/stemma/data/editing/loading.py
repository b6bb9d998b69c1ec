"""Pairs as batches: both pictures stretched to one square (Lanczos), mirrored together or not at all; never where the
instruction was made for the picture as it lies (`Pair.sided`)."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...core.recipe import Recipe
from ...core.types import DataError
from ..loader import Loader
from ..records import DataWarning
from .pairs import ANSWERS, Pair, Pairs

KEPT = 1 << 30  # bytes of pictures that are held in memory
_FLIP, _VERSION = 6, 7  # streams of random numbers


def stretched(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture, uint8 (H, W, 3), at `size` (height, width)."""
    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.LANCZOS))


def mask_at(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask, bool (H, W), at another size: a pixel of which half is covered."""
    if mask.shape == size:
        return mask
    cover = Image.fromarray(mask.astype(np.uint8) * 255).resize(size[::-1], Image.Resampling.BOX)
    return np.asarray(np.asarray(cover) >= 128)


# the instruction, the second picture in words, the colour of an answer, whether it was made for the picture as it lies
Said = tuple[str, str, tuple[float, ...], bool]


def said_of(pair: Pair) -> Said:
    """What is said of a pair; no caption is "", no colour NaN."""
    colour = pair.colour if pair.kind in ANSWERS else None
    seen = pair.captions[1] if pair.captions else ""
    return pair.instruction, seen, tuple(colour or (float("nan"),) * 3), pair.sided


@dataclass
class At:
    """Edits at one size, both pictures as uint8 [2, 3, S, S]; those that have one version alone are held once they were
    read, where all of them fit into memory."""

    pairs: Pairs
    size: int

    def __post_init__(self) -> None:
        n = len(self.pairs)
        single = all(self.pairs.versions(i) == 1 for i in range(n))
        self.held: np.ndarray | None = None
        if single and n * 6 * self.size**2 <= KEPT:
            self.held = np.zeros((n, 2, 3, self.size, self.size), np.uint8)
        self.there = np.zeros(n, bool)
        self.said: dict[int, Said] = {}

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def info(self) -> Any:
        return self.pairs.info

    @property
    def fingerprint(self) -> str:
        return self.pairs.fingerprint

    def truth(self, i: int) -> Pair:
        """The edit as it is in its file."""
        return self.pairs.pair(i)

    def sized(self, pair: Pair) -> np.ndarray:
        both = (stretched(p, (self.size, self.size)) for p in (pair.before, pair.after))
        return np.stack([p.transpose(2, 0, 1) for p in both])

    def read(self, i: int, version: int = 0) -> tuple[np.ndarray, Said]:
        """(pictures, what is said of them). Raises `DataError`."""
        if self.held is None:
            pair = self.pairs.pair(i, version)
            return self.sized(pair), said_of(pair)
        if not self.there[i]:
            pair = self.pairs.pair(i)
            self.held[i], self.said[i], self.there[i] = self.sized(pair), said_of(pair), True
        return self.held[i], self.said[i]


def readable(at: At, numbers: Iterable[int]) -> dict[int, Pair]:
    """The edits of these numbers but for those that cannot be read, which are told."""
    found = {}
    for i in numbers:
        try:
            found[i] = at.truth(i)
        except (DataError, OSError) as error:
            warnings.warn(f"{error} (it is left out)", DataWarning, stacklevel=3)
    return found


class PairLoader(Loader):
    """Batches of edits; `make` builds one of (before, after, tokens, index, tokens of the second picture's description,
    colours of answers), pictures in 0..1. Order, rank's share,
    threads that read ahead and what is done about a pair that cannot be read are those of `Loader`."""

    def __init__(self, pairs: Pairs, recipe: Recipe, tokens: Callable[[Sequence[str]], Tensor],
                 make: Callable[..., Any], *, batch: int, train: bool = True, seed: int = 0, workers: int = 0,
                 rank: int = 0, world: int = 1) -> None:
        self.at, self.tokens, self.make = At(pairs, recipe.resize.size), tokens, make
        super().__init__(self.at, recipe, train=train, batch=batch, needs=frozenset(),  # type: ignore[arg-type]
                         seed=seed, workers=workers, rank=rank, world=world)

    def fill(self) -> None:
        """Read all that are held, before a clock starts."""
        if self.at.held is not None:
            for i in range(len(self.at)):
                self._found(i, 0)

    def _found(self, i: int, version: int) -> tuple[int, tuple[np.ndarray, Said]] | None:
        """Edit `i`, or in training the next that can be read."""
        n = len(self.at)
        for j in ((i + step) % n for step in range(n if self.train else 1)):
            if j not in self.broken:
                try:
                    return j, self.at.read(j, version)
                except (DataError, OSError) as error:
                    self._mark(j, error)
        if self.train:
            raise DataError(self.at.info.name, f"none of {n} pairs can be read", f"the last one: {self.broken[i]}")
        return None

    def load(self, epoch: int, k: int) -> Any:
        """The `k`-th batch of an epoch, this rank's slice; None where nothing of it could be read."""
        share = self.batch // self.world
        first = k * self.batch + self.rank * share
        order = self.order(epoch)
        places = range(first, min(first + share, len(order), (k + 1) * self.batch))
        found = []
        for place, i in zip(places, order[places.start : places.stop].tolist()):
            versions = self.at.pairs.versions(i)
            v = (int(np.random.default_rng([self.seed, _VERSION, epoch, place]).integers(versions))
                 if versions > 1 else 0)
            if (got := self._found(i, v)) is not None:
                found.append((place, *got))
        if not found:
            return None
        both = torch.from_numpy(np.stack([f[2][0] for f in found])).float() / 255
        told, seen, colours, sided = zip(*(f[2][1] for f in found))
        if self.train and self.recipe.augment.flip:
            turn = np.array([np.random.default_rng([self.seed, _FLIP, epoch, f[0]]).random() for f in found])
            flip = torch.from_numpy((turn < self.recipe.augment.flip) & ~np.array(sided)).view(-1, 1, 1, 1, 1)
            both = torch.where(flip, both.flip(-1), both)
        return self.make(both[:, 0].contiguous(), both[:, 1].contiguous(), self.tokens(told),
                         torch.tensor([f[1] for f in found]), self.tokens(seen), torch.tensor(colours))


__all__ = ["At", "PairLoader", "mask_at", "readable", "stretched"]
