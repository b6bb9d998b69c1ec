"""A trunk whose second level can be had at the first's stride: the stride between them removed, what follows dilated.

Axes: B images, C channels, H W cells.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In, Part
from ..trunk import Trunk


def stitched(stage: Callable[[Tensor], Tensor], x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
    """What a `stage` of stride 2 says of `x` at the stride of `x`: the map is moved by no and by one cell in each
    direction, and the four answers are woven together. That is the stage without its stride and dilated by 2 (a trous;
    FCN sec. 3.2), but for cells at the border where a strided convolution is cut short. A map of odd sides is one cell
    larger for it, of zeros, as pooling leaves out a cell without a neighbour."""
    h, w = x.shape[-2:]
    rows = [torch.stack([stage(F.pad(x[..., dy:, dx:], (0, dx + w % 2, 0, dy + h % 2))) for dx in (0, 1)], -1)
            for dy in (0, 1)]
    woven = torch.stack(rows, -3)  # B D h 2 w 2
    return woven.flatten(-2).flatten(-3, -2)[..., :h, :w]


class Fine(Trunk):
    """Hands out the first and the last level of `of`; `fine` makes its second one from the first, at the first's
    stride (RPN+BF sec. 3.2: conv4_3 a trous beside conv3_3, by the weights that the proposals are made with)."""

    alone = ("the layers between two of its levels are run by themselves, a trous, and no network of timm's hands out "
             "such layers; keep its own")

    def __init__(self, inp: In, of: Part[Any]) -> None:
        super().__init__()
        self.of: Any = of.build(inp)
        told: In = self.of.out
        self.out = In((told.channels[0], told.channels[-1]), (told.strides[0], told.strides[-1]), told.classes)
        self.channels = told.channels[0] + told.channels[1]  # of `fine`

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        xs = self.of(x)
        return [xs[0], xs[-1]]

    def fine(self, first: Float[Tensor, "B C H W"]) -> list[Tensor]:
        """The first level, and the second as fine as it."""
        layers: nn.Module = self.of.between(1)
        return [first, stitched(layers, first)]
