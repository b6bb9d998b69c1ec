"""Grids of places beside pictures: of each place, which of several kinds are there (Dynalang's Messenger; arXiv
2308.01399). A channel "grid" has its numbers laid flat, 0 or 1, [side, side, kinds].

Axes: N steps, W = side^2 x kinds, K kinds, F numbers of a belief.
"""
from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ...core.types import StemmaError
from .normed import ByChannel, begin

PADDED = 16  # sides: what a grid is widened to by nothing, on the right and below, so that it halves twice


def kinds_of(width: int, side: int) -> int:
    """How many kinds a channel of `width` numbers tells of each place. Raises `StemmaError` where it is no grid."""
    if side > PADDED or width % side**2:
        raise StemmaError(f"{width} numbers are no grid of {side} x {side} places, or {side} is more than {PADDED}")
    return width // side**2


class GridEncoder(nn.Module):
    """The grid at 16 x 16 through two convolutions of 4 x 4 with stride 2,
    each with norm and SiLU: 4 x 4 x 2 `depth`."""

    def __init__(self, inp: In, depth: int = 96, norm: str = "layer", side: int = 10) -> None:
        super().__init__()
        self.side, kinds = side, kinds_of(inp.channels[0], side)
        bias = norm == "rms"
        self.net = begin(nn.Sequential(
            nn.Conv2d(kinds, depth, 4, 2, 1, bias=bias), ByChannel(norm, depth), nn.SiLU(),
            nn.Conv2d(depth, 2 * depth, 4, 2, 1, bias=bias), ByChannel(norm, 2 * depth), nn.SiLU(), nn.Flatten()))
        self.out = In((2 * depth * (PADDED // 4) ** 2,), (1,))

    def forward(self, x: Float[Tensor, "N W"]) -> Float[Tensor, "N E"]:
        more = PADDED - self.side
        code: Tensor = self.net(F.pad(x.unflatten(-1, (self.side, self.side, -1)).movedim(-1, 1), (0, more, 0, more)))
        return code


class GridHead(nn.Module):
    """The way back. Each kind in each place is there or not: binary cross-entropy, summed; the mean is the chance."""

    def __init__(self, inp: In, depth: int = 96, norm: str = "layer", side: int = 10) -> None:
        super().__init__()
        self.side, self.depth, kinds = side, depth, kinds_of(inp.logits, side)
        self.whole = begin(nn.Linear(sum(inp.channels), 2 * depth * (PADDED // 4) ** 2))
        self.net = begin(nn.Sequential(
            nn.ConvTranspose2d(2 * depth, depth, 4, 2, 1, bias=norm == "rms"), ByChannel(norm, depth), nn.SiLU(),
            nn.ConvTranspose2d(depth, kinds, 4, 2, 1)))

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N W"]:
        y: Tensor = self.net(self.whole(x).unflatten(-1, (2 * self.depth, PADDED // 4, PADDED // 4)))
        return y[..., : self.side, : self.side].movedim(1, -1).flatten(1)

    def loss(self, said: Float[Tensor, "N W"], truth: Float[Tensor, "N W"]) -> Float[Tensor, " N"]:
        return F.binary_cross_entropy_with_logits(said, truth, reduction="none").sum(-1)

    def mean(self, said: Float[Tensor, "N W"]) -> Float[Tensor, "N W"]:
        return said.sigmoid()


__all__ = ["GridEncoder", "GridHead", "kinds_of"]
