"""What a measure would be on other pictures: the same measure under other weights of the pictures,
nothing matched anew.

    w = weights(len(tally), seed)            (R, N): how often each of N pictures is drawn, R times, with replacement
    low, high = interval(tally.at(w), len(tally), itself(tally))
    low, high = interval(child.at(w) - parent.at(w), len(child))      paired: both on the same pictures

A tally is what a measure needs to know of each picture. Weights of all ones give the measure itself, and whole weights
that of a data set which holds each picture so many times (but for the order among equal scores within one picture).

Axes: N pictures, R resamples, C classes, D detections, T IoU thresholds.
"""
from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from ..core import outputs
from ..core.types import StemmaError
from .detection import RECALLS, Bools, Floats, Ints

RESAMPLES = 1000
LEVEL = 0.95
FEWEST = 6  # pictures; with fewer, all of them in favour of one system are nothing unusual by chance: 2 x .5^5 = .06
_AT_ONCE = 2**22  # numbers of a working array


@dataclass(frozen=True)
class Ratios:
    """A measure that is a mean of ratios of sums over pictures: mIoU, PQ, average recall.

    The mean is over the columns whose denominator is not 0: classes, or pairs of a class and a threshold.
    """

    kind: ClassVar[str] = "ratios"
    above: Floats  # (N, K)
    below: Floats  # (N, K)

    def __len__(self) -> int:
        return len(self.above)

    def at(self, weights: NDArray[Any]) -> Floats:
        """The measure under each row of weights, (R, N) -> (R,); NaN where nothing is there to measure."""
        w = weights.astype(np.float64)
        above, below = w @ self.above, w @ self.below
        there = below > 0
        ratio = np.divide(above, below, out=np.zeros_like(above), where=there)
        count = there.sum(1)
        return np.asarray(np.divide(ratio.sum(1), count, out=np.full(len(w), np.nan), where=count > 0))

    def columns(self) -> dict[str, NDArray[Any]]:
        return {"above": self.above, "below": self.below}

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]], pictures: int) -> Ratios:
        above, below = (np.asarray(columns[k], np.float64) for k in ("above", "below"))
        if above.ndim != 2 or above.shape != below.shape or len(above) != pictures:
            raise ValueError(f"sums of shapes {above.shape} and {below.shape} for {pictures} pictures")
        return cls(above, below)


