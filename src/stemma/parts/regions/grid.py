"""A box as a grid of points, each found on a heat map (Grid R-CNN sec. 3).

Axes: B images, R regions, P points of the grid (columns outside, rows inside), S side of a heat map, D channels.
"""
from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.part import In
from ...core.types import Detections, Losses, StemmaError, Targets
from ...ops import boxes as bx
from ...ops.scalars import normaliser
from ..dense.heads import prior_bias
from .branches import Branch, Shared, Sizes
from .heads import Align, Pool
from .regions import Regions


def edges(side: int) -> list[tuple[int, int]]:
    """Sec. 3.3: (from, to) of points that are neighbours on the grid, both ways. Point x `side` + y is the y-th of
    column x."""
    at = [(x, y) for x in range(side) for y in range(side)]
    return [(i, j) for j, q in enumerate(at) for i, p in enumerate(at) if abs(p[0] - q[0]) + abs(p[1] - q[1]) == 1]


class Transfer(nn.Module):
    """Eq. 4: to each point's maps are added those of its neighbours, each through a 5x5 a channel and a 1x1 of that
    edge's own."""

    into: Tensor

    def __init__(self, side: int, channels: int) -> None:
        super().__init__()
        pairs, self.points = edges(side), side * side
        self.sources, n = [i for i, _ in pairs], len(pairs) * channels
        self.deep, self.mix = nn.Conv2d(n, n, 5, padding=2, groups=n), nn.Conv2d(n, n, 1, groups=len(pairs))
        into = torch.zeros(self.points, len(pairs))
        into[[j for _, j in pairs], range(len(pairs))] = 1.0
        self.register_buffer("into", into, persistent=False)

    def forward(self, x: Float[Tensor, "R D h w"], given: Float[Tensor, "R D h w"]) -> Float[Tensor, "R D h w"]:
        """`x` and what its neighbours give of `given`."""
        each = given.chunk(self.points, 1)
        sent = self.mix(self.deep(torch.cat([each[i] for i in self.sources], 1)))
        sent = sent.unflatten(1, (len(self.sources), -1))
        return x + torch.einsum("pe,rechw->rpchw", self.into, sent).flatten(1, 2)


