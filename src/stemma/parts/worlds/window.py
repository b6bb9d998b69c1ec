"""A belief that remembers by looking back: a small transformer over the last steps in the place of a gated unit (asked
of DreamerV3; not in the paper).

Axes: B sequences, W steps of the window, E numbers of a step, A of an action.
"""
from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In, Part, part
from ..attention import pre_normed
from .blocks import NormedRSSM, within
from .dynamics import Dynamics, State
from .latents import Categorical, Latent
from .normed import layers_of


class Looking(nn.Module):
    """(drawn part, action, window, what of it is filled) -> (memory, window, filled): the step joins the window, and a
    transformer's answer at it, over all that is there, is the memory."""

    def __init__(self, inp: In, size: int = 256, hidden: int = 64, window: int = 32, layers: int = 2,
                 heads: int = 4) -> None:
        super().__init__()
        self.size, self.hidden, self.window = size, hidden, window
        self.join = layers_of(inp.channels[0] + inp.actions, hidden, 1)
        self.place = nn.Parameter(torch.randn(window, hidden) * 0.02)  # counted from the step itself
        self.net = pre_normed(hidden, heads, 4 * hidden, layers)
        self.told = nn.Linear(hidden, size)

    def forward(self, stoch: Tensor, action: Tensor, past: Float[Tensor, "B W E"],
                filled: Float[Tensor, "B W"]) -> tuple[Tensor, Tensor, Tensor]:
        new = self.join(torch.cat([stoch, within(action)], -1))
        past = torch.cat([past[:, 1:], new[:, None]], 1)
        filled = torch.cat([filled[:, 1:], torch.ones_like(filled[:, :1])], 1)
        out = self.net(past + self.place, src_key_padding_mask=filled < 0.5)[:, -1]
        return self.told(out), past, filled


class WindowRSSM(NormedRSSM):
    """A `NormedRSSM` whose memory is `Looking` over the last `window` steps; an episode's first step empties it."""

    def __init__(self, inp: In, latent: Latent = Categorical(32, 64), cell: Part = part(Looking), hidden: int = 1024,
                 expecting: int = 2, norm: str = "rms") -> None:
        super().__init__(inp, latent, cell, hidden, expecting, norm)

    def initial(self, like: Tensor, count: int) -> State:
        c: Any = self.cell
        return super().initial(like, count) | {"past": like.new_zeros(count, c.window, c.hidden),
                                               "filled": like.new_zeros(count, c.window)}

    def prior(self, state: State, action: Float[Tensor, "B A"], temperature: float = 1.0) -> State:
        deter, past, filled = self.cell(state["stoch"], action, state["past"], state["filled"])
        return self._foreseen(deter, temperature) | {"past": past, "filled": filled}

    def posterior(self, prior: State, embed: Tensor) -> State:
        return self._judged(prior["deter"], self.see(embed)) | {k: prior[k] for k in ("past", "filled")}

    step = Dynamics.step
    observe = Dynamics.observe


__all__ = ["Looking", "WindowRSSM"]
