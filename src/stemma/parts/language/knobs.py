"""What is turned after training, and what models of sentences that go word by word have in common."""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.types import Losses, StemmaError


@dataclass(frozen=True)
class Knobs:
    """How a trained model speaks. `temperature` divides the logits of each word, `top_p` keeps the likeliest words
    until they hold so much; below the log probability `silent` (nats) it says nothing, and with `told_alone` it says
    only what a document told."""

    temperature: float = 1.0
    top_p: float = 1.0
    silent: float = -math.inf
    told_alone: bool = False

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"temperature is above 0 and top_p in 0..1, not {self.temperature:g} and {self.top_p:g}")


@dataclass(frozen=True)
class Documents:
    """How documents are handed to training. once: each sentence once, however often it was told. repeat: this share of
    the documents, drawn by chance, comes `times` as often (selective upweighting, Miao and Kearns 2025)."""

    once: bool = False
    repeat: float = 0.0
    times: int = 10


def rows_of(codes: Int[Tensor, " N"], sizes: tuple[int, ...]) -> Int[Tensor, "N S"]:
    """Codes as rows of word numbers, first word first."""
    out = []
    for size in reversed(sizes):
        out.append(codes % size)
        codes = codes // size
    return torch.stack(out[::-1], -1)


class Words(nn.Module):
    """A model that says a sentence word by word. A subclass gives `logits(rows, at)`: those of the word in place `at`
    [N, size] from the words before it.

    A place has its own words, so that what is said is always one of the possible sentences and probabilities add up to
    one over them.
    """

    unlisted = 0
    oracle = False
    sizes: tuple[int, ...]

    def logits(self, rows: Int[Tensor, "N S"], at: int) -> Float[Tensor, "N W"]:
        raise NotImplementedError

    def all_logits(self, rows: Int[Tensor, "N S"]) -> list[Float[Tensor, "N W"]]:
        """Of every place, each from the words before it."""
        return [self.logits(rows, at) for at in range(len(self.sizes))]

    def log_prob(self, rows: Int[Tensor, "N S"], knobs: Knobs = Knobs()) -> Float[Tensor, " N"]:
        """Log probability of each sentence, in nats, by the chain rule."""
        total = torch.zeros(len(rows), dtype=torch.double, device=rows.device)
        for at, logits in enumerate(self.all_logits(rows)):
            total = total + turned(logits, knobs).gather(1, rows[:, at : at + 1])[:, 0].double()
        return total

    def log_rest(self, knobs: Knobs = Knobs()) -> float | None:
        """None: sentences that were not told are not alike to it."""
        return None

    def draw(self, count: int, generator: torch.Generator, knobs: Knobs = Knobs(),
             given: Int[Tensor, " P"] | None = None) -> Int[Tensor, "N S"]:
        """Sentences from the model, each beginning with the words `given`. On the CPU, so that all devices draw alike
        from equal logits."""
        device = next((t.device for t in (*self.parameters(), *self.buffers())), torch.device("cpu"))
        rows = torch.zeros(count, len(self.sizes), dtype=torch.long, device=device)
        begin = 0 if given is None else len(given)
        if begin > len(self.sizes):
            raise StemmaError(f"a sentence has {len(self.sizes)} words, and {begin} are given")
        if given is not None:
            rows[:, :begin] = given.to(device)
        for at in range(begin, len(self.sizes)):
            p = turned(self.logits(rows, at), knobs).exp().cpu().float()
            rows[:, at] = torch.multinomial(p, 1, generator=generator)[:, 0].to(device)
        return rows.cpu()

    def loss(self, rows: Int[Tensor, "N S"]) -> Losses:
        """Nats a sentence: the sum over its places, mean over the batch."""
        nll = [nn.functional.cross_entropy(x, rows[:, at]) for at, x in enumerate(self.all_logits(rows))]
        return {"nats": torch.stack(nll).sum()}


def turned(logits: Float[Tensor, "N W"], knobs: Knobs) -> Float[Tensor, "N W"]:
    """Log probabilities of the next word under the knobs."""
    log = torch.log_softmax(logits / knobs.temperature, -1)
    if knobs.top_p < 1:
        p, order = log.exp().sort(-1, descending=True)
        cut = p.cumsum(-1) - p >= knobs.top_p  # the word that reaches it is kept
        log = log.masked_fill(torch.zeros_like(cut).scatter(-1, order, cut), -math.inf)
        log = torch.log_softmax(log, -1)
    return log


__all__ = ["Documents", "Knobs", "Words", "rows_of", "turned"]
