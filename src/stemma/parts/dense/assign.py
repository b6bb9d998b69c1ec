"""Which candidate answers for which object.

An assigner is given candidates and targets and returns (state, index), both "B A":
state 1 answers for an object, 0 is background, -1 is not asked; index is the object's place in the targets (0 where
there is none).

Axes: B images, A candidates, N objects.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...core.types import Targets
from ...ops import boxes as bx

Assigned = tuple[Int[Tensor, "B A"], Int[Tensor, "B A"]]


@dataclass(frozen=True)
class Candidates:
    """Where predictions are made. `guess` is what the network says there now, for rules that ask it."""

    boxes: Float[Tensor, "B A 4"]
    stride: Float[Tensor, " A"] | None = None
    guess: Float[Tensor, "B A 4"] | None = None
    sizes: Float[Tensor, "B 2"] | None = None  # (height, width) of each picture


@runtime_checkable
class Assign(Protocol):
    def __call__(self, c: Candidates, t: Targets) -> Assigned: ...


def nothing(c: Candidates) -> Assigned:
    """Everything is background: what an assigner says where the targets have no room for an object."""
    state = torch.zeros(c.boxes.shape[:2], dtype=torch.long, device=c.boxes.device)
    return state, torch.zeros_like(state)


def crowded(boxes: Float[Tensor, "B P 4"], t: Targets) -> Bool[Tensor, "B P"]:
    """Regions that lie in a crowd or an ignored object by more than half."""
    if t.crowd is None or not t.boxes.shape[1]:
        return torch.zeros_like(boxes[..., 0], dtype=torch.bool)
    return bx.iof(boxes, t.boxes).masked_fill(~(t.crowd & (t.labels >= 0))[:, None], 0.0).amax(2) > 0.5


def spare_crowds(state: Int[Tensor, "B A"], c: Candidates, t: Targets, share: float,
                 both: Float[Tensor, "B N A"] | None = None) -> Int[Tensor, "B A"]:
    """Background candidates that lie in a crowd or an ignored object by more than `share` of their area are not
    asked. `both`: what objects and candidates have in common, where it is known."""
    if t.crowd is None:
        return state
    crowds = t.crowd & (t.labels >= 0)
    if crowds.device.type == "cpu" and not torch.compiler.is_compiling() and not bool(crowds.any()):
        return state  # there asking is free
    both = bx.intersection(t.boxes, c.boxes) if both is None else both
    inside = (both / bx.area(c.boxes)[:, None].clamp(min=bx.TINY)).masked_fill(~crowds[..., None], 0.0).amax(1)
    return torch.where((state == 0) & (inside > share), -1, state)


@dataclass(frozen=True)
class ByIoU:
    """Positive at IoU >= `pos`, background below `neg`, not asked between.

    `low`: background overlaps an object by this much at least, and what overlaps less is not asked (Fast R-CNN
    sec. 2.3: .1). `rescue` makes the best candidates of every object positive, ties included, whatever their IoU
    (Faster R-CNN sec. 3.1.2 i) or from `least` on; such a candidate answers for the object that it overlaps most, which
    as a rule is the one it was rescued for. `inside` does not ask candidates that cross the picture's edge (Faster
    R-CNN sec. 3.3); it needs `Candidates.sizes`.
    `crowd`: background candidates with more than this share of their area inside a crowd are not asked.
    """

    pos: float = 0.5
    neg: float = 0.5
    rescue: bool = False
    inside: bool = False
    crowd: float = 0.5
    low: float = 0.0
    least: float = 0.0

    def __call__(self, c: Candidates, t: Targets) -> Assigned:
        if t.boxes.shape[1] == 0:
            state, index = nothing(c)
            state = state - 1 if self.low > 0 else state
            return (torch.where(self.within(c), state, -1), index) if self.inside else (state, index)
        both = bx.intersection(t.boxes, c.boxes)
        iou = bx.iou(t.boxes, c.boxes, both).masked_fill_(~t.valid[..., None], -1.0)
        if self.inside:
            iou.masked_fill_(~self.within(c)[:, None], -1.0)
        best, index = iou.max(1)
        state = (best >= self.pos).long() - ((best < self.pos) & (best >= self.neg)).long()
        if self.low > 0:
            state = torch.where(best < self.low, -1, state)
        if self.rescue:
            top = iou.amax(2, keepdim=True)
            top.masked_fill_((top <= 0) | (top < self.least), torch.inf)
            state = torch.where((iou == top).any(1), 1, state)
        state = spare_crowds(state, c, t, self.crowd, both)
        if self.inside:
            state = torch.where(self.within(c), state, -1)
        return state, index

    def within(self, c: Candidates) -> Bool[Tensor, "B A"]:
        assert c.sizes is not None, "candidates need the sizes of their pictures to know which of them cross the edge"
        h, w = c.sizes.to(c.boxes).unbind(-1)
        x1, y1, x2, y2 = c.boxes.unbind(-1)
        return (x1 >= 0) & (y1 >= 0) & (x2 <= w[:, None]) & (y2 <= h[:, None])


@dataclass(frozen=True)
class OwnRange(ByIoU):
    """By overlap, with objects of other ranges of size among the crowds: what overlaps one by more than `spare` is not
    asked, even where it would answer for an object of its own range (TridentNet sec. 3.3 and the authors' code)."""

    spare: float = 0.3

    def __call__(self, c: Candidates, t: Targets) -> Assigned:
        state, index = super().__call__(c, t)
        if t.crowd is None or t.boxes.shape[1] == 0:
            return state, index
        near = bx.iou(t.boxes, c.boxes).masked_fill(~(t.crowd & (t.labels >= 0))[..., None], 0.0).amax(1)
        return torch.where(near > self.spare, -1, state), index


@dataclass(frozen=True)
class Bipartite:
    """SSD sec. 2.2: the best pair of object and default box first, and so on until every object has one; then every box
    left whose best object overlaps it by more than `pos` joins that object.

    Greedy, so its sum of IoU can be less than the Hungarian optimum. Exact from the N best boxes of each object
    alone, since at most N - 1 of them can be gone; and all pairs that are each other's best are taken at once, since
    no better pair can part them. Of objects that fit a box equally the first has it.
    """

    pos: float = 0.5
    crowd: float = 0.5

    def __call__(self, c: Candidates, t: Targets) -> Assigned:
        b, n = t.labels.shape
        if n == 0:
            return nothing(c)
        a = c.boxes.shape[1]
        both = bx.intersection(t.boxes, c.boxes)
        iou = both / (bx.area(t.boxes)[..., None] + bx.area(c.boxes)[:, None] - both).clamp(min=bx.TINY)
        iou = iou.masked_fill(~t.valid[..., None], -1.0)
        best, index = iou.max(1)
        state = (best > self.pos).long()
        # objects of all pictures in one list, R, from which those that have a box, or can have none, are dropped
        rows = torch.arange(n, device=iou.device)
        live = torch.arange(b * n, device=iou.device)
        start = live // n * a  # boxes of all pictures in one row too
        worth, choice = iou.flatten(0, 1).topk(min(n, a), dim=1)  # R K
        choice = choice + start[:, None]
        taken = torch.full((b * n,), b * a, dtype=torch.long, device=iou.device)  # b * a: none
        for turn in range(n):
            best, at = worth.max(1)
            # looked at now and then on a device, because it is waited for
            if (iou.device.type == "cpu" or turn % 4 == 3) and not torch.compiler.is_compiling():
                left = (best > 1e-6).nonzero()[:, 0]
                if len(left) == 0:
                    break
                if len(left) < len(live):
                    live, worth, choice, best, at = (v[left] for v in (live, worth, choice, best, at))
            box = choice.gather(1, at[:, None])[:, 0]
            most = iou.new_full((b * a,), -1.0).scatter_reduce(0, choice.flatten(), worth.flatten(), "amax")
            won = (best > 1e-6) & (best >= most.gather(0, box))
            first = live.new_full((b * a,), b * n).scatter_reduce(0, box, torch.where(won, live, b * n), "amin")
            won = won & (first.gather(0, box) == live)
            taken = taken.scatter(0, live, torch.where(won, box, taken.gather(0, live)))
            gone = torch.zeros(b * a + 1, dtype=torch.bool, device=iou.device)
            gone = gone.scatter(0, torch.where(won, box, b * a), True).gather(0, choice.flatten()).view_as(choice)
            worth = worth.masked_fill(won[:, None] | gone, -1.0)
        taken = torch.where(taken < b * a, taken - start, a).view(b, n)
        room = torch.zeros(b, 1, dtype=torch.long, device=iou.device)  # the place of those without a box
        state = torch.cat([state, room], 1).scatter(1, taken, 1)[:, :a]
        index = torch.cat([index, room], 1).scatter(1, taken, rows.expand(b, -1))[:, :a]
        return spare_crowds(state, c, t, self.crowd, both), index


@dataclass(frozen=True)
class ByCell:
    """YOLOv1 sec. 2: the cell that holds an object's centre answers, through the predictor whose guess has the highest
    IoU with it; where none overlaps, through the one with the least root mean square error (as the published code
    does).

    One object a cell: the first in the list has it. Candidates are the cells, once a predictor.
    `crowd`: other predictors whose guess lies inside a crowd by more than this share are not asked.
    """

    crowd: float = 0.5

    def __call__(self, c: Candidates, t: Targets) -> Assigned:
        assert c.guess is not None, "cells choose among the network's own guesses"
        if t.boxes.shape[1] == 0:
            return nothing(c)
        centre, size = bx.centre_size(t.boxes)
        edge = c.boxes[..., 2:].amax(1, keepdim=True)
        # B N 1 2: on the last edge means in the last cell
        centre = torch.minimum(centre.clamp(min=0), edge * (1 - 1e-6))[:, :, None]
        holds = ((centre >= c.boxes[:, None, :, :2]) & (centre < c.boxes[:, None, :, 2:])).all(-1) & t.valid[..., None]
        holds = holds & (holds.cumsum(1) == 1)  # B N A
        iou = bx.iou(t.boxes, c.guess)
        guess, wide = bx.centre_size(c.guess)
        away = torch.cat([(guess[:, None] - centre) / edge[:, None],
                          (wide[:, None] - size[:, :, None]) / edge[:, None]], -1)
        fit = torch.where(iou > 0, 1 + iou, -away.square().sum(-1)).masked_fill(~holds, -torch.inf)
        first = torch.zeros_like(holds).scatter(2, fit.argmax(2, keepdim=True), True) & holds
        state = first.any(1).long()
        state = spare_crowds(state, replace(c, boxes=c.guess), t, self.crowd)
        return state, first.to(torch.uint8).argmax(1)


@dataclass(frozen=True)
class ByShape:
    """YOLOv2: the cell that holds an object's centre answers, through the prior whose shape has the highest IoU with
    the object's.

    Candidates are priors in the middle of their cells. Of two objects that want one prior the last has it. Others whose
    guess overlaps any object by more than `spare` are not asked, nor those whose guess lies in a crowd by more than the
    share `crowd`.
    """

    spare: float = 0.6
    crowd: float = 0.5

    def chosen(self, c: Candidates, t: Targets) -> tuple[Int[Tensor, "B N"], Bool[Tensor, "B N"]]:
        """(the candidate that each object wants, whether it is one that may want any)."""
        assert c.stride is not None, "the strides say how large a cell is"
        (centre, size), (middle, prior), half = bx.centre_size(t.boxes), bx.centre_size(c.boxes), c.stride[:, None] / 2
        edge = (middle + half).amax(1, keepdim=True)
        # on the last edge means in the last cell
        x, y = torch.minimum(centre.clamp(min=0), edge * (1 - 1e-6))[:, :, None].unbind(-1)
        (left, top), (right, below) = ((middle + way * half)[:, None].unbind(-1) for way in (-1, 1))
        holds = (x >= left) & (x < right) & (y >= top) & (y < below) & t.valid[..., None]  # B N A
        shapes = (torch.cat([torch.zeros_like(s), s], -1) for s in (size, prior))
        fit = bx.iou(*shapes)
        best, at = fit.masked_fill_(~holds, -1.0).max(2)
        return at, best >= 0

    def __call__(self, c: Candidates, t: Targets, wanted: tuple[Tensor, Tensor] | None = None) -> Assigned:
        """`wanted`: what `chosen` said, where it was asked already."""
        assert c.guess is not None, "the network's guesses say who is spared"
        n = t.boxes.shape[1]
        if n == 0:
            return nothing(c)
        at, wants = wanted or self.chosen(c, t)
        rank = torch.where(wants, torch.arange(1, n + 1, device=at.device), 0)
        last = at.new_zeros(c.boxes.shape[:2]).scatter_reduce(1, at, rank, "amax")
        index = (last - 1).clamp(min=0)
        both = bx.intersection(t.boxes, c.guess)
        near = (bx.iou(t.boxes, c.guess, both).masked_fill_(~t.valid[..., None], 0.0) > self.spare).any(1)
        state = torch.where(last > 0, 1, torch.where(near, -1, 0))
        return spare_crowds(state, replace(c, boxes=c.guess), t, self.crowd, both), index
