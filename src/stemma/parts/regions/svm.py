"""Linear SVMs on fixed features, with hard negatives mined picture by picture (R-CNN sec. 2.3 and appendix B).

Axes: N examples, M of them in a band, D features, C classes.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...ops.nms import nms


@dataclass(frozen=True)
class SVM:
    """One class against the rest: 1/2 |w|^2 + 1/2 (b / bias)^2 + cost (positive sum of hinges over positives + sum of
    hinges over negatives).

    "truth": positives are the objects themselves (appendix B); "proposals": whatever overlaps one of the class by
    `above`, the rule of fine-tuning. Negatives of a class overlap each of its objects by less than `below`; what lies
    between is left out.
    Mining: of the first picture all negatives, of every other those that score above `hard`; after more than `grow` new
    ones of a class its SVM is fitted anew, and negatives that score below `easy` are dropped. Of those of one picture
    that overlap by more than `apart` the one with the highest score is kept (SPP-net sec. 4.1: .7). Features are scaled
    to a mean length of `length`.
    """

    cost: float = 1e-3
    positive: float = 2.0
    bias: float = 10.0
    examples: Literal["truth", "proposals"] = "truth"
    above: float = 0.5
    below: float = 0.3
    hard: float = -1.0001
    easy: float = -1.2
    grow: int = 2000
    apart: float = 1.0
    length: float = 20.0


def objective(x: Float[Tensor, "N D"], y: Float[Tensor, " N"], w: Float[Tensor, " D"], b: Tensor, s: SVM) -> Tensor:
    """What an SVM minimises; `y` is 1 or -1."""
    return 0.5 * w.square().sum() + 0.5 * (b / s.bias) ** 2 + (_cost(y, s) * (1 - y * (x @ w + b)).clamp(min=0)).sum()


def _cost(y: Tensor, s: SVM) -> Tensor:
    """What an example's hinge is multiplied with: the largest value of its dual variable."""
    return s.cost * torch.where(y > 0, s.positive, 1.0)


def fit_svm(
    x: Float[Tensor, "N D"], y: Float[Tensor, " N"], s: SVM, start: tuple[Tensor, Tensor] | None = None,
    tolerance: float = 1e-4,
) -> tuple[Float[Tensor, " D"], Tensor]:
    """(weights, bias) of one SVM; `y` is 1 or -1, `start` another SVM's weights and bias. Computed in float64.

    Newton's method on the hinge rounded over a width (1 - m)^2 / (2 width), with an exact line search: the objective is
    piecewise quadratic, so it ends exactly. The width shrinks by 5 until the duality gap of the SVM itself is below
    `tolerance` of its objective; the slopes of the rounded hinges are feasible dual variables, so the gap is known.
    """
    # labels multiplied in: margins are full @ w
    full = torch.cat([x, x.new_full((len(x), 1), s.bias)], 1).double() * y[:, None]
    cost = _cost(y.double(), s)
    w = full.new_zeros(full.shape[1]) if start is None else torch.cat([start[0], start[1].reshape(1) / s.bias]).double()
    width = 1.0 if start is None else 0.2
    margins = full @ w
    for _ in range(12):
        for _ in range(50):
            share = ((1 - margins) / width).clamp(0, 1)
            slope = w - full.T @ (cost * share)
            if bool(slope.norm() <= 1e-9 * (1 + w.norm())):
                break
            band = (share > 0) & (share < 1)
            way = -_solve(full[band] * (cost[band] / width).sqrt()[:, None], slope)
            across = full @ way
            t = _downhill(w, way, margins, across, cost, width)
            w, margins = w + t * way, margins + t * across
        dual = cost * share
        low = full.T @ dual
        primal = 0.5 * w @ w + (cost * (1 - margins).clamp(min=0)).sum()
        if bool(primal - (dual.sum() - 0.5 * low @ low) <= tolerance * primal):
            break
        width /= 5
    return w[:-1].to(x), (w[-1] * s.bias).to(x)


def _solve(rows: Float[Tensor, "M D"], v: Float[Tensor, " D"]) -> Float[Tensor, " D"]:
    """(1 + rows^T rows)^-1 v, through the smaller of the two squares."""
    m, d = rows.shape
    if m >= d:
        whole = torch.eye(d, dtype=v.dtype, device=v.device) + rows.T @ rows
        return torch.cholesky_solve(v[:, None], torch.linalg.cholesky(whole))[:, 0]
    whole = torch.eye(m, dtype=v.dtype, device=v.device) + rows @ rows.T
    return v - rows.T @ torch.cholesky_solve((rows @ v)[:, None], torch.linalg.cholesky(whole))[:, 0]


