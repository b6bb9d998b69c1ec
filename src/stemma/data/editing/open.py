"""The door to edits: drawn ones (`edits[:SIZE[:COUNT]]`), folders, data sets that are asked about (`asked:DATA`), and
several of these with commas between; which kinds of instruction, and how many of each."""
from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.samples import DataError, Info
from ..records import DataWarning
from . import folders
from .asked import Asked, is_asked
from .drawn import is_drawn, open_drawn
from .hard import Hard
from .pairs import Pair, Pairs, info_of

Tasks = tuple[tuple[str, float], ...]


def each_of(where: Any) -> list[str]:
    """The places that `where` names, with commas between; itself where it is one."""
    parts = [s.strip() for s in where.split(",") if s.strip()] if isinstance(where, str) else []
    try:
        return [where] if len(parts) < 2 or Path(where).exists() else parts
    except (OSError, ValueError):
        return parts


def is_edits(where: Any) -> bool:
    """Whether `where` names edits: drawn ones, a folder of them, a data set to be asked about; several: all do."""
    if len(parts := each_of(where)) > 1:
        return all(map(is_edits, parts))
    if is_drawn(where) or is_asked(where):
        return True
    try:
        return isinstance(where, (str, Path)) and Path(where).is_dir() and bool(folders.format_at(Path(where)))
    except (OSError, ValueError):
        return False


def absolute(where: str | Path) -> str:
    """The same data named from the root of the file system."""
    if len(parts := each_of(where)) > 1:
        return ",".join(map(absolute, parts))
    if is_asked(where):
        place = str(where).partition(":")[2]
        return f"asked:{Path(place).resolve()}" if Path(place).exists() else str(where)
    return str(where) if is_drawn(where) else str(Path(where).resolve())


def open_edits(where: Any, split: str = "train", follow_links: bool = False) -> Pairs:
    """A split of edits: those with a fault are left out, and it is said how many. Raises `DataError`."""
    if isinstance(where, Pairs):
        return where
    if len(parts := each_of(where)) > 1:
        return Joined([open_edits(p, split, follow_links) for p in parts])
    if is_drawn(where):
        return open_drawn(str(where), split)
    if is_asked(where):
        from ..open import open_dataset

        return Asked(open_dataset(str(where).partition(":")[2], split), split)
    if not is_edits(where):
        raise DataError(str(where)[:400], "holds no edits", "name drawn ones (edits:64), a folder as "
                        "InstructPix2Pix (seeds.json) or MagicBrush (edit_turns.json) publish them, or asked:DATA for "
                        "data with masks, maps or keypoints")
    found = folders.open_sound(Path(where), split, follow_links)
    if found.faults:
        masks = sum(f.kind == folders.MASK for f in found.faults)
        said = [f"{n} fault(s) in the split {split}, whose pairs are {used}"
                for n, used in ((len(found.faults) - masks, "left out"), (masks, "used without their masks")) if n]
        warnings.warn(f"{where}: {'; '.join(said)}; `stemma doctor` names them", DataWarning, stacklevel=2)
    if not len(found):
        raise DataError(str(where), f"the split '{split}' holds no pair that can be read", "`stemma doctor` says why")
    return found


def splits(where: Any) -> tuple[str, ...]:
    """The splits that can be opened."""
    if len(parts := each_of(where)) > 1:
        return tuple(s for s in splits(parts[0]) if all(s in splits(p) for p in parts[1:]))
    if is_asked(where):
        from ..open import splits as there

        return there(str(where).partition(":")[2])
    return ("train", "val", "test") if is_drawn(where) else folders.splits_at(Path(where))


