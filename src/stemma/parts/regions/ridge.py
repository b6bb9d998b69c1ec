"""Boxes by ridge regression on fixed features (R-CNN appendix C): a regression a class, on whitened deltas.

Axes: N pairs of a region and its object, D features, R regions, C classes.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Ridge:
    """A region is a pair with the object that it overlaps most where they overlap by more than `above`. `weight` is the
    penalty, of the bias too.

    Deltas are whitened, with `floor` added to the eigenvalues of their covariance.
    Features are scaled to a mean length of `length`.
    """

    weight: float = 1000.0
    above: float = 0.6
    floor: float = 1e-3
    length: float = 20.0


def whiten(y: Float[Tensor, "N 4"], floor: float = 1e-3) -> tuple[Float[Tensor, 4], Float[Tensor, "4 4"],
                                                                  Float[Tensor, "4 4"]]:
    """(mean, T, T^-1) with T = V diag((D + floor)^-1/2) V^T of the covariance V diag(D) V^T: that of (y - mean) T is 1
    up to the floor."""
    mean = y.mean(0)
    values, vectors = torch.linalg.eigh((y - mean).T @ (y - mean) / len(y))
    root = (values.clamp(min=0) + floor).sqrt()
    return mean, (vectors / root) @ vectors.T, (vectors * root) @ vectors.T


def fit_ridge(x: Float[Tensor, "N D"], y: Float[Tensor, "N K"], weight: float) -> Float[Tensor, "D1 K"]:
    """(X^T X + weight I)^-1 X^T y by Cholesky, X with a column of ones last. With fewer examples than features by X^T
    (X X^T + weight I)^-1 y, the same."""
    x = torch.cat([x, x.new_ones(len(x), 1)], 1).double()
    y = y.double()
    n, d = x.shape
    if n < d:
        whole = x @ x.T + weight * torch.eye(n, dtype=x.dtype, device=x.device)
        return x.T @ torch.cholesky_solve(y, torch.linalg.cholesky(whole))
    whole = x.T @ x + weight * torch.eye(d, dtype=x.dtype, device=x.device)
    return torch.cholesky_solve(x.T @ y, torch.linalg.cholesky(whole))


def fit_class(x: Float[Tensor, "N D"], deltas: Float[Tensor, "N 4"],
              r: Ridge) -> tuple[Float[Tensor, "D1 4"], Float[Tensor, 4]]:
    """(weights, mean) of one class, with deltas = [x 1] weights + mean: the whitening is multiplied in. Without
    examples nothing moves."""
    if not len(x):
        return x.new_zeros(x.shape[1] + 1, 4), x.new_zeros(4)
    mean, forth, back = whiten(deltas.double(), r.floor)
    beta = fit_ridge(x, (deltas.double() - mean) @ forth, r.weight)
    return (beta @ back).to(x), mean.to(x)
