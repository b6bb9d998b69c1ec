"""The door to edits: drawn ones (`edits[:SIZE[:COUNT]]`), folders, data sets that are asked about (`asked:DATA`), and
several of these with commas between; which kinds of instruction, and how many of each."""
from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...core.samples import DataError, Info
from ...core.sentence import many
from ..files import SPLITS
from ..finding import each_of
from ..records import DataWarning
from . import folders, published
from .asked import Asked, is_asked
from .drawn import is_drawn, open_drawn
from .hard import Hard
from .pairs import Pair, Pairs, info_of
from .photos import Photos, are_photos
from .restored import Restored, is_restored
from .sessions import ends_of

Tasks = tuple[tuple[str, float], ...]


_WEIGHED = re.compile(r"(\d+\.?\d*|\.\d+)\*(.+)", re.S)


def weighed(where: Any) -> tuple[float, Any]:
    """`2*PLACE` as (2.0, PLACE); how often the edits of a place are taken. Raises `DataError` for a weight of 0."""
    found = _WEIGHED.fullmatch(where) if isinstance(where, str) else None
    if found is None or Path(where).exists():
        return 1.0, where
    if not float(found[1]) > 0:
        raise DataError(where, "is taken 0 times", "leave it out, or give it a weight")
    return float(found[1]), found[2]


def is_edits(where: Any) -> bool:
    """Whether `where` names edits: drawn ones, a folder of them, a data set to be asked about; several: all do."""
    if len(parts := each_of(where)) > 1:
        return all(map(is_edits, parts))
    _, where = weighed(where)
    if is_drawn(where) or is_made(where):
        return True
    try:
        return isinstance(where, (str, Path)) and Path(where).is_dir() and bool(published.format_at(Path(where)))
    except (OSError, ValueError):
        return False


def is_made(where: Any) -> bool:
    """Whether `where` asks for edits that are made of other data."""
    return is_asked(where) or is_restored(where)


def is_asked_about(where: Any) -> bool:
    """Whether one place holds what no plain editor learns: answers to be read out of pictures, or pictures to mend."""
    return is_made(where) or (not is_drawn(where) and published.format_at(Path(where)) in ("refcoco", "restoration"))


def absolute(where: str | Path) -> str:
    """The same data named from the root of the file system."""
    if len(parts := each_of(where)) > 1:
        return ",".join(map(absolute, parts))
    if (weight := weighed(where))[1] is not where:
        return f"{weight[0]:g}*{absolute(weight[1])}"
    if is_made(where):
        how, _, place = str(where).partition(":")
        return f"{how}:{Path(place).resolve()}" if Path(place).exists() else str(where)
    return str(where) if is_drawn(where) else str(Path(where).resolve())


def open_edits(where: Any, split: str = "train", follow_links: bool = False) -> Pairs:
    """A split of edits: those with a fault are left out, and it is said how many. Raises `DataError`."""
    if isinstance(where, Pairs):
        return where
    if len(parts := each_of(where)) > 1:
        return Joined([open_edits(p, split, follow_links) for p in parts])
    if (weight := weighed(where))[1] is not where:
        return taken(open_edits(weight[1], split, follow_links), weight[0], split)
    if is_drawn(where):
        return open_drawn(str(where), split)
    if is_made(where):
        from ..open import open_dataset

        place = str(where).partition(":")[2]
        if is_restored(where) and are_photos(place):
            return Restored(Photos(place, split, follow_links), split)
        data = open_dataset(place, split)
        return Asked(data, split) if is_asked(where) else Restored(data, split)
    if not is_edits(where):
        if "/" in str(where) and not os.path.exists(where):
            raise DataError(str(where)[:400], "there is no such file or folder",
                            "check the path; drawn edits need none (edits:64)")
        near = (published.unlike(Path(str(where))) if os.path.exists(where)
                else "no file or folder here is called so")
        why = "holds no edits" + (f": {near}" if near else "")
        raise DataError(str(where)[:400], why, "name drawn ones (edits:64); a folder as InstructPix2Pix "
                        "(seeds.json), MagicBrush (edit_turns.json), gRefCOCO (grefs(unc).json and instances.json), "
                        "GQA-Inpaint (train_scenes.json), GoPro, REDS, SIDD or CLWD publish them; a list of your own "
                        "(edits.csv, edits.json or edits.jsonl with before, after, instruction); folders input and "
                        "output with prompts.txt, or a text a picture, beside them, or pictures NAME_before and "
                        "NAME_after with the same; asked:DATA for data with masks, maps or keypoints; or "
                        "restored:DATA to blur and mend pictures of any data or folder")
    found = published.open_sound(Path(where), split, follow_links)
    if found.note:
        warnings.warn(f"{where}: {found.note}", DataWarning, stacklevel=2)
    if found.faults:
        masks = sum(f.kind == folders.MASK for f in found.faults)
        said = [f"{many(n, 'fault')} in the split {split}, whose pairs are {used}"
                for n, used in ((len(found.faults) - masks, "left out"), (masks, "used without their masks")) if n]
        warnings.warn(f"{where}: {'; '.join(said)}; `stemma doctor` names them", DataWarning, stacklevel=2)
    if not len(found):
        raise DataError(str(where), f"the split '{split}' holds no pair that can be read", "`stemma doctor` says why")
    return found