@dataclass
class Joined:
    """Several sets of edits as one."""

    parts: Sequence[Pairs]

    @property
    def split(self) -> str:
        return self.parts[0].split

    @property
    def info(self) -> Info:
        kinds = dict.fromkeys(k for p in self.parts for k in p.info.kinds)
        return info_of("+".join(p.info.name for p in self.parts), "edits", tuple(kinds))

    @property
    def fingerprint(self) -> str:
        return "+".join(p.fingerprint for p in self.parts)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def _at(self, i: int) -> tuple[Pairs, int]:
        for p in self.parts:
            if i < len(p):
                return p, i
            i -= len(p)
        raise IndexError(i)

    def kind(self, i: int) -> str:
        p, k = self._at(i)
        return p.kind(k)

    def versions(self, i: int) -> int:
        p, k = self._at(i)
        return p.versions(k)

    def pair(self, i: int, version: int = 0) -> Pair:
        p, k = self._at(i)
        return p.pair(k, version)


@dataclass
class Chosen:
    """Some of the edits of `base`, by index, in an order of their own."""

    base: Pairs
    index: np.ndarray

    @property
    def split(self) -> str:
        return self.base.split

    @property
    def info(self) -> Info:
        return self.base.info

    @property
    def fingerprint(self) -> str:
        return self.base.fingerprint

    def __len__(self) -> int:
        return len(self.index)

    def kind(self, i: int) -> str:
        return self.base.kind(int(self.index[i]))

    def versions(self, i: int) -> int:
        return self.base.versions(int(self.index[i]))

    def pair(self, i: int, version: int = 0) -> Pair:
        return self.base.pair(int(self.index[i]), version)


def told(pairs: Pairs, tasks: Tasks) -> Tasks:
    """`tasks` without those that the data do not hold; all that they hold where none is left, or none was named."""
    there = tuple(t for t in tasks if t[0] in pairs.info.kinds)
    if tasks and not there:
        lacks = ", ".join(k for k, _ in tasks)
        warnings.warn(f"{pairs.info.name} holds instructions of the kind {', '.join(pairs.info.kinds)} and none of "
                      f"{lacks}: all of them are taken", DataWarning, stacklevel=2)
    return there or tuple((k, 1.0) for k in pairs.info.kinds)


def mixed(pairs: Pairs, tasks: Tasks, seed: int = 0) -> Chosen:
    """The edits of the kinds in `tasks`, each as often as its weight says: whole copies, and of what is left a part
    that is drawn once (InstructDiffusion's sample weights). Raises `DataError` where nothing is left."""
    kinds = np.array([pairs.kind(i) for i in range(len(pairs))])
    rng, parts = np.random.default_rng([seed, 17]), []
    for kind, weight in told(pairs, tasks):
        own = np.flatnonzero(kinds == kind)
        rest = rng.permutation(own)[: round((weight % 1) * len(own))]
        parts += [own] * int(weight) + [np.sort(rest)]
    index = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    if not len(index):
        raise DataError(pairs.info.name, "holds no edit of the kinds and weights asked for",
                        "say others with --set tasks=")
    return Chosen(pairs, np.sort(index, kind="stable"))


def spread(pairs: Pairs, limit: int | None) -> Pairs:
    """At most `limit` edits, evenly spread, of each kind as many as its share."""
    if limit is None or len(pairs) <= limit:
        return pairs
    of: dict[str, list[int]] = {}
    for i in range(len(pairs)):
        of.setdefault(pairs.kind(i), []).append(i)
    order = np.array([i for k in of for i in of[k]])
    return Chosen(pairs, np.sort(order[np.arange(limit) * len(order) // limit]))


def counts(pairs: Pairs) -> dict[str, int]:
    """Edits of each kind."""
    return dict(Counter(pairs.kind(i) for i in range(len(pairs))))


def restricted(where: Any, kinds: Sequence[str], split: str) -> Pairs:
    """A split with the edits of some kinds alone; drawn ones are drawn of these kinds."""
    if len(parts := each_of(where)) > 1:
        return Joined([restricted(p, kinds, split) for p in parts])
    if is_drawn(where):
        whole = open_drawn(str(where), split)
        own = [k for k in Hard.known if k in kinds]
        return Hard(whole.size, whole.count, split, kinds=own) if own else whole
    return open_edits(where, split)


__all__ = ["Chosen", "Joined", "Tasks", "absolute", "counts", "each_of", "is_edits", "mixed", "open_edits",
           "restricted", "splits", "spread", "told"]
