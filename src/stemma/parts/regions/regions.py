"""Regions between the two looks: candidates, those chosen for the loss, and what each should have been.

Axes: B images, N objects, P proposals, R regions.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...core.types import Detections, Targets
from ...ops import boxes as bx


@dataclass(frozen=True)
class Regions:
    """Regions chosen for the loss, those that answer for an object first."""

    boxes: Float[Tensor, "B R 4"]
    labels: Int[Tensor, "B R"]  # C where background
    object: Int[Tensor, "B R"]  # its place in the targets
    weight: Float[Tensor, "B R"]  # 0 where there is no region
    positive: Float[Tensor, "B R"]  # 1 where it answers for an object

    @property
    def state(self) -> Int[Tensor, "B R"]:
        """As an assigner has it: 1 answers for an object, 0 is background, -1 is not asked."""
        return (self.positive > 0).long() - (self.weight == 0).long()

    def at(self, place: Int[Tensor, "B K"]) -> Regions:
        """The regions at these places; a place of -1 holds none."""
        i, real = place.clamp(min=0), (place >= 0).to(self.weight)
        labels, index = self.labels.gather(1, i), self.object.gather(1, i)
        return Regions(bx.take(self.boxes, i), labels, index, self.weight.gather(1, i) * real,
                       self.positive.gather(1, i) * real)

    def first(self, count: int) -> Regions:
        """The first `count` of each image."""
        return Regions(*(v[:, :count] for v in (self.boxes, self.labels, self.object, self.weight, self.positive)))

    def filled(self) -> Regions:
        """Without the last places, where no image has a region that answers for an object; at least 8. A traced graph
        keeps its shape."""
        return self if torch.compiler.is_compiling() else self.first(_eights(self.positive.sum(1)))

    def answering(self) -> Int[Tensor, " K"]:
        """Places, among all B R, of the regions that answer for an object, filled up to a multiple of 8 with others. A
        traced graph takes all."""
        every = self.positive.flatten()
        if torch.compiler.is_compiling():
            return torch.arange(len(every), device=every.device)
        return every.argsort(descending=True, stable=True)[: _eights(every.sum())]


def found(d: Detections) -> Detections:
    """Without the last places, where no image has a detection; at least 8. A traced graph keeps its shape."""
    if torch.compiler.is_compiling():
        return d
    most = min(_eights((d.labels >= 0).sum(1)), d.labels.shape[1])
    return d.take(torch.arange(most, device=d.labels.device).expand(len(d.labels), -1))


def there(boxes: Float[Tensor, "B P 4"]) -> Float[Tensor, "B P 4"]:
    """Proposals without the last places, where no image has one; at least 8. A traced graph keeps its shape."""
    if torch.compiler.is_compiling():
        return boxes
    return boxes[:, : _eights((bx.area(boxes) > 0) * torch.arange(1, boxes.shape[1] + 1, device=boxes.device))]


def _eights(count: Tensor) -> int:
    return max(-(-int(count.max()) // 8) * 8, 8)


def kept(boxes: Float[Tensor, "B P 4"], mask: Bool[Tensor, "B P"]) -> Float[Tensor, "B P 4"]:
    """The marked boxes in their order, and then boxes without area."""
    place = compact(mask, torch.zeros_like(mask), mask.shape[1])
    return bx.take(boxes, place.clamp(min=0)) * (place >= 0)[..., None]


def with_truth(boxes: Float[Tensor, "B P 4"], t: Targets) -> Float[Tensor, "B P 4"]:
    """The objects themselves before the proposals (they are regions too: there is always one that answers), P in all.

    As many of the last proposals fall out as there are objects. Padded and crowd objects take no place.
    """
    p, n = boxes.shape[1], t.boxes.shape[1]
    if n == 0:
        return boxes
    rank = t.valid.cumsum(1)
    slot = torch.cat([torch.where(t.valid, rank - 1, p), torch.arange(p, device=boxes.device) + rank[:, -1:]],
                     1).clamp(max=p)
    room = boxes.new_zeros(len(boxes), p + 1, 4)
    return room.scatter(1, slot[..., None].expand(-1, -1, 4), torch.cat([t.boxes.to(boxes), boxes], 1))[:, :p]


def compact(first: Bool[Tensor, "B P"], then: Bool[Tensor, "B P"], count: int) -> Int[Tensor, "B count"]:
    """Places of the marked, those of `first` before those of `then`, -1 where there are fewer than `count`."""
    before = first.cumsum(1)
    after = before[:, -1:] + then.cumsum(1)
    slot = torch.where(first, before - 1, torch.where(then, after - 1, count)).clamp(max=count)
    places = torch.arange(first.shape[1], device=first.device).expand_as(slot)
    return slot.new_full((len(slot), count + 1), -1).scatter(1, slot, places)[:, :count]