def _downhill(w: Tensor, way: Tensor, margins: Tensor, across: Tensor, cost: Tensor, width: float) -> Tensor:
    """The step along `way` at which the rounded objective is least, by halving on its slope, which only grows."""
    low, high = w.new_zeros(()), w.new_ones(())
    a, b = w @ way, way @ way
    rising = lambda t: a + t * b - (cost * ((1 - margins - t * across) / width).clamp(0, 1)  # noqa: E731
                                    * across).sum() >= 0
    for _ in range(20):  # Newton's step is 1; a longer one is rare
        if bool(rising(high)):
            break
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        up = rising(middle)
        low, high = torch.where(up, low, middle), torch.where(up, middle, high)
    return high


class Miner:
    """The examples of every class and the SVMs fitted to them so far."""

    def __init__(self, classes: int, features: int, s: SVM, device: torch.device | str = "cpu"):
        self.s, self.classes = s, classes
        self.positives: list[list[Tensor]] = [[] for _ in range(classes)]
        self.negatives: list[list[Tensor]] = [[] for _ in range(classes)]
        self.added = [0] * classes
        self.weight, self.bias = torch.zeros(classes, features, device=device), torch.zeros(classes, device=device)
        self.started, self.fits = False, 0

    @property
    def counts(self) -> tuple[int, int]:
        """(positives, negatives) that are held, over all classes."""
        both = [sum(len(x) for rows in side for x in rows) for side in (self.positives, self.negatives)]
        return both[0], both[1]

    def add(self, x: Float[Tensor, "N D"], labels: Int[Tensor, " N"]) -> None:
        """Positives of their classes; a label below 0 is left out."""
        for c in labels.unique().tolist():
            if c >= 0:
                self.positives[c].append(x[labels == c])

    def mine(self, x: Float[Tensor, "N D"], overlap: Float[Tensor, "N C"],
             boxes: Float[Tensor, "N 4"] | None = None) -> None:
        """The regions of one picture, with their best IoU with an object of each class: keep what is hard,
        and fit what has grown. `boxes` say which of them overlap."""
        wanted: Bool[Tensor, "N C"] = overlap < self.s.below
        scores = x @ self.weight.T + self.bias
        if self.started:
            wanted &= scores > self.s.hard
        if self.s.apart < 1:
            assert boxes is not None, "which negatives overlap is told by their boxes"
            kept = nms(boxes.expand(len(wanted.T), -1, -1), scores.T.masked_fill(~wanted.T, -torch.inf),
                       iou=self.s.apart, keep=len(x))
            room = torch.zeros(len(wanted.T), len(x) + 1, dtype=torch.bool, device=x.device)
            wanted = room.scatter(1, torch.where(kept >= 0, kept, len(x)), True)[:, :-1].T
        for c, n in enumerate(wanted.sum(0).tolist()):
            if n:
                self.negatives[c].append(x[wanted[:, c]])
                self.added[c] += n
                if self.added[c] > (self.s.grow if self.started else 0):
                    self.fit(c)
        self.started = True

    def finish(self) -> tuple[Float[Tensor, "C D"], Float[Tensor, " C"]]:
        """Fit the last time all that have negatives; weights and biases."""
        for c in range(self.classes):
            if self.negatives[c]:
                self.fit(c)
        return self.weight, self.bias

    def fit(self, c: int) -> None:
        """Fit a class, and drop its easy negatives."""
        self.positives[c] = [torch.cat(self.positives[c])] if self.positives[c] else []
        negatives = torch.cat(self.negatives[c])
        x = torch.cat([*self.positives[c], negatives])
        y = torch.where(torch.arange(len(x), device=x.device) < len(x) - len(negatives), 1.0, -1.0)
        start = (self.weight[c], self.bias[c]) if self.started else None
        self.weight[c], self.bias[c] = fit_svm(x, y, self.s, start, tolerance=1e-3)
        self.negatives[c] = [negatives[negatives @ self.weight[c] + self.bias[c] >= self.s.easy]]
        self.added[c], self.fits = 0, self.fits + 1
