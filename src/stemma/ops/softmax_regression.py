"""Logistic regression with an L2 penalty by L-BFGS, several strengths at once, and the walk along a path of strengths.

What is minimised is a *mean*:  mean_i CE(x_i W + b, y_i) + strength / 2 |W|^2,  the bias b free of penalty. Libraries
that minimise sum_i CE + 1 / (2 C) |W|^2 (scikit-learn) have C = 1 / (n strength). Labels are classes (softmax) or a
matrix of yes and no (a logistic regression a column, the columns' losses added).

The rows are turned into their principal axes first (`turned`): the penalty does not see a rotation, and there the
diagonal of the Hessian is known but for how sure the answers are, which makes a good first matrix for L-BFGS.

Axes: N rows, D features, R principal axes, C classes, S strengths that are fitted side by side.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

NOTHING = 1e-12  # of the largest variance: an axis below it is none
ARMIJO, WOLFE, LOOKS = 1e-4, 0.9, 30  # of the line search: least fall, most slope that is left, points looked at
BLUR = 1e-13  # of the loss: differences below it are rounding


@dataclass(frozen=True)
class Turned:
    """Rows in their principal axes, with a column of ones for the bias; `axes` and `mean` lead back."""

    x: Float[Tensor, "N R1"]
    axes: Float[Tensor, "D R"]
    mean: Float[Tensor, " D"]
    variance: Float[Tensor, " R"]

    def back(self, w: Float[Tensor, "... R1 C"]) -> tuple[Float[Tensor, "... D C"], Float[Tensor, "... C"]]:
        """Weights and bias of the rows as they were."""
        plain = self.axes @ w[..., :-1, :]
        return plain, w[..., -1, :] - self.mean @ plain

    def forth(self, weight: Float[Tensor, "... D C"], bias: Float[Tensor, "... C"]) -> Float[Tensor, "... R1 C"]:
        """What `back` would give these; exact for what lies in the rows' space."""
        return torch.cat([self.axes.mT @ weight, (bias + self.mean @ weight)[..., None, :]], -2)


def turned(x: Float[Tensor, "N D"]) -> Turned:
    """Centre the rows and turn them into the axes along which they vary. In float64."""
    x = x.double()
    n, d = x.shape
    mean = x.mean(0)
    x = x - mean
    if d <= n:
        variance, axes = torch.linalg.eigh(x.mT @ x / n)
    else:  # fewer rows than features: the same axes from the smaller matrix
        variance, left = torch.linalg.eigh(x @ x.mT / n)
        axes = x.mT @ left / (n * variance.clamp(min=1e-300)).sqrt()
    keep = variance > NOTHING * variance.amax().clamp(min=1e-300)
    axes, variance = axes[:, keep].flip(1), variance[keep].flip(0)
    return Turned(torch.cat([x @ axes, x.new_ones(n, 1)], 1), axes, mean, variance)


@dataclass(frozen=True)
class Fitted:
    """Solutions in principal axes. `slope`: length of the gradient where it stopped; `converged`: at most the
    tolerance."""

    w: Float[Tensor, "S R1 C"]
    loss: Float[Tensor, " S"]
    slope: Float[Tensor, " S"]
    iterations: Int[Tensor, " S"]
    tolerance: float

    @property
    def converged(self) -> Tensor:
        """Bool [S]."""
        return self.slope <= self.tolerance


class _Problem:
    """The loss of S strengths as functions of logits [S, N, C], so that a line is searched without touching the
    rows."""

    def __init__(self, rows: Turned, y: Tensor, strengths: Tensor, classes: int) -> None:
        self.x, self.n = rows.x, len(rows.x)
        self.many = y.ndim == 2
        self.truth = y.to(self.x) if self.many else F.one_hot(y, classes).to(self.x)
        self.strengths, self.variance = strengths, rows.variance

    def logits(self, w: Tensor) -> Tensor:
        return self.x @ w

    def error(self, z: Tensor) -> Float[Tensor, " S"]:
        """Mean loss over rows."""
        if self.many:
            return (F.softplus(z) - self.truth * z).sum((1, 2)) / self.n
        return (z.logsumexp(2) - (self.truth * z).sum(2)).sum(1) / self.n

    def said(self, z: Tensor) -> Tensor:
        return z.sigmoid() if self.many else z.softmax(2)

    def gradient(self, w: Tensor, p: Tensor) -> Tensor:
        g = self.x.mT @ (p - self.truth) / self.n
        g[:, :-1] += self.strengths[:, None, None] * w[:, :-1]
        return g

    def first_matrix(self, p: Tensor) -> Tensor:
        """1 over the diagonal of the Hessian, as far as rows and answers are independent: [S, R1, C]."""
        doubt = (p * (1 - p)).mean(1).clamp(min=1e-8)[:, None, :]
        inner = doubt * self.variance[None, :, None] + self.strengths[:, None, None]
        return torch.cat([1 / inner, 1 / doubt], 1)


def _dot(a: Tensor, b: Tensor) -> Float[Tensor, " S"]:
    return (a * b).sum((1, 2))


