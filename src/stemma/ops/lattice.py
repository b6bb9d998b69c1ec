"""Gaussian filtering in a feature space of a few dimensions, in time linear in the points: the permutohedral lattice
(Adams et al. 2010).

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
    """sum_j exp(-|f_i - f_j|^2 / 2) x_j over the points j of i's group, i included, approximately; linear in x and
    differentiable in it.

    `features` are divided by the deviation that is wanted, so that it is 1 here. Points of different `group`s do not
    see each other, and one whose `where` is False neither gives nor gets.

    A point is written on the d + 1 corners of its simplex of the lattice A*_d by barycentric weights, the lattice is
    blurred with (1/2, 1, 1/2) along its d + 1 directions, and the point reads its corners again. What it approximates:
    the kernel is a piecewise polynomial with the Gaussian's covariance that depends a little on where in its simplex a
    point lies, and the blur passes only through corners that some point touches. Memory: (d + 1) (P + 3 M) numbers of
    the lattice, and M C of values.

    Raises `StemmaError` where deviations are so small beside the features that the lattice has no numbers left.
    """

    def __init__(self, features: Float[Tensor, "P d"], group: Int[Tensor, " P"] | None = None,
                 where: Bool[Tensor, " P"] | None = None) -> None:
        points, d = features.shape
        high = elevate(features.detach().double())
        # the nearest point of the sublattice (d + 1) Z^{d+1}, then the order of the differences says which simplex it
        # is (Adams et al. sec. 3)
        near = torch.round(high / (d + 1))
        far, at = high - near * (d + 1), torch.arange(d + 1, device=features.device)
        ahead = (far[:, None] > far[:, :, None]) | ((far[:, None] == far[:, :, None]) & (at < at[:, None]))
        rank = ahead.sum(2)
        rank = rank + near.sum(1, keepdim=True).long()
        low, over = rank < 0, rank > d
        rank = rank + (d + 1) * low - (d + 1) * over
        near = (near + low.double() - over.double()) * (d + 1)
        # barycentric coordinates are differences of neighbours in that order
        share = torch.zeros(points, d + 2, dtype=torch.float64, device=features.device)
        rest = (high - near) / (d + 1)
        share = share.scatter_add(1, d - rank, rest).scatter_add(1, d + 1 - rank, -rest)
        weight = torch.cat([share[:, :1] + 1 + share[:, d + 1 :], share[:, 1 : d + 1]], 1)
        self.weight = weight.to(features) if where is None else weight.to(features) * where[:, None]
        self.index, self._starts, order, self.beside = _number(near.long(), rank, group, where)
        self._from, self._shares = order // (d + 1), self.weight.flatten()[order]
        self.scale = 1 / (1 + 2.0**-d)

    def __call__(self, x: Float[Tensor, "P C"]) -> Float[Tensor, "P C"]:
        # row 0 stands for nowhere and stays 0
        v = F.embedding_bag(self._from, x, self._starts, mode="sum", per_sample_weights=self._shares.to(x))
        for rows, taps in self.beside:  # itself twice and its two neighbours: half their sum is (1/2, 1, 1/2)
            v = v.index_copy(0, rows, F.embedding_bag(taps, v, mode="sum") * 0.5)
        return self.scale * F.embedding_bag(self.index, v, mode="sum", per_sample_weights=self.weight.to(x))


def elevate(features: Float[Tensor, "P d"]) -> Float[Tensor, "P d+1"]:
    """Points of deviation 1 in the plane of d + 1 coordinates that sum to 0, scaled so that the lattice's blur has that
    deviation (Adams et al. sec. 4.1)."""
    d = features.shape[1]
    at = torch.arange(1, d + 1, device=features.device, dtype=features.dtype)
    x = features * (math.sqrt(2 / 3) * (d + 1)) / torch.sqrt(at * (at + 1))
    after = x.flip(1).cumsum(1).flip(1)  # sum of this and all later features
    return torch.cat([after[:, :1], F.pad(after[:, 1:], (0, 1)) - at * x], 1)


def _number(
    near: Int[Tensor, "P k"], rank: Int[Tensor, "P k"], group: Int[Tensor, " P"] | None,
    where: Bool[Tensor, " P"] | None
) -> tuple[Tensor, Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
    """(each corner's number from 1 on, 0 outside `where`; corners sorted by number, and where each number's begin among
    them; of each of the d + 1 directions the numbers that have a neighbour, and each of them twice with its two, 0 for
    one that is not there).

    Corner r of a simplex is r more than `near` in the coordinates of rank up to d - r, and d + 1 - r less in the
    others. The last coordinate follows from the rest; these are the digits of one number.
    """
    d = near.shape[1] - 1
    low = near[:, :d].amin(0) - 2 * (d + 1)
    span = near[:, :d].amax(0) + 2 * (d + 1) - low
    groups = 1 if group is None else int(group.max()) + 1
    if groups * math.prod(int(s) for s in span) >= ROOM:
        raise StemmaError("the deviations of this filter are too small for its features: the lattice would have more "
                          "than 2^62 places")
    # of mixed-radix numbers, 0 of the last coordinate
    base = torch.cat([torch.cumprod(span.flip(0), 0).flip(0)[1:], span.new_ones(1), span.new_zeros(1)])
    # at r - 1: the digits of rank d - r + 1 and above
    less = torch.zeros_like(near).scatter_(1, rank, base.expand_as(near)).flip(1).cumsum(1)
    key = (((near[:, :d] - low) * base[:d]).sum(1, keepdim=True) + torch.arange(d + 1, device=near.device) * base.sum()
           - (d + 1) * F.pad(less[:, :d], (1, 0)))
    if group is not None:
        key = key + group[:, None] * torch.prod(span)
    if where is not None:
        key = torch.where(where[:, None], key, -1)
    ordered, order = key.flatten().sort()
    outside = int((ordered < 0).sum())
    order, ordered = order[outside:], ordered[outside:]
    fresh = torch.cat([torch.ones_like(ordered[:1], dtype=torch.bool), ordered[1:] != ordered[:-1]])
    known, starts = ordered[fresh], F.pad(torch.nonzero(fresh)[:, 0], (1, 0))  # number 0 has no corner
    index = torch.zeros_like(key).flatten().scatter_(0, order, fresh.cumsum(0)).view(key.shape)

    def find(wanted: Tensor) -> Tensor:
        at = torch.searchsorted(known, wanted).clamp(max=max(len(known) - 1, 0))
        return F.pad(torch.where(known[at] == wanted, at + 1, 0), (1, 0))

    beside = []
    for j in range(d + 1):  # a neighbour is one less in every coordinate and d more in the j-th
        move = base.sum() - (d + 1) * base[j]
        pair = torch.stack([find(known - move), find(known + move)], 1)
        rows = torch.nonzero(pair.any(1))[:, 0]
        beside.append((rows, torch.cat([rows[:, None], rows[:, None], pair[rows]], 1)))
    return index, starts, order, beside
