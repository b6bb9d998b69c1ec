"""From levels to a score for every class at every pixel.

Axes: B images, C classes, H W pixels. A decoder maps the levels of a trunk, finest first, to logits,
and its `out` says where they lie.
"""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ...ops.constants import constant
from ...ops.tiles import mirror_pad
from ..trunk import Trunk
from .upsample import BilinearUp, Grid, overlap

LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B (ITU-R BT.601)


class Decoder(nn.Module):
    """Levels -> logits B C H W; `out` tells their stride and offset on the picture."""

    out: In


class ScoreSkips(Decoder):
    """FCN sec. 4.2: score each level with a 1x1 convolution, upsample the coarse scores, add; the last upsampling
    reaches the pixels.

    `levels` 1, 2, 3 give FCN-32s, -16s and -8s. Scores start at 0 (`std` > 0: normal). `scales`, finest first, multiply
    the levels before they are scored (the "at once" net's 1e-4, 1e-2); left empty, 1. `learn` lets the bilinear filters
    between levels train; those of the last upsampling stay (sec. 4.3). A level's scores have its number among the
    trunk's levels, so that a finer net begins from a coarser one's weights. Where maps overlap is computed from their
    grids: FCN's crops of 5, 9 and 31 pixels come out.
    """

    def __init__(self, inp: In, levels: int = 3, scales: tuple[float, ...] = (), learn: bool = False,
                 std: float = 0.0) -> None:
        super().__init__()
        assert 1 <= levels <= len(inp.channels), f"{levels} levels of {len(inp.channels)}"
        assert not scales or len(scales) == levels, f"one scale a level: {scales}"
        self.levels, self.scales = levels, scales or (1.0,) * levels
        n = len(inp.channels)
        self.score = nn.ModuleDict({str(i): nn.Conv2d(inp.channels[i], inp.classes, 1) for i in range(n - levels, n)})
        for m in self.score.values():
            assert isinstance(m, nn.Conv2d) and m.bias is not None
            nn.init.normal_(m.weight, std=std)
            nn.init.zeros_(m.bias)
        grids = [Grid.of(inp, i - levels) for i in range(levels)]
        grid, self.shifts, ups = grids[-1], [], []
        for i, finer in enumerate((*grids[-2::-1], Grid(1, 0.5)), 1):
            factor = round(grid.stride / finer.stride)
            ups.append(BilinearUp(inp.classes, factor, learn and i < levels))
            grid = grid.up(factor, 2 * factor)
            self.shifts.append(grid.shift(finer))
            grid = grid.within(finer) if i < levels else grid
        self.up = nn.ModuleList(ups)
        self.out = In((inp.classes,), (1,), inp.classes, (grid.offset,))

    def forward(self, levels: list[Tensor]) -> Float[Tensor, "B C H W"]:
        scores = [s(x * k if k != 1 else x)
                  for s, k, x in zip(self.score.values(), self.scales, levels[-self.levels :])]
        y: Tensor = scores.pop()
        for up, shift in zip(self.up, self.shifts):
            y = up(y)
            if scores:
                a, b = overlap(y, scores.pop(), shift)
                y = a + b
        return y


