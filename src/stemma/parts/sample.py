"""Which labelled candidates pay a loss. A sampler is given (state, loss), both "B A", and says which are used.

It never sees the model. One with `needs_loss` ranks by the current loss; the others ignore it, and then it may be zeros.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class Sampler(Protocol):
    @property
    def needs_loss(self) -> bool: ...
    def __call__(self, state: Int[Tensor, "B A"], loss: Float[Tensor, "B A"]) -> Bool[Tensor, "B A"]: ...


def best(score: Float[Tensor, "B A"], ok: Bool[Tensor, "B A"], count: Int[Tensor, " B"], most: int) -> Bool[Tensor, "B A"]:
    """The `count[b]` (at most `most`) candidates of highest score among `ok`."""
    most = min(most, score.shape[1])
    at = score.detach().masked_fill(~ok, -torch.inf).topk(most, dim=1).indices
    chosen = torch.arange(most, device=score.device) < count[:, None]
    return torch.zeros_like(ok).scatter(1, at, chosen) & ok


@dataclass(frozen=True)
class Everything:
    """All that have a state (RetinaNet, YOLO)."""

    @property
    def needs_loss(self) -> bool:
        return False

    def __call__(self, state: Tensor, loss: Tensor) -> Tensor:
        return state >= 0


@dataclass(frozen=True)
class Random:
    """Fast R-CNN sec. 2.3: `count` a picture, at most `positive` of them positive, the rest background, drawn at random."""

    count: int = 512
    positive: float = 0.25

    @property
    def needs_loss(self) -> bool:
        return False

    def __call__(self, state: Tensor, loss: Tensor) -> Tensor:
        draw = torch.rand_like(loss, dtype=torch.float32)
        most = int(self.count * self.positive)
        n_pos = (state == 1).sum(1).clamp(max=most)
        return best(draw, state == 1, n_pos, most) | best(draw, state == 0, self.count - n_pos, self.count)


@dataclass(frozen=True)
class HardNegatives:
    """SSD sec. 2.2: every positive, and a picture's background of highest loss, at most `ratio` for each positive."""

    ratio: int = 3
    least: int = 0  # not in the paper: negatives of a picture that has no positive

    @property
    def needs_loss(self) -> bool:
        return True

    def __call__(self, state: Tensor, loss: Tensor) -> Tensor:
        pos = state == 1
        wanted = (pos.sum(1) * self.ratio).clamp(min=self.least)
        return pos | best(loss, state == 0, wanted, state.shape[1])
