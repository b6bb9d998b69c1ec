"""Models of sentences that count documents and know nothing of words: by how often each was told.

Axes: N sentences, S words of a sentence, n documents.
"""
from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.part import In
from ...core.types import Losses, StemmaError
from .knobs import Knobs, rows_of


class Table(nn.Module):
    """A sentence's probability by how many of the n documents told it; what none told shares one mass evenly.

    memoriser:   as often as it was told, c / n; nothing else
    good-turing: the monofact rate (documents that tell what is told once, over n) is spread over all that was not told,
                 what was told has the rest, by its counts
    coarsened:   p itself, made even within each count: the calibrated model that exists for every world (arXiv
                 2311.14648, section 7). It is told p (`know`): a yardstick, and no way to learn
    """

    unlisted = 1  # what was not told is one block

    def __init__(self, inp: In, kind: Literal["memoriser", "good-turing", "coarsened"] = "good-turing",
                 documents: int = 10_000) -> None:
        super().__init__()
        self.sizes, self.kind, self.documents = inp.channels, kind, documents
        self.possible = math.prod(inp.channels)
        self.oracle = kind == "coarsened"
        self.told: Tensor
        self.filled: Tensor
        self.mass: Tensor
        self.register_buffer("told", torch.zeros(documents, dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))
        # coarsened: the truth's mass of what was told c times
        self.register_buffer("mass", torch.zeros(documents + 1 if self.oracle else 0, dtype=torch.double))

    def codes(self, rows: Int[Tensor, "N S"]) -> Int[Tensor, " N"]:
        """Rows of word numbers as one number each, the first word first."""
        out = torch.zeros(len(rows), dtype=torch.long, device=rows.device)
        for i, size in enumerate(self.sizes):
            out = out * size + rows[:, i]
        return out

    def count(self, rows: Int[Tensor, "N S"]) -> None:
        """Take documents in. Raises `StemmaError` for more than it was built for."""
        at = int(self.filled)
        if at + len(rows) > self.documents:
            raise StemmaError(f"this table was built for {self.documents:,} documents, and is given "
                              f"{at + len(rows):,}")
        self.told[at : at + len(rows)] = self.codes(rows)
        self.filled += len(rows)

    def know(self, rows: Int[Tensor, "N S"], p: Float[Tensor, " N"]) -> None:
        """Tell the truth: p of every fact."""
        codes, counts = self.seen()
        own = self._counts(self.codes(rows), codes, counts)
        self.mass.zero_().index_add_(0, own, p.double())

    def seen(self) -> tuple[Int[Tensor, " K"], Int[Tensor, " K"]]:
        """What was told, in the order of codes, and how often."""
        codes, counts = torch.unique(self.told[: int(self.filled)], return_counts=True)
        return codes, counts

    @staticmethod
    def _counts(wanted: Tensor, codes: Tensor, counts: Tensor) -> Tensor:
        if not len(codes):
            return torch.zeros_like(wanted)
        at = torch.searchsorted(codes, wanted).clamp(max=len(codes) - 1)
        return torch.where(codes[at] == wanted, counts[at], 0)

    def levels(self, knobs: Knobs = Knobs()) -> tuple[Tensor, Tensor, Tensor, float]:
        """(codes [K], their counts, log probabilities by count [n + 1], how many sentences were not told). The 0-th is
        that of what was not told."""
        codes, counts = self.seen()
        n, most = int(self.filled), self.documents + 1
        of = torch.bincount(counts, minlength=most).double()  # how many were told c times
        free = float(self.possible - len(codes))
        of[0] = free
        c = torch.arange(most, dtype=torch.double, device=codes.device)
        if self.kind == "coarsened":
            mass = self.mass.clone()
        elif not n:
            mass = of / self.possible
        else:
            once = float(of[1]) / n if self.kind == "good-turing" else 0.0
            mass = (1 - once) * c * of / n
            mass[0] = once
        log = torch.where(of > 0, (mass / of.clamp(min=1)).log(), -math.inf)
        if knobs.temperature != 1:  # each sentence's probability to this power
            log = log / knobs.temperature
            log = log - torch.logsumexp(log + of.log(), 0)
        if knobs.top_p < 1:  # the likeliest counts until so much is held
            order = log.argsort(descending=True)
            share = (log + of.log()).exp()[order]
            kept = share.cumsum(0) - share < knobs.top_p
            log = log.index_fill(0, order[~kept], -math.inf)
            log = log - torch.logsumexp(log + of.log(), 0)
        return codes, counts, log, free

    def log_prob(self, rows: Int[Tensor, "N S"], knobs: Knobs = Knobs()) -> Float[Tensor, " N"]:
        """Log probability of each sentence, in nats."""
        codes, counts, log, _ = self.levels(knobs)
        return log[self._counts(self.codes(rows), codes, counts)]

    def log_rest(self, knobs: Knobs = Knobs()) -> float | None:
        """The log probability of every sentence that was not told."""
        return float(self.levels(knobs)[2][0])

    def draw(self, count: int, generator: torch.Generator, knobs: Knobs = Knobs(),
             given: Int[Tensor, " P"] | None = None) -> Int[Tensor, "N S"]:
        """Sentences from the model. Raises `StemmaError` for a beginning that is given: a table has no words."""
        if given is not None and len(given):
            raise StemmaError("a table of whole sentences cannot go on from their first words; take a preset that says "
                              "word by word, such as ngram or small")
        codes, counts, log, free = self.levels(knobs)
        told = log[counts].exp()
        weights = torch.cat([told, (log[:1].exp() * free)])
        if not weights.sum() > 0:
            raise StemmaError("this table has counted nothing, and a memoriser says only what it was told")
        chosen = torch.multinomial(weights.cpu(), count, True, generator=generator)
        out = codes.cpu()[chosen.clamp(max=max(len(codes) - 1, 0))] if len(codes) else torch.zeros_like(chosen)
        need = (chosen == len(codes)).nonzero()[:, 0]
        while len(need):  # what was not told, evenly: drawn from all, and again where it was told
            out[need] = torch.randint(self.possible, (len(need),), generator=generator)
            need = need[self._counts(out[need], codes.cpu(), counts.cpu()) > 0]
        return rows_of(out, self.sizes)

    def loss(self, rows: Int[Tensor, "N S"]) -> Losses:
        """Nats a sentence."""
        return {"nats": -self.log_prob(rows).mean()}


__all__ = ["Table"]
