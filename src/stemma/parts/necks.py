"""Necks: what stands between the backbone's levels and the heads."""
from __future__ import annotations

import math
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.part import In
from ..ops.reorg import Order, reorg
from .backbones.darknet import MOMENTUM, conv_leaky
from .trunk import Trunk

Norm = Literal["none", "batch", "group"]


class Same(Trunk):
    """No neck: the levels pass as they are."""

    def __init__(self, inp: In) -> None:
        super().__init__()
        self.out = inp

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        return xs


class FPN(Trunk):
    """Feature pyramid (Lin et al. 2016, sec. 3): 1x1 laterals, nearest upsampling from above, addition,
    a 3x3 on each sum.

    `extra`: coarser levels above the last. "pool": P6 by subsampling P5 (FPN sec. 4.1); "c5" and "p5": P6 by a strided
    3x3 on C5 (RetinaNet as published) or on P5 (torchvision), and P7 by another on ReLU(P6).
    `fusion`: how a lateral and the map from above join. `top_down=False` leaves the laterals alone (the paper's
    bottom-up pyramid), `lateral=False` upsamples C5 alone (its table 1 e), `finest=True` hands out the finest level
    only (its table 1 f).
    `norm`: "batch" and "group" put a norm after every convolution and drop their biases; groups are 32.

    Maps are upsampled to the size of the level below, so odd sizes need no padding.
    """

    def __init__(
        self, inp: In, width: int = 256, extra: Literal["none", "pool", "c5", "p5"] = "none",
        fusion: Literal["add", "product", "concat"] = "add",
        top_down: bool = True, lateral: bool = True, finest: bool = False, norm: Norm = "none",
    ) -> None:
        super().__init__()
        n = len(inp.channels)
        self.extra, self.fusion, self.top_down, self.lateral, self.finest = extra, fusion, top_down, lateral, finest
        self.inner_blocks = nn.ModuleList(conv(c, width, 1, norm) if lateral or i == n - 1 else nn.Identity()
                                          for i, c in enumerate(inp.channels))
        self.layer_blocks = nn.ModuleList(conv(width, width, 3, norm) if i == 0 or not finest else nn.Identity()
                                          for i in range(n))
        if fusion == "concat":
            self.join = nn.ModuleList(conv(2 * width, width, 1, norm) for _ in range(n - 1))
        strides = inp.strides[:1] if finest else inp.strides
        if extra == "pool":
            strides = (*strides, strides[-1] * 2)
        elif extra != "none":
            self.p6 = nn.Conv2d(inp.channels[-1] if extra == "c5" else width, width, 3, 2, 1)
            self.p7 = nn.Conv2d(width, width, 3, 2, 1)
            strides = (*strides, strides[-1] * 2, strides[-1] * 4)
        assert not (finest and extra != "none"), "the finest level alone has no coarser ones above it"
        _start(self)
        self.out = In((width,) * len(strides), strides, inp.classes)

    def merge(self, i: int, side: Tensor | None, above: Tensor, size: tuple[int, int]) -> Tensor:
        above = F.interpolate(above, size=size, mode="nearest")
        if side is None:
            return above
        if self.fusion == "add":
            return side + above
        return side * above if self.fusion == "product" else self.join[i](torch.cat([side, above], 1))

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        inner = self.inner_blocks[-1](xs[-1])
        outs = [inner]
        for i in range(len(xs) - 2, -1, -1):
            side = self.inner_blocks[i](xs[i]) if self.lateral else None
            if self.top_down or side is None:
                inner = self.merge(i, side, inner, (xs[i].shape[-2], xs[i].shape[-1]))
            else:
                inner = side
            outs.insert(0, inner)
        if self.finest:
            return [self.layer_blocks[0](outs[0])]
        outs = [layer(x) for layer, x in zip(self.layer_blocks, outs)]
        if self.extra == "pool":
            outs.append(F.max_pool2d(outs[-1], 1, 2))
        elif self.extra != "none":
            p6 = self.p6(xs[-1] if self.extra == "c5" else outs[-1])
            outs += [p6, self.p7(F.relu(p6))]
        return outs


def conv(channels: int, width: int, kernel: int, norm: Norm, stride: int = 1) -> nn.Module:
    """A convolution of a pyramid; a norm after it takes its bias."""
    plain = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=norm == "none")
    if norm == "none":
        return plain
    return nn.Sequential(plain, nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(math.gcd(32, width), width))


def _start(net: nn.Module) -> None:
    """Caffe2's Xavier weights, biases at 0."""
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_uniform_(m.weight, a=1)
            if m.bias is not None:
                nn.init.zeros_(m.bias)