def double_conv(channels: int, width: int, valid: bool, norm: bool) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU, drawn as two blue arrows in U-Net's fig. 1; He initialised."""
    layers: list[nn.Module] = []
    for c in (channels, width):
        conv = nn.Conv2d(c, width, 3, padding=0 if valid else 1, bias=not norm)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        layers += [conv, *([nn.BatchNorm2d(width)] if norm else []), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class Contract(Trunk):
    """U-Net's way down: double convolutions with a 2x2 max pool between.
    Every level is handed out, strides 1, 2, 4, ...

    `valid` convolutions pad nothing: each eats a pixel a side, and the whole net `context` pixels (92 with five
    widths). With `mirror` the picture is extended by that much, mirrored (fig. 2), so that every pixel gets a label;
    without it the caller hands a tile whose border gets none (572 in, 388 out). Otherwise convolutions pad with zeros.
    `grey` reads one channel, the luminance. Dropout acts at the end, on the two coarsest levels as in the released net.
    """

    def __init__(
        self, inp: In, widths: tuple[int, ...] = (64, 128, 256, 512, 1024), valid: bool = True, mirror: bool = True,
        grey: bool = True, norm: bool = False, dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.grey, depth = grey, len(widths) - 1
        self.stages = nn.ModuleList()
        before = 1 if grey else inp.channels[0]
        self.context = 2 * (2 ** (depth + 1) - 1) + 2 * (2**depth - 1) if valid else 0
        self.step = 2**depth
        self.divisor = 1 if valid else self.step  # what the picture's sides must divide by
        self.mirror = valid and mirror
        grid = Grid(1, 0.5 - (self.context if self.mirror else 0))
        grids = []
        for i, width in enumerate(widths):
            self.stages.append(double_conv(before, width, valid, norm))
            before = width
            grid = grid.pool(2) if i else grid
            grid = grid.conv(3, 0 if valid else 1).conv(3, 0 if valid else 1)
            grids.append(grid)
        self.dropout = nn.Dropout(dropout)
        self.out = In(widths, tuple(int(g.stride) for g in grids), inp.classes, tuple(g.offset for g in grids))

    def widen(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H2 W2"]:
        """The picture with `context` mirrored pixels a side, and as many more at the right and bottom as make every
        pool's input even.

        The even sizes are -4 modulo 2^depth: 572 = 36 x 16 - 4.
        """
        c, (h, w) = self.context, x.shape[-2:]
        more = [(-4 - side - 2 * c) % self.step for side in (h, w)]
        return mirror_pad(x, c, c + more[1], c, c + more[0])

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        if self.grey:
            x = (x * constant(LUMINANCE, x)[:, None, None]).sum(1, keepdim=True)
        if self.mirror:
            x = self.widen(x)
        levels = []
        for i, stage in enumerate(self.stages):
            x = stage(F.max_pool2d(x, 2) if i else x)
            levels.append(x if i < len(self.stages) - 2 else self.dropout(x))
            x = levels[-1]
        return levels


class ASPP(Decoder):
    """Parallel dilated branches on the coarsest level whose class scores are summed: atrous spatial pyramid pooling
    (DeepLab v2 sec. 3.2, fig. 4 and 7).

    `width` 0: every branch is a 3x3 classifier at its rate. `width` > 0: a 3x3 at its rate (fc6), a 1x1 (fc7), both
    with ReLU and dropout, and a 1x1 classifier (fc8); a single branch of rate 12 is v1's LargeFOV. Classifiers start
    with deviation .01. Cells are taken to lie on pixels 0, s, 2 s, ...,
    where odd kernels padded on both sides put them.
    """

    def __init__(self, inp: In, rates: tuple[int, ...] = (6, 12, 18, 24), width: int = 0, dropout: float = 0.5) -> None:
        super().__init__()
        c = inp.channels[-1]
        self.fc6 = nn.ModuleList(nn.Conv2d(c, width, 3, padding=r, dilation=r) for r in rates if width)
        self.fc7 = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in rates if width)
        self.score = nn.ModuleList(nn.Conv2d(width, inp.classes, 1) if width
                                   else nn.Conv2d(c, inp.classes, 3, padding=r, dilation=r) for r in rates)
        self.dropout = nn.Dropout(dropout)
        for m in (*self.fc6, *self.fc7, *self.score):
            assert isinstance(m, nn.Conv2d) and m.bias is not None
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            nn.init.zeros_(m.bias)
        for m in self.score:
            nn.init.normal_(m.weight, std=0.01)  # type: ignore[arg-type]
        self.out = In((inp.classes,), inp.strides[-1:], inp.classes, (0.5,))

    def forward(self, levels: list[Tensor]) -> Float[Tensor, "B C H W"]:
        x = levels[-1]
        branches = [x] * len(self.score)
        for layers in (self.fc6, self.fc7) if len(self.fc6) else ():
            branches = [self.dropout(F.relu(layer(y), inplace=True)) for layer, y in zip(layers, branches)]
        return torch.stack([score(y) for score, y in zip(self.score, branches)]).sum(0)


class SemanticFPN(Decoder):
    """Panoptic FPN fig. 3: every level reaches the finest one's stride by steps of 3x3 convolution, group norm, ReLU
    and bilinear doubling (the finest by one without it); the levels, `levels` of them,
    are added and a 1x1 convolution scores the sum.
    """

    def __init__(self, inp: In, levels: int = 4, width: int = 128, groups: int = 32) -> None:
        super().__init__()
        self.towers = nn.ModuleList()
        for channels, stride in zip(inp.channels[:levels], inp.strides):
            doublings, layers = round(math.log2(stride / inp.strides[0])), []
            for i in range(max(1, doublings)):
                conv = nn.Conv2d(width if i else channels, width, 3, padding=1, bias=False)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                layers += [conv, nn.GroupNorm(math.gcd(groups, width), width), nn.ReLU(inplace=True)]
                layers += [nn.Upsample(scale_factor=2, mode="bilinear")] if doublings else []
            self.towers.append(nn.Sequential(*layers))
        self.score = nn.Conv2d(width, inp.classes, 1)
        nn.init.kaiming_normal_(self.score.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]
        self.out = In((inp.classes,), inp.strides[:1], inp.classes)

    def forward(self, levels: list[Tensor]) -> Float[Tensor, "B C h w"]:
        h, w = levels[0].shape[-2:]  # of odd maps the coarser ones come out a little larger
        logits: Tensor = self.score(torch.stack([tower(x)[..., :h, :w] for tower, x in zip(self.towers, levels)])
                                    .sum(0))
        return logits


class Expand(Decoder):
    """U-Net's way up: a 2x2 up-convolution halves the channels, the finer level is cropped to it and concatenated,
    two convolutions mix.

    A 1x1 convolution scores the finest. `valid` and `norm` as in `Contract`.
    """

    def __init__(self, inp: In, valid: bool = True, norm: bool = False) -> None:
        super().__init__()
        widths = inp.channels
        self.up, self.mix, self.shifts = nn.ModuleList(), nn.ModuleList(), []
        grid = Grid.of(inp, -1)
        for i in range(len(widths) - 2, -1, -1):
            self.up.append(nn.ConvTranspose2d(widths[i + 1], widths[i], 2, 2))
            self.mix.append(double_conv(2 * widths[i], widths[i], valid, norm))
            grid = grid.up(2, 2)
            self.shifts.append(grid.shift(Grid.of(inp, i)))
            grid = grid.within(Grid.of(inp, i)).conv(3, 0 if valid else 1).conv(3, 0 if valid else 1)
        self.score = nn.Conv2d(widths[0], inp.classes, 1)
        # sec. 3: deviation sqrt(2 / N); an output of an up-convolution sees one cell, so N is its channels
        if not norm:
            for m in (*self.up, self.score):
                assert isinstance(m, nn.ConvTranspose2d | nn.Conv2d) and m.bias is not None
                nn.init.normal_(m.weight, std=math.sqrt(2 / m.in_channels))
                nn.init.zeros_(m.bias)
        self.out = In((inp.classes,), (int(grid.stride),), inp.classes, (grid.offset,))

    def forward(self, levels: list[Tensor]) -> Float[Tensor, "B C H W"]:
        y = levels[-1]
        for up, mix, shift, finer in zip(self.up, self.mix, self.shifts, levels[-2::-1]):
            a, b = overlap(up(y), finer, shift)
            y = mix(torch.cat([b, a], 1))
        logits: Tensor = self.score(y)
        return logits