def splits(where: Any) -> tuple[str, ...]:
    """The splits that can be opened."""
    if len(parts := each_of(where)) > 1:
        return tuple(s for s in splits(parts[0]) if all(s in splits(p) for p in parts[1:]))
    _, where = weighed(where)
    if is_made(where):
        from ..open import splits as there

        place = str(where).partition(":")[2]
        return tuple(SPLITS) if is_restored(where) and are_photos(place) else there(place)
    return ("train", "val", "test") if is_drawn(where) else published.splits_at(Path(where))


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

    def ends(self, i: int) -> tuple[str, str] | None:
        return ends_of(*self._at(i))

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
    """Some of the edits of `base`, in an order of their own. pools: by place, the edits that share it, of which every
    visit takes one by its version; elsewhere that of `index` stands alone."""

    base: Pairs
    index: np.ndarray
    pools: Mapping[int, np.ndarray] = field(default_factory=dict)

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

    def _pool(self, i: int) -> np.ndarray:
        return self.pools.get(i, self.index[i : i + 1])

    def ends(self, i: int) -> tuple[str, str] | None:
        return ends_of(self.base, int(self.index[i])) if len(self._pool(i)) == 1 else None

    def kind(self, i: int) -> str:
        return self.base.kind(int(self.index[i]))

    def versions(self, i: int) -> int:
        pool = self._pool(i)
        return len(pool) * max(self.base.versions(int(k)) for k in pool)

    def pair(self, i: int, version: int = 0) -> Pair:
        pool = self._pool(i)
        k = int(pool[version % len(pool)])
        return self.base.pair(k, version // len(pool) % self.base.versions(k))


def _weighted(pairs: Pairs, parts: Sequence[tuple[np.ndarray, float]], rng: np.random.Generator) -> Chosen:
    """Edits, each part of them as often as its weight says: whole copies, and for what is left of it places of which
    each stands for its share of them."""
    index: list[np.ndarray] = [np.zeros(0, np.int64)]
    pools: list[np.ndarray | None] = []
    for own, weight in parts:
        rest = round((weight % 1) * len(own))
        shares = np.array_split(rng.permutation(own), rest) if rest else []
        index += [own] * int(weight) + [p[:1] for p in shares]
        pools += [*[None] * (int(weight) * len(own)), *shares]
    places = np.concatenate(index)
    order = np.argsort(places, kind="stable")
    return Chosen(pairs, places[order], {k: p for k, i in enumerate(order.tolist()) if (p := pools[i]) is not None})


def taken(pairs: Pairs, weight: float, split: str) -> Pairs:
    """Edits to learn from as often as a weight says; those to be measured on are taken once."""
    if split != "train" or weight == 1:
        return pairs
    some = _weighted(pairs, [(np.arange(len(pairs)), weight)], np.random.default_rng(17))
    if not len(some):
        raise DataError(pairs.info.name, f"holds {len(pairs)} edits, of which a weight of {weight:g} leaves none",
                        "give it more")
    return some


def told(pairs: Pairs, tasks: Tasks) -> Tasks:
    """`tasks` without those that the data do not hold; all that they hold where none is left, or none was named."""
    there = tuple(t for t in tasks if t[0] in pairs.info.kinds)
    if tasks and not there:
        lacks = ", ".join(k for k, _ in tasks)
        warnings.warn(f"{pairs.info.name} holds instructions of the kind {', '.join(pairs.info.kinds)} and none of "
                      f"{lacks}: all of them are taken", DataWarning, stacklevel=2)
    return there or tuple((k, 1.0) for k in pairs.info.kinds)


def mixed(pairs: Pairs, tasks: Tasks, seed: int = 0) -> Chosen:
    """The edits of the kinds in `tasks`, each as often as its weight says: whole copies, and for what is left of it
    places that take another edit at each visit (InstructDiffusion's sample weights). Raises `DataError` where nothing
    is left."""
    kinds = np.array([pairs.kind(i) for i in range(len(pairs))])
    some = _weighted(pairs, [(np.flatnonzero(kinds == kind), weight) for kind, weight in told(pairs, tasks)],
                     np.random.default_rng([seed, 17]))
    if not len(some):
        raise DataError(pairs.info.name, "holds no edit of the kinds and weights asked for",
                        "say others with --set tasks=")
    return some


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
    if (weight := weighed(where))[1] is not where:
        return taken(restricted(weight[1], kinds, split), weight[0], split)
    if is_drawn(where):
        whole = open_drawn(str(where), split)
        own = [k for k in Hard.known if k in kinds]
        return Hard(whole.size, whole.count, split, kinds=own) if own else whole
    return open_edits(where, split)


__all__ = ["Chosen", "Joined", "Tasks", "absolute", "counts", "is_asked_about", "is_edits", "is_made",
           "mixed", "open_edits", "restricted", "splits", "spread", "taken", "told", "weighed"]
