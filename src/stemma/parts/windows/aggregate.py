"""From scores at places to a score of the picture (Oquab et al. 2015, sec. 3).

Axes: B images, A places, C classes.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@runtime_checkable
class Aggregate(Protocol):
    """The picture's logits from those of the places marked in `ok`; every class has one at least."""

    def __call__(self, logits: Float[Tensor, "B A C"], ok: Bool[Tensor, "B A C"]) -> Float[Tensor, "B C"]: ...


@dataclass(frozen=True)
class Max:
    """The best place alone: it gets the whole gradient. Where the class is absent, that is the hardest negative."""

    def __call__(self, logits: Tensor, ok: Tensor) -> Tensor:
        return logits.masked_fill(~ok, -torch.inf).max(1).values


@dataclass(frozen=True)
class Mean:
    """All places alike."""

    def __call__(self, logits: Tensor, ok: Tensor) -> Tensor:
        return logits.masked_fill(~ok, 0.0).sum(1) / ok.sum(1)


@dataclass(frozen=True)
class LogMeanExp:
    """(1 / r) log mean exp(r f): the maximum for large r, the mean for small (Pinheiro & Collobert, arXiv 1411.6228,
    eq. 2)."""

    r: float = 5.0

    def __call__(self, logits: Tensor, ok: Tensor) -> Tensor:
        return ((logits * self.r).masked_fill(~ok, -torch.inf).logsumexp(1) - ok.sum(1).to(logits).log()) / self.r
