"""How a world model's expectations are held against what it then saw: rules over posteriors and priors of whole
sequences.

Axes: B sequences, T steps, S = T - d steps that have a posterior d steps before them.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.types import Losses
from .dynamics import Dynamics, State

Rolled = list[tuple[State, State, Tensor]]


def held(state: State) -> State:
    """A belief through which no gradient flows."""
    return {k: v.detach() for k, v in state.items()}


@dataclass(frozen=True)
class FreeNats:
    """KL(posterior || prior) beyond `free` nats a step, which cost nothing (PlaNet; its gradient is that of max(free,
    KL)).

    distance: latent overshooting (PlaNet eq. 7): the mean over d = 1..distance of the KL from beliefs rolled d steps
              with closed eyes; for d > 1 no gradient flows into the posterior, which is what is aimed at
    ahead:    observation overshooting: the heads learn from the rolled beliefs too
    standard: weight of KL(posterior || N(0, 1)), the release's "global divergence"
    balance:  (how much the prior is drawn to the posterior, how much the posterior to the prior), as DreamerV2 and V3
              split it; empty: one KL
    """

    free: float = 3.0
    scale: float = 1.0
    distance: int = 1
    ahead: bool = False
    standard: float = 0.0
    balance: tuple[float, ...] = ()

    def _paid(self, kl: Tensor) -> Tensor:
        return (kl - self.free).clamp(min=0)

    def __call__(self, dynamics: Dynamics, posts: State, priors: State, rolled: Rolled, first: Tensor) -> Losses:
        """{"kl": scalar}, with "standard" where it has a weight. Means over steps."""
        out: Losses = {}
        if self.balance:
            drawn, pulled = self.balance
            towards = self._paid(dynamics.divergence(held(posts), priors)).mean()
            back = self._paid(dynamics.divergence(posts, held(priors))).mean()
            out["kl"] = self.scale * (drawn * towards + pulled * back)
        elif self.scale:
            terms = [self._paid(dynamics.divergence(posts, priors)).mean()]
            for state, seen, mask in rolled:
                kl = self._paid(dynamics.divergence(held(seen), state))
                terms.append((kl * mask).sum() / mask.sum().clamp(min=1))
            out["kl"] = self.scale * torch.stack(terms).mean()
        if self.standard:
            latent: Any = dynamics.latent
            out["standard"] = self.standard * latent.kl_standard(posts).mean()
        return out


class OneStep:
    """A rule that needs no beliefs rolled further than a step."""

    @property
    def distance(self) -> int:
        return 1

    @property
    def ahead(self) -> bool:
        return False


@dataclass(frozen=True)
class Surprise(OneStep):
    """World Models' two losses: the code's KL from N(0, 1), never under `floor` nats a number of it (V), and -ln of
    what was expected at the code that came, mean over its numbers (M). A first step, and the first of a sequence, was
    not expected and is left out."""

    floor: float = 0.5

    def __call__(self, dynamics: Dynamics, posts: State, priors: State, rolled: Rolled, first: Tensor) -> Losses:
        """{"kl": scalar, "transition": scalar}."""
        latent: Any = dynamics.latent
        kl = latent.kl_standard(posts).clamp(min=self.floor * latent.size).mean()
        told = (~first).float()
        told[:, 0] = 0
        surprise = dynamics.divergence(posts, priors)
        return {"kl": kl, "transition": (surprise * told).sum() / told.sum().clamp(min=1)}


__all__ = ["FreeNats", "OneStep", "Rolled", "Surprise", "held"]