class PathAggregation(FPN):
    """PANet sec. 3.1: a second path, from the bottom up. N2 is P2; N(i+1) is a 3x3 on the sum of P(i+1) and a strided
    3x3 on N(i), ReLUs after both; N6 subsamples N5.

    `depth`: 3x3s after each sum. `activate=False` has no ReLUs. `start="sums"` begins each step from the sum below, in
    the place of what its 3x3 made of it; with both, and no norm, it is the PAFPN of public code.
    """

    def __init__(self, inp: In, width: int = 256, norm: Norm = "none", depth: int = 1,
                 activate: bool = True, start: Literal["path", "sums"] = "path") -> None:
        super().__init__(inp, width, norm=norm)
        n = len(inp.channels) - 1
        self.start = start
        self.act: nn.Module = nn.ReLU() if activate else nn.Identity()
        self.down = nn.ModuleList(conv(width, width, 3, norm, 2) for _ in range(n))
        self.path = nn.ModuleList(nn.Sequential(*[m for _ in range(depth)
                                                  for m in (conv(width, width, 3, norm), self.act)]) for _ in range(n))
        _start(self)
        self.out = In((width,) * (n + 2), (*inp.strides, inp.strides[-1] * 2), inp.classes)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        first, *rest = super().forward(xs)
        out, below = [first], first
        for down, path, level in zip(self.down, self.path, rest):
            both = self.act(down(below)) + level
            out.append(path(both))
            below = both if self.start == "sums" else out[-1]
        return [*out, F.max_pool2d(out[-1], 1, 2)]


class Passthrough(Trunk):
    """YOLOv2 sec. 2, "fine-grained features": the finer of two levels is folded into channels and laid before the
    coarser; one level comes out.

    `depth` 3x3 convolutions of `width` on the coarse level, a 1x1 of `narrow` on the fine one before it is folded, a
    3x3 of `width` on both.
    `order`: how pixels become channels (`ops.reorg`); "darknet" is that of the released weights. `momentum`: of the
    batch norms.
    """

    def __init__(self, inp: In, width: int = 1024, narrow: int = 64, depth: int = 2,
                 order: Order = "space_to_depth", momentum: float = MOMENTUM) -> None:
        super().__init__()
        assert len(inp.channels) == 2, f"a fine and a coarse level, not {len(inp.channels)}"
        self.factor, self.order = inp.strides[1] // inp.strides[0], order
        conv = partial(conv_leaky, momentum=momentum)
        self.deep = nn.Sequential(*[conv(inp.channels[1] if i == 0 else width, width, 3) for i in range(depth)])
        self.side = conv(inp.channels[0], narrow, 1)
        self.join = conv(narrow * self.factor**2 + (width if depth else inp.channels[1]), width, 3)
        self.out = In((width,), inp.strides[1:], inp.classes)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        fine = reorg(self.side(xs[0]), self.factor, self.order)
        return [self.join(torch.cat([fine, self.deep(xs[1])], 1))]


class ConcatPyramid(Trunk):
    """YOLOv3 sec. 2.3, "predictions across scales": from the coarsest level down, what comes from above is laid before
    the backbone's map.

    On each level `depth` convolutions, 1x1 to its width of `widths` and 3x3 to twice that by turns, 1x1 first and last;
    a 3x3 to twice the width is handed out, and a 1x1 to the next finer level's width goes down, upsampled to its size.
    `momentum`: of the batch norms.
    """

    def __init__(self, inp: In, widths: tuple[int, ...] = (128, 256, 512), depth: int = 5,
                 momentum: float = MOMENTUM) -> None:
        super().__init__()
        n = len(inp.channels)
        assert len(widths) == n and depth % 2, f"a width for each of {n} levels and an odd depth: {widths}, {depth}"
        self.bodies, self.outs, self.downs = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        conv = partial(conv_leaky, momentum=momentum)
        for i, (c, w) in enumerate(zip(inp.channels, widths)):
            before = [c + w if i < n - 1 else c, *[w, 2 * w] * (depth // 2)]
            after = [w, *[2 * w, w] * (depth // 2)]
            self.bodies.append(nn.Sequential(*[conv(a, b, 1 if k % 2 == 0 else 3)
                                               for k, (a, b) in enumerate(zip(before, after))]))
            self.outs.append(conv(w, 2 * w, 3))
            if i:
                self.downs.append(conv(w, widths[i - 1], 1))
        self.out = In(tuple(2 * w for w in widths), inp.strides, inp.classes)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        found: list[Tensor] = []
        above: Tensor | None = None
        for i in range(len(xs) - 1, -1, -1):
            x = xs[i] if above is None else torch.cat([F.interpolate(above, size=xs[i].shape[-2:]), xs[i]], 1)
            x = self.bodies[i](x)
            found.insert(0, self.outs[i](x))
            above = self.downs[i - 1](x) if i else None
        return found
