"""A translator of sentences into programs, and how its programs are inferred over, as a value.

Axes: N sentences, L words of a sentence, T tokens of a meaning.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ..core.part import Count, In, Part
from ..core.types import Info, Losses


@dataclass(frozen=True)
class Inference:
    """How posteriors are drawn: by which method, from how many samples, and of how many worlds at most, each of so many
    steps."""

    method: Literal["rejection", "mh", "enumeration", "weighting"] = "rejection"
    samples: Count = 1000
    tries: Count = 20_000
    steps: Count = 200_000


@dataclass(frozen=True)
class Meaning:
    """`sizes`: the most words of a sentence and tokens of a meaning. They are the data's (`fitted`)."""

    net: Part[Any]
    inference: Inference = Inference()
    sizes: tuple[int, ...] = (16, 48)
    subject: ClassVar[str] = "meanings"  # what it is about (`engine.language.subjects`)

    def build(self, vocabulary: int) -> Translator:
        return Translator(self, vocabulary)


def fitted(spec: Meaning, info: Info) -> Meaning:
    """The spec for the sentences of a domain."""
    told = dict(info.inputs)["pairs"]
    net = spec.net.but(pairs=told) if "pairs" in dict(spec.net.kw) else spec.net
    return replace(spec, net=net, sizes=info.choices)


class Translator(nn.Module):
    """A net of a `Meaning`, for a vocabulary of `classes` words and tokens."""

    def __init__(self, spec: Meaning, vocabulary: int) -> None:
        super().__init__()
        self.subject = spec.subject
        self.spec, self.classes = spec, vocabulary
        self.net: Any = spec.net.build(In(spec.sizes, (1,) * len(spec.sizes), classes=vocabulary))

    def loss(self, batch: dict[str, Tensor]) -> Losses:
        """{"tokens": of the meanings batch["meant"] [N, T] of the sentences batch["said"] [N, L]}."""
        losses: Losses = self.net.loss(batch["said"], batch["meant"])
        return losses

    def count(self, batch: dict[str, Tensor]) -> None:
        """Take the pairs of a batch in, where the net counts."""
        self.net.count(batch["said"], batch["meant"])

    @torch.no_grad()
    def say(self, said: Int[Tensor, "N L"], temperature: float = 0.0, seed: int = 0) -> Int[Tensor, "N T"]:
        """The tokens of each sentence's meaning; drawn, at a temperature above 0."""
        found: Tensor = self.net.say(said, temperature, torch.Generator().manual_seed(seed))
        return found

    def predict(self, said: Int[Tensor, "N L"]) -> Int[Tensor, "N T"]:
        """`say` by its other name."""
        return self.say(said)


__all__ = ["Inference", "Meaning", "Translator", "fitted"]
