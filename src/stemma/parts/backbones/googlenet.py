"""GoogLeNet without its classifiers: convolutions of three sizes and a pool side by side, nine times over (Szegedy et
al., arXiv 1409.4842)."""
from __future__ import annotations

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


class Inception(nn.Module):
    """Four branches over one map, their channels side by side (fig. 2 b)."""

    def __init__(self, channels: int, one: int, before3: int, three: int, before5: int, five: int, pooled: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, one, 1)
        self.before3, self.three = nn.Conv2d(channels, before3, 1), nn.Conv2d(before3, three, 3, padding=1)
        self.before5, self.five = nn.Conv2d(channels, before5, 1), nn.Conv2d(before5, five, 5, padding=2)
        self.pooled = nn.Conv2d(channels, pooled, 1)
        self.channels = one + three + five + pooled

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        branches = (self.one(x), self.three(F.relu(self.before3(x))), self.five(F.relu(self.before5(x))),
                    self.pooled(F.max_pool2d(x, 3, 1, 1)))
        return F.relu(torch.cat(branches, 1))


class GoogLeNet(Trunk):
    """Levels 0, 1, 2: the modules 3b, 4e and 5b, of strides 8, 16 and 32; modules above the last wanted are not built.

    Local response normalisation after the first and third convolution; pools round their sizes up,
    as in Caffe's model of it.
    """

    def __init__(self, inp: In, levels: tuple[int, ...] = (2,)) -> None:
        super().__init__()
        self.levels = levels
        self.conv1 = nn.Conv2d(inp.channels[0], 64, 7, 2, 3)
        self.conv2, self.conv3 = nn.Conv2d(64, 64, 1), nn.Conv2d(64, 192, 3, padding=1)
        self.norm = nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)
        self.inceptions = nn.ModuleDict()
        channels, last = 192, LEVELS[max(levels)]
        for name, widths in MODULES[: [n for n, _ in MODULES].index(last) + 1]:
            made = Inception(channels, *widths)
            self.inceptions[name], channels = made, made.channels
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.xavier_uniform_(m.weight)
                nn.init.constant_(m.bias, 0.2)  # type: ignore[arg-type]
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
