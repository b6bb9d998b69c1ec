"""Boxes as pairs of corners: the head that finds them, the losses that teach it,
and how corners are paired (CornerNet sec. 3).

Axes: B images, E ends of a box (0 top-left, 1 bottom-right), C classes, H W cells, N objects, K corners kept,
D detections.
"""
from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import Count, In
from ...core.types import Detections, Losses, Targets
from ...ops import boxes as bx
from ...ops.corner import Side, corner_pool, corner_radius, peaks
from ...ops.nms import soft_nms
from ...ops.scalars import normaliser
from ..backbones.hourglass import conv_norm, conv_relu
from .heads import prior_bias

ENDS: tuple[tuple[Side, Side], ...] = (("top", "left"), ("bottom", "right"))


class CornerModule(nn.Module):
    """Fig. 7: two 3x3 convolutions, each pooled towards one side, added, and joined to the map by a residual block.
    `pool=False` leaves pooling out."""

    def __init__(self, channels: int, width: int, sides: tuple[Side, Side], pool: bool) -> None:
        super().__init__()
        self.sides, self.pool = sides, pool
        self.looks = nn.ModuleList(conv_relu(channels, width) for _ in sides)
        self.join = conv_norm(width, channels, 3)
        self.skip = conv_norm(channels, channels)
        self.out = conv_relu(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        seen = [corner_pool(look(x), side) if self.pool else look(x) for look, side in zip(self.looks, self.sides)]
        y: Tensor = self.out(F.relu(self.join(seen[0] + seen[1]) + self.skip(x)))
        return y


class CornerHead(nn.Module):
    """For each end of a box: heat maps "C", an embedding "1" and an offset "2" at every cell,
    after a module that pools towards it.

    `width` are the channels of the pooled maps, `prior` the heat at first (the released bias is -2.19). Sec. 3.2 to
    3.4. Embeddings are computed in the weights' own precision whatever autocast says: those of many objects spread
    wide, and half a unit decides a pair.
    """

    def __init__(self, inp: In, width: int = 128, prior: float = 0.1, pool: bool = True) -> None:
        super().__init__()
        c = inp.channels[0]
        self.corners = nn.ModuleList(CornerModule(c, width, sides, pool) for sides in ENDS)
        say = lambda n: nn.ModuleList(nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.ReLU(inplace=True),  # noqa: E731
                                                    nn.Conv2d(c, n, 1)) for _ in range(2))
        self.heat, self.tag, self.offset = say(inp.classes), say(1), say(2)
        for m in self.heat:
            assert isinstance(m, nn.Sequential) and isinstance(m[-1], nn.Conv2d) and m[-1].bias is not None
            nn.init.constant_(m[-1].bias, prior_bias(prior))

    def forward(self, x: Float[Tensor, "B F H W"]) -> tuple[Tensor, Tensor, Tensor]:
        ends = [m(x) for m in self.corners]
        heat, offset = (torch.stack([m(e) for m, e in zip(ms, ends)], 1) for ms in (self.heat, self.offset))
        full = next(self.tag.parameters()).dtype
        with contextlib.nullcontext() if ends[0].dtype == full else torch.autocast(x.device.type, enabled=False):
            tag = torch.cat([m(e.to(full)) for m, e in zip(self.tag, ends)], 1)
        return heat, tag, offset


@dataclass(frozen=True)
class CornerRaw:
    """What each stack says, the last one last; in evaluation the last alone. float32."""

    heat: list[Float[Tensor, "B E C H W"]]
    tag: list[Float[Tensor, "B E H W"]]
    offset: list[Float[Tensor, "B E 2 H W"]]
    stride: int
    image: tuple[int, int]  # height and width of the network's input, padding included


torch.export.register_dataclass(CornerRaw)


@dataclass(frozen=True)
class Corners:
    """Where the corners of the objects lie."""

    heat: Float[Tensor, "B E C H W"]  # 1 at a corner, falling off around it
    weight: Float[Tensor, "B 1 1 H W"]  # 0 where nothing is to be learned
    cell: Tensor  # int64 "B E N": place in the flattened map
    offset: Float[Tensor, "B E N 2"]  # of the corner from its cell's edge, in cells
    valid: Tensor  # bool "B N"


