"""Words beside pictures: a token a step, seen and told (Dynalang, arXiv 2308.01399, sec. 3).

A token is its number in a vocabulary of V; number 0 is padding: nothing is said. Axes: N beliefs or steps, F numbers of
a belief.
"""
from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from .normed import layers_of, topped


class TokenEncoder(nn.Module):
    """`layers` over a token's one-hot. The first is looked up as a table, and no one-hot is made.

    Padding has a code of zeros and teaches no weight here: an agent to which nothing is said is one that cannot hear.
    """

    def __init__(self, inp: In, units: int = 1024, layers: int = 5, norm: str = "layer") -> None:
        super().__init__()
        self.net = layers_of(inp.channels[0], units, layers, norm)
        self.out = In((units,), (1,))

    def forward(self, x: Float[Tensor, " N"]) -> Float[Tensor, "N E"]:
        said = x.long()
        table: Any = self.net[0]
        row = F.embedding(said, table.weight.mT)
        row = row if table.bias is None else row + table.bias
        code: Tensor = self.net[1:](row)
        return code * (said > 0)[:, None]


class TokenHead(nn.Module):
    """Which token is said: cross-entropy over the vocabulary; the mean is the probability of each."""

    def __init__(self, inp: In, units: int = 1024, layers: int = 5, norm: str = "layer") -> None:
        super().__init__()
        self.net = topped(inp.channels[0], units, layers, inp.logits, norm=norm)

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N V"]:
        said: Tensor = self.net(x)
        return said

    def loss(self, said: Float[Tensor, "N V"], truth: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        return F.cross_entropy(said, truth.long(), reduction="none")

    def mean(self, said: Float[Tensor, "N V"]) -> Float[Tensor, "N V"]:
        return said.softmax(-1)


__all__ = ["TokenEncoder", "TokenHead"]
