"""Receptive field blocks and the blocks that they are compared with,
all under one interface (RFB Net, arXiv 1711.07767).

    Block(channels, width, stride, visual, scale)   a map of `channels` -> one of `width`

`kind` says which: "rfb" (sec. 3.2, fig. 4 a), "rfb-s" (fig. 4 b), "rfb-e" and "rfb-s-e" (both with more branches, in
the authors' code alone), "inception", "aspp", "deformable".
"""
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..core.part import In
from ..core.types import StemmaError
from .backbones.vgg import Extras
from .regions.deformable import DeformConv
from .trunk import Trunk

Kind = Literal["rfb", "rfb-s", "rfb-e", "rfb-s-e", "inception", "aspp", "deformable"]
Row = tuple[int, tuple[int, int], int, int]  # a convolution of a branch: width, kernel, stride, dilation
MOMENTUM = 0.01  # of batch norms, as in the authors' code


def conv_norm(channels: int, width: int, kernel: tuple[int, int] = (1, 1), stride: int = 1, dilation: int = 1,
              relu: bool = True) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU; padded to keep the size."""
    padding = tuple(dilation * (k // 2) for k in kernel)
    conv = nn.Conv2d(channels, width, kernel, stride, (padding[0], padding[1]), dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width, momentum=MOMENTUM), *[nn.ReLU(inplace=True)] * relu)


def branch(channels: int, rows: list[Row], moved: bool = False) -> nn.Sequential:
    """Convolutions in a row, the last without ReLU; `moved`: it is deformable."""
    layers: list[nn.Module] = []
    for i, (width, kernel, stride, dilation) in enumerate(rows):
        layers.append(conv_norm(channels, width, kernel, stride, dilation, relu=i < len(rows) - 1))
        channels = width
    if moved:
        last = layers[-1]
        assert isinstance(last, nn.Sequential) and isinstance(last[0], nn.Conv2d)
        last[0] = DeformConv(last[0], 1)
    return nn.Sequential(*layers)


ONE, THREE = (1, 1), (3, 3)


def rows_of(kind: Kind, channels: int, stride: int, visual: int, narrow: int) -> list[list[Row]]:
    """The convolutions of each branch of a block. Its first 1x1s give `channels` / `narrow` numbers or twice as many.

    rfb: kernels of 1, 3 and 5 (two 3x3), then 3x3s dilated by `visual`, `visual` + 1 and 2 `visual` + 1, which reach
    twice that and one. inception: the same, undilated. aspp: the dilated ones right after the 1x1s, all of one kernel.
    deformable: one 3x3 of all branches' width whose taps move. rfb-s: four branches with 1x3 and 3x1, dilated by 1, 3,
    3 and 5 at `visual` 1. rfb-e: kernels of 1, 3, 5 and 7 (1x7 and 7x1), dilated as far; on 256 channels or fewer
    without 5. rfb-s-e: kernels of 1 and 3, lying and standing and the last both ways round, dilated by 1, 3, 3, 5, 5, 7
    and 7.
    """
    n = channels // narrow
    rates = (1, 1, 1) if kind == "inception" else (visual, visual + 1, 2 * visual + 1)
    if kind == "rfb-s":
        near, far = 3 * visual, 5 * visual
        return [
            [(n, ONE, stride, 1), (n, THREE, 1, visual)],
            [(n, ONE, 1, 1), (n, (3, 1), stride, 1), (n, THREE, 1, near)],
            [(n, ONE, 1, 1), (n, (1, 3), stride, 1), (n, THREE, 1, near)],
            [(n // 2, ONE, 1, 1), (n // 4 * 3, (1, 3), 1, 1), (n, (3, 1), stride, 1), (n, THREE, 1, far)],
        ]
    if kind == "rfb-s-e":
        lines: list[list[Row]] = [[(n, ONE, 1, 1), (n, bar, stride, 1), (n, THREE, 1, rate * visual)]
                                  for rate in (3, 5) for bar in ((3, 1), (1, 3))]
        crosses: list[list[Row]] = [
            [(n // 2, ONE, 1, 1), (n // 4 * 3, one, 1, 1), (n, two, stride, 1), (n, THREE, 1, 7 * visual)]
            for one, two in (((1, 3), (3, 1)), ((3, 1), (1, 3)))]
        return [[(n, ONE, stride, 1), (n, THREE, 1, visual)], *lines, *crosses]
    if kind == "rfb-e":
        first, *more = rows_of("rfb", channels, stride, visual, narrow)
        last: list[Row] = [(n, ONE, 1, 1), (n // 2 * 3, (1, 7), 1, 1), (2 * n, (7, 1), stride, 1), (2 * n, THREE, 1, 1)]
        branches = [first, *more[: 1 if channels <= 256 else 2], last]
        reach = [1, 3, 7] if channels <= 256 else [1, 3, 5, 7]
        return [[*b[:-1], (2 * n, THREE, 1, rate * visual)] for b, rate in zip(branches, reach)]
    if kind == "deformable":
        return [[(2 * n, ONE, stride, 1), (6 * n, THREE, 1, 1)]]
    if kind == "aspp":
        return [[(2 * n, ONE, stride, 1), (2 * n, THREE, 1, rate)] for rate in rates]
    return [
        [(2 * n, ONE, stride, 1), (2 * n, THREE, 1, rates[0])],
        [(n, ONE, 1, 1), (2 * n, THREE, stride, 1), (2 * n, THREE, 1, rates[1])],
        [(n, ONE, 1, 1), (n // 2 * 3, THREE, 1, 1), (2 * n, THREE, stride, 1), (2 * n, THREE, 1, rates[2])],
    ]


class Block(nn.Module):
    """Branches side by side, laid on one another; a 1x1 of them, times `scale`, is added to a 1x1 of the input, and a
    ReLU (fig. 4). `narrow`: by what the channels are divided in the branches; 0: 8, and 4 in "rfb-s"."""

    def __init__(self, channels: int, width: int, stride: int = 1, visual: int = 1, scale: float = 1.0,
                 kind: Kind = "rfb", narrow: int = 0) -> None:
        super().__init__()
        narrow = narrow or (4 if kind == "rfb-s" else 8)
        if channels < 4 * narrow:
            raise StemmaError(f"a block divides its {channels} channels by {narrow} and by 4 again; nothing is left")
        rows = rows_of(kind, channels, stride, visual, narrow)
        self.scale = scale
        self.branches = nn.ModuleList(branch(channels, r, kind == "deformable") for r in rows)
        self.linear = conv_norm(sum(r[-1][0] for r in rows), width, relu=False)
        self.shortcut = conv_norm(channels, width, stride=stride, relu=False)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B W _ _"]:
        said = self.linear(torch.cat([b(x) for b in self.branches], 1))
        return F.relu(self.scale * said + self.shortcut(x))


class ReceptiveLevels(Trunk):
    """RFB Net's levels (fig. 5): a block on the finest map, blocks on the second and above, then SSD's extra levels.
    `join`: the finest block reads so many channels of its map and as many of the second, enlarged (RFB Net 512-E); 0:
    its map alone.

    `layers` are (width, stride, visual) of the blocks from the second map on, the first of which gives that level
    itself; `tail` SSD's (narrow, wide, kernel, stride, padding). `first` and `kind` say which blocks stand on the
    finest map and on the others. `momentum` is that of batch norms: of .01 a training of a hundred steps measures by
    statistics that are a third what they began as.
    """

    def __init__(self, inp: In, layers: tuple[tuple[int, int, int], ...],
                 tail: tuple[tuple[int, int, int, int, int], ...],
                 first: Kind = "rfb-s", kind: Kind = "rfb", scale: float = 1.0, narrow: int = 0,
                 momentum: float = MOMENTUM, join: int = 0) -> None:
        super().__init__()
        fine, coarse = inp.channels
        self.reduce = nn.ModuleList(conv_norm(c, join) for c in (fine, coarse) if join)
        fine = 2 * join or fine
        self.fine = Block(fine, fine, 1, 1, scale, first, narrow)
        self.blocks, strides = nn.ModuleList(), list(inp.strides)
        for i, (width, stride, visual) in enumerate(layers):
            self.blocks.append(Block(coarse, width, stride, visual, scale, kind, narrow))
            coarse = width
            strides += [strides[-1] * 2] * (i > 0)
        widths = tuple(w for w, _, _ in layers)
        self.tail = Extras(In((coarse,), (strides[-1],), inp.classes), tail, norm="batch")
        for name, m in self.named_modules():
            if isinstance(m, nn.Conv2d) and not name.endswith(".offset"):  # these begin at zero
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
            if isinstance(m, nn.BatchNorm2d):
                m.momentum = momentum
        self.out = In((fine, *widths, *self.tail.out.channels[1:]), (*strides, *self.tail.out.strides[1:]), inp.classes)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        x = xs[1]
        found = [self.fine(self.joined(xs[0], x) if self.reduce else xs[0])]
        for block in self.blocks:
            x = block(x)
            found.append(x)
        more: list[Tensor] = self.tail([x])
        return [*found, *more[1:]]

    def joined(self, fine: Tensor, coarse: Tensor) -> Tensor:
        low, high = (layer(x) for layer, x in zip(self.reduce, (fine, coarse), strict=True))
        high = F.interpolate(high, low.shape[-2:], mode="bilinear", align_corners=True)
        return torch.cat([low, high], 1)
