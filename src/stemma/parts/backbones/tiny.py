"""TinyResNet: a ResNet of basic blocks that trains from scratch in a minute on two cores."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ..trunk import Trunk
from .resnet import atrous


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut (He et al. 2015, fig. 5 left)."""

    def __init__(self, channels: int, width: int, stride: int = 1, dilation: int = 1, first: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, first, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class TinyResNet(Trunk):
    """Stem of stride 2, then a stage of `blocks` basic blocks a width, each halving the map.

    `levels` are the stages handed out: 0, 1, 2, 3 have strides 4, 8, 16, 32. Stages above the last wanted level are not
    built. `stride` is the coarsest that is wanted: strides beyond it are not taken, and what follows is dilated
    (`atrous`). With the default widths and one block a stage it has 1.2 M parameters.
    """

    def __init__(self, inp: In, widths: tuple[int, ...] = (32, 64, 128, 256), blocks: int = 1,
                 levels: tuple[int, ...] = (1, 2, 3), stride: int = 32) -> None:
        super().__init__()
        assert levels and max(levels) < len(widths), f"levels {levels} of {len(widths)} stages"
        self.levels = levels
        self.stem = nn.Sequential(nn.Conv2d(inp.channels[0], widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]),
                                  nn.ReLU(inplace=True))
        self.stages = nn.ModuleList()
        before, strides, dilation = widths[0], [2], 1
        for width in widths[: max(levels) + 1]:
            step, dilation, first = atrous(strides[-1], stride, dilation, after=False)
            strides.append(strides[-1] * step)
            made = [BasicBlock(before, width, step, dilation, first),
                    *[BasicBlock(width, width, 1, dilation, dilation) for _ in range(blocks - 1)]]
            self.stages.append(nn.Sequential(*made))
            before = width
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        self.out = In(tuple(widths[i] for i in levels), tuple(inp.strides[0] * strides[i + 1] for i in levels),
                      inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[torch.Tensor]:
        x = self.stem(x)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return [found[i] for i in self.levels]

    def between(self, level: int) -> nn.Module:
        """The stages from one level handed out to the next, which is `level`."""
        first, last = self.levels[level - 1], self.levels[level]
        return nn.Sequential(*self.stages[first + 1 : last + 1])
