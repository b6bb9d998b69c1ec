"""Convolutions and max pools in a row, listed layer by layer: the nets from before there were blocks."""
from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ..maps.upsample import Grid
from ..trunk import Trunk

Layer = tuple[int, int, int, int]  # channels (0: a max pool), kernel, stride, padding


class Chain(Trunk):
    """`layers` are (channels, kernel, stride, padding), 0 channels for a max pool. A ReLU follows each convolution.

    One level comes out. Its stride and first cell's centre are computed from the layers, so valid convolutions are told
    exactly. `std` is the deviation of the starting weights; 0 takes Kaiming's. `norm="batch"` is for small nets trained
    from nothing. `levels` is for another network in the place of this one (`--backbone`): the level that it hands out,
    1, 2, 3 for strides 8, 16, 32. A row of 3x3 convolutions and 2x2 pools has torchvision's names of VGG under
    `features`.
    """

    SCRATCH = {"norm": "batch", "std": 0.0}

    def __init__(self, inp: In, layers: tuple[Layer, ...], norm: Literal["none", "batch"] = "none", std: float = 0.0,
                 levels: tuple[int, ...] = (3,)) -> None:
        super().__init__()
        made: list[nn.Module] = []
        grid, before = Grid(inp.strides[0], inp.strides[0] / 2), inp.channels[0]
        for channels, kernel, stride, pad in layers:
            if channels:
                made.append(nn.Conv2d(before, channels, kernel, stride, pad, bias=norm == "none"))
                made += [nn.BatchNorm2d(channels)] * (norm == "batch") + [nn.ReLU(inplace=True)]
                before = channels
            else:
                made.append(nn.MaxPool2d(kernel, stride, pad))
            grid = Grid(grid.stride * stride, grid.conv(kernel, pad).offset)
        self.features = nn.Sequential(*made)
        started(self, std)
        self.out = In((before,), (int(grid.stride),), inp.classes, (grid.offset,))

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        return [self.features(x)]


def started(net: nn.Module, std: float) -> None:
    """Weights of convolutions from a normal of deviation `std` (0: Kaiming's, by fan-out), their biases at 0."""
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            if std:
                nn.init.normal_(m.weight, 0.0, std)
            else:
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            if m.bias is not None:
                nn.init.zeros_(m.bias)
