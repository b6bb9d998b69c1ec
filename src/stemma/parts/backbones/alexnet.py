"""The networks of 2012 and 2013: Caffe's AlexNet, and Zeiler and Fergus's as SPP-net trained it.
Pools round up, as Caffe does.

Each gives one level. Weights start as published: deviations of .01, biases of 0 and 1.
"""
from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ..maps.upsample import Grid
from ..trunk import Trunk


def conv(channels: int, width: int, kernel: int, stride: int = 1, pad: int = 0, groups: int = 1,
         bias: float = 0.0) -> nn.Conv2d:
    made = nn.Conv2d(channels, width, kernel, stride, pad, groups=groups)
    nn.init.normal_(made.weight, std=0.01)
    nn.init.constant_(made.bias, bias)  # type: ignore[arg-type]
    return made


def later(channels: int) -> list[nn.Module]:
    """torchvision's `alexnet().features`, layer by layer."""
    pool, relu = nn.MaxPool2d(3, 2), nn.ReLU(inplace=True)
    return [conv(channels, 64, 11, 4, 2), relu, pool, conv(64, 192, 5, 1, 2), relu, pool, conv(192, 384, 3, 1, 1), relu,
            conv(384, 256, 3, 1, 1), relu, conv(256, 256, 3, 1, 1), relu, pool]


class CaffeNet(Trunk):
    """AlexNet (Krizhevsky et al. 2012) as Caffe's reference model has it: pooling before normalisation, two groups in
    conv2, 4 and 5; to pool5, stride 32.

    227 pixels give 6 x 6 cells of 256 channels. `form="torchvision"` is the later net of that library (Krizhevsky, "One
    weird trick", 2014): 64 channels first, no groups, no normalisation.
    """

    def __init__(self, inp: In, form: Literal["caffe", "torchvision"] = "caffe") -> None:
        super().__init__()
        self.form = form
        pool, relu = nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU(inplace=True)
        norm = nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)
        self.features = nn.Sequential(*later(inp.channels[0])) if form == "torchvision" else nn.Sequential(
            conv(inp.channels[0], 96, 11, 4), relu, pool, norm, conv(96, 256, 5, 1, 2, 2, 1.0), relu, pool, norm,
            conv(256, 384, 3, 1, 1), relu, conv(384, 384, 3, 1, 1, 2, 1.0), relu,
            conv(384, 256, 3, 1, 1, 2, 1.0), relu, pool,
        )
        first = 31.5 if form == "torchvision" else 33.5  # the first cell's centre: conv1 is padded by 2 there
        self.out = In((256,), (32 * inp.strides[0],), inp.classes, (first * inp.strides[0],))

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        return [self.features(x)]


class NearNorm(nn.Module):
    """Local response normalisation over a `size` x `size` neighbourhood of the same channel: x / (1 + alpha
    mean(x^2))^beta."""

    def __init__(self, size: int = 3, alpha: float = 5e-5, beta: float = 0.75) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        near = F.avg_pool2d(x.square(), self.size, 1, self.size // 2)
        return x / (1 + self.alpha * near) ** self.beta


class ZFNet(Trunk):
    """ZF-5 (Zeiler & Fergus 2013, with SPP-net's strides) to conv5: 256 channels at stride 16.
    224 pixels give 13 x 13 cells."""

    def __init__(self, inp: In) -> None:
        super().__init__()
        pool, relu, norm = nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU(inplace=True), NearNorm()
        self.features = nn.Sequential(
            conv(inp.channels[0], 96, 7, 2, 1), relu, norm, pool, conv(96, 256, 5, 2, 0, bias=1.0), relu, norm, pool,
            conv(256, 384, 3, 1, 1), relu, conv(384, 384, 3, 1, 1, bias=1.0), relu,
            conv(384, 256, 3, 1, 1, bias=1.0), relu,
        )
        grid = Grid(float(inp.strides[0]), inp.strides[0] / 2)
        for kernel, stride, pad in ((7, 2, 1), (3, 2, 0), (5, 2, 0), (3, 2, 0)):
            grid = Grid(grid.stride * stride, grid.conv(kernel, pad).offset)
        self.out = In((256,), (int(grid.stride),), inp.classes, (grid.offset,))

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        return [self.features(x)]
