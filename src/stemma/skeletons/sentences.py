"""A model of sentences as a value: the net, how it is handed documents, how it speaks.

Axes: N sentences, S places of a sentence.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..core.part import In, Part
from ..core.types import Info, Losses, StemmaError
from ..parts.language.knobs import Documents, Knobs


@dataclass(frozen=True)
class Sentences:
    """`sizes`: how many words each place of a sentence has. They are the data's (`fitted`), as is how many documents a
    table of them holds."""

    net: Part[Any]
    knobs: Knobs = Knobs()
    documents: Documents = Documents()
    sizes: tuple[int, ...] = (100,) * 5
    subject: ClassVar[str] = "facts"  # what it is about (`engine.language.subjects`)

    def build(self, words: int) -> SentenceModel:
        """The model for `words` words in all. Raises `StemmaError` where the places do not have as many."""
        sizes = self.sizes
        if sum(sizes) != words:
            if words % len(sizes):
                raise StemmaError(f"{words} words do not go evenly into {len(sizes)} places; say sizes")
            sizes = (words // len(sizes),) * len(sizes)
        return SentenceModel(self, sizes, words)


def fitted(spec: Sentences, info: Info) -> Sentences:
    """The spec for the sentences of a data set."""
    told = dict(info.inputs)["documents"]
    net = spec.net.but(documents=told) if "documents" in dict(spec.net.kw) else spec.net
    return replace(spec, net=net, sizes=info.choices)


class SentenceModel(nn.Module):
    """A net of a `Sentences`, for `classes` words."""

    def __init__(self, spec: Sentences, sizes: tuple[int, ...], words: int) -> None:
        super().__init__()
        self.subject = spec.subject
        self.spec, self.sizes, self.classes = spec, sizes, words
        self.net: Any = spec.net.build(In(sizes, (1,) * len(sizes), classes=words))

    @property
    def oracle(self) -> bool:
        """Whether it is told the truth after the documents (`know`)."""
        return bool(self.net.oracle)

    def loss(self, batch: dict[str, Tensor]) -> Losses:
        """{"nats": of a sentence} of the documents batch["rows"] [N, S]."""
        losses: Losses = self.net.loss(batch["rows"])
        return losses

    def count(self, batch: dict[str, Tensor]) -> None:
        """Take the documents of a batch in, where the net counts."""
        self.net.count(batch["rows"])

    def know(self, rows: Int[Tensor, "N S"], p: Float[Tensor, " N"]) -> None:
        """Tell an oracle the truth."""
        self.net.know(rows, p)

    def log_prob(self, rows: Int[Tensor, "N S"], knobs: Knobs | None = None) -> Float[Tensor, " N"]:
        """Log probability of each sentence in nats, float64, under the spec's knobs or those given."""
        with torch.no_grad():
            found = [self.net.log_prob(x, knobs or self.spec.knobs) for x in rows.split(8192)]
        return torch.cat(found)

    def log_rest(self, knobs: Knobs | None = None) -> float | None:
        """The log probability that all sentences which no document told share; None where they are not alike."""
        found: float | None = self.net.log_rest(knobs or self.spec.knobs)
        return found

    def draw(self, count: int, seed: int = 0, knobs: Knobs | None = None,
             given: Int[Tensor, " P"] | None = None) -> Int[Tensor, "N S"]:
        """Sentences that the model says, each beginning with `given`."""
        with torch.no_grad():
            found: Tensor = self.net.draw(count, torch.Generator().manual_seed(seed), knobs or self.spec.knobs, given)
        return found

    def predict(self, count: int) -> Int[Tensor, "N S"]:
        """`draw` by its other name."""
        return self.draw(count)


__all__ = ["SentenceModel", "Sentences", "fitted"]
