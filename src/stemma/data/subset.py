"""Some pictures of a data set, as a data set."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.samples import Dataset, Info, Sample, at_least
from ..core.sentence import many


@dataclass
class Subset:
    """Some pictures of a data set, as a data set."""

    base: Dataset
    at: Sequence[int]

    @property
    def info(self) -> Info:
        return self.base.info

    @property
    def fingerprint(self) -> str:
        return f"{self.base.fingerprint}:{len(self.at)}:{sum((k + 1) * i for k, i in enumerate(self.at)) % (1 << 61):x}"

    @property
    def split(self) -> str | None:
        """The split that these pictures are of, where it has a name."""
        return getattr(self.base, "split", None)

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, i: int) -> Sample:
        return self.base[self.at[i]]

    def truth(self, i: int) -> Sample:
        return self.base.truth(self.at[i])

    def over(self, change: Callable[[Dataset], Dataset]) -> Subset:
        """The same pictures of `change(base)`."""
        return subset(change(self.base), self.at)


class _Gathering(Subset):
    """A subset of a data set that hands out many pictures at once, which so does too."""

    @property
    def size(self) -> int:
        return int(self.base.size)  # type: ignore[attr-defined]

    def gather(self, index: np.ndarray, kinds: frozenset[str]) -> Any:
        return self.base.gather(np.asarray(self.at)[index], kinds)  # type: ignore[attr-defined]


def subset(data: Dataset, at: Sequence[int]) -> Subset:
    """The pictures `at` of a data set, as a data set; it keeps the loader's fast path where there is one."""
    return _Gathering(data, at) if hasattr(data, "gather") else Subset(data, at)


def read_at(data: Dataset, white: float | None) -> Dataset:
    """A data set whose pictures of more than 8 bits are read at a scale that is given, such as that of the training's;
    itself where none is."""
    if white is None or data.info.white in (None, white):
        return data
    if hasattr(data, "over"):  # one that stands around others
        return data.over(lambda inner: read_at(inner, white))  # type: ignore[no-any-return]
    return data.with_white(white) if hasattr(data, "with_white") else data


def spread(data: Dataset, limit: int | None) -> Dataset:
    """At most `limit` pictures of a data set, evenly spread. Raises `StemmaError` for a limit below 1."""
    at_least(1, limit=limit)
    if limit is None or limit >= len(data):
        return data
    return subset(data, [i * len(data) // limit for i in range(limit)])


def told(count: int, whole: int | None, split: str | None) -> str:
    """So many pictures of a split in words: "128 of the 4,952 pictures of test", "1 picture"."""
    part = (f"{count:,} of the {whole:,} pictures" if whole and whole != count
            else many(count, "picture"))
    return f"{part} of {split}" if split else part


def told_of(data: Dataset, count: int | None = None) -> str:
    """`told` of a data set that may be a part of a split; count: how many of its pictures could be read."""
    whole = data.base if isinstance(data, Subset) else data
    return told(len(data) if count is None else count, len(whole), getattr(data, "split", None))


__all__ = ["Subset", "read_at", "spread", "subset", "told", "told_of"]
