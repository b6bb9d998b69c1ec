"""Miss rate against false positives an image: how pedestrian detectors are measured."""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .detection import Bools, Floats, Matches, Picture, Record, by_class, matches, mean_of

LEVELS = np.logspace(-2.0, 0.0, 9)  # false positives an image at which miss rates are read
# of people that can be seen in part: least and most height in pixels, least and most share that is seen; CityPersons'
# evaluation (Zhang et al. 2017, arXiv 1702.05693), whose "reasonable" is Caltech's, and the two that Repulsion Loss
# (arXiv 1711.07752) parts that in: occluded by up to a tenth, and by more
SUBSETS: dict[str, tuple[float, float, float, float]] = {
    "reasonable": (50, np.inf, 0.65, np.inf), "small": (50, 75, 0.65, np.inf), "heavy": (50, np.inf, 0.2, 0.65),
    "all": (20, np.inf, 0.2, np.inf), "bare": (50, np.inf, 0.9, np.inf), "partial": (50, np.inf, 0.65, 0.9),
}


@dataclass(frozen=True)
class MissRate:
    """Log-average miss rate by class, 0 best; NaN where a class has no object that counts."""

    names: tuple[str, ...]
    rate: Floats  # (C,)
    miss: Floats  # (C, 9) at `LEVELS` false positives an image

    @property
    def mean(self) -> float:
        """Mean over the classes that have objects."""
        return mean_of(self.rate)

    def per_class(self) -> dict[str, float]:
        return dict(zip(self.names, self.rate.tolist()))


def miss_rate(record: Record, iou: float = 0.5, least: float = 0.0, most: float = np.inf,
              slack: float = 1.25, seen: tuple[float, float] = (0.0, np.inf)) -> MissRate:
    """MR-2: the geometric mean of the miss rates at nine levels from .01 to 1 false positives an image,
    even in the logarithm.

    After Dollar et al. 2012 (PAMI, sec. 3.1) and the code of Caltech's and CityPersons' benchmarks: a detection takes
    the free object that it overlaps most; what lies in an ignore region (a crowd object; the share of the detection
    inside it counts) is neither right nor false, however much of it; at a level the miss rate is that of the last
    threshold whose false positives do not exceed it, and 1 where there is none; a miss rate of 0 counts as 1e-10.

    least, most: heights in pixels of the objects that count, 50 and up for Caltech's "reasonable" ones; others become
    ignore regions. Detections lower than least / `slack` or higher than most * `slack` are left out, so that one of a
    wrong height by a little is not lost.
    seen: least and most share of its box that is seen of an object that counts; where that is not known it is all.

    Two rules of Caltech's code are of its frames alone, and no rules here: people who come within 5 pixels of the edge
    of 640 x 480 do not count there, and boxes are brought to a width of .41 of their height.
    """
    held = record
    if least > 0 or np.isfinite(most) or seen[0] > 0 or np.isfinite(seen[1]):
        held = Record(record.names, record.kinds)
        for one in record:
            held.add(_within(one, least, most, slack, seen))
    return from_matches(matches(held, iou, limit=None), len(record))


def by_subset(record: Record, iou: float = 0.5) -> dict[str, float]:
    """MR-2, mean over the classes, of each of `SUBSETS`; {} where no picture tells what can be seen of its objects."""
    if all(one.visible is None or np.isnan(one.visible).all() for one in record):
        return {}
    return {name: miss_rate(record, iou, low, high, seen=(least, most)).mean
            for name, (low, high, least, most) in SUBSETS.items()}


def from_matches(found: Matches, images: int) -> MissRate:
    """MR-2 of detections that are matched already, without a limit on their number an image."""
    miss = np.full((len(found.names), len(LEVELS)), np.nan)
    each = by_class(found.labels, len(found.names))
    for c in np.flatnonzero(found.positives):
        hit = found.hit[each[c]]
        false = np.concatenate([[-np.inf], np.cumsum(~hit) / images])
        reached = np.concatenate([[0.0], np.cumsum(hit) / found.positives[c]])
        miss[c] = 1.0 - reached[np.searchsorted(false, LEVELS, side="right") - 1]
    return MissRate(found.names, np.exp(np.log(np.maximum(miss, 1e-10)).mean(1)), miss)


def _within(one: Picture, least: float, most: float, slack: float, seen: tuple[float, float]) -> Picture:
    """A picture whose objects of other heights, or of which more or less is seen, are ignore regions, without the
    detections of far other heights."""
    tall, said = one.boxes[:, 3] - one.boxes[:, 1], one.found[:, 3] - one.found[:, 1]
    keep: Bools = (said >= least / slack) & (said <= most * slack)
    share = np.ones(len(tall)) if one.visible is None else np.nan_to_num(one.visible, nan=1.0)
    crowd = one.crowd | (tall < least) | (tall > most) | (share < seen[0]) | (share > seen[1])
    return replace(one.only(slice(None), keep), crowd=crowd)
