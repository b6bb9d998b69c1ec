"""How what a network says with the picture and the sentence, and without one of them or both, is put together.

A pass is (with the picture, with the sentence). Guidance is a sum of what the passes say; its weights add up to 1, and
where one is 0 that pass is not taken.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

Pass = tuple[bool, bool]


@runtime_checkable
class Guidance(Protocol):
    """Scales of sentence and picture by default, and the weight of each pass under any."""

    @property
    def text(self) -> float: ...
    @property
    def image(self) -> float: ...
    def weights(self, text: float, image: float) -> dict[Pass, float]: ...


@dataclass(frozen=True)
class PictureThenText:
    """InstructPix2Pix eq. 3: e(0,0) + s_I (e(I,0) - e(0,0)) + s_T (e(I,T) - e(I,0)). (1, 1) is no guidance."""

    text: float = 7.5
    image: float = 1.5

    def weights(self, text: float, image: float) -> dict[Pass, float]:
        """Of e(I,T), e(I,0) and e(0,0)."""
        return {(True, True): text, (True, False): image - text, (False, False): 1 - image}


@dataclass(frozen=True)
class EitherLeftOut:
    """InstructDiffusion: (e(I,0) + e(0,T)) / 2 + s_T (e(I,T) - e(I,0)) + s_I (e(I,T) - e(0,T)), in its released code.
    (.5, .5) is no guidance."""

    text: float = 5.0
    image: float = 1.25

    def weights(self, text: float, image: float) -> dict[Pass, float]:
        """Of e(I,T), e(I,0) and e(0,T)."""
        return {(True, True): text + image, (True, False): 0.5 - text, (False, True): 0.5 - image}


def together(weights: dict[Pass, float], said: dict[Pass, Tensor]) -> Tensor:
    """The weighted sum of what the passes said."""
    return torch.stack([weights[p] * said[p] for p in said]).sum(0)


@dataclass(frozen=True)
class Drop:
    """Which conditions a training example goes without, so that the network also learns to do without: one number r in
    0..1 an example; no sentence where r < 2u, no picture where u <= r < 3u (InstructPix2Pix sec. 3.2.1). With u = .05,
    5 % lose the sentence alone, 5 % the picture alone, 5 % both."""

    share: float = 0.05

    def __call__(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """(without the sentence, without the picture), bool, of numbers r."""
        return r < 2 * self.share, (r >= self.share) & (r < 3 * self.share)


@dataclass(frozen=True)
class DropEither(Drop):
    """The same where both are never left out together, which a guidance of `EitherLeftOut` does not ask for: no
    sentence where r < u, no picture where u <= r < 2u (InstructDiffusion's released ddpm_edit.py, u = .075)."""

    share: float = 0.075

    def __call__(self, r: Tensor) -> tuple[Tensor, Tensor]:
        return r < self.share, (r >= self.share) & (r < 2 * self.share)


__all__ = ["Drop", "DropEither", "EitherLeftOut", "Guidance", "Pass", "PictureThenText", "together"]
