"""Which labelled candidates pay a loss. A sampler is given (state, loss), both "B A", and says which are used.

It never sees the model. One with `needs_loss` ranks by the current loss;
the others ignore it, and then it may be zeros.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...core.part import Count
from ...ops.nms import nms


@runtime_checkable
class Sampler(Protocol):
    @property
    def needs_loss(self) -> bool: ...
    def __call__(self, state: Int[Tensor, "B A"], loss: Float[Tensor, "B A"]) -> Bool[Tensor, "B A"]: ...


def best(score: Float[Tensor, "B A"], ok: Bool[Tensor, "B A"], count: Int[Tensor, " B"],
         most: int) -> Bool[Tensor, "B A"]:
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
    """Fast R-CNN sec. 2.3: `count` a picture, at most `positive` of them positive, the rest background,
    drawn at random."""

    count: Count = 512
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


@dataclass(frozen=True)
class Hardest:
    """The `count` candidates of highest loss, whatever they are (R-FCN sec. 2, OHEM sec. 4.2 without its
    suppression)."""

    count: Count = 128

    @property
    def needs_loss(self) -> bool:
        return True

    def __call__(self, state: Tensor, loss: Tensor) -> Tensor:
        return best(loss, state >= 0, (state >= 0).sum(1), self.count)


@dataclass(frozen=True)
class HardestAfterNMS:
    """OHEM sec. 4.2: candidates that lie on one another have nearly the same loss, and would pay it several times. So
    those that overlap one of higher loss by more than `nms` are dropped, within a label (background is one) or with
    `per_label=False` whatever they are, and the `count` of highest loss are left.

    It looks at the candidates' boxes and labels: `draw` hands them over.
    """

    count: Count = 64
    nms: float = 0.7
    per_label: bool = True

    @property
    def needs_loss(self) -> bool:
        return True

    def __call__(self, state: Tensor, loss: Tensor, boxes: Tensor | None = None,
                 labels: Tensor | None = None) -> Tensor:
        assert boxes is not None and labels is not None, ("suppression by loss needs the candidates' boxes and labels: "
                                                          "call `draw`")
        rank = loss.detach().masked_fill(state < 0, -torch.inf)
        at = nms(boxes.expand(len(state), -1, -1), rank, labels if self.per_label else None, self.nms,
                 min(self.count, state.shape[1]))
        room = torch.zeros_like(state[:, :1], dtype=torch.bool).expand(-1, state.shape[1] + 1)
        return room.scatter(1, torch.where(at >= 0, at, state.shape[1]), True)[:, :-1]


def draw(
    sample: Sampler, state: Int[Tensor, "B A"], loss: Float[Tensor, "B A"], boxes: Float[Tensor, "B A 4"],
    labels: Int[Tensor, "B A"]
) -> Bool[Tensor, "B A"]:
    """What a sampler chooses, one that looks at boxes and labels included."""
    return sample(state, loss, boxes, labels) if isinstance(sample, HardestAfterNMS) else sample(state, loss)


@dataclass(frozen=True)
class Mined:
    """OverFeat sec. 5: every positive, and of each picture's background a few at random and those that offend most,
    picked at each step."""

    random: int = 8
    hard: int = 8

    @property
    def needs_loss(self) -> bool:
        return True

    def __call__(self, state: Tensor, loss: Tensor) -> Tensor:
        free = state == 0
        count = state.new_full((len(state),), self.hard)
        worst = best(loss, free, count, self.hard)
        draw = torch.rand_like(loss, dtype=torch.float32)
        return (state == 1) | worst | best(draw, free & ~worst, count * 0 + self.random, self.random)


@dataclass(frozen=True)
class TopShare:
    """DenseBox sec. 3.3: every positive of the batch and as many negatives, half of them drawn from the share `top` of
    highest loss, the rest from the others. Where the share is smaller than that, all of it. `least` negatives of a
    batch that has no positive.

    Candidates of the whole batch are one lot: it draws over both axes.
    """

    top: float = 0.01
    least: int = 64

    @property
    def needs_loss(self) -> bool:
        return True

    def __call__(self, state: Tensor, loss: Tensor) -> Tensor:
        flat = state.reshape(1, -1)
        pos, free = flat == 1, flat == 0
        n = torch.where(pos.any(1), pos.sum(1), self.least)
        hard = best(loss.reshape(1, -1), free, (free.sum(1) * self.top).ceil().long(), flat.shape[1])
        draw = torch.rand_like(loss, dtype=torch.float32).reshape(1, -1)
        some = torch.minimum(n // 2, hard.sum(1))
        drawn = best(draw, hard, some, flat.shape[1]) | best(draw, free & ~hard, n - some, flat.shape[1])
        return (pos | drawn).view_as(state)
