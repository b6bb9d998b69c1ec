"""A linear classifier of unit-length features by stochastic gradient descent, and the search for its rate and weight
decay by Optuna's tree-structured Parzen estimator (ImageNet-CoG, sec. 4)."""
from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.types import StemmaError
from ...skeletons.protocol import Search, cross_entropy


def rate_of(epoch: int, epochs: int, schedule: str) -> float:
    """The factor on the rate. "cosine" falls from the first epoch on; "cog" as in the authors' code, which sets it
    after an epoch by that epoch's number: the first two run at the full rate, and the last value is never reached."""
    at = max(epoch - 1, 0) if schedule == "cog" else epoch
    return 0.5 * (1 + math.cos(math.pi * at / epochs))


def descend(x: Tensor, y: Tensor, classes: int, lr: float, decay: float, how: Search,
            seed: int) -> tuple[Tensor, Tensor]:
    """(weight (C, D), bias (C,)) after `how.epochs` epochs on unit-length rows, begun as a linear layer of PyTorch;
    decay is also on the bias. Not finite where the rate was too high."""
    g = torch.Generator().manual_seed(seed)
    far = x.shape[1] ** -0.5
    weight, bias = (torch.empty(classes, *d).uniform_(-far, far, generator=g).to(x) for d in ((x.shape[1],), ()))
    memory = [torch.zeros_like(weight), torch.zeros_like(bias)]
    n, batch = len(x), min(how.batch, len(x))
    for epoch in range(how.epochs):
        order = torch.randperm(n, generator=g).to(x.device)
        rate = lr * rate_of(epoch, how.epochs, how.schedule)
        for i in range(0, n, batch):
            rows, truth = x[order[i : i + batch]], y[order[i : i + batch]]
            z = torch.addmm(bias, rows, weight.mT)
            if truth.ndim == 2:
                slope = (z.sigmoid() - truth.to(z)) / len(rows)
            else:
                slope = (z.softmax(1) - F.one_hot(truth, classes)) / len(rows)
            for p, grad, m in ((weight, slope.mT @ rows, memory[0]), (bias, slope.sum(0), memory[1])):
                m.mul_(how.momentum).add_(grad).add_(p, alpha=decay)
                p.add_(m, alpha=-rate)
        if not bool(torch.isfinite(bias).all()):
            break
    return weight, bias


def held_out(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(kept, held) index: `share` of each class, rounded down but one at least, and none of a class with one row."""
    rng = np.random.default_rng([seed, 21])
    groups = labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)
    held: list[int] = []
    for c in np.unique(groups):
        at = rng.permutation(np.flatnonzero(groups == c))
        held += at[: min(max(int(share * len(at)), 1), len(at) - 1)].tolist()
    off = np.array(sorted(held), np.int64)
    return np.setdiff1d(np.arange(len(labels)), off), off


def shots(labels: np.ndarray, each: int, seed: int) -> np.ndarray:
    """Index of `each` rows of every class by chance (all of a class that has fewer); 0: all rows. Where a row has
    several classes (labels of two axes), those that were drawn for any of them."""
    if not each:
        return np.arange(len(labels))
    rng = np.random.default_rng([seed, each, 22])
    of = labels.T > 0 if labels.ndim == 2 else [labels == c for c in np.unique(labels)]
    return np.unique(np.concatenate([rng.permutation(np.flatnonzero(own))[:each] for own in of]))


def fewer(search: Search, labels: np.ndarray) -> tuple[int, ...]:
    """The numbers of pictures a class that are not all pictures of every class: what is searched for with all of them
    would only be searched for again."""
    fullest = int((labels.sum(0) if labels.ndim == 2 else np.bincount(labels)).max())
    return tuple(k for k in search.shots if k < fullest)


def asked(done: list[dict[str, Any]], how: Search, seed: int) -> tuple[float, float]:
    """(rate, decay) of the next trial, from those that are done and the seed alone: a search that is resumed asks what
    it would have asked. Raises `StemmaError` without Optuna."""
    try:
        import optuna
    except ImportError:
        raise StemmaError("the search needs Optuna: pip install 'stemma-vision[transfer]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    room: dict[str, Any] = {k: optuna.distributions.FloatDistribution(v[0], v[1], log=True)
                            for k, v in (("lr", how.lrs), ("decay", how.decays))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that multivariate search is experimental
        sampler = optuna.samplers.TPESampler(
            multivariate=True, seed=int(np.random.SeedSequence([seed, len(done), 23]).generate_state(1)[0] >> 1))
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials([optuna.trial.create_trial(params={k: d[k] for k in room}, distributions=room, value=d["val"])
                          for d in done])
        trial = study.ask(room)
    return float(trial.params["lr"]), float(trial.params["decay"])


def loss_of(weight: Tensor, bias: Tensor, x: Tensor, y: Tensor) -> float:
    """Mean cross-entropy of a classifier."""
    return float(cross_entropy(x @ weight.mT + bias, y))


__all__ = ["asked", "descend", "fewer", "held_out", "loss_of", "rate_of", "shots"]
