"""The rule of one look inside regions: which are trained on, what they cost, what they say.

Axes: B images, N objects, P candidates, R regions, C classes, K logits, G sets of deltas.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..core.part import Count, Part, part
from ..core.types import Losses, StemmaError, Targets
from ..ops import boxes as bx
from ..ops.scalars import normaliser
from ..parts.dense.assign import Assign, ByIoU, Candidates
from ..parts.dense.coders import Coder, Delta
from ..parts.dense.losses import BoxLoss, ClassLoss, SmoothL1, Softmax
from ..parts.dense.repulsion import Repulsion
from ..parts.dense.sample import Random, Sampler, draw
from ..parts.regions.heads import FCHead, RegionHead, own
from ..parts.regions.regions import Regions, compact
from .dense import built


@dataclass(frozen=True)
class Stage:
    """One look inside regions: `count` of them an image are trained on, which is also the static number of regions.

    `positive`: the most of them that answer for an object; branches look at no more. `box` is divided by the sampled
    regions, as `cls` is, or by those of them that answer for an object (`divide`). `weight` multiplies both. `repel`
    drives boxes from what is not theirs. A sampler that needs losses is given them from a look without
    gradient, and what it chooses is looked at again (OHEM sec. 4.2); with `once` every candidate is looked at with
    gradient, one time, and the chosen pay. The gradient is the same.
    """

    head: Part[RegionHead] = part(FCHead)
    assign: Assign = ByIoU(0.5, 0.5)
    sample: Sampler = Random(512, 0.25)
    cls: ClassLoss = Softmax()
    box: BoxLoss = SmoothL1(1 / 9)
    coder: Coder | Part[Any] = Delta((0.1, 0.1, 0.2, 0.2))
    count: Count = 512
    positive: float = 0.25
    box_weight: float = 1.0
    weight: float = 1.0
    once: bool = False
    divide: Literal["sampled", "positives"] = "sampled"
    repel: Repulsion | None = None

    def logits(self, classes: int) -> int:
        """How many numbers the head says of a region's class."""
        return classes + self.cls.extra

    def label(self, boxes: Float[Tensor, "B P 4"], t: Targets, classes: int) -> Regions:
        """Every candidate with what it should have been; one without area is not asked."""
        state, index = self.assign(Candidates(boxes.detach()), t)
        state = torch.where(bx.area(boxes) > 0, state, -1)
        objects = t.labels if t.boxes.shape[1] else t.labels.new_full((len(boxes), 1), -1)
        labels = torch.where(state == 1, objects.clamp(min=0).gather(1, index), classes)
        return Regions(boxes, labels, index, (state >= 0).to(boxes), (state == 1).to(boxes))

    def answering(self, boxes: Float[Tensor, "B P 4"], t: Targets, classes: int) -> tuple[Tensor, Tensor, Tensor]:
        """(candidates that answer for an object "N 4", the objects' boxes "N 4", classes "N"), of all pictures."""
        r = self.label(boxes, t, classes)
        here = r.positive > 0
        truth = bx.take(t.boxes, r.object) if t.boxes.shape[1] else r.boxes
        return r.boxes[here], truth[here], r.labels[here]

    @torch.no_grad()
    def choose(self, every: Regions, cost: tuple[Tensor, Tensor] | None) -> Int[Tensor, "B R"]:
        """Places of those that are trained on, those that answer for an object first, -1 for none. `cost` is what
        `cost` says, if the sampler asks."""
        both = torch.zeros_like(every.weight) if cost is None else (cost[0] + cost[1]).detach()
        used = draw(self.sample, every.state, both, every.boxes, every.labels)
        return compact(used & (every.positive > 0), used & (every.positive == 0), min(self.count, both.shape[1]))

    def cost(self, logits: Float[Tensor, "B R K"], deltas: Float[Tensor, "B R G 4"], r: Regions,
             t: Targets) -> tuple[Tensor, Tensor]:
        """(class cost, box cost), both "B R", of each region; the box costs nothing where there is no object (Fast
        R-CNN eq. 1)."""
        box = self.box_weight * self.box_cost(deltas, r, t) * r.positive
        return self.class_cost(logits, r, t) * r.weight, box

    def losses(self, logits: Float[Tensor, "B R K"], deltas: Float[Tensor, "B R G 4"], r: Regions,
               t: Targets) -> Losses:
        """Scalars `cls` and `box` of the chosen regions, and what `repel` adds."""
        cls, box = self.cost(logits, deltas, r, t)
        n = normaliser(r.weight.sum())
        own_n = n if self.divide == "sampled" else normaliser(r.positive.sum())
        return {"cls": self.weight * cls.sum() / n, "box": self.weight * box.sum() / own_n,
                **self.repulsion(deltas, r, t)}

    def repulsion(self, deltas: Float[Tensor, "B R G 4"], r: Regions, t: Targets) -> Losses:
        """What boxes pay for where they are besides; nothing without `repel`. Those that answer come first."""
        if self.repel is None:
            return {}
        said = self.moved(r.boxes, deltas, r.labels)
        return {k: self.weight * v for k, v in self.repel(said, r.boxes, r.object, r.positive > 0, t).items()}

    def class_cost(self, logits: Float[Tensor, "B R K"], r: Regions, t: Targets) -> Float[Tensor, "B R"]:
        return self.cls(logits, r.labels)

    def box_cost(self, deltas: Float[Tensor, "B R G 4"], r: Regions, t: Targets) -> Float[Tensor, "B R"]:
        if t.boxes.shape[1] == 0:
            return deltas.sum((-2, -1)) * 0
        truth = bx.take(t.boxes, r.object)
        if self.box.decoded:
            return self.box(self.moved(r.boxes, deltas, r.labels), truth)
        want = _as_many(built(self.coder).encode(r.boxes[:, :, None], truth[:, :, None]), deltas)
        return self.box(own(deltas, r.labels), own(want, r.labels))

    def boxes(self, boxes: Float[Tensor, "B R 4"], deltas: Float[Tensor, "B R G 4"]) -> Float[Tensor, "B R G 4"]:
        """Where the regions move by each of their deltas."""
        return _as_many(built(self.coder).decode(boxes[:, :, None], deltas), deltas)

    def alike(self, boxes: Float[Tensor, "B R 4"], deltas: Float[Tensor, "B R 1 4"]) -> Float[Tensor, "B R 4"]:
        """Where they move, whatever they are. Raises `StemmaError` where the head says a box of each class."""
        if deltas.shape[2] != 1:
            raise StemmaError("boxes of regions are compared before their classes are known, and the head says "
                              f"{deltas.shape[2]} of each: --set stages.0.head.deltas=agnostic")
        return self.boxes(boxes, deltas)[:, :, 0]

    def moved(self, boxes: Float[Tensor, "B R 4"], deltas: Float[Tensor, "B R G 4"],
              labels: Int[Tensor, "B R"]) -> Float[Tensor, "B R 4"]:
        """Where they move as what they are."""
        return own(self.boxes(boxes, deltas), labels)

    def scores(self, logits: Float[Tensor, "B R K"]) -> Float[Tensor, "B R C"]:
        return self.cls.scores(logits)


def _as_many(boxes: Float[Tensor, "B R G 4"], deltas: Float[Tensor, "B R G 4"]) -> Float[Tensor, "B R G 4"]:
    """`boxes`, of which a coder that goes by classes has one of each. Raises `StemmaError` where the head has not."""
    if boxes.shape[2] not in (1, deltas.shape[2]):
        raise StemmaError(f"boxes are written down by the statistics of {boxes.shape[2]} classes, background among "
                          f"them, and the head says {deltas.shape[2]} of a region: --set "
                          "stages.0.head.deltas=class+background")
    return boxes


@dataclass(frozen=True)
class Looked:
    """One stage in training: what it looked at, their places among its candidates (objects first, then proposals; -1
    none), what it said."""

    place: Int[Tensor, "B R"]
    regions: Regions
    logits: Float[Tensor, "B R K"]
    deltas: Float[Tensor, "B R G 4"]
    features: Tensor | None  # where a branch shares them
