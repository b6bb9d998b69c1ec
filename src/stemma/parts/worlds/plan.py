"""Actors of a world model: a planner that searches actions by the cross-entropy method,
and a controller of few weights.

Axes: B plans at once, J candidates, H steps ahead, A numbers of an action.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import Count, In
from ...core.types import StemmaError
from .dynamics import State
from .latents import chosen, one_hot

Returns = Callable[[Tensor], Tensor]


class Dreams(Protocol):
    """What a search at each decision asks of a model that dreams (`skeletons.dreamer`)."""

    spec: Any
    classes: int

    @property
    def dynamics(self) -> Any: ...
    def value(self, features: Tensor) -> Tensor: ...
    def dream(self, posts: State, steps: int | None = None) -> tuple[Tensor, Tensor, Tensor]: ...
    def foretold(self, path: Tensor) -> tuple[Tensor, Tensor]: ...


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

    horizon: Count = 12
    candidates: Count = 1000
    elites: Count = 100
    iterations: Count = 10

    def check(self) -> None:
        """Raises `StemmaError` where the numbers do not go together."""
        if not 1 <= self.elites <= self.candidates or self.horizon < 1 or self.iterations < 0:
            raise StemmaError(f"a search keeps 1 or more elites of at least as many candidates, {self.elites} of "
                              f"{self.candidates} here, and looks 1 or more steps ahead, not {self.horizon}")

    def search(self, returns: Returns, like: Tensor, count: int, actions: int, choices: tuple[int, ...] = (),
               tried_first: Float[Tensor, "B K H A"] | None = None) -> Plan:
        """The plan for each of `count` situations, by `returns`: [B, J, H, A] to predicted returns [B, J].

        choices: sizes of groups of which one is taken each; the plan's mean is their chances, which begin alike (not in
        the paper). tried_first: sequences that stand among the candidates of the first iteration.
        """
        deviation = lambda p: (p * (1 - p)).sqrt()
        mean = (torch.cat([like.new_full((count, self.horizon, n), 1 / n) for n in choices], -1) if choices
                else like.new_zeros(count, self.horizon, actions))
        std = deviation(mean) if choices else torch.ones_like(mean)
        best: list[Tensor] = []
        spread: list[Tensor] = []
        for _ in range(self.iterations):
            tried = self._drawn(mean, std, choices)
            if tried_first is not None and not best:
                tried[:, : tried_first.shape[1]] = tried_first
            value, index = returns(tried).topk(self.elites, 1)
            elite = tried.gather(1, index[..., None, None].expand(-1, -1, *tried.shape[2:]))
            mean = elite.mean(1)
            std = deviation(mean) if choices else (elite.var(1, unbiased=False) + 1e-6).sqrt()
            best.append(value.mean(1))
            spread.append(std.mean((1, 2)))
        return Plan(mean, std, tuple(best), tuple(spread))

    def _drawn(self, mean: Tensor, std: Tensor, choices: tuple[int, ...]) -> Float[Tensor, "B J H A"]:
        """Candidates from a belief over actions; of choices, one-hot."""
        wide = mean[:, None].expand(-1, self.candidates, -1, -1)
        if choices:
            return torch.cat([one_hot(chosen(p), p) for p in wide.split(choices, -1)], -1)
        drawn = torch.randn(wide.shape, dtype=mean.dtype, device=mean.device)
        return torch.addcmul(mean[:, None], std[:, None], drawn).clamp(-1, 1)


@dataclass(frozen=True)
class Lookahead:
    """A search at each decision in the place of what the actor would do (the question to DreamerV3: what is an actor
    worth?). ahead: steps that it looks, 0: it does not. valued: the critic says what comes behind them. seeded: so many
    of the first candidates are the actor's own. Otherwise as `CEM`."""

    ahead: int = 0
    valued: bool = True
    seeded: int = 0
    candidates: Count = 128
    elites: Count = 16
    iterations: Count = 4

    @property
    def search(self) -> CEM:
        """The search by itself."""
        return CEM(self.ahead, self.candidates, self.elites, self.iterations)

    def check(self) -> None:
        """Raises `StemmaError` where the numbers of a search do not go together."""
        if self.ahead:
            self.search.check()
            if not 0 <= self.seeded <= self.candidates:
                raise StemmaError(f"of {self.candidates} candidates {self.seeded} cannot be the actor's")

    def decide(self, model: Dreams, state: State) -> Float[Tensor, "B A"]:
        """The first action of the best plan from each belief; choices as one-hot numbers."""
        choices, n, own = tuple(model.spec.actor["choices"]), len(state["stoch"]), None
        if self.seeded:
            wide = {k: v.repeat_interleave(self.seeded, 0)[:, None] for k, v in state.items()}
            own = model.dream(wide, self.ahead - 1)[1].clamp(-1, 1).unflatten(0, (n, self.seeded))
        plan = self.search.search(lambda a: self.worth(model, state, a), state["stoch"], n, model.classes, choices, own)
        first = plan.mean[:, 0]
        return torch.cat([one_hot(p.argmax(-1), p) for p in first.split(choices, -1)], -1) if choices else first

    def worth(self, model: Dreams, state: State, action: Float[Tensor, "B J H A"]) -> Float[Tensor, "B J"]:
        """What action sequences are foreseen to earn, each reward weighed by how likely life went on until then, with
        what the critic says of where they end (`valued`)."""
        b, j, _, _ = action.shape
        ahead = model.dynamics.imagine(action.flatten(0, 1), {k: v.repeat_interleave(j, 0) for k, v in state.items()})
        path = model.dynamics.features(ahead)
        reward, going = model.foretold(path)
        weight = torch.cat([torch.ones_like(going[:, :1]), going], 1).cumprod(1)
        total = (weight[:, :-1] * reward).sum(1)
        if self.valued:
            total = total + weight[:, -1] * model.value(path[:, -1])
        return total.view(b, j)


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


__all__ = ["CEM", "Controller", "Lookahead", "Plan"]
