"""Averaged weights: what is validated, kept and used to predict, where the recipe has `ema`."""
from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Ema:
    """A copy of `model` whose weights follow it: average <- d average + (1 - d) weights,
    d = min(decay, (1 + t) / (10 + t)).

    The warm-up of d lets a short run forget its initial weights. Buffers (batch-norm statistics, memories of losses)
    are copied.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay, self.updates = decay, 0
        self._to: list[Tensor] = list(self.model.parameters())
        self._from = list(model.parameters())
        self._buffers = list(zip(self.model.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """Follow the model by one step."""
        self.updates += 1
        d = min(self.decay, (1 + self.updates) / (10 + self.updates))
        with torch.no_grad():
            torch._foreach_lerp_(self._to, [p.detach() for p in self._from], 1 - d)
            for mine, theirs in self._buffers:
                mine.copy_(theirs)

    def state(self) -> dict[str, Tensor]:
        return self.model.state_dict()

    def load(self, state: dict[str, Tensor], updates: int) -> None:
        self.model.load_state_dict(state)
        self.updates = updates
