"""Actors of a world model: a planner that searches actions by the cross-entropy method,
and a controller of few weights.

Axes: B plans at once, J candidates, H steps ahead, A numbers of an action.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ...core.types import StemmaError
from .dynamics import State

Returns = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Plan:
    """What a search found: `mean` and `std` [B, H, A] of the last belief over actions; the elites' mean return and mean
    deviation [B] by iteration."""

    mean: Tensor
    std: Tensor
    elite_returns: tuple[Tensor, ...]
    elite_stds: tuple[Tensor, ...]


@dataclass(frozen=True)
class CEM:
    """PlaNet algorithm 2: draw action sequences, keep the best, refit a Gaussian to them;
    the first mean action is taken.

    Each decision begins anew from N(0, 1); deviations are the population's;
    drawn actions are clipped to -1..1 before they are tried.
    """

    horizon: int = 12
    candidates: int = 1000
    elites: int = 100
    iterations: int = 10

    def check(self) -> None:
        """Raises `StemmaError` where the numbers do not go together."""
        if not 1 <= self.elites <= self.candidates or self.horizon < 1 or self.iterations < 0:
            raise StemmaError(f"a search keeps 1 or more elites of at least as many candidates, {self.elites} of "
                              f"{self.candidates} here, and looks 1 or more steps ahead, not {self.horizon}")

    def search(self, returns: Returns, like: Tensor, count: int, actions: int) -> Plan:
        """The plan for each of `count` situations, by `returns`: [B, J, H, A] to predicted returns [B, J]."""
        mean = like.new_zeros(count, self.horizon, actions)
        std = torch.ones_like(mean)
        best: list[Tensor] = []
        spread: list[Tensor] = []
        for _ in range(self.iterations):
            drawn = torch.randn(count, self.candidates, self.horizon, actions, dtype=like.dtype, device=like.device)
            tried = torch.addcmul(mean[:, None], std[:, None], drawn).clamp(-1, 1)
            value, index = returns(tried).topk(self.elites, 1)
            elite = tried.gather(1, index[..., None, None].expand(-1, -1, self.horizon, actions))
            mean = elite.mean(1)
            std = (elite.var(1, unbiased=False) + 1e-6).sqrt()
            best.append(value.mean(1))
            spread.append(std.mean((1, 2)))
        return Plan(mean, std, tuple(best), tuple(spread))


class Controller(nn.Module):
    """World Models sec. 2.3: tanh of one linear map of the belief's parts `reads` ("stoch" is z, "deter" h, "cell" c).

    `hidden` > 0 puts so many tanh units between (the paper's z with a hidden layer).
    """

    def __init__(self, inp: In, reads: tuple[str, ...] = ("stoch", "deter"), hidden: int = 0,
                 bias: bool = True) -> None:
        super().__init__()
        self.reads = reads
        width = sum(inp.channels)
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.last = nn.Linear(hidden or width, inp.actions, bias=bias)
        for p in self.parameters():
            nn.init.zeros_(p)

    def forward(self, state: State) -> Float[Tensor, "B A"]:
        return self.many(state, self.flat()[None])

    def flat(self) -> Float[Tensor, " W"]:
        """Every weight in a row."""
        return torch.cat([p.flatten() for p in self.parameters()])

    def load_flat(self, weights: Tensor) -> None:
        """Put a row of weights back."""
        torch.nn.utils.vector_to_parameters(weights.to(next(self.parameters())), self.parameters())

    def many(self, state: State, weights: Float[Tensor, "P W"]) -> Float[Tensor, "B A"]:
        """P controllers at once: the first B / P beliefs are the first one's, and so on."""
        x = torch.cat([state[k] for k in self.reads], -1)
        x = x.view(len(weights), -1, x.shape[-1])
        at = 0
        for p in self.parameters():
            w = weights[:, at : at + p.numel()].view(-1, *p.shape)
            at += p.numel()
            x = torch.bmm(x, w.mT) if p.ndim == 2 else x + w[:, None]
            if p.ndim == 1 and self.hidden is not None and p is self.hidden.bias:
                x = x.tanh()
        return x.tanh().flatten(0, 1)


__all__ = ["CEM", "Controller", "Plan"]
