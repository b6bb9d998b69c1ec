"""What a network that names regions looks at: each region cut out of the picture,
or out of the features of the picture.

A view is given the trunk. `prepare` is done once a picture, `__call__` gives a region's features,
`length` their number.
Axes: B images, N regions, D features.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...core.modes import evaluating
from ...ops import boxes as bx
from ...ops.crops import warp, with_context
from ...ops.spp import cells_of, pyramid_pool
from ..maps.upsample import Grid
from ..trunk import Trunk


@runtime_checkable
class View(Protocol):
    def length(self, trunk: Trunk) -> int: ...
    def prepare(self, trunk: Trunk, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]: ...
    def __call__(self, trunk: Trunk, xs: list[Tensor], boxes: Float[Tensor, "N 4"],
                 image: Int[Tensor, " N"]) -> Float[Tensor, "N D"]: ...


@dataclass(frozen=True)
class Warp:
    """Each region is cut out of the picture with `pad` pixels of context, warped to `side` x `side`, and goes through
    the trunk by itself (R-CNN sec. 2.1).

    `square`: with context to the tightest square, not warped (its appendix A).
    The features are the trunk's last level, flattened.
    """

    side: int = 227
    pad: int = 16
    square: bool = False

    def length(self, trunk: Trunk) -> int:
        with evaluating(trunk), torch.no_grad():
            found: Tensor = trunk(torch.zeros(1, 3, self.side, self.side))[-1]
        return found[0].numel()

    def prepare(self, trunk: Trunk, images: Tensor) -> list[Tensor]:
        return [images]

    def __call__(self, trunk: Trunk, xs: list[Tensor], boxes: Tensor, image: Tensor) -> Tensor:
        crops = warp(xs[0], with_context(boxes, self.side, self.pad, self.square), image, self.side)
        found: Tensor = trunk(crops)[-1]
        return found.flatten(1)


@dataclass(frozen=True)
class PyramidPool:
    """The picture goes through the trunk once, and each region is pooled from its last level into the bins of a pyramid
    (SPP-net sec. 2.2 and 3).

    `sizes`: the trunk gives the picture at several short sides (`Scales`), and a region is pooled from the one at which
    its area is nearest to `side` x `side` pixels (sec. 4.1). With one map, as in training, from that.
    `mapping`, `margin`: how a box becomes whole cells, see `cells_of`.
    """

    levels: tuple[int, ...] = (1, 2, 3, 6)
    mode: Literal["max", "avg"] = "max"
    sizes: tuple[int, ...] = ()
    side: float = 224.0
    mapping: Literal["paper", "code"] = "paper"
    margin: float = 6.5

    @property
    def bins(self) -> int:
        return sum(n * n for n in self.levels)

    def length(self, trunk: Trunk) -> int:
        return trunk.out.channels[-1] * self.bins

    def prepare(self, trunk: Trunk, images: Tensor) -> list[Tensor]:
        found: list[Tensor] = trunk(images)
        return found

    def __call__(self, trunk: Trunk, xs: list[Tensor], boxes: Tensor, image: Tensor) -> Tensor:
        shares = (tuple(s / max(self.sizes) for s in sorted(self.sizes, reverse=True)) if len(xs) == len(self.sizes)
                  else (1.0,))
        maps, grid = (xs if len(shares) > 1 else xs[-1:]), Grid.of(trunk.out, -1)
        best, out = self.scale_of(boxes, shares), torch.empty(0)
        for i, (x, share) in enumerate(zip(maps, shares, strict=True)):
            cells = cells_of(boxes * share, grid.stride, grid.offset, (x.shape[-2], x.shape[-1]),
                             self.mapping, self.margin)
            pooled = pyramid_pool(x, cells, image, self.levels, self.mode)
            out = pooled if i == 0 else torch.where((best == i)[:, None], pooled, out)
        return out

    def scale_of(self, boxes: Float[Tensor, "N 4"], shares: tuple[float, ...]) -> Int[Tensor, " N"]:
        """Which of the scaled pictures: as in the authors' code, the one whose short side is nearest to `side` min(h,
        w) / sqrt(area)."""
        wanted = self.side / bx.area(boxes).clamp(min=1.0).sqrt()
        return (wanted[:, None] - boxes.new_tensor(shares)).abs().argmin(1)
