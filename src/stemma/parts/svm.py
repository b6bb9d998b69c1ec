"""Linear SVMs on fixed features, with hard negatives mined picture by picture (R-CNN sec. 2.3 and appendix B).

Axes: K problems that are solved together, N examples, D features, C classes.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class SVM:
    """One class against the rest: 1/2 |w|^2 + 1/2 (b / bias)^2 + cost (positive sum of hinges over positives + sum of hinges over negatives).

    "truth": positives are the objects themselves (appendix B); "proposals": whatever overlaps one of the class by `above`, the rule of
    fine-tuning. Negatives of a class overlap each of its objects by less than `below`; what lies between is left out.
    Mining: of the first picture all negatives, of every other those that score above `hard`; after more than `grow` new ones of a class its
    SVM is fitted anew, and negatives that score below `easy` are dropped. Features are scaled to a mean length of `length`.
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
    length: float = 20.0


def objective(x: Float[Tensor, "K N D"], y: Float[Tensor, "K N"], w: Float[Tensor, "K D"], b: Float[Tensor, " K"], s: SVM) -> Float[Tensor, " K"]:
    """What an SVM minimises; `y` is 1, -1, or 0 where there is no example."""
    hinge = (1 - y * (torch.einsum("knd,kd->kn", x, w) + b[:, None])).clamp(min=0)
    return 0.5 * w.square().sum(1) + 0.5 * (b / s.bias) ** 2 + (_most(y, s) * hinge).sum(1)


def _most(y: Tensor, s: SVM) -> Tensor:
    """The largest dual variable of each example."""
    return s.cost * ((y < 0).to(y) + s.positive * (y > 0).to(y))


def fit_svm(
    x: Float[Tensor, "K N D"], y: Float[Tensor, "K N"], s: SVM, tolerance: float = 1e-4, rounds: int = 20000,
) -> tuple[Float[Tensor, "K D"], Float[Tensor, " K"]]:
    """The weights and biases of K SVMs at once, by accelerated projected gradient on their duals; `y` is 1, -1, or 0 for padding.

    The dual of the L1 hinge is a quadratic under bounds: max sum(a) - 1/2 |sum a_i y_i (x_i, bias)|^2, 0 <= a <= cost. It is over when every
    duality gap is below `tolerance` of the objective. Nesterov's momentum starts anew where it points uphill (O'Donoghue & Candes 2012).
    """
    full = torch.cat([x, x.new_full((*x.shape[:2], 1), s.bias)], 2) * y[..., None]  # labels multiplied in, so that w = sum a_i full_i
    most = _most(y, s)
    v = full.sum(1) + 1e-3
    for _ in range(30):
        v = torch.einsum("knd,kn->kd", full, torch.einsum("knd,kd->kn", full, v))
        v = v / v.norm(dim=1, keepdim=True).clamp(min=1e-12)
    steep = 1.05 * torch.einsum("knd,kd->kn", full, v).square().sum(1).clamp(min=1e-12)[:, None]
    a = torch.zeros_like(y)
    ahead, t = a, torch.ones_like(steep)
    for i in range(rounds):
        w = torch.einsum("knd,kn->kd", full, ahead)
        slope = 1 - torch.einsum("knd,kd->kn", full, w)
        new = (ahead + slope / steep).clamp(min=0).minimum(most)
        uphill = ((ahead - new) * (new - a)).sum(1, keepdim=True) > 0
        t = torch.where(uphill, 1.0, t)
        after = (1 + (1 + 4 * t * t).sqrt()) / 2
        ahead = new + torch.where(uphill, 0.0, (t - 1) / after) * (new - a)
        a, t = new, after
        if i % 50 == 49:
            w = torch.einsum("knd,kn->kd", full, a)
            half = 0.5 * w.double().square().sum(1)
            primal = half + (most * (1 - torch.einsum("knd,kd->kn", full, w)).clamp(min=0)).double().sum(1)
            if bool((primal - (a.double().sum(1) - half) <= tolerance * primal.clamp(min=1e-12)).all()):
                break
    w = torch.einsum("knd,kn->kd", full, a)
    return w[:, :-1], w[:, -1] * s.bias


class Miner:
    """The examples of every class and the SVMs fitted to them so far."""

    def __init__(self, classes: int, features: int, s: SVM, device: torch.device | str = "cpu"):
        self.s, self.classes = s, classes
        none = torch.zeros(0, features, device=device)
        self.positives: list[Tensor] = [none] * classes
        self.negatives: list[Tensor] = [none] * classes
        self.added = [0] * classes
        self.weight, self.bias = torch.zeros(classes, features, device=device), torch.zeros(classes, device=device)
        self.started, self.fits = False, 0

    def add(self, x: Float[Tensor, "N D"], labels: Int[Tensor, " N"]) -> None:
        """Positives of their classes; a label below 0 is left out."""
        for c in labels.unique().tolist():
            if c >= 0:
                self.positives[c] = torch.cat([self.positives[c], x[labels == c]])

    def mine(self, x: Float[Tensor, "N D"], overlap: Float[Tensor, "N C"]) -> None:
        """The regions of one picture, with their best IoU with an object of each class: keep what is hard, and fit what has grown."""
        wanted: Bool[Tensor, "N C"] = overlap < self.s.below
        if self.started:
            wanted &= x @ self.weight.T + self.bias > self.s.hard
        for c, n in enumerate(wanted.sum(0).tolist()):
            if n:
                self.negatives[c] = torch.cat([self.negatives[c], x[wanted[:, c]]])
                self.added[c] += n
        self.fit([c for c, n in enumerate(self.added) if n > (self.s.grow if self.started else 0)])
        self.started = True

    def finish(self) -> tuple[Float[Tensor, "C D"], Float[Tensor, " C"]]:
        """Fit the last time all that have negatives; weights and biases."""
        self.fit([c for c in range(self.classes) if len(self.negatives[c])])
        return self.weight, self.bias

    def fit(self, which: list[int]) -> None:
        """Fit these classes, and drop their easy negatives."""
        if not which:
            return
        longest = max(len(self.positives[c]) + len(self.negatives[c]) for c in which)
        x = self.weight.new_zeros(len(which), longest, self.weight.shape[1])
        y = x.new_zeros(len(which), longest)
        for k, c in enumerate(which):
            p, n = self.positives[c], self.negatives[c]
            x[k, : len(p)], x[k, len(p) : len(p) + len(n)] = p, n
            y[k, : len(p)], y[k, len(p) : len(p) + len(n)] = 1.0, -1.0
        w, b = fit_svm(x, y, self.s, tolerance=1e-3)
        for k, c in enumerate(which):
            self.weight[c], self.bias[c], self.added[c] = w[k], b[k], 0
            self.negatives[c] = self.negatives[c][self.negatives[c] @ w[k] + b[k] >= self.s.easy]
        self.fits += len(which)