@dataclass(frozen=True)
class CornerRule:
    """The losses of eq. 1 to 5 and the pairing of sec. 3.3.

    Cells around a corner cost less the nearer they are, within the radius at which a box would still have an IoU of
    `overlap`. Embeddings of one object's corners are pulled to their mean, and means pushed `margin` apart.

    Reading: peaks in a window of `kernel`, the best `top` corners of each end; pairs of one class, whose embeddings
    differ by at most `gap` and that lie the right way round; the mean of both scores; soft-NMS; the best `keep`.
    """

    overlap: float = 0.3
    alpha: float = 2.0
    beta: float = 4.0
    pull: float = 0.1
    push: float = 0.1
    offset: float = 1.0
    margin: float = 1.0
    kernel: int = 3
    top: Count = 100
    gap: float = 0.5
    pre: int = 1000
    sigma: float = 0.5
    keep: Count = 100

    @torch.no_grad()
    def targets(self, t: Targets, classes: int, stride: int, size: tuple[int, int]) -> Corners:
        """Sec. 3.2 on a map of `size` cells: unnormalised Gaussians exp(-(x^2 + y^2) / 2 sigma^2),
        sigma a third of the radius."""
        h, w = size
        ends = (t.boxes / stride).unflatten(-1, (2, 2)).transpose(1, 2)  # B E N xy
        edge = torch.tensor([w - 1, h - 1], device=ends.device)
        cell = torch.minimum(ends.floor().long().clamp(min=0), edge)
        sides = ((t.boxes[..., 2:] - t.boxes[..., :2]) / stride).ceil()
        r = corner_radius(sides[..., 1], sides[..., 0], self.overlap).clamp(min=0).floor()[:, None, :, None]  # B 1 N 1
        sigma = (2 * r + 1) / 6

        def falls(at: Tensor, n: int) -> Tensor:  # B E N n
            away = (torch.arange(n, device=at.device) - at[..., None]).float()
            return torch.where(away.abs() <= r, torch.exp(-away.square() / (2 * sigma.square())), 0.0)

        bumps = falls(cell[..., 1], h)[..., :, None] * falls(cell[..., 0], w)[..., None, :]  # B E N H W
        label = torch.where(t.valid, t.labels, classes)[:, None, :, None, None].expand_as(bumps)
        heat = bumps.new_zeros(*bumps.shape[:2], classes + 1, h,
                               w).scatter_reduce(2, label, bumps, "amax")[:, :, :classes]
        weight = heat.new_ones(len(heat), 1, 1, h, w)
        if t.crowd is not None:  # not asked inside a crowd
            y, x = ((torch.arange(n, device=heat.device) + 0.5) * stride for n in (h, w))
            b = t.boxes[..., None]
            rows, columns = (y >= b[..., 1, :]) & (y < b[..., 3, :]), (x >= b[..., 0, :]) & (x < b[..., 2, :])
            inside = rows[..., :, None] & columns[..., None, :] & (t.crowd & (t.labels >= 0))[..., None, None]
            weight = torch.where(inside.any(1)[:, None, None], 0.0, weight)
        return Corners(heat, weight, cell[..., 1] * w + cell[..., 0], ends - cell, t.valid)

    def loss(self, raw: CornerRaw, t: Targets, classes: int) -> Losses:
        """Scalars `heat`, `pull`, `push`, `offset`: means over the stacks."""
        want = self.targets(t, classes, raw.stride, (raw.heat[0].shape[-2], raw.heat[0].shape[-1]))
        each = [self.stack_loss(*said, want) for said in zip(raw.heat, raw.tag, raw.offset)]
        return {k: torch.stack([e[k] for e in each]).mean() for k in each[0]}

    def stack_loss(self, heat: Tensor, tag: Tensor, offset: Tensor, want: Corners) -> Losses:
        yes = want.heat == 1
        wrong = F.softplus(heat) * heat.sigmoid() ** self.alpha * (1 - want.heat) ** self.beta * want.weight
        right = F.softplus(-heat) * (-heat).sigmoid() ** self.alpha
        count = yes.sum((0, 2, 3, 4)).float()  # E
        focal = torch.where(yes, right, wrong).sum((0, 2, 3, 4)) / torch.stack([normaliser(c) for c in count])
        if want.cell.shape[2] == 0:
            nothing = tag.sum() * 0
            return {"heat": focal.sum(), "pull": nothing, "push": nothing, "offset": offset.sum() * 0}
        e = tag.flatten(2).gather(2, want.cell)  # B E N
        mean, n = e.mean(1), want.valid.sum(1)
        pull = torch.where(want.valid, (e - mean[:, None]).square().sum(1), 0.0).sum(1) / n.clamp(min=1)  # eq. 4
        other = want.valid[:, :, None] & want.valid[:, None] & ~torch.eye(mean.shape[1], dtype=torch.bool,
                                                                          device=mean.device)
        close = (self.margin - (mean[:, :, None] - mean[:, None]).abs()).clamp(min=0)
        push = torch.where(other, close, 0.0).sum((1, 2)) / (n * (n - 1)).clamp(min=1)  # eq. 5
        o = offset.flatten(3).gather(3, want.cell[:, :, None].expand(-1, -1, 2, -1)).transpose(2, 3)  # B E N 2
        # eq. 3
        miss = torch.where(want.valid[:, None, :, None], F.smooth_l1_loss(o, want.offset, reduction="none"), 0.0).sum()
        b = normaliser(torch.full((), float(len(e)), device=e.device))
        miss = self.offset * miss / normaliser(n.sum().float())
        return {"heat": focal.sum(), "pull": self.pull * pull.sum() / b, "push": self.push * push.sum() / b,
                "offset": miss}

    def pairs(self, raw: CornerRaw) -> Detections:
        """The best pairs of corners, not yet cut to the picture nor suppressed; label -1 where they do not fit."""
        heat, tag, offset = peaks(raw.heat[-1].sigmoid(), self.kernel), raw.tag[-1], raw.offset[-1]
        b, _, c, h, w = heat.shape
        score, place = heat.flatten(2).topk(min(self.top, c * h * w), dim=2)  # B E K
        label, cell = place // (h * w), place % (h * w)
        tags = tag.flatten(2).gather(2, cell)
        moved = offset.flatten(3).gather(3, cell[:, :, None].expand(-1, -1, 2, -1))  # B E 2 K
        x, y = ((v + moved[:, :, i]) * raw.stride for i, v in enumerate((cell % w, cell // w)))
        first, second = (lambda v: v[:, 0, :, None]), (lambda v: v[:, 1, None, :])
        box = torch.stack(torch.broadcast_tensors(first(x), first(y), second(x), second(y)), -1)  # B K K 4
        fits = ((first(label) == second(label)) & ((first(tags) - second(tags)).abs() <= self.gap)
                & (box[..., 2:] > box[..., :2]).all(-1))
        mean = torch.where(fits, (first(score) + second(score)) / 2, -1.0).flatten(1)
        top, at = mean.topk(min(self.pre, mean.shape[1]), dim=1)
        kind = label[:, 0].gather(1, at // label.shape[2])
        return Detections(bx.take(box.flatten(1, 2), at), top.clamp(min=0), torch.where(top > 0, kind, -1))

    def settle(self, d: Detections, sizes: Tensor | tuple[int, int]) -> Detections:
        """Soft-NMS of candidates, of one look at the picture or of several, cut to the picture."""
        d = Detections(bx.clip(d.boxes, sizes), d.scores, d.labels)
        at, score = soft_nms(d.boxes, d.scores, d.labels, self.keep, self.sigma)
        kept = d.take(at)
        return Detections(kept.boxes, score, kept.labels)
