"""The image pyramid: one backbone over the picture at several sizes (FPN fig. 1 a; SPP-net sec. 4.1)."""
from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...core.part import In, Part
from ..trunk import Trunk


class ImagePyramid(Trunk):
    """Level i is the last map of `body` on the picture made 2**i times smaller, for i below `levels`; all share the
    body's weights."""

    def __init__(self, inp: In, body: Part[Trunk], levels: int = 4) -> None:
        super().__init__()
        self.body = body.build(inp)
        c, s = self.body.out.channels[-1], self.body.out.strides[-1]
        self.levels = levels
        self.out = In((c,) * levels, tuple(s * 2**i for i in range(levels)), inp.classes)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        found: list[Tensor] = []
        for i in range(self.levels):
            small = x if i == 0 else F.interpolate(x, scale_factor=0.5**i, mode="bilinear", align_corners=False,
                                                   antialias=True)
            found.append(self.body(small)[-1])
        return found


class Scales(Trunk):
    """The last map of `body` on the picture at each of `sizes`, short sides in pixels; all share the body's weights.

    The picture comes at the largest of them (or at what its longest side allows), and the others are drawn from it. In
    training there is one map, of the picture as it comes: the recipe draws a size a batch. With `always` there are all
    maps in training too, for heads that compare them. `out.strides` are cells of each scaled picture; `NearestScale`
    pools from them.
    """

    def __init__(self, inp: In, body: Part[Trunk], sizes: tuple[int, ...] = (480, 576, 688, 864, 1200),
                 always: bool = False) -> None:
        super().__init__()
        self.body = body.build(inp)
        self.always = always
        self.sizes = tuple(sorted(sizes, reverse=True))
        c, s = self.body.out.channels[-1], self.body.out.strides[-1]
        self.out = In((c,) * len(sizes), (s,) * len(sizes), inp.classes, self.body.out.offsets[-1:] * len(sizes))

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        found: list[Tensor] = [self.body(x)[-1]]
        for size in self.sizes[1:] if self.always or not self.training else ():
            share = size / self.sizes[0]
            to = (max(1, round(x.shape[-2] * share)), max(1, round(x.shape[-1] * share)))
            found.append(self.body(F.interpolate(x, size=to, mode="bilinear", align_corners=False, antialias=True))[-1])
        return found
