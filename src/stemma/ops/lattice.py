"""Gaussian filtering in a feature space of a few dimensions, in time linear in the points: the permutohedral lattice (Adams et al. 2010).

Axes: P points, d features, C channels, M lattice points that some simplex touches.
"""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..core.types import StemmaError

ROOM = 2**62  # lattice points are numbered by one int64


class Lattice:
    """sum_j exp(-|f_i - f_j|^2 / 2) x_j over the points j of i's group, i included, approximately; linear in x and differentiable in it.

    `features` are divided by the deviation that is wanted, so that it is 1 here. Points of different `group`s do not see each other, and
    one whose `where` is False neither gives nor gets.

    A point is written on the d + 1 corners of its simplex of the lattice A*_d by barycentric weights, the lattice is blurred with (1/2, 1,
    1/2) along its d + 1 directions, and the point reads its corners again. What it approximates: the kernel is a piecewise polynomial
    with the Gaussian's covariance that depends a little on where in its simplex a point lies, and the blur passes only through corners
    that some point touches. Memory: (d + 1) (P + 3 M) numbers of the lattice, and M C of values.

    Raises `StemmaError` where deviations are so small beside the features that the lattice has no numbers left.
    """

    def __init__(self, features: Float[Tensor, "P d"], group: Int[Tensor, " P"] | None = None, where: Bool[Tensor, " P"] | None = None) -> None:
        points, d = features.shape
        high = elevate(features.detach().double())
        # the nearest point of the sublattice (d + 1) Z^{d+1}, then the order of the differences says which simplex it is (Adams et al. sec. 3)
        near = torch.round(high / (d + 1))
        rank = torch.argsort(torch.argsort(high - near * (d + 1), dim=1, descending=True, stable=True), dim=1)
        rank = rank + near.sum(1, keepdim=True).long()
        low, over = rank < 0, rank > d
        rank = rank + (d + 1) * low - (d + 1) * over
        near = (near + low.double() - over.double()) * (d + 1)
        # barycentric coordinates are differences of neighbours in that order
        share = torch.zeros(points, d + 2, dtype=torch.float64, device=features.device)
        rest = (high - near) / (d + 1)
        share = share.scatter_add(1, d - rank, rest).scatter_add(1, d + 1 - rank, -rest)
        weight = torch.cat([share[:, :1] + 1 + share[:, d + 1 :], share[:, 1 : d + 1]], 1)
        remainder = torch.arange(d + 1, device=features.device)
        step = torch.where(rank[:, None] <= d - remainder[:, None], remainder[:, None], remainder[:, None] - (d + 1))  # P d+1 d+1
        corner = near.long()[:, None] + step
        self.weight = weight.to(features) if where is None else weight.to(features) * where[:, None]
        self.index, self.beside, self.count = _number(corner[..., :d], group, where)
        order = torch.argsort(self.index.flatten(), stable=True)
        self._from = order // (d + 1)
        self._starts = torch.searchsorted(self.index.flatten()[order], torch.arange(self.count, device=order.device))
        self._shares = self.weight.flatten()[order]
        self.scale = 1 / (1 + 2.0**-d)

    def __call__(self, x: Float[Tensor, "P C"]) -> Float[Tensor, "P C"]:
        v = F.embedding_bag(self._from, x, self._starts, mode="sum", per_sample_weights=self._shares.to(x))  # row 0 stands for nowhere and stays 0
        for one, other in self.beside:
            v = v + 0.5 * (v[one] + v[other])
        return self.scale * F.embedding_bag(self.index, v, mode="sum", per_sample_weights=self.weight.to(x))


def elevate(features: Float[Tensor, "P d"]) -> Float[Tensor, "P d+1"]:
    """Points of deviation 1 in the plane of d + 1 coordinates that sum to 0, scaled so that the lattice's blur has that deviation (Adams et al. sec. 4.1)."""
    d = features.shape[1]
    at = torch.arange(1, d + 1, device=features.device, dtype=features.dtype)
    x = features * (math.sqrt(2 / 3) * (d + 1)) / torch.sqrt(at * (at + 1))
    after = x.flip(1).cumsum(1).flip(1)  # sum of this and all later features
    return torch.cat([after[:, :1], F.pad(after[:, 1:], (0, 1)) - at * x], 1)


def _number(corner: Int[Tensor, "P k d"], group: Int[Tensor, " P"] | None, where: Bool[Tensor, " P"] | None) -> tuple[Tensor, list[tuple[Tensor, Tensor]], int]:
    """(each corner's number from 1 on, 0 outside `where`; each number's two neighbours along the d + 1 directions, 0 for none; how many there are and 1)."""
    d = corner.shape[-1]
    low = corner.amin((0, 1)) - d - 1
    span = corner.amax((0, 1)) + d + 2 - low
    groups = 1 if group is None else int(group.max()) + 1
    if groups * math.prod(int(s) for s in span) >= ROOM:
        raise StemmaError("the deviations of this filter are too small for its features: the lattice would have more than 2^62 places")
    base = torch.cat([torch.cumprod(span.flip(0), 0).flip(0)[1:], span.new_ones(1)])  # of mixed-radix numbers
    key = ((corner - low) * base).sum(-1)
    if group is not None:
        key = key + group[:, None] * torch.prod(span)
    if where is not None:
        key = torch.where(where[:, None], key, -1)
    known, index = torch.unique(key, return_inverse=True)
    outside = int((known < 0).sum())
    known, index = known[outside:], index + 1 - outside

    def find(wanted: Tensor) -> Tensor:
        at = torch.searchsorted(known, wanted).clamp(max=max(len(known) - 1, 0))
        return F.pad(torch.where(known[at] == wanted, at + 1, 0), (1, 0))

    ones = base.sum()
    beside = []
    for j in range(d + 1):  # a neighbour is one less in every coordinate and d more in the j-th; the last coordinate is not stored
        move = ones - (d + 1) * base[j] if j < d else ones
        beside.append((find(known - move), find(known + move)))
    return index, beside, len(known) + 1
