"""Region heads that convolve before they pool: maps that know where in a region they look (R-FCN sec. 2).

Axes: B images, R regions an image, K logits, G sets of deltas, s bins a side.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import Count, In
from ...ops import psroi
from .heads import RegionHead, Seen


@runtime_checkable
class PositionPool(Protocol):
    """From position-sensitive maps (channels: bins outside, outputs inside) and boxes to a small map a region."""

    @property
    def size(self) -> int: ...
    def __call__(self, x: Float[Tensor, "B D H W"], stride: int,
                 boxes: Float[Tensor, "B R 4"]) -> Float[Tensor, "B R C s s"]: ...


@dataclass(frozen=True)
class PositionMean:
    """R-FCN eq. 1: the mean of every cell that a bin touches, boxes rounded to pixels."""

    size: int = 7

    def __call__(self, x: Tensor, stride: int, boxes: Tensor) -> Tensor:
        return psroi.ps_roi_pool(x, boxes, self.size, stride, bins_first=True)


@dataclass(frozen=True)
class PositionAlign:
    """The same with bilinear readings and no rounding."""

    size: int = 7
    samples: Count = 2

    def __call__(self, x: Tensor, stride: int, boxes: Tensor) -> Tensor:
        return psroi.ps_roi_align(x, boxes, self.size, stride, self.samples, bins_first=True)


class PositionMaps(nn.Conv2d):
    """A 1x1 convolution to `outputs` x `size`^2 position-sensitive maps. Its weights are ordered as published, output
    by output with the bins inside; its result has the bins outside, which spares the pooling a transposition of the
    map.
    """

    def __init__(self, channels: int, outputs: int, size: int, std: float = 0.01) -> None:
        super().__init__(channels, outputs * size**2, 1)
        self.groups_of = (outputs, size**2)
        nn.init.normal_(self.weight, std=std)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def first(self, count: int) -> Float[Tensor, "D _ 1 1"]:
        """The weights of the first `count` outputs, bins outside."""
        return _bins_first(self.weight, self.groups_of, count)

    def forward(self, x: Tensor, count: int | None = None) -> Float[Tensor, "B D H W"]:
        """Maps of the first `count` outputs (all)."""
        assert self.bias is not None
        count = count or self.groups_of[0]
        return F.conv2d(x, self.first(count), _bins_first(self.bias, self.groups_of, count))


def _bins_first(v: Tensor, groups: tuple[int, int], count: int) -> Tensor:
    return v.view(*groups, *v.shape[1:])[:count].transpose(0, 1).flatten(0, 1)


class VoteHead(RegionHead):
    """R-FCN sec. 2: s^2 K class maps and 4 s^2 box maps over the whole picture; a region pools each bin from its own
    map, and the bins vote.

    Nothing is learned a region. It reads the last level, through a 1x1 convolution to `width` channels (0: as it is).
    `background` adds a second set of deltas that nothing reads, as the published code has it.
    """

    def __init__(self, inp: In, pool: PositionPool = PositionMean(), width: int = 1024,
                 background: bool = False) -> None:
        super().__init__()
        self.pool, self.stride = pool, inp.strides[-1]
        channels = inp.channels[-1]
        self.reduce: nn.Module = nn.Identity()
        if width:
            conv = nn.Conv2d(channels, width, 1)
            nn.init.normal_(conv.weight, std=0.01)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
            self.reduce, channels = nn.Sequential(conv, nn.ReLU(inplace=True)), width
        self.cls = PositionMaps(channels, inp.logits, pool.size)
        self.box = PositionMaps(channels, 8 if background else 4, pool.size)

    def prepare(self, xs: list[Tensor]) -> list[Tensor]:
        """The score maps and the box maps: once a picture, whatever the regions."""
        x = self.reduce(xs[-1])
        return [self.cls(x), self.box(x, 4)]

    def forward(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> Seen:
        cls, box = (psroi.vote(self.pool(x, self.stride, boxes)) for x in xs)
        return cls, box[:, :, None]
