"""GoogLeNet without its classifiers: convolutions of three sizes and a pool side by side, nine times over (Szegedy et
al., arXiv 1409.4842)."""
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ..trunk import Trunk

# 1x1; 1x1 then 3x3; 1x1 then 5x5; 1x1 after the pool (table 1)
MODULES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("3a", (64, 96, 128, 16, 32, 32)), ("3b", (128, 128, 192, 32, 96, 64)),
    ("4a", (192, 96, 208, 16, 48, 64)), ("4b", (160, 112, 224, 24, 64, 64)), ("4c", (128, 128, 256, 24, 64, 64)),
    ("4d", (112, 144, 288, 32, 64, 64)),
    ("4e", (256, 160, 320, 32, 128, 128)), ("5a", (256, 160, 320, 32, 128, 128)), ("5b", (384, 192, 384, 48, 128, 128)),
)
LEVELS = ("3b", "4e", "5b")


Form = Literal["caffe", "torchvision"]


class NormedConv(nn.Module):
    """A convolution without bias and a batch norm, as torchvision's net of that name has them."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y


def convolution(form: Form, channels: int, width: int, kernel: int, stride: int = 1) -> nn.Module:
    if form == "torchvision":
        return NormedConv(channels, width, kernel, stride)
    return nn.Conv2d(channels, width, kernel, stride, kernel // 2)


class Inception(nn.Module):
    """Four branches over one map, their channels side by side (fig. 2 b).
    torchvision's has a 3x3 where the paper has the 5x5."""

    def __init__(self, channels: int, widths: tuple[int, ...], form: Form = "caffe") -> None:
        super().__init__()
        one, before3, three, before5, five, pooled = widths
        self.one = convolution(form, channels, one, 1)
        self.before3, self.three = convolution(form, channels, before3, 1), convolution(form, before3, three, 3)
        self.before5 = convolution(form, channels, before5, 1)
        self.five = convolution(form, before5, five, 5 if form == "caffe" else 3)
        self.pooled = convolution(form, channels, pooled, 1)
        self.channels = one + three + five + pooled

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        branches = (self.one(x), self.three(F.relu(self.before3(x))), self.five(F.relu(self.before5(x))),
                    self.pooled(F.max_pool2d(x, 3, 1, 1)))
        return F.relu(torch.cat(branches, 1))


class GoogLeNet(Trunk):
    """Levels 0, 1, 2: the modules 3b, 4e and 5b, of strides 8, 16 and 32; modules above the last wanted are not built.

    Local response normalisation after the first and third convolution; pools round their sizes up,
    as in Caffe's model of it. `form="torchvision"` is that library's net: batch norm behind every convolution, none of
    that normalisation, no 5x5; its weights fit by name (`inceptions.3a` is its `inception3a`).
    """

    def __init__(self, inp: In, levels: tuple[int, ...] = (2,), form: Form = "caffe") -> None:
        super().__init__()
        self.levels, self.form = levels, form
        self.conv1 = convolution(form, inp.channels[0], 64, 7, 2)
        self.conv2, self.conv3 = convolution(form, 64, 64, 1), convolution(form, 64, 192, 3)
        self.norm = nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0) if form == "caffe" else nn.Identity()
        self.inceptions = nn.ModuleDict()
        channels, last = 192, LEVELS[max(levels)]
        for name, widths in MODULES[: [n for n, _ in MODULES].index(last) + 1]:
            made = Inception(channels, widths, form)
            self.inceptions[name], channels = made, made.channels
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.xavier_uniform_(m.weight)
                if m.bias is not None:
                    nn.init.constant_(m.bias, 0.2)
        self.out = In(tuple((480, 832, 1024)[i] for i in levels),
                      tuple(inp.strides[0] * (8, 16, 32)[i] for i in levels), inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        def pool(x: Tensor) -> Tensor:
            return F.max_pool2d(x, 3, 2, ceil_mode=True)

        x = self.norm(pool(F.relu(self.conv1(x))))
        x = pool(self.norm(F.relu(self.conv3(F.relu(self.conv2(x))))))
        found: dict[str, Tensor] = {}
        for name, module in self.inceptions.items():
            x = found[name] = module(pool(x) if name in ("4a", "5a") else x)
        return [found[LEVELS[i]] for i in self.levels]
