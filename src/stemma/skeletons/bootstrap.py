"""A forest grown in stages, each of which adds the negatives that the last one took for objects (RPN+BF sec. 3.2).

Axes: B images, P candidates, N regions, C classes, F features of a region.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ..core.types import Batch, Detections
from ..ops import boxes as bx
from ..parts.dense.assign import crowded
from ..parts.regions.boost import Boost, Examples, boost
from ..parts.regions.forest import Forest
from .fitting import overlap_by_class

Pictures = Callable[[], Iterator[Batch]]


class Bootstraps(Protocol):
    """What is fitted: a net that has candidates and features of them, and its forest."""

    classes: int
    spec: Any
    forest: Forest | None

    def __call__(self, images: Tensor) -> Any: ...
    def candidates(self, raw: Any, sizes: Tensor, training: bool) -> Detections: ...
    def features(self, raw: Any, boxes: Tensor) -> Tensor: ...
    def before(self, scores: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Regions:
    """Regions of one picture; for each class what was said of them before, and what they are to its forest: 1 one of
    the class, 0 none, -1 not asked."""

    boxes: Float[Tensor, "N 4"]
    before: Float[Tensor, "N C"]
    state: Int[Tensor, "N C"]


@torch.no_grad()
def bootstrap(model: Bootstraps, pictures: Pictures, say: Callable[[str], None]) -> None:
    """A pass over the pictures for the ranges of the features, then one for each stage, as far as it finds what it asks
    for. A class without examples of both kinds keeps the proposal's score."""
    b: Boost = model.spec.boost
    forest = model.forest
    assert forest is not None
    # time is counted, and a wish to stop heard
    tick: Callable[[str, float], object] = getattr(pictures, "tick", lambda kind, amount: None)
    found, seen = _ranges(model, pictures, b)
    most = min(b.most, b.each * seen * len(b.stages))
    held = [Examples(len(forest.low), n, most if n else 0) for n in found]
    for k, trees in enumerate(b.stages):
        rng, wanted = np.random.default_rng([b.seed, k]), b.more if k else b.first
        new = _mine(model, pictures, held, k, wanted, rng)
        asked = [c for c, e in enumerate(held) if e.positives]
        if short := [c for c in asked if new[c] < wanted]:
            say(f"stage {k + 1}: {sum(new[c] for c in short):,} negatives were found where {wanted * len(short):,} are "
                "asked for; it goes on with what it holds")
        for c in asked:
            x, start, positives = held[c].held()
            if positives < len(start):
                heard = partial(tick, "trees", x.size / 1e9)
                forest.plant(c, boost(x, start, positives, trees, b, rng, heard), b.lift)
        say(f"stage {k + 1} of {len(b.stages)}: {sum(e.positives for e in held):,} positives, "
            f"{sum(e.negatives for e in held):,} negatives, {int(forest.grown.max()):,} trees")


def _ranges(model: Bootstraps, pictures: Pictures, b: Boost) -> tuple[list[int], int]:
    """Set the ranges of the features by all positives and a draw of the rest; (positives of each class, pictures)."""
    forest, rng = model.forest, np.random.default_rng(b.seed)
    assert forest is not None
    low = torch.full_like(forest.low, torch.inf)
    high, count, seen = -low, np.zeros(model.classes, np.int64), 0
    for batch in pictures():
        for level, r in _looked(model, batch, b):
            seen += 1
            own = r.state == 1
            count += own.sum(0).cpu().numpy()
            at = torch.cat([own.any(1).nonzero()[:, 0], _some((~own.any(1)).nonzero()[:, 0], b.each, rng)])
            if len(at):
                x = model.features(level, r.boxes[at][None])[0]
                low, high = torch.minimum(low, x.amin(0)), torch.maximum(high, x.amax(0))
    never = low > high
    forest.measure(low.masked_fill(never, 0.0), high.masked_fill(never, 0.0))
    return count.tolist(), seen


def _mine(model: Bootstraps, pictures: Pictures, held: list[Examples], stage: int, wanted: int,
          rng: np.random.Generator) -> list[int]:
    """Add the examples of a stage, the positives at the first; how many negatives of each class are new."""
    b: Boost = model.spec.boost
    forest, new = model.forest, [0] * len(held)
    assert forest is not None
    for e in held:
        e.stage(rng)
    for batch in pictures():
        for level, r in _looked(model, batch, b):
            own, rest = (r.state == 1) & (stage == 0), r.state == 0
            for c, e in enumerate(held):
                left = max(min(b.each, wanted - new[c]), 0) if e.middle else 0
                if left <= 0 or not stage:
                    some = _some(rest[:, c].nonzero()[:, 0], left, rng)
                    rest[:, c] = False
                    rest[some, c] = True
            at = (own | rest).any(1).nonzero()[:, 0]
            if not len(at):
                continue
            x, before = forest.bytes(model.features(level, r.boxes[at][None])[0]), r.before[at]
            hard = rest[at] & (before + forest(x) > b.hard) if stage else rest[at]
            for c, e in enumerate(held):
                e.positive(*_rows(x, before[:, c], own[at, c].nonzero()[:, 0]))
                few = _some(hard[:, c].nonzero()[:, 0], max(min(b.each, wanted - new[c]), 0), rng)
                e.negative(*_rows(x, before[:, c], few))
                new[c] += len(few)
        if stage and all(n >= wanted for n, e in zip(new, held) if e.middle):
            break
    return new


def _rows(x: Tensor, before: Tensor, at: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return x[at].to(torch.uint8).cpu().numpy(), before[at].double().cpu().numpy()


def _some(at: Int[Tensor, " N"], most: int, rng: np.random.Generator) -> Int[Tensor, " M"]:
    """At most so many of these places, drawn; in their order."""
    return at if len(at) <= most else at[torch.from_numpy(np.sort(rng.permutation(len(at))[:most])).to(at.device)]


def _looked(model: Bootstraps, batch: Batch, b: Boost) -> Iterator[tuple[Any, Regions]]:
    """Each picture with its own level, and its regions: the objects, and the candidates.

    An object has the scores of the candidate that overlaps it most. One lower than candidates may be is none, and what
    lies in it or in a crowd is not asked.
    """
    t, raw = batch.targets, model(batch.images)
    d = model.candidates(raw, batch.sizes, True)
    assert d.distribution is not None
    low = (t.boxes[..., 3] - t.boxes[..., 1] < model.spec.height) & (t.labels >= 0)
    t = replace(t, crowd=low if t.crowd is None else t.crowd | low)
    aside = crowded(d.boxes, t)
    for i in range(len(d.labels)):
        real, mine = d.labels[i] >= 0, t.valid[i]
        boxes, before = d.boxes[i][real], model.before(d.distribution[i][real])
        objects, kind = t.boxes[i][mine], t.labels[i][mine]
        iou = bx.iou(boxes[None], objects[None])[0]
        over = overlap_by_class(iou, kind, model.classes)
        state = (over >= b.above).long() - ((over >= b.below) & (over < b.above)).long()
        state = torch.where((state == 0) & aside[i][real][:, None], -1, state)
        own = before[iou.argmax(0)] if len(boxes) else before.new_zeros(len(objects), model.classes)
        yield replace(raw, levels=[x[i : i + 1] for x in raw.levels], rpn=None), Regions(
            torch.cat([objects, boxes]), torch.cat([own, before]),
            torch.cat([F.one_hot(kind, model.classes), state]))
