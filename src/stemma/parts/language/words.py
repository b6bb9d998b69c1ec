"""Models of sentences word by word: n-grams that count, neighbours beside one, a recurrent net, a transformer.

Axes: N sentences, S places of a sentence, W words that a place may hold, D width.
"""
from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.part import In
from ...core.types import StemmaError
from ..attention import pre_normed
from .knobs import Words


class NGram(Words):
    """The next word by the `order` - 1 words before it, from counts, with `add` to each; interpolated Kneser-Ney with
    `discount` in its place where that is above 0 (Kneser and Ney 1995, Chen and Goodman 1999): what each context is
    discounted goes to the next shorter one, down to all words alike, and shorter contexts count in how many longer ones
    a word was seen.

    Contexts are as many as their words allow, so that order 2 and 3 are what a machine holds.
    """

    def __init__(self, inp: In, order: int = 2, add: float = 0.01, discount: float = 0.0) -> None:
        super().__init__()
        if order < 1 or add < 0 or not 0 <= discount < 1 or not (add or discount):
            raise ValueError(f"an n-gram has an order of 1 or more, and something for what it has not seen: add above "
                             f"0 or a discount in 0..1, not order {order}, add {add:g}, discount {discount:g}")
        self.sizes, self.order, self.add, self.discount = inp.channels, order, add, discount
        for at in range(len(self.sizes)):
            for back in range(min(order - 1, at) + 1):
                held = 1
                for size in self.sizes[at - back : at]:
                    held *= size
                self.register_buffer(f"seen{at}_{back}", torch.zeros(held, self.sizes[at]))

    def _context(self, rows: Tensor, at: int, back: int) -> Tensor:
        out = torch.zeros(len(rows), dtype=torch.long, device=rows.device)
        for i in range(at - back, at):
            out = out * self.sizes[i] + rows[:, i]
        return out

    def count(self, rows: Int[Tensor, "N S"]) -> None:
        """Take documents in."""
        for at in range(len(self.sizes)):
            for back in range(min(self.order - 1, at) + 1):
                held = self.get_buffer(f"seen{at}_{back}")
                flat = self._context(rows, at, back) * self.sizes[at] + rows[:, at]
                held.view(-1).index_add_(0, flat, torch.ones(len(rows), device=held.device))

    def logits(self, rows: Int[Tensor, "N S"], at: int) -> Float[Tensor, "N W"]:
        most = min(self.order - 1, at)
        if not self.discount:
            return (self.get_buffer(f"seen{at}_{most}")[self._context(rows, at, most)] + self.add).log()
        p = torch.full((len(rows), self.sizes[at]), 1 / self.sizes[at], device=rows.device)
        for back in range(most + 1):
            held = self.get_buffer(f"seen{at}_{back}")
            if back < most:  # in how many contexts one word longer each word was seen
                longer = self.get_buffer(f"seen{at}_{back + 1}")
                held = (longer > 0).float().view(-1, *held.shape).sum(0)
            c = held[self._context(rows, at, back)]
            total = c.sum(-1, keepdim=True)
            left = self.discount * (c > 0).sum(-1, keepdim=True) / total.clamp(min=1e-30)
            p = torch.where(total > 0, (c - self.discount).clamp(min=0) / total.clamp(min=1e-30) + left * p, p)
        return p.log()


