"""What training pictures show before anything is trained: whether things in them have an upright, and how large they
are.

An upright, in three questions, asked of the top and the bottom of pictures and, for control, of their left and right:

1. Do things lie elsewhere at the top than at the bottom? What stands on a ground does; cells on a slide do not. Read
   from boxes or class maps, which no lamp and no lens can change.
2. If not, is the light of the pictures another at the top than at the bottom, and alike at the left and the right?
   Photographs taken by hand are mirror images of photographs taken by hand, so that only the first holds of them. The
   lamp of a microscope and the fall of a lens differ sideways as well as up and down.
3. If neither, and there are pictures enough to tell: there is no upright.

Each is measured as a share: of all the difference between a map and its mirror image, how much is the same in all
pictures. With d_i the difference of picture i, that is |E d|^2 / E |d|^2, freed of what n pictures have in common by
chance; how sure it is, in deviations of what chance gives: under chance each d_i has either sign.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..core.samples import IGNORE, DataError, Dataset, Sample
from ..core.sentence import many

PICTURES = 200  # of these the truth is read, evenly spread
SEEN = 100  # and so many are looked at where the truth does not tell
FEW = 60  # from fewer pictures nothing can be told by silence
GRID = 4  # cells a side of the maps that are compared
PLACES, LIGHT = 0.05, 0.03  # least shares; in places: blood cells .01, nuclei .00, people and animals .17, streets .72
SURE = 4.0  # deviations from chance
SIDEWAYS = (3.0, 10.0)  # how many times larger the share must be than that of left and right: of places, and of light
TENTH = 0.1


@dataclass(frozen=True)
class Share:
    """How much of the difference between two halves is the same in all pictures, up and down and sideways."""

    up: float
    side: float
    sure: float  # of `up`, in deviations from chance

    def __str__(self) -> str:
        return f"common share {self.up:z.2f}, sideways {self.side:z.2f}"

    @property
    def least(self) -> float:
        """`up`, less two deviations."""
        return self.up * (1 - 2 / self.sure) if self.sure > 0 else min(self.up, 0.0)

    def clear(self, least: float, sideways: float) -> bool:
        return self.least >= least and self.sure >= SURE and self.up >= sideways * self.side


@dataclass(frozen=True)
class Look:
    """What was seen. `upright` is None where there are too few pictures to tell; `why` says it in a sentence."""

    pictures: int
    short: int  # the median of their short sides, pixels
    upright: bool | None
    why: str
    places: Share | None = None
    light: Share | None = None
    # the side of an object (the root of its box's area) as a share of its picture's short side, below which a tenth of
    # the objects lie, where each class weighs as much as another; None where there are no boxes
    tenth: float | None = None


def look(data: Dataset) -> Look:
    """Look at a training split. Drawn scenes are known to have no upright, and nothing is read of them."""
    at = _spread(len(data), PICTURES)
    if data.info.format == "scenes":
        short = data.truth(0).size[0] if len(data) else 0
        return Look(len(data), short, False, "the scenes are drawn, and may be turned")
    truths = [data.truth(i) for i in at]
    short = int(np.median([min(s.size) for s in truths])) if truths else 0
    tenth = smallest_tenth(truths)
    maps = places(truths)
    lie = None if maps is None else share(maps)
    if lie is not None and lie.clear(PLACES, SIDEWAYS[0]):
        return Look(len(data), short, True, f"where things lie tells top from bottom ({lie})", lie, None, tenth)
    seen = light(data, _spread(len(data), SEEN) if len(at) > 1 else [])
    lit = share(seen) if len(seen) > 1 else None
    if lit is not None and lit.clear(LIGHT, SIDEWAYS[1]):
        return Look(len(data), short, True, f"the light tells top from bottom ({lit})", lie, lit, tenth)
    if len(data) < FEW:
        few = many(len(data), "picture is", "pictures are")
        return Look(len(data), short, None, f"{few} too few to tell", lie, lit, tenth)
    what = "neither where things lie nor the light" if lie is not None else "nothing in the light"
    return Look(len(data), short, False, f"{what} tells top from bottom ({lie or lit})", lie, lit, tenth)


def _spread(count: int, most: int) -> list[int]:
    return [i * count // min(count, most) for i in range(min(count, most))]


# ---------------------------------------------------------------- the statistic


def share(maps: np.ndarray) -> Share:
    """Of maps (n, kinds, H, W): the larger of two shares, that of the kinds together and that of the last alone, which
    is "anything" where there are several."""
    both = [maps] if maps.shape[1] == 1 else [maps[:, :-1], maps[:, -1:]]
    found = [Share(common(m - m[..., ::-1, :]), common(m - m[..., ::-1]), surely(m - m[..., ::-1, :])) for m in both]
    return max(found, key=lambda s: (s.clear(PLACES, SIDEWAYS[0]), s.up))


def common(d: np.ndarray) -> float:
    """|E d|^2 / E |d|^2 of differences (n, ...), without bias. 0 for fewer than two, or none that differs."""
    d = d.reshape(len(d), -1).astype(np.float64)
    n, whole = len(d), float((d**2).sum(1).mean()) if len(d) else 0.0
    if n < 2 or whole <= 0:
        return 0.0
    mean = float((d.mean(0) ** 2).sum())
    return (mean - (whole - mean) / (n - 1)) / whole


def surely(d: np.ndarray) -> float:
    """How far |sum d|^2 lies above what it is when every d has either sign by chance, in deviations of that."""
    d = d.reshape(len(d), -1).astype(np.float64)
    gram = d @ d.T
    np.fill_diagonal(gram, 0.0)
    spread = float(np.sqrt(2 * (gram**2).sum()))
    return float(gram.sum()) / spread if spread > 0 else 0.0


# ---------------------------------------------------------------- what is compared


def places(truths: Sequence[Sample]) -> np.ndarray | None:
    """float32 (n, C + 1, GRID, GRID): how far objects or pixels of a class fill a cell, and last anything at all; of
    the classes that occur. None where truth says no places."""
    maps = [s.semantic for s in truths if s.semantic is not None]
    boxed = any(len(s.boxes) for s in truths)
    if not boxed and not maps:
        return None
    if boxed:
        classes = np.unique(np.concatenate([s.labels[~s.crowd] for s in truths]))
        filled = [_filled(s, classes) for s in truths]
    else:
        classes = np.unique(np.concatenate([np.unique(m) for m in maps]))
        classes = classes[classes != IGNORE]
        filled = [np.array([_cells((m == c).astype(np.float32)) for c in classes]) for m in maps]
    if not len(classes):
        return None
    found = np.stack(filled)
    return np.concatenate([found, found.sum(1, keepdims=True).clip(0, 1)], 1)


def _filled(s: Sample, classes: np.ndarray) -> np.ndarray:
    out = np.zeros((len(classes), GRID, GRID), np.float32)
    edges = np.arange(GRID + 1) / GRID
    for box, label in zip(s.boxes[~s.crowd], s.labels[~s.crowd]):
        x1, y1, x2, y2 = box / np.array([s.size[1], s.size[0]] * 2)
        x, y = ((np.minimum(b, edges[1:]) - np.maximum(a, edges[:-1])).clip(0) * GRID for a, b in ((x1, x2), (y1, y2)))
        k = int(np.searchsorted(classes, label))
        out[k] = np.maximum(out[k], y[:, None] * x[None])
    return out


def _cells(m: np.ndarray) -> np.ndarray:
    """The means of a map (H, W) over GRID x GRID parts."""
    rows, columns = (np.linspace(0, n, GRID + 1).astype(int) for n in m.shape)
    if min(m.shape) < GRID:
        return np.full((GRID, GRID), m.mean(), np.float32)
    sums = np.add.reduceat(np.add.reduceat(m, rows[:-1], 0), columns[:-1], 1)
    return np.asarray(sums / (np.diff(rows)[:, None] * np.diff(columns)[None]), np.float32)


def light(data: Dataset, at: Sequence[int]) -> np.ndarray:
    """float32 (n, 1, GRID, GRID): the brightness of the parts of pictures, from each one's mean, in its deviations.
    What cannot be read is passed over, for training to tell; empty where nothing can."""
    found = []
    for i in at:
        try:
            image = data[i].image
        except (DataError, OSError):
            continue
        assert image is not None
        small = Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR)  # the doctor has no torch
        grey = np.asarray(small, np.float32).mean(-1)
        found.append(_cells((grey - grey.mean()) / (grey.std() + 5))[None])
    return np.array(found, np.float32)


def smallest_tenth(truths: Sequence[Sample]) -> float | None:
    """The side below which a tenth of the objects lie (`Look.tenth`): each class has the same weight, as in a mean
    AP."""
    sides, labels = [], []
    for s in truths:
        wide, high = (s.boxes[:, 2] - s.boxes[:, 0]), (s.boxes[:, 3] - s.boxes[:, 1])
        real = ~s.crowd & (wide > 0) & (high > 0)
        sides.append(np.sqrt(wide * high)[real] / min(s.size))
        labels.append(s.labels[real])
    side, label = np.concatenate([np.zeros(0), *sides]), np.concatenate([np.zeros(0, np.int64), *labels])
    if not len(side):
        return None
    _, where, counts = np.unique(label, return_inverse=True, return_counts=True)
    order = np.argsort(side)
    weight = (1 / counts[where])[order].cumsum()
    return float(side[order][np.searchsorted(weight, TENTH * weight[-1])])


__all__ = ["Look", "Share", "common", "light", "look", "places", "share", "smallest_tenth", "surely"]
