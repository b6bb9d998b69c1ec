"""Anchors that a head makes itself: where, of what shape, and features fit to the shape (Guided Anchoring, sec. 3).

Axes: B images, A cells over all levels (one anchor each), K logits, N objects.
"""
from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ...core.part import Count, In
from ...core.types import Targets
from ...ops import boxes as bx
from ...ops.deform import deform_conv2d, deform_rows, sparing
from .assign import Assigned, ByIoU, Candidates, nothing, spare_crowds
from .heads import Tower, flat, normal, one_count, prior_bias
from .raw import Asked, DenseRaw

Guided = tuple[Float[Tensor, "B A K"], Float[Tensor, "B A 4"], Float[Tensor, "B A"], Float[Tensor, "B A 2"]]


class Adaption(nn.Module):
    """Sec. 3.4: a deformable 3x3 whose offsets are a 1x1 of the anchors' shapes; no gradient flows into the shapes."""

    def __init__(self, channels: int, width: int, groups: int) -> None:
        super().__init__()
        self.offset = nn.Conv2d(2, groups * 18, 1, bias=False)
        self.weight = nn.Parameter(torch.empty(width, channels, 3, 3))
        nn.init.normal_(self.offset.weight, std=0.1)
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x: Float[Tensor, "B C H W"], shape: Float[Tensor, "B 2 H W"],
                only: Bool[Tensor, "B H W"] | None = None) -> Float[Tensor, "B D H W"]:
        """`only`: cells that are asked for; the others are 0."""
        return F.relu(deform_conv2d(x, self.offset(shape.detach()), self.weight, padding=1, only=only))

    def rows(self, xs: list[Float[Tensor, "B C _ _"]], shape: Float[Tensor, "N 2"],
             at: Int[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """The same at cells `at` of all levels alone, counted as `deform_rows` counts them."""
        return F.relu(deform_rows(xs, at, F.linear(shape, self.offset.weight.flatten(1)), self.weight, padding=1))


class GuidedHead(nn.Module):
    """Fig. 2 on one 3x3 that all levels share: 1x1s for location and shape, and from the adapted map for logits and
    boxes."""

    def __init__(self, inp: In, width: int = 0, groups: int = 4) -> None:
        super().__init__()
        assert one_count(inp) == 1, "one anchor a cell, whose shape is found"
        width, self.k = width or inp.channels[0], inp.logits
        self.conv = nn.Conv2d(inp.channels[0], width, 3, padding=1)
        self.loc, self.shape = nn.Conv2d(width, 1, 1), nn.Conv2d(width, 2, 1)
        self.cls, self.box = nn.Conv2d(width, inp.logits, 1), nn.Conv2d(width, 4, 1)
        normal(self)
        nn.init.constant_(self.loc.bias, prior_bias(0.01))  # type: ignore[arg-type]
        self.adapt = Adaption(width, width, groups)

    def forward(self, xs: list[Tensor], asked: Asked | None = None) -> Guided:
        """`asked`: of the location's logits, the cells whose features need be adapted (sec. 3.2, inference); the others
        say what a feature of 0 would."""
        assert self.loc.bias is not None and self.shape.bias is not None
        weight, bias = (torch.cat(v) for v in ((self.loc.weight, self.shape.weight), (self.loc.bias, self.shape.bias)))
        ys = [F.relu(self.conv(x), inplace=True) for x in xs]
        maps = [F.conv2d(y, weight, bias) for y in ys]  # both in one: they read the same
        loc, shape = torch.cat([flat(v, 3) for v in maps], 1).split((1, 2), -1)
        loc = loc[..., 0]
        if asked is None or not sparing(loc):
            zs = [self.adapt(y, v[:, 1:]) for y, v in zip(ys, maps)]
            logits, codes = (torch.cat([flat(layer(z), k) for z in zs], 1)
                             for layer, k in ((self.cls, self.k), (self.box, 4)))
            return logits, codes, loc, shape
        at = asked(loc).flatten().nonzero()[:, 0]
        z = self.adapt.rows(ys, shape.flatten(0, 1)[at], at)
        logits, codes = (_placed(layer, z, at, loc) for layer in (self.cls, self.box))
        return logits, codes, loc, shape


def _placed(layer: nn.Conv2d, z: Float[Tensor, "N C"], at: Int[Tensor, " N"],
            like: Float[Tensor, "B A"]) -> Float[Tensor, "B A K"]:
    """What a 1x1 says of rows, laid where they come from among what it says of zeros."""
    assert layer.bias is not None
    said = F.linear(z, layer.weight.flatten(1), layer.bias)
    return layer.bias.to(said).repeat(like.numel(), 1).index_copy(0, at, said).view(*like.shape, -1)


class GuidedTowerHead(nn.Module):
    """The same on RetinaNet's two towers: location from that of the classes, shape from that of the boxes, each adapted
    by filters of its own, then a 3x3."""

    def __init__(self, inp: In, width: int = 0, depth: int = 4, groups: int = 4, norm: str = "none") -> None:
        super().__init__()
        assert one_count(inp) == 1, "one anchor a cell, whose shape is found"
        channels, self.k, levels = inp.channels[0], inp.logits, len(inp.channels)
        width = width or channels
        self.cls_tower = Tower(channels, width, depth, norm, levels)
        self.box_tower = Tower(channels, width, depth, norm, levels)
        self.loc, self.shape = nn.Conv2d(width, 1, 1), nn.Conv2d(width, 2, 1)
        self.cls = nn.Conv2d(width, inp.logits, 3, padding=1)
        self.box = nn.Conv2d(width, 4, 3, padding=1)
        for m in (self.loc, self.shape, self.cls, self.box):
            normal(m)
        for m in (self.loc, self.cls):
            nn.init.constant_(m.bias, prior_bias(0.01))  # type: ignore[arg-type]
        self.adapt_cls, self.adapt_box = Adaption(width, width, groups), Adaption(width, width, groups)

    def level(self, x: Tensor, i: int, asked: Asked | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y, z = self.cls_tower(x, i), self.box_tower(x, i)
        shape, loc = self.shape(z), self.loc(y)
        # a 3x3 follows, which reads what lies around
        only = None if asked is None else F.max_pool2d(asked(loc).to(loc), 3, 1, 1)[:, 0] > 0
        logits, codes = self.cls(self.adapt_cls(y, shape, only)), self.box(self.adapt_box(z, shape, only))
        return flat(logits, self.k), flat(codes, 4), flat(loc, 1)[..., 0], flat(shape, 2)

    def forward(self, xs: list[Tensor], asked: Asked | None = None) -> Guided:
        said = [self.level(x, i, asked) for i, x in enumerate(xs)]
        logits, codes, loc, shape = (torch.cat(v, 1) for v in zip(*said))
        return logits, codes, loc, shape


@dataclass(frozen=True)
class ByBestShape(ByIoU):
    """Eq. 5: a cell's overlap with an object is the best over sampled shapes, `octaves` times `ratios` (height / width)
    of its square. An object is given its best cells where they overlap it by `least` at least."""

    octaves: Count = 3
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    least: float = 0.3

    def overlap(self, objects: Float[Tensor, "B N 4"], squares: Float[Tensor, "B A 4"]) -> Float[Tensor, "B N A"]:
        centre, size = bx.centre_size(squares)

        def of(k: int, r: float) -> Tensor:
            grown = size * 2 ** (k / self.octaves)
            shaped = torch.cat([grown[..., :1] / math.sqrt(r), grown[..., 1:] * math.sqrt(r)], -1)
            return bx.iou(objects, bx.from_centre(centre, shaped))

        return reduce(torch.maximum, itertools.starmap(of, itertools.product(range(self.octaves), self.ratios)))

    def __call__(self, c: Candidates, t: Targets) -> Assigned:
        if t.boxes.shape[1] == 0:
            return nothing(c)
        iou = self.overlap(t.boxes, c.boxes).masked_fill_(~t.valid[..., None], -1.0)
        best, index = iou.max(1)
        state = (best >= self.pos).long() - ((best < self.pos) & (best >= self.neg)).long()
        top = iou.amax(2, keepdim=True)
        state = torch.where((iou == top.masked_fill_(top < self.least, torch.inf)).any(1), 1, state)
        return spare_crowds(state, c, t, self.crowd), index


def locations(raw: DenseRaw, t: Targets, scale: float, centre: float, ignore: float,
              offset: float) -> Int[Tensor, "B A"]:
    """Sec. 3.2: 1 in the middle `centre` of each object on the level of its size, -1 around it to `ignore` and there on
    the levels beside, and in a crowd on all levels, else 0. Squares have sides of `scale` cells, centres at `offset` of
    a cell."""
    if t.boxes.shape[1] == 0:
        return torch.zeros_like(raw.logits[..., 0], dtype=torch.long)
    stride = raw.stride
    first = stride.amin()
    level, most = (stride / first).log2().round(), (stride.amax() / first).log2().round()
    cell = (bx.centre_size(raw.anchors)[0] / stride[:, None] - offset).round()
    last = torch.stack([(side / stride).ceil() - 1 for side in (raw.image[1], raw.image[0])], -1)
    middle, size = bx.centre_size(t.boxes)
    wanted = (size.clamp(min=1e-6).prod(-1).sqrt() / (scale * first)).log2().add(0.5).floor()
    away = (wanted.clamp(min=0).minimum(most)[..., None] - level).abs()  # B N A

    def inside(share: float, which: Tensor = t.valid) -> Tensor:
        found = which[..., None]
        for at, end, mid, side in zip(*(v.unbind(-1) for v in (cell, last, middle, size))):
            low, high = (((mid + sign * share * side / 2)[..., None] / stride).sub_(offset).round_().clamp_(min=0)
                         .minimum(end) for sign in (-1, 1))
            found = found & (at >= low) & (at <= high)
        return found

    near = inside(ignore) & (away <= 1)
    if t.crowd is not None:
        near = near | inside(1.0, t.crowd & (t.labels >= 0))
    positive = (inside(centre) & (away == 0)).any(1)
    return torch.where(positive, 1, torch.where(near.any(1), -1, 0))


def bounded(said: Float[Tensor, "*A 2"], want: Float[Tensor, "*A 2"], beta: float = 0.2) -> Float[Tensor, "*A"]:
    """Eq. 6, bounded IoU of widths and heights: 1 - min(w / w*, w* / w), bent at `beta`, both added."""
    off = 1 - torch.minimum(said / want.clamp(min=1e-3), want / said.clamp(min=1e-3))
    return torch.where(off < beta, 0.5 * off.square() / beta, off - 0.5 * beta).sum(-1)
