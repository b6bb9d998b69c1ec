"""Layers whose sampling positions are learned: convolutions, and pooling of regions (Deformable ConvNets sec. 2).

Axes: B images, R regions an image, C channels, K logits, s bins a side.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import Count, In, Part
from ...core.types import StemmaError
from ...ops import deform, psroi
from ..low_rank import over_bins
from ..trunk import Trunk
from .heads import Deltas, FCHead, Seen
from .position_heads import PositionMaps, PositionMean, VoteHead

GAMMA = 0.1  # sec. 2.2: by how much of a region's side an offset of 1 moves a bin


def _zero(module: nn.Module) -> None:
    for p in module.parameters():
        nn.init.zeros_(p)


class DeformConv(nn.Conv2d):
    """Sec. 2.1: a convolution whose taps are moved by offsets that a second one, of the same kernel, stride and
    dilation, says at every place.

    `groups_of_offsets` shares of the channels have offsets of their own. The second starts at zero, and then the layer
    is the plain one. Weights are named as the plain layer's; `offset.weight`, `offset.bias` come on top.
    """

    def __init__(self, plain: nn.Conv2d, groups_of_offsets: int = 4) -> None:
        kernel, stride, padding, dilation = (int(v[0])
                                             for v in (plain.kernel_size, plain.stride, plain.padding, plain.dilation))
        assert (plain.groups == 1 and plain.in_channels % groups_of_offsets
                == 0), f"{plain.in_channels} channels in {groups_of_offsets} groups of offsets"
        super().__init__(plain.in_channels, plain.out_channels, kernel, stride, padding, dilation,
                         bias=plain.bias is not None)
        self.weight, self.bias = plain.weight, plain.bias
        self.offset = nn.Conv2d(plain.in_channels, 2 * kernel**2 * groups_of_offsets, kernel, stride, padding, dilation)
        _zero(self.offset)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Tensor:
        stride, padding, dilation = (int(v[0]) for v in (self.stride, self.padding, self.dilation))
        return deform.deform_conv2d(x, self.offset(x), self.weight, self.bias, stride, padding, dilation)


class Deformed(Trunk):
    """A backbone, `of`, in which the convolutions whose names match the regex `at` are deformable.

    Raises `StemmaError` where none matches.
    """

    def __init__(self, inp: In, of: Part[Trunk], at: str = r"layer4\.\d+\.conv2", groups: int = 4) -> None:
        super().__init__()
        body = of.build(inp)
        every = [n for n, m in body.named_modules() if isinstance(m, nn.Conv2d)]
        names = [n for n in every if re.fullmatch(at, n)]
        if not names:
            raise StemmaError(f"no convolution of {of.name} is named '{at}'; names are like {every[-1]}")
        for name in names:
            above, leaf = name.rpartition(".")[::2]
            setattr(body.get_submodule(above), leaf, DeformConv(getattr(body.get_submodule(above), leaf), groups))
        self.body, self.out = body, body.out

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        xs: list[Tensor] = self.body(x)
        return xs


@dataclass(frozen=True)
class Bins:
    """Mean of `samples` x `samples` bilinear readings in each bin, boxes rounded to pixels; each region from the level
    of its size (FPN eq. 1).

    With `offset` bins are moved by that share of the region's height and width (y, x).
    """

    size: int = 7
    samples: Count = 4
    levels: int = 4
    canonical: float = 224.0

    def __call__(self, xs: list[Tensor], strides: tuple[int, ...], boxes: Tensor,
                 offset: Tensor | None = None) -> Tensor:
        n = min(self.levels, len(xs))
        return deform.deform_roi_pool(xs[:n], boxes, offset, self.size, strides[:n], self.samples, self.canonical)


class DeformFCHead(FCHead):
    """Sec. 2.2, fig. 3: bins are pooled where they are, a fully connected layer says from them where to move each, and
    they are pooled again."""

    def __init__(self, inp: In, pool: Bins = Bins(), width: int = 1024, depth: int = 2,
                 deltas: Deltas = "class+background", reduce: int = 0) -> None:
        super().__init__(inp, pool, width, depth, 0.0, deltas, reduce=reduce)
        self.bins = pool
        self.shift = nn.Linear((reduce or inp.channels[0]) * pool.size**2, 2 * pool.size**2)
        _zero(self.shift)

    def features(self, xs: list[Tensor], boxes: Tensor) -> Tensor:
        still = self.bins(xs, self.strides, boxes)
        offset = GAMMA * over_bins(self.shift, still).float()
        return self.bins(xs, self.strides, boxes, offset.unflatten(-1, (2, self.bins.size, self.bins.size)))


class DeformVoteHead(VoteHead):
    """Sec. 2.2, fig. 4: position-sensitive maps of offsets besides those of scores. A region pools, bin by bin, two
    offsets a class from the first, moves the bin by them and pools the score there; the box has offsets of its own.
    """

    def __init__(self, inp: In, size: int = 7, samples: int = 4, width: int = 1024, background: bool = False) -> None:
        super().__init__(inp, PositionMean(size), width, background)
        self.size, self.samples, self.outputs = size, samples, inp.logits
        self.shift_cls, self.shift_box = (PositionMaps(self.cls.in_channels, 2 * n, size) for n in (inp.logits, 1))
        _zero(self.shift_cls)
        _zero(self.shift_box)

    def prepare(self, xs: list[Tensor]) -> list[Tensor]:
        x = self.reduce(xs[-1])
        return [self.cls(x), self.box(x, 4), self.shift_cls(x), self.shift_box(x)]

    def pooled(self, x: Tensor, boxes: Tensor, offset: Tensor | None = None) -> Tensor:
        return deform.deform_roi_pool([x], boxes, offset, self.size, (self.stride,), self.samples, sensitive=True)

    def forward(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> Seen:
        cls, box, shift_cls, shift_box = xs
        away = GAMMA * self.pooled(shift_cls, boxes).float().unflatten(2, (self.outputs, 2))
        scores = deform.deform_ps_roi_pool(cls, boxes, away, self.size, self.stride, self.samples)
        deltas = self.pooled(box, boxes, GAMMA * self.pooled(shift_box, boxes).float())
        return psroi.vote(scores), psroi.vote(deltas)[:, :, None]


@torch.no_grad()
def offsets(model: nn.Module, images: Float[Tensor, "B 3 H W"]) -> dict[str, tuple[DeformConv, Tensor]]:
    """Of each deformable convolution by its name, itself and where its taps are moved, "B G k k 2 H W": for each group
    of channels and each tap (row, column) by how many cells, (y, x)."""
    found: dict[str, tuple[DeformConv, Tensor]] = {}

    def note(name: str, m: DeformConv) -> Any:
        def hook(_: nn.Module, __: Any, out: Tensor) -> None:
            found[name] = m, out.float().unflatten(1, (-1, int(m.kernel_size[0]), int(m.kernel_size[0]), 2))

        return hook

    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, DeformConv)]
    handles = [m.offset.register_forward_hook(note(n, m)) for n, m in layers]
    model(images)
    for h in handles:
        h.remove()
    return found


def reach(model: nn.Module, images: Float[Tensor, "B 3 H W"]) -> dict[str, float]:
    """Mean length of the offsets of each deformable convolution, in cells: how far its taps leave their grid."""
    return {name: float(away.norm(dim=4).mean()) for name, (_, away) in offsets(model, images).items()}


def dilations(model: nn.Module, images: Float[Tensor, "B 3 H W"]) -> dict[str, Float[Tensor, "B H W"]]:
    """Effective dilation of each deformable convolution at every place (sec. 4.2, table 2): the mean distance of taps
    that are neighbours, in cells, over its groups. Where no tap is moved it is the layer's dilation."""
    found = {}
    for name, (m, away) in offsets(model, images).items():
        step = torch.arange(away.shape[2], device=away.device) * float(m.dilation[0])
        at = away + torch.stack(torch.meshgrid(step, step, indexing="ij"), -1)[..., None, None]
        down, right = at.diff(dim=2).norm(dim=4), at.diff(dim=3).norm(dim=4)
        found[name] = torch.cat([down.flatten(1, 3), right.flatten(1, 3)], 1).mean(1)
    return found
