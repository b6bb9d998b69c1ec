"""The image pyramid: one backbone over the picture at several sizes (FPN fig. 1 a)."""
from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...core.part import In, Part
from ..trunk import Trunk


class ImagePyramid(Trunk):
    """Level i is the last map of `body` on the picture made 2**i times smaller, for i below `levels`; all share the body's weights."""

    def __init__(self, inp: In, body: Part[Trunk], levels: int = 4) -> None:
        super().__init__()
        self.body = body.build(inp)
        c, s = self.body.out.channels[-1], self.body.out.strides[-1]
        self.levels = levels
        self.out = In((c,) * levels, tuple(s * 2**i for i in range(levels)), inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        found: list[Tensor] = []
        for i in range(self.levels):
            small = x if i == 0 else F.interpolate(x, scale_factor=0.5**i, mode="bilinear", align_corners=False, antialias=True)
            found.append(self.body(small)[-1])
        return found
