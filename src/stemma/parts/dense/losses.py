"""Losses of single candidates. The rule that uses them picks, weighs and divides.

Axes: *A candidates, K logits, C classes. A label of C is background.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...ops import boxes as bx


@runtime_checkable
class ClassLoss(Protocol):
    @property
    def extra(self) -> int:
        """Logits beyond the classes: 1 where background has its own (then it is the last), else 0.

        With 0 the scores must rise with each logit alone, so that candidates can be ranked before they are scored.
        """

    def __call__(self, logits: Float[Tensor, "*A K"], labels: Int[Tensor, "*A"]) -> Float[Tensor, "*A"]: ...
    def scores(self, logits: Float[Tensor, "*A K"]) -> Float[Tensor, "*A C"]: ...


@runtime_checkable
class BoxLoss(Protocol):
    @property
    def decoded(self) -> bool:
        """Whether it compares boxes in pixels; else codes."""

    def __call__(self, pred: Float[Tensor, "*A 4"], want: Float[Tensor, "*A 4"]) -> Float[Tensor, "*A"]: ...


@runtime_checkable
class OverBatch(Protocol):
    """A class or box loss that weighs each candidate by what all of them are like: it sums,
    and divides by itself (GHM)."""

    def over(self, pred: Float[Tensor, "*A K"], want: Tensor, used: Bool[Tensor, "*A"]) -> Float[Tensor, ""]: ...


@dataclass(frozen=True)
class Softmax:
    """Cross entropy over the classes and background."""

    @property
    def extra(self) -> int:
        return 1

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        k = logits.shape[-1]
        return F.cross_entropy(logits.reshape(-1, k), labels.reshape(-1), reduction="none").reshape(labels.shape)

    def scores(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)[..., :-1]


@dataclass(frozen=True)
class Choice:
    """Cross entropy over the classes alone, where background is another number's word (YOLOv2's objectness). Nothing is
    paid for background."""

    @property
    def extra(self) -> int:
        return 0

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        cost = logits.logsumexp(-1) - _own(logits, labels)
        return torch.where(labels < logits.shape[-1], cost, 0.0)

    def scores(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)


def _one_vs_all(no: Tensor, logits: Tensor, labels: Tensor, yes_less_no: Tensor) -> Tensor:
    """Sum over the classes of the cost of saying "no", corrected at the one class that is there."""
    return no.sum(-1) + torch.where(labels < logits.shape[-1], yes_less_no, 0.0)


def _own(logits: Tensor, labels: Tensor) -> Tensor:
    """The logit of each candidate's own class (of the last class, for background)."""
    return logits.gather(-1, labels.clamp(max=logits.shape[-1] - 1)[..., None])[..., 0]


@dataclass(frozen=True)
class Sigmoid:
    """Binary cross entropy, one class against all, summed over the classes. No one-hot tensor is made."""

    @property
    def extra(self) -> int:
        return 0

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        return _one_vs_all(F.softplus(logits), logits, labels, -_own(logits, labels))  # -log p = softplus(x) - x

    def scores(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


@dataclass(frozen=True)
class MultiLabel:
    """YOLOv3 sec. 2.2: each class by a logistic of its own, so that a box may be of several ("woman" and "person");
    `by="softmax"` makes them exclude one another, as in YOLOv2. Nothing is paid for background."""

    by: Literal["sigmoid", "softmax"] = "sigmoid"

    @property
    def extra(self) -> int:
        return 0

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.by == "softmax":
            return Choice()(logits, labels)
        return torch.where(labels < logits.shape[-1], Sigmoid()(logits, labels), 0.0)

    def also(self, logit: Float[Tensor, "*A"]) -> Float[Tensor, "*A"]:
        """What is paid besides where a candidate is of one more class, whose logit this is."""
        return -logit if self.by == "sigmoid" else logit * 0  # of -log s(-x), what -log s(x) is less

    def scores(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.by == "sigmoid" else logits.softmax(-1)


class _Miss(torch.autograd.Function):
    """p^gamma times -log(1 - p), keeping the logits alone for the way back: the steps in between would be five tensors
    as large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.gamma = gamma
        return F.softplus(x).mul_(_power(x.sigmoid(), gamma))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        p = x.sigmoid()
        inner = F.softplus(x) * (1 - p) * ctx.gamma + p
        return slope * inner * _power(p, ctx.gamma), None


def _power(p: Tensor, gamma: float) -> Tensor:
    return p * p if gamma == 2 else p**gamma


def _miss(x: Tensor, gamma: float) -> Tensor:
    """The focal cost of logit x where nothing is; by symmetry, -x is where something is."""
    out: Tensor = _Miss.apply(x, gamma) if gamma else F.softplus(x)
    return out


@dataclass(frozen=True)
class Focal:
    """RetinaNet eq. 5: -alpha_t (1 - p_t)^gamma log p_t, one class against all, summed over the classes.

    A negative `alpha` switches the class weighting off.
    """

    gamma: float = 2.0
    alpha: float = 0.25

    @property
    def extra(self) -> int:
        return 0

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        x = _own(logits, labels)
        yes, no = (self.alpha, 1 - self.alpha) if self.alpha >= 0 else (1.0, 1.0)
        background = no * _miss(logits, self.gamma)
        return background.sum(-1) + torch.where(labels < logits.shape[-1],
                                                yes * _miss(-x, self.gamma) - no * _miss(x, self.gamma), 0.0)

    def scores(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


@dataclass(frozen=True)
class Squared:
    """YOLOv1 eq. 3, last line: class probabilities by plain regression, no sigmoid and no background."""

    @property
    def extra(self) -> int:
        return 0

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        x = _own(logits, labels)
        return _one_vs_all(logits.square(), logits, labels, 1 - 2 * x)  # (x - 1)^2 - x^2

    def scores(self, logits: Tensor) -> Tensor:
        return logits.clamp(0, 1)


@dataclass(frozen=True)
class SmoothL1:
    """Fast R-CNN eq. 3, summed over the four numbers: a parabola below `beta`,
    a line above (Caffe's sigma is beta^-1/2)."""

    beta: float = 1.0

    @property
    def decoded(self) -> bool:
        return False

    def __call__(self, pred: Tensor, want: Tensor) -> Tensor:
        return F.smooth_l1_loss(pred, want, beta=self.beta, reduction="none").sum(-1)


@dataclass(frozen=True)
class L1:
    """Absolute differences, summed over the four numbers."""

    @property
    def decoded(self) -> bool:
        return False

    def __call__(self, pred: Tensor, want: Tensor) -> Tensor:
        return (pred - want).abs().sum(-1)


@dataclass(frozen=True)
class L2:
    """Half the squared difference, summed over the four numbers (Caffe's Euclidean loss)."""

    @property
    def decoded(self) -> bool:
        return False

    def __call__(self, pred: Tensor, want: Tensor) -> Tensor:
        return 0.5 * (pred - want).square().sum(-1)


@dataclass(frozen=True)
class GIoU:
    """1 - generalised IoU of the boxes themselves (arXiv 1902.09630)."""

    @property
    def decoded(self) -> bool:
        return True

    def __call__(self, pred: Tensor, want: Tensor) -> Tensor:
        return 1 - bx.giou_each(pred, want)
