"""A belief whose drawn part is read off what is seen alone, and is foreseen before the memory moves (Dynalang's code,
nets.py, EarlyRSSM).

Axes: B sequences, A numbers of an action, E of an embedded observation.
"""
from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In, Part, part
from .blocks import NormedGRU, NormedRSSM, opened, within
from .dynamics import Dynamics, State
from .latents import Categorical, Latent
from .normed import topped


class EarlyRSSM(NormedRSSM):
    """The drawn part z_t is of the frame alone; `expecting` layers foresee it from the memory before, h_{t-1}, and the
    action; the memory h_t = f(h_{t-1}, z_t, a_t) then holds what was seen at t.

    So heads may read the memory by itself. Otherwise as `NormedRSSM`.
    """

    def __init__(self, inp: In, latent: Latent = Categorical(32, 32), cell: Part = part(NormedGRU), hidden: int = 1024,
                 expecting: int = 3, norm: str = "layer", learned: bool = True) -> None:
        nn.Module.__init__(self)
        self.latent = latent
        self.cell: Any = cell.build(In((latent.width,), (1,), actions=inp.actions))
        self.size = int(self.cell.size)
        self.expect = topped(self.size + inp.actions, hidden, expecting, latent.params, norm=norm)
        self.judge = topped(inp.channels[0], hidden, 1, latent.params, norm=norm)
        self.start = nn.Parameter(torch.zeros(self.size)) if learned else None
        self.out = In((latent.width + self.size,), (1,), actions=inp.actions)

    def initial(self, like: Tensor, count: int) -> State:
        stats = self.latent.stats(like.new_zeros(count, self.latent.params))
        deter = like.new_zeros(count, self.size) if self.start is None else self.start.tanh().expand(count, -1)
        return {**stats, "stoch": like.new_zeros(count, self.latent.width), "deter": deter}

    def _moved(self, state: State, action: Tensor, raw: Tensor, temperature: float = 1.0) -> State:
        stats = self.latent.stats(raw)
        stoch = self.latent.sample(stats, temperature)
        return {**stats, "stoch": stoch, "deter": self.cell(stoch, action, state["deter"])}

    def prior(self, state: State, action: Float[Tensor, "B A"], temperature: float = 1.0) -> State:
        raw = self.expect(torch.cat([state["deter"], within(action)], -1))
        return self._moved(state, action, raw, temperature)

    def step(self, state: State, action: Float[Tensor, "B A"], embed: Float[Tensor, "B E"],
             first: Tensor) -> tuple[State, State]:
        begun = self.initial(embed, len(embed))
        state = {k: torch.where(first.view(-1, *[1] * (v.ndim - 1)), begun[k], v) for k, v in state.items()}
        action = action * ~first[:, None]
        return self._seen(state, action, embed), self.prior(state, action)

    def _seen(self, state: State, action: Tensor, embed: Float[Tensor, "B E"]) -> State:
        return self._moved(state, action, self.judge(embed))

    def observe(self, embed: Tensor, action: Tensor, first: Tensor, state: State | None = None,
                brief: bool = False) -> tuple[State, State]:
        if state is None and self.start is not None:  # as `NormedRSSM` begins
            first = opened(first)
        return Dynamics.observe(self, embed, action, first, state, brief)


class Remembering(Dynamics):
    """A belief that is a memory alone: what is seen goes into it as it is, and nothing is drawn or foreseen."""

    latent = None

    def __init__(self, inp: In, cell: Part = part(NormedGRU)) -> None:
        super().__init__()
        self.cell: Any = cell.build(In((inp.channels[0],), (1,), actions=inp.actions))
        self.size = int(self.cell.size)
        self.out = In((self.size,), (1,), actions=inp.actions)

    def initial(self, like: Tensor, count: int) -> State:
        return {"deter": like.new_zeros(count, self.size), "stoch": like.new_zeros(count, 0)}

    def step(self, state: State, action: Float[Tensor, "B A"], embed: Float[Tensor, "B E"],
             first: Tensor) -> tuple[State, State]:
        keep = ~first[:, None]
        moved = state | {"deter": self.cell(embed, action * keep, state["deter"] * keep)}
        return moved, moved

    def features(self, state: State) -> Tensor:
        return state["deter"]


__all__ = ["EarlyRSSM", "Remembering"]
