"""Scalars that a loss divides by, kept the same whether one process sees the batch or several share it."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from torch import Tensor

_alone = False


def _world() -> int:
    return dist.get_world_size() if not _alone and dist.is_available() and dist.is_initialized() else 1


def across_ranks(x: Tensor) -> Tensor:
    """The mean of `x` over the processes of a distributed run; `x` itself where there is one process.
    No gradient flows through it.

    Distributed training averages the gradients of R ranks. A rank that divides its summed loss by
    `across_ranks(count)`, which is (count of the whole batch) / R, gets (1/R) sum_r loss_r R / count = sum_r loss_r /
    count: what one process would get. Every rank must call it the same number of times, so a rank alone (validation on
    rank 0) calls it within `alone()`.
    """
    world = _world()
    if world == 1:
        return x.detach()
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / world


def over_ranks(x: Tensor) -> Tensor:
    """The sum of `x` over the processes of a distributed run. No gradient flows through it."""
    return across_ranks(x) * _world()


def normaliser(count: Tensor, floor: float = 1.0) -> Tensor:
    """`max(count, floor)` of the whole batch, as each rank's share of it: what a sum of losses is divided by."""
    return across_ranks(count).clamp(min=floor / _world())


@contextmanager
def alone() -> Iterator[None]:
    """Within it this process computes by itself: `across_ranks` talks to nobody."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before