class GridBranch(Branch):
    """Sec. 3: `points` heat maps over the region made twice as large, 4 x the pooling's side; decoding reads the best
    cell of each, and an edge is the mean of its points, weighed by their probabilities.

    The maps: dilated convolutions, the first of `stride`; two transfers (eq. 4); two deconvolutions by points. With and
    without transfers, both pay binary cross entropy against a cross of radius `radius`, on at most `most` regions a
    picture, moved and stretched by up to `jitter` of their size. `half`: each point has that half of its maps in which
    it can lie (Grid R-CNN Plus, arXiv 1906.05688). `each`: channels a point; `groups`:
    of a norm after each convolution, as many as divide its channels, 0 for none; `std`: deviation of the
    deconvolutions' first weights.
    """

    moves = True

    def __init__(self, inp: In, pool: Pool = Align(14), points: int = 9, convs: int = 8, width: int = 256,
                 each: int = 64, dilation: int = 2, stride: Literal[1, 2] = 1, groups: int = 0, half: bool = False,
                 radius: int = 1, jitter: float = 0.15, most: int = 96, fused: bool = True, weight: float = 15.0,
                 std: float = 0.001) -> None:
        super().__init__()
        self.side = round(points**0.5)
        if self.side**2 != points or points < 4 or half != (stride == 2):
            raise StemmaError(f"branches.0: points={points} is the square of 2 or more points a side, and half maps "
                              f"(half={half}) go with a first stride of 2 (stride={stride})")
        self.pool, self.strides, self.points, self.halved, self.most = pool, inp.strides, points, half, most
        self.radius, self.jitter, self.fused, self.weight, self.size = radius, jitter, fused, weight, 4 * pool.size
        layers: list[nn.Module] = []
        for i in range(convs):
            c, d = inp.channels[0] if i == 0 else width, points * each if i == convs - 1 else width
            layers += [nn.Conv2d(c, d, 3, stride if i == 0 else 1, dilation, dilation),
                       *([nn.GroupNorm(math.gcd(groups, d), d)] if groups else []), nn.ReLU(inplace=True)]
        self.convs = nn.Sequential(*layers)
        self.transfers = nn.ModuleList(Transfer(self.side, each) for _ in range(2 * fused))
        self.up = nn.ConvTranspose2d(points * each, points * each, 4, 2, 1, groups=points)
        self.norm = nn.GroupNorm(points, points * each)
        self.last = nn.ConvTranspose2d(points * each, points, 4, 2, 1, groups=points)
        for m in self.modules():
            if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                else:
                    nn.init.normal_(m.weight, std=std)
                nn.init.zeros_(m.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.last.bias, prior_bias(0.01))  # type: ignore[arg-type]

    def draw(self, x: Tensor) -> Float[Tensor, "R P S S"]:
        y: Tensor = self.last(F.relu(self.norm(self.up(x))))
        return y.float()

    def maps(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> tuple[Tensor, Tensor]:
        """Logits "(B R) P S S" after the transfers, and before."""
        x = self.convs(self.pool(xs, self.strides, boxes).flatten(0, 1))
        y = x
        for transfer in self.transfers:
            y = transfer(x, y)
        return self.draw(y), self.draw(x) if self.training and self.fused else x

    def corners(self, like: Tensor) -> Int[Tensor, "P 2"]:
        """The first cell (x, y) of each point's map in the whole map."""
        q = self.size // 4
        inner = [max(int((i / (self.side - 1) - 0.25) * self.size), 0) for i in range(1, self.side - 1)]
        starts = [0, *inner, 2 * q]
        at = [(x, y) if self.halved else (0, 0) for x in starts for y in starts]
        return torch.tensor(at, device=like.device)

    def wanted(self, boxes: Float[Tensor, "*R 4"], truth: Float[Tensor, "*R 4"]) -> Float[Tensor, "*R P S S"]:
        """Sec. 3.2: 1 at the cell of each point of the truth and at those within `radius` of it."""
        share = torch.arange(self.side, device=boxes.device) / (self.side - 1)
        low, wide = bx.centre_size(boxes)[0] - bx.centre_size(boxes)[1], 2 * bx.centre_size(boxes)[1]
        line = truth[..., None, :2] + share[:, None] * (truth[..., None, 2:] - truth[..., None, :2])
        cell = ((line - low[..., None, :]) / wide[..., None, :].clamp(min=1e-6) * self.size).floor()  # *R side 2
        x, y = cell[..., 0].repeat_interleave(self.side, -1), cell[..., 1].repeat(*[1] * (cell.ndim - 2), self.side)
        n = torch.arange(self.size // 2 if self.halved else self.size, device=boxes.device)
        at = self.corners(boxes)
        dx = (at[:, :1] + n)[:, None, :] - x[..., None, None]
        dy = (at[:, 1:] + n)[:, :, None] - y[..., None, None]
        near: Tensor = dx.square() + dy.square() <= self.radius**2
        return near.to(boxes)

    def decode(self, p: Float[Tensor, "*R P S S"], boxes: Float[Tensor, "*R 4"]) -> Float[Tensor, "*R 4"]:
        """Eq. 3 and 5, from probabilities; edges are exchanged where they lie the wrong way round."""
        value, place = p.flatten(-2).max(-1)
        s = p.shape[-1]
        cell = torch.stack([place % s, place // s], -1) + self.corners(p)
        centre, size = bx.centre_size(boxes)
        at = (centre - size)[..., None, :] + (cell + 0.5) * (2 * size / self.size)[..., None, :]
        at, value = (v.unflatten(boxes.ndim - 1, (self.side, self.side)) for v in (at, value))  # *R column row

        def mean(where: Tensor, weight: Tensor) -> Tensor:
            return (where * weight).sum(-1) / weight.sum(-1).clamp(min=1e-12)

        x = [mean(at[..., i, :, 0], value[..., i, :]) for i in (0, -1)]
        y = [mean(at[..., :, i, 1], value[..., :, i]) for i in (0, -1)]
        found: Tensor = torch.stack([torch.minimum(*x), torch.minimum(*y), torch.maximum(*x), torch.maximum(*y)], -1)
        return found

    def loss(self, xs: list[Tensor], r: Regions, t: Targets, shared: Shared, sizes: Sizes = None) -> Losses:
        r = r.first(self.most)
        boxes, n = r.boxes, normaliser(r.positive.sum())
        if self.training and self.jitter:
            by = (torch.rand_like(boxes) * 2 - 1) * self.jitter
            centre, size = bx.centre_size(boxes)
            edge = (int(xs[0].shape[-2]) * self.strides[0], int(xs[0].shape[-1]) * self.strides[0])
            moved = bx.from_centre(centre + size * by[..., :2], size * (1 + by[..., 2:]))
            boxes = bx.clip(moved, edge if sizes is None else sizes)
        truth = bx.take(t.boxes, r.object) if t.boxes.shape[1] else boxes
        want, said = self.wanted(boxes, truth).flatten(0, 1), self.maps(xs, boxes)
        both = said if self.training and self.fused else said[:1]
        each = sum(F.binary_cross_entropy_with_logits(v, want, reduction="none").mean((1, 2, 3)) for v in both)
        return {"grid": self.weight * (each * r.positive.flatten()).sum() / n}

    def predict(self, xs: list[Tensor], d: Detections, shared: Shared) -> Detections:
        p = self.maps(xs, d.boxes)[0].sigmoid().unflatten(0, d.labels.shape)
        return replace(d, boxes=self.decode(p, d.boxes) * (d.labels >= 0)[..., None])
