"""Networks on what is pooled in a region (NoC): convolutions, fully connected layers, the maximum of two sizes.

Axes: B images, R regions an image, C D channels, s bins a side.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ...core.types import StemmaError
from ...ops import boxes as bx
from ...ops import roi
from ...ops.constants import constant
from .heads import Deltas, FCHead, MaxPool, NearestScale, Pool


@dataclass(frozen=True)
class Adjacent(NearestScale):
    """From the maps of the picture at several sizes, each region pooled at two of them that lie next to each other (NoC
    sec. 3.3): the last that makes it at least `side` x `side` pixels, and the next smaller one."""

    def both(self, xs: list[Tensor], strides: tuple[int, ...], boxes: Float[Tensor, "B R 4"]) -> list[Tensor]:
        """The two poolings, "B R C s s" each, the larger picture's first. With one map, that one twice."""
        every = [self.pool([x], (s,), boxes * k) for x, s, k in zip(xs, strides, self.shares)]
        if len(every) == 1:
            return every * 2
        shares = constant(self.shares[: len(xs)], boxes)
        larger = (bx.area(boxes)[..., None] * shares.square() >= self.side**2).sum(-1)
        first = (larger - 1).clamp(0, len(xs) - 2)
        return [roi.select_level(every, first), roi.select_level(every, first + 1)]


class NoC(FCHead):
    """NoC sec. 3.1 to 3.3: 3x3 convolutions of `convs` channels on a region's map, then fully connected layers, `depth`
    and the last one. Without convolutions it is Fast R-CNN's head.

    `merge`: a region is pooled at two sizes (`Adjacent`), and the element-wise maximum of both taken after so many
    convolutions, which both share; -1: at one size.
    """

    def __init__(
        self, inp: In, pool: Pool = MaxPool(7), convs: tuple[int, ...] = (), width: int = 4096, depth: int = 2,
        dropout: float = 0.5, merge: int = -1, deltas: Deltas = "class+background",
    ) -> None:
        before = (inp.channels[0], *convs)
        super().__init__(replace(inp, channels=(before[-1],) * len(inp.strides)), pool, width, depth, dropout, deltas)
        if merge > len(convs) or (merge >= 0 and not isinstance(pool, Adjacent)):
            raise StemmaError(f"merge={merge} wants as many convolutions, of {len(convs)}, and a pool at two sizes: "
                              "Adjacent")
        self.merge = merge
        self.convs = nn.ModuleList(nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(inplace=True))
                                   for a, b in zip(before, convs))
        for m in self.convs.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def features(self, xs: list[Tensor], boxes: Tensor) -> Tensor:
        if self.merge < 0:
            return self.convolved(self.pool(xs, self.strides, boxes), 0, len(self.convs))
        assert isinstance(self.pool, Adjacent)
        large, small = (self.convolved(x, 0, self.merge) for x in self.pool.both(xs, self.strides, boxes))
        return self.convolved(torch.maximum(large, small), self.merge, len(self.convs))

    def convolved(self, x: Float[Tensor, "B R C s s"], first: int, last: int) -> Float[Tensor, "B R D s s"]:
        y: Tensor = x.flatten(0, 1)
        for conv in self.convs[first:last]:
            y = conv(y)
        out: Tensor = y.unflatten(0, x.shape[:2])
        return out