@dataclass(frozen=True)
class Ranked:
    """An average precision: detections class by class, best first, with the picture of each and whether it is right at
    each threshold.

    curve: "101" reads the monotone precision at 101 recalls (COCO), "all" takes the area under it (VOC 2010 on). The
    mean is over thresholds and the classes that have objects.
    """

    kind: ClassVar[str] = "ranked"
    picture: Ints  # (D,)
    stops: Ints  # (C,) where each class ends in D
    hit: Bools  # (T, D)
    ignored: Bools  # (T, D) neither right nor wrong: taken by a crowd
    positives: Ints  # (N, C) objects of each class in each picture
    curve: str = "101"

    def __len__(self) -> int:
        return len(self.positives)

    def at(self, weights: NDArray[Any]) -> Floats:
        """The measure under each row of weights, (R, N) -> (R,); NaN where no object is left."""
        most = max(int(np.diff(self.stops, prepend=0).max(initial=0)), 1)
        step = max(_AT_ONCE // most, 1)
        parts = [self._at(weights[i : i + step]) for i in range(0, len(weights), step)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _at(self, weights: NDArray[Any]) -> Floats:
        w = np.ascontiguousarray(weights.T, np.float64)  # (N, R): what follows runs down the first axis
        total, count = np.zeros(w.shape[1]), np.zeros(w.shape[1])
        positives = self.positives.T.astype(np.float64) @ w  # (C, R)
        begin = 0
        for c, end in enumerate(self.stops):
            there = positives[c] > 0
            count += there
            part = slice(begin, int(end))
            begin = int(end)
            if not there.any() or not self.hit[:, part].any():
                continue
            mine = w[self.picture[part]]
            seen = np.cumsum(mine, 0)
            least = np.where(there, positives[c], 1.0)
            ap = sum(self._ap(mine, seen, self.hit[k, part], self.ignored[k, part], least)
                     for k in range(len(self.hit)))
            total += np.where(there, ap, 0.0) / len(self.hit)
        return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))

    def _ap(self, mine: Floats, seen: Floats, hit: Bools, ignored: Bools, positives: Floats) -> Floats:
        """AP of one class at one threshold, (R,): the monotone precision changes, and recall grows, only where a
        detection is right."""
        at = np.flatnonzero(hit)
        right = np.cumsum(mine[at], 0)
        said = seen[at]
        if ignored.any():
            off = np.flatnonzero(ignored)
            lost = np.concatenate([np.zeros((1, mine.shape[1])), np.cumsum(mine[off], 0)])
            said = said - lost[np.searchsorted(off, at)]
        precision = right / (said + np.spacing(1))
        best = np.maximum.accumulate(precision[::-1], 0)[::-1]
        recall = right / positives
        if self.curve == "101":
            reached = np.searchsorted(RECALLS, recall.ravel(), side="right").reshape(recall.shape) / len(RECALLS)
        else:
            reached = recall
        return np.asarray((np.diff(reached, axis=0, prepend=0.0) * best).sum(0))

    def columns(self) -> dict[str, NDArray[Any]]:
        return {
            "picture": self.picture.astype(np.int32), "stops": self.stops, "hit": np.packbits(self.hit, 1),
            "ignored": np.packbits(self.ignored, 1), "positives": self.positives.astype(np.int32),
            "curve": np.array(self.curve),
        }

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]], pictures: int) -> Ranked:
        picture, stops, positives = (np.asarray(columns[k], np.int64) for k in ("picture", "stops", "positives"))
        n = len(picture)
        hit, ignored = (np.unpackbits(columns[k], axis=1, count=n).astype(bool) for k in ("hit", "ignored"))
        if positives.ndim != 2 or positives.shape != (pictures, len(stops)) or hit.shape != ignored.shape:
            raise ValueError(f"objects of shape {positives.shape} for {pictures} pictures and {len(stops)} classes")
        if (n and not (0 <= picture.min() and picture.max() < pictures) or (np.diff(stops, prepend=0) < 0).any()
            or stops.max(initial=0) > n):
            raise ValueError("detections of pictures or classes that are not there")
        return cls(picture, stops, hit, ignored, positives, str(columns["curve"]))


Tally: TypeAlias = Ratios | Ranked
_KINDS: dict[str, type[Ratios] | type[Ranked]] = {k.kind: k for k in (Ratios, Ranked)}


Group = tuple[Ints, Ints, Floats, Bools, Bools]  # picture, label, scores (D,), hit, ignored (T, D) of a few detections


def ranked(groups: Iterable[Group], positives: Ints, thresholds: int, curve: str = "101") -> Ranked:
    """A `Ranked` of detections picture by picture; of equal scores the earlier one comes first. positives: (N, C)."""
    none = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), *[np.zeros((thresholds, 0), bool)] * 2
    columns = list(zip(none, *groups))
    picture, label, scores = (np.concatenate(v) for v in columns[:3])
    hit, ignored = (np.concatenate(v, 1) for v in columns[3:])
    order = np.lexsort((np.arange(len(scores)), -scores, label))
    stops = np.cumsum(np.bincount(label, minlength=positives.shape[1]))
    return Ranked(picture[order], stops, hit[:, order], ignored[:, order], positives, curve)


# ---------------------------------------------------------------- drawing pictures, and what that says


def seed_of(fingerprint: str) -> int:
    """The seed that belongs to a data set: whoever measures on the same pictures draws the same resamples."""
    return int.from_bytes(hashlib.sha256(fingerprint.encode()).digest()[:8], "big")


