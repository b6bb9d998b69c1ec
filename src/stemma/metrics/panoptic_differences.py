"""The rules in which programs that measure panoptic quality differ, each on the same segments (docs/differences.md)."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .panoptic import Bools, Ints, PanopticMetric, Shared, count, quality

Numbers = dict[str, float]
NAMES = tuple(n + part for part in ("", "_things", "_stuff") for n in ("PQ", "SQ", "RQ"))


@dataclass(frozen=True)
class Rule:
    """One way to measure: what is done to the pixels that true and predicted segments share, picture by picture.
    `who` measures so; `all_classes`: one that appears nowhere counts as 0."""

    name: str
    who: str
    change: Callable[[Shared, Bools], Shared] = lambda s, things: s
    all_classes: bool = False

    def numbers(self, measured: PanopticMetric) -> Numbers:
        """PQ, SQ and RQ, of things and of stuff too."""
        things = np.asarray(measured.classes.things, bool)
        sums = np.zeros((4, len(things)))
        for one in measured.shared:
            sums += np.array(count(self.change(one, things), len(things)))
        return quality(sums[0], sums[1], sums[2], sums[3], things, whole=self.all_classes)


def _alike(s: Shared, things: Bools) -> Shared:
    return replace(s, crowd=np.zeros_like(s.crowd))


def _gone(s: Shared, things: Bools) -> Shared:
    """Crowds become void."""
    keep = ~s.crowd
    pixels = s.pixels[np.concatenate([[True], keep])].copy()
    pixels[0] += s.pixels[1:][s.crowd].sum(0)
    return replace(s, pixels=pixels, true=s.true[keep], crowd=s.crowd[keep])


def _last(s: Shared, things: Bools) -> Shared:
    """Of the crowds of a class the last one alone is known as a place of that class."""
    true = s.true.copy()
    for k in np.flatnonzero(s.crowd):
        if (s.crowd[k + 1 :] & (s.true[k + 1 :] == s.true[k])).any():
            true[k] = -1
    return replace(s, true=true)


def _void_counts(s: Shared, things: Bools) -> Shared:
    """Pixels of which the truth says nothing are those of a segment of no class."""
    pixels = np.concatenate([np.zeros_like(s.pixels[:1]), s.pixels[1:], s.pixels[:1]])
    return replace(s, pixels=pixels, true=np.append(s.true, -1), crowd=np.append(s.crowd, True))


def _unsaid(s: Shared, things: Bools) -> Shared:
    """Pixels of which the prediction says nothing are nowhere, and a segment that has most of its there is not
    missed."""
    pixels = s.pixels.copy()
    spared = 2 * pixels[1:, 0] > pixels[1:].sum(1)
    pixels[:, 0] = 0
    return replace(s, pixels=pixels, spared=spared)


def _one_stuff(s: Shared, things: Bools) -> Shared:
    """Segments of one class of stuff are one."""
    def merged(labels: Ints) -> Ints:
        own = np.arange(len(labels))
        stuff = (labels >= 0) & ~things[labels]
        first = {int(c): int(k) for k, c in reversed(list(enumerate(labels))) if stuff[k]}
        return np.array([first[int(c)] if m else k for k, c, m in zip(own, labels, stuff)], np.int64)

    rows, columns = (np.concatenate([[0], merged(c) + 1]) for c in (s.true, s.found))
    pixels = np.zeros_like(s.pixels)
    np.add.at(pixels, (rows[:, None], columns[None]), s.pixels)
    return replace(s, pixels=pixels)


def _torchmetrics(s: Shared, things: Bools) -> Shared:
    return _unsaid(_one_stuff(_alike(s, things), things), things)


RULES = (
    Rule("the paper's rules, as here", "Kirillov et al. 2018, 4.3"),
    Rule("of a class the last crowd alone is left out", "panopticapi-lite 0.2.0, hotcoco 1.3.0", _last),
    Rule("crowds are segments like others", "programs that do not read `iscrowd`", _alike),
    Rule("crowds are void", "files from which they were taken", _gone),
    Rule("no crowds, one segment for a class of stuff, and what the prediction leaves void is not there",
         "torchmetrics 1.9.0", _torchmetrics),
    Rule("what the prediction leaves void is not there", "programs that know void in truth and prediction", _unsaid),
    Rule("what the truth leaves void counts as false", "programs that know no void", _void_counts),
    Rule("one segment for a class of stuff in a picture", "truth or prediction without ids of stuff", _one_stuff),
    Rule("a class that appears nowhere counts as 0", "means over all classes of a list", all_classes=True),
)

__all__ = ["NAMES", "RULES", "Rule"]