class Neighbours(NGram):
    """An n-gram and nearest neighbours (Khandelwal et al. 2020, arXiv 1911.00172): with `share`, the next word is what
    it was in the documents whose words before it agree with these in most places, as often as there. Contexts are held
    against one another word by word, where the paper has a net's hidden states and the k nearest. Each is held against
    all documents: for some ten thousand of them."""

    told: Tensor
    filled: Tensor

    def __init__(self, inp: In, order: int = 2, add: float = 0.01, discount: float = 0.0, share: float = 0.25,
                 documents: int = 10_000) -> None:
        super().__init__(inp, order, add, discount)
        if not 0 < share < 1:
            raise ValueError(f"neighbours have a share between 0 and 1, not {share:g}")
        self.share, self.documents = share, documents
        self.register_buffer("told", torch.zeros(documents, len(self.sizes), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    def count(self, rows: Int[Tensor, "N S"]) -> None:
        """Take documents in. Raises `StemmaError` for more than it was built for."""
        at = int(self.filled)
        if at + len(rows) > self.documents:
            raise StemmaError(f"this store was built for {self.documents:,} documents, and is given "
                              f"{at + len(rows):,}")
        super().count(rows)
        self.told[at : at + len(rows)] = rows
        self.filled += len(rows)

    def near(self, rows: Int[Tensor, "N S"], at: int) -> Float[Tensor, "N W"]:
        """What the word in place `at` was in the nearest documents, as shares; all words alike where there are none."""
        told = self.told[: int(self.filled)]
        if not len(told):
            return torch.full((len(rows), self.sizes[at]), 1 / self.sizes[at], device=rows.device)
        word = nn.functional.one_hot(told[:, at], self.sizes[at]).float()
        asked, of = rows[:, :at].unique(dim=0, return_inverse=True) if at else (rows[:1, :0], rows[:, 0] * 0)
        found = []
        for some in asked.split(64):
            alike = (some[:, None] == told[None, :, :at]).sum(-1)
            nearest = (alike == alike.amax(1, keepdim=True)).float() @ word
            found.append(nearest / nearest.sum(1, keepdim=True))
        return torch.cat(found)[of]

    def logits(self, rows: Int[Tensor, "N S"], at: int) -> Float[Tensor, "N W"]:
        base = super().logits(rows, at).softmax(-1)
        return (self.share * self.near(rows, at) + (1 - self.share) * base).log()


class Nets(Words):
    """What nets share: an embedding of every word of every place, and a place's logits among its own words."""

    def __init__(self, inp: In, width: int) -> None:
        super().__init__()
        self.sizes = inp.channels
        total = sum(self.sizes)
        self.begin = [sum(self.sizes[:i]) for i in range(len(self.sizes))]
        self.embed = nn.Embedding(total + 1, width)  # the last one begins a sentence
        self.out = nn.Linear(width, total)
        nn.init.normal_(self.embed.weight, std=0.5)

    def hidden(self, x: Float[Tensor, "N T D"]) -> Float[Tensor, "N T D"]:
        """What is known at each place, of the words up to there."""
        raise NotImplementedError

    def _hidden(self, rows: Tensor, places: int) -> Tensor:
        shift = torch.tensor(self.begin, device=rows.device)
        first = torch.full((len(rows), 1), sum(self.sizes), dtype=torch.long, device=rows.device)
        return self.hidden(self.embed(torch.cat([first, (rows + shift)[:, : places - 1]], 1)))

    def _place(self, h: Tensor, at: int) -> Tensor:
        own = slice(self.begin[at], self.begin[at] + self.sizes[at])
        return nn.functional.linear(h, self.out.weight[own], self.out.bias[own])

    def logits(self, rows: Int[Tensor, "N S"], at: int) -> Float[Tensor, "N W"]:
        return self._place(self._hidden(rows, at + 1)[:, at], at)

    def all_logits(self, rows: Int[Tensor, "N S"]) -> list[Float[Tensor, "N W"]]:
        h = self._hidden(rows, len(self.sizes))
        return [self._place(h[:, at], at) for at in range(len(self.sizes))]


class Transformer(Nets):
    """`layers` blocks of masked self-attention before which is normalised, with learned places."""

    def __init__(self, inp: In, width: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__(inp, width)
        self.places = nn.Parameter(torch.randn(len(inp.channels), width) * 0.1)
        self.blocks = pre_normed(width, heads, 4 * width, layers)

    def hidden(self, x: Float[Tensor, "N T D"]) -> Float[Tensor, "N T D"]:
        mask = torch.full((x.shape[1],) * 2, float("-inf"), device=x.device).triu(1)
        h: Tensor = self.blocks(x + self.places[: x.shape[1]], mask=mask, is_causal=True)
        return h


class LSTM(Nets):
    """A recurrent net of `layers`."""

    def __init__(self, inp: In, width: int = 128, layers: int = 1) -> None:
        super().__init__(inp, width)
        self.cells = nn.LSTM(width, width, layers, batch_first=True)

    def hidden(self, x: Float[Tensor, "N T D"]) -> Float[Tensor, "N T D"]:
        h: Tensor = self.cells(x)[0]
        return h


__all__ = ["LSTM", "NGram", "Neighbours", "Nets", "Transformer"]