def weights(pictures: int, seed: int, count: int = RESAMPLES) -> NDArray[np.uint16]:
    """How often each picture is drawn when `pictures` are drawn from as many with replacement, (count, pictures)."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(0, pictures, pictures), minlength=pictures)
                     for _ in range(count)]).astype(np.uint16)


def itself(tally: Tally) -> float:
    """The measure on the pictures as they are, each once."""
    return float(tally.at(np.ones((1, len(tally))))[0])


def interval(values: Floats, pictures: int, value: float | None = None,
             level: float = LEVEL) -> tuple[float, float] | None:
    """The interval of a measure, or of a difference of two, from its values on resamples of so many pictures.

    Percentiles, those further out that make up for the narrowness of a bootstrap of few pictures ("expanded percentile
    interval", Hesterberg 2015, arXiv 1411.5279): t with N - 1 degrees of freedom in the place of the normal law, and N
    / (N - 1) for the variance. None for fewer than `FEWEST` pictures, or where more than a tenth of the resamples have
    no value.

    value: the measure itself. An average precision of few pictures lies above that of many, since the best precision
    from a recall on is read, and resamples lie above it once more: the interval is moved back by what their mean has
    more than it, the bootstrap's estimate of bias (Efron and Tibshirani 1993, ch. 10), within what resamples reached.
    Of a difference the two biases take each other away.
    """
    known = values[~np.isnan(values)]
    if pictures < FEWEST or len(known) < 0.9 * max(len(values), 1):
        return None
    out = float(ndtr(stdtrit(pictures - 1, (1 - level) / 2) * math.sqrt(pictures / (pictures - 1))))
    bias = 0.0 if value is None or math.isnan(value) else float(known.mean()) - value
    low, high = np.clip(np.quantile(known, [out, 1 - out]) - bias, known.min(), known.max())
    return float(low), float(high)


# ---------------------------------------------------------------- on disk


@dataclass(frozen=True)
class Tallies:
    """What is kept of a measured split: tallies by measure, the pictures they are of, and the data's fingerprint."""

    fingerprint: str
    order: Ints  # (N,) positions in the data set
    by_measure: dict[str, Tally]

    def weights(self, count: int = RESAMPLES) -> NDArray[np.uint16]:
        """The resamples of these pictures: the same for all that were measured on them."""
        return weights(len(self.order), seed_of(self.fingerprint), count)

    def save(self, path: Path) -> None:
        """Write them as an npz file, nothing in it pickled; the file is there whole or not at all."""
        out: dict[str, Any] = {"fingerprint": np.array(self.fingerprint), "order": self.order}
        for name, tally in self.by_measure.items():
            out |= {f"{name}/{tally.kind}/{k}": v for k, v in tally.columns().items()}
        outputs.replace(path, lambda p: np.savez_compressed(p, **out))

    @classmethod
    def read(cls, path: Path) -> Tallies:
        """What `save` wrote. Raises `StemmaError` for a file that is something else,
        `FileNotFoundError` where there is none."""
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {k: file[k] for k in file.files}
            order = np.asarray(found["order"], np.int64)
            parts: dict[tuple[str, str], dict[str, NDArray[Any]]] = {}
            for key, value in found.items():
                if "/" in key:
                    name, kind, column = key.split("/")
                    parts.setdefault((name, kind), {})[column] = value
            tallies: dict[str, Tally] = {name: _KINDS[kind].of(columns, len(order))
                                         for (name, kind), columns in parts.items()}
            return cls(str(found["fingerprint"]), order, tallies)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile) as error:
            raise StemmaError(f"{path} does not hold what was counted on each picture: {error}") from error


def mean_at(tallies: Sequence[Tally], drawn: NDArray[Any]) -> Floats:
    """The mean over several trainings of a measure under each row of weights, (R,)."""
    return np.asarray(np.mean([one.at(drawn) for one in tallies], 0))


__all__ = [
    "FEWEST", "LEVEL", "RESAMPLES", "Ranked", "Ratios", "Tallies", "Tally", "interval", "itself", "mean_at",
    "ranked", "seed_of", "weights",
]
