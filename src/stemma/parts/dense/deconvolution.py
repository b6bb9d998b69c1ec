"""DSSD's three modules: residual levels above a backbone, the way back down by deconvolution, residual predictors.

Names in arXiv 1701.06659: deconvolution module (sec. 3.2, fig. 3), prediction module (fig. 4, a to d).
"""
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.part import In
from ...core.types import StemmaError
from ..backbones.resnet import Bottleneck, initialise
from ..trunk import Trunk, several
from .heads import LevelHeads, Said

EPS = 1e-3  # of batch norms, as in the authors' code
Steps = tuple[tuple[int, int], ...]  # kernel and stride of every level above the backbone's, unpadded


class ResidualExtras(Trunk):
    """Levels above the backbone's, each a bottleneck of `width` whose first convolution and shortcut shrink the map:
    1,024 channels as published. The stride that `out` tells doubles at each, as with SSD's extra levels."""

    def __init__(self, inp: In, layers: Steps, width: int = 256) -> None:
        super().__init__()
        channels, strides = list(inp.channels), list(inp.strides)
        self.layers, self.given, self.blocks = layers, len(channels), nn.ModuleList()
        for kernel, stride in layers:
            self.blocks.append(Bottleneck(channels[-1], width, stride, "batch", EPS, True, kernel=kernel, project=True))
            channels.append(4 * width)
            strides.append(strides[-1] * 2)
        initialise(self)
        self.out = In(tuple(channels), tuple(strides), inp.classes)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = list(xs)
        for block in self.blocks:
            x, (kernel, stride) = xs[-1], self.layers[len(xs) - self.given]
            several(self, x, kernel, stride)
            xs.append(block(x))
        return xs


class DeconvolutionModule(nn.Module):
    """Fig. 3: the coarse map through a deconvolution, a 3x3 and batch norm; the fine one through two 3x3s with batch
    norm, a ReLU between; their product and a ReLU. Coarse maps are cut or filled with zeros to the fine one's size.

    `fusion`: "product" as published, "add", or "concat", which a 1x1 brings back to `width`. `ones`: what comes from
    above begins near 1, with a deviation of .2, so that a product begins as the fine map (not in the paper, whose maps
    are trained before they are multiplied).
    """

    def __init__(self, coarse: int, fine: int, width: int, kernel: int, stride: int,
                 fusion: Literal["product", "add", "concat"] = "product", ones: bool = False) -> None:
        super().__init__()
        self.fusion = fusion
        self.deconv = nn.ConvTranspose2d(coarse, width, kernel, stride)
        self.above = nn.Sequential(*_normed(width, width))
        self.side = nn.Sequential(*_normed(fine, width), nn.ReLU(inplace=True), *_normed(width, width))
        self.join = nn.Sequential(*_normed(2 * width, width, 1)) if fusion == "concat" else None
        initialise(self)
        nn.init.xavier_uniform_(self.deconv.weight)
        assert self.deconv.bias is not None
        nn.init.zeros_(self.deconv.bias)
        if ones and isinstance(norm := self.above[1], nn.BatchNorm2d):
            nn.init.constant_(norm.weight, 0.2)
            nn.init.ones_(norm.bias)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        y, (h, w) = self.deconv(coarse), fine.shape[-2:]
        above, side = self.above(F.pad(y, (0, w - y.shape[-1], 0, h - y.shape[-2]))), self.side(fine)
        if self.join is not None:
            return F.relu(self.join(torch.cat([above, side], 1)))
        return F.relu(above * side if self.fusion == "product" else above + side)


def _normed(channels: int, width: int, kernel: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(width, EPS)]


class DeconvolutionPath(ResidualExtras):
    """Sec. 3.2: from the coarsest level down, each finer one is joined with what comes from above by a
    `DeconvolutionModule`. The coarsest level is handed out as it is, the others as their modules make them."""

    def __init__(self, inp: In, layers: Steps, width: int = 256, wide: int = 512,
                 fusion: Literal["product", "add", "concat"] = "product", ones: bool = False) -> None:
        super().__init__(inp, layers, width)
        c, n = self.out.channels, len(self.out.channels)
        halves = tuple((b // a, b // a) for a, b in zip(inp.strides, inp.strides[1:]))
        self.down = nn.ModuleList(DeconvolutionModule(c[-1] if i == n - 2 else wide, c[i], wide, kernel, stride, fusion,
                                                      ones) for i, (kernel, stride) in enumerate((*halves, *layers)))
        self.out = In((*(wide,) * (n - 1), c[-1]), self.out.strides, inp.classes)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = super().forward(xs)
        found = [xs[-1]]
        for i in range(len(xs) - 2, -1, -1):
            found.insert(0, self.down[i](found[0], xs[i]))
        return found


class PredictionHead(nn.Module):
    """Fig. 4: before each level's two convolutions a prediction module. "a": none, as in SSD; "b": a bottleneck, whose
    branch gives the channels that it got; "c": to 4 x `width` channels, with a 1x1 on the shortcut; "d": two of these.

    `middle`: side of the bottleneck's second convolution, 1 in the figure and 3 in the authors' code. `kernels`: of the
    two convolutions, level by level; empty: 3. `still`: blocks begin as their shortcuts, their last norms at 0 (not in
    the paper, which begins from maps that are trained).
    """

    def __init__(self, inp: In, module: Literal["a", "b", "c", "d"] = "c", width: int = 256, middle: int = 1,
                 kernels: tuple[int, ...] = (), still: bool = False) -> None:
        super().__init__()
        if module == "b" and any(c % 4 for c in inp.channels):
            raise StemmaError(f"prediction module b takes channels in fours, not {inp.channels}")
        self.before = nn.ModuleList(nn.Sequential(*self._blocks(c, module, width, middle)) for c in inp.channels)
        initialise(self.before)
        for m in self.before.modules():
            if still and isinstance(m, Bottleneck):
                nn.init.zeros_(m.get_parameter("bn3.weight"))
        channels = inp.channels if module in "ab" else (4 * width,) * len(inp.channels)
        self.predict = LevelHeads(In(channels, inp.strides, inp.classes, anchors=inp.anchors, logits=inp.logits),
                                  kernels=kernels)

    @staticmethod
    def _blocks(c: int, module: str, width: int, middle: int) -> list[nn.Module]:
        if module in "ab":
            return [Bottleneck(c, c // 4, norm="batch", eps=EPS, middle=middle)] if module == "b" else []
        return [Bottleneck(n, width, norm="batch", eps=EPS, middle=middle, project=True)
                for n in (c, 4 * width)[: 1 if module == "c" else 2]]

    def forward(self, xs: list[Tensor]) -> Said:
        said: Said = self.predict([m(x) for m, x in zip(self.before, xs)])
        return said