@torch.no_grad()
def fit(
    rows: Turned, y: Tensor, strengths: Sequence[float] | Tensor, classes: int,
    begin: Float[Tensor, "S R1 C"] | None = None, *, tolerance: float = 1e-6, most: int = 2000, memory: int = 10,
) -> Fitted:
    """The minimum for each of S strengths, all in one batch; what has converged waits for the rest.

    y: int64 (N,) classes below `classes`, or (N, C) of 0 and 1. begin: where to begin, zero without it.
    tolerance: of the Euclidean length of the gradient of the mean loss. most: iterations.
    """
    strengths = torch.as_tensor(strengths, dtype=torch.float64, device=rows.x.device)
    s, r1 = len(strengths), rows.x.shape[1]
    problem = _Problem(rows, y, strengths, classes)
    w = rows.x.new_zeros(s, r1, classes) if begin is None else begin.to(rows.x).clone()
    z = problem.logits(w)
    p = problem.said(z)
    g, h0 = problem.gradient(w, p), problem.first_matrix(p)
    size = strengths * w[:, :-1].square().sum((1, 2))
    loss = problem.error(z) + size / 2
    count = torch.zeros(s, dtype=torch.int64, device=w.device)
    kept: list[tuple[Tensor, Tensor, Tensor]] = []  # step, change of the gradient, 1 / their product (0: not taken)
    for _ in range(most):
        going = g.flatten(1).norm(dim=1) > tolerance
        if not bool(going.any()):
            break
        d = -_two_loops(g, kept, h0)
        slope = _dot(g, d)
        lost = slope >= 0  # memory that misleads: steepest descent under the first matrix
        if bool(lost.any()):
            d = torch.where(lost[:, None, None], -h0 * g, d)
            slope = _dot(g, d)
        zd = problem.logits(d)
        t, loss_new = _line(problem, w, d, z, zd, loss, slope, going)
        step = t[:, None, None] * d
        w, z = w + step, z + t[:, None, None] * zd
        p = problem.said(z)
        fresh = problem.gradient(w, p)
        change = fresh - g
        bend = _dot(step, change)
        good = bend > 1e-14 * _dot(change, change).sqrt() * _dot(step, step).sqrt()
        kept.append((step, change, torch.where(good, 1 / bend.masked_fill(~good, 1.0), torch.zeros_like(bend))))
        del kept[:-memory]
        count += going
        stuck = going & (t == 0)
        g, loss = fresh, loss_new
        if bool((stuck | ~going).all()):
            break  # no step lowers the loss any more in these digits
    return Fitted(w, loss, g.flatten(1).norm(dim=1), count, tolerance)


def _two_loops(g: Tensor, kept: list[tuple[Tensor, Tensor, Tensor]], h0: Tensor) -> Tensor:
    """The L-BFGS matrix times the gradient (Nocedal & Wright, algorithm 7.4), from the first matrix `h0`, which is
    scaled as the last step asks."""
    q, shares = g.clone(), []
    for step, change, rho in reversed(kept):
        share = rho * _dot(step, q)
        q -= share[:, None, None] * change
        shares.append(share)
    if kept:
        step, change, rho = kept[-1]
        bent = _dot(change, h0 * change)
        scale = torch.where(rho > 0, 1 / (rho.clamp(min=1e-300) * bent.clamp(min=1e-300)), torch.ones_like(rho))
        q = scale[:, None, None] * h0 * q
    else:
        q = h0 * q
    for (step, change, rho), share in zip(kept, reversed(shares)):
        q += (share - rho * _dot(change, q))[:, None, None] * step
    return q


def _line(problem: _Problem, w: Tensor, d: Tensor, z: Tensor, zd: Tensor, loss: Tensor, slope: Tensor,
          going: Tensor) -> tuple[Tensor, Tensor]:
    """(steps, losses there) that fulfil Wolfe's conditions, of all problems at once; a step of 0 where none is found or
    the problem is not `going`."""
    inner = problem.strengths * (w[:, :-1] * d[:, :-1]).sum((1, 2))
    length = problem.strengths * d[:, :-1].square().sum((1, 2))
    size = problem.strengths * w[:, :-1].square().sum((1, 2))
    t, low, high = torch.ones_like(loss), torch.zeros_like(loss), torch.full_like(loss, torch.inf)
    found, best, blur = torch.zeros_like(loss), loss.clone(), BLUR * loss.abs()
    open_ = going.clone()
    for _ in range(LOOKS):
        at = z + t[:, None, None] * zd
        value = problem.error(at) + (size + 2 * t * inner + t.square() * length) / 2
        tilt = _dot(problem.said(at) - problem.truth, zd) / problem.n + inner + t * length
        falls = value <= loss + ARMIJO * t * slope + blur
        better = open_ & falls & (value <= best + blur)
        found, best = torch.where(better, t, found), torch.where(better, value, best)
        open_ &= ~(falls & (tilt.abs() <= -WOLFE * slope))
        if not bool(open_.any()):
            break
        beyond = ~falls | (tilt > 0)
        high, low = torch.where(beyond, t, high), torch.where(beyond, low, t)
        t = torch.where(open_, torch.where(high.isinf(), 2 * t, (low + high) / 2), t)
    return found, best


def ahead(solutions: Sequence[Tensor]) -> Tensor | None:
    """Where to begin the next fit of a path whose strengths fall by a common factor: the last two solutions drawn out
    in a line, the one there is, or None of none. A line saves more than half of the steps that the last solution alone
    takes."""
    if not solutions:
        return None
    return solutions[-1] if len(solutions) < 2 else 2 * solutions[-1] - solutions[-2]


def path(weakest: float, strongest: float, count: int) -> list[float]:
    """`count` strengths in equal steps of the logarithm, the strongest first: the order in which each solution is a
    good beginning for the next."""
    low, high = torch.tensor([weakest, strongest], dtype=torch.float64).log10().tolist()
    return [float(10**v) for v in torch.linspace(high, low, count, dtype=torch.float64)]


__all__ = ["Fitted", "Turned", "ahead", "fit", "path", "turned"]
