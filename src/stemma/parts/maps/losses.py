"""Losses of a label map. Axes: B images, C classes, N instances, H W pixels. Label 255 pays nothing."""
from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...core.types import IGNORE
from ...ops.distance import crowded, nearest_two
from ...ops.scalars import normaliser


@runtime_checkable
class PixelLoss(Protocol):
    """A scalar from logits, labels and, where the loss asks for them in `needs`, instance masks."""

    @property
    def needs(self) -> frozenset[str]: ...
    def __call__(
        self, logits: Float[Tensor, "B C H W"], labels: Int[Tensor, "B H W"],
        masks: Bool[Tensor, "B N H W"] | None = None
    ) -> Float[Tensor, ""]: ...


def class_weights(labels: Int[Tensor, "B H W"], classes: int, power: float) -> Float[Tensor, "B H W"]:
    """Each labelled pixel's weight (n / (k n_c))^power, from the n pixels and k classes of its own picture;
    0 where ignored.

    Power 1 gives every class of a picture the same say (U-Net's w_c), 0 gives it to every pixel.
    """
    flat = labels.flatten(1).clamp(max=classes)  # ignored pixels are counted in a class of their own
    flat = torch.where(labels.flatten(1) == IGNORE, classes, flat)
    counts = torch.zeros(len(labels), classes + 1,
                         device=labels.device).scatter_add_(1, flat, torch.ones_like(flat, dtype=torch.float32))
    counts[:, classes] = 0
    share = counts.sum(1, keepdim=True) / ((counts > 0).sum(1, keepdim=True).clamp(min=1) * counts.clamp(min=1))
    weights = torch.where(counts > 0, share.pow(power), 0.0)
    return weights.gather(1, flat).view(labels.shape)


def border_weights(masks: Bool[Tensor, "B N H W"], weight: float = 10.0, sigma: float = 5.0) -> Float[Tensor, "B H W"]:
    """U-Net eq. 2, second term: weight exp(-(d1 + d2)^2 / (2 sigma^2)), d1 and d2 the distances to the nearest and
    second nearest cell.

    Distances beyond 4 sigma count as infinite, which moves the map by at most weight exp(-8) = 0.0034 of 10.
    """
    d1, d2 = nearest_two(masks, max(1, math.ceil(4 * sigma)))
    return weight * torch.exp(-((d1 + d2) ** 2) / (2 * sigma**2))


def separated(labels: Int[Tensor, "B H W"], masks: Bool[Tensor, "B N H W"], background: int) -> Int[Tensor, "B H W"]:
    """Labels with a line of background, two pixels wide, between instances that touch or overlap, so that a class map
    keeps them apart."""
    return torch.where(crowded(masks) & (labels != IGNORE), background, labels)


def weighted_mean(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy weighted by pixel, divided by the sum of the weights in the whole batch."""
    loss = F.cross_entropy(logits.float(), labels, reduction="none", ignore_index=IGNORE)
    return (loss * weights).sum() / normaliser(weights.sum(), 1e-6)


@dataclass(frozen=True)
class PixelCrossEntropy:
    """Softmax cross-entropy at every labelled pixel.

    `normalise=False` sums over a picture's pixels and averages over pictures: FCN's unnormalised loss, trained with a
    rate of 1e-10 and momentum .99 ("heavy learning", sec. 4.3). `balance` weighs classes by their rarity in the picture
    (`class_weights`).
    """

    normalise: bool = True
    balance: float = 0.0

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"semantic"})

    def __call__(
        self, logits: Float[Tensor, "B C H W"], labels: Int[Tensor, "B H W"],
        masks: Bool[Tensor, "B N H W"] | None = None
    ) -> Float[Tensor, ""]:
        weights = class_weights(labels, logits.shape[1], self.balance) if self.balance else (labels != IGNORE).float()
        if self.normalise:
            return weighted_mean(logits, labels, weights)
        return (F.cross_entropy(logits.float(), labels, reduction="none", ignore_index=IGNORE)
                * weights).sum() / len(logits)


@dataclass(frozen=True)
class BorderCrossEntropy:
    """U-Net eq. 1 and 2: cross-entropy weighted by w_c + weight exp(-(d1 + d2)^2 / 2 sigma^2), which makes thin gaps
    between cells dear.

    Without instance masks the border term is absent. `background` >= 0 names the class that is drawn between touching
    instances (`separated`); data whose cells never touch, as the paper's, does not need it.
    """

    weight: float = 10.0
    sigma: float = 5.0
    balance: float = 1.0
    background: int = -1

    def times(self, ratio: float) -> BorderCrossEntropy:
        """For pictures `ratio` times as large: gaps are as much wider."""
        return replace(self, sigma=self.sigma * ratio)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"semantic", "masks"}) if self.weight or self.background >= 0 else frozenset({"semantic"})

    def __call__(
        self, logits: Float[Tensor, "B C H W"], labels: Int[Tensor, "B H W"],
        masks: Bool[Tensor, "B N H W"] | None = None
    ) -> Float[Tensor, ""]:
        apart = labels if masks is None or self.background < 0 else separated(labels, masks, self.background)
        weights = class_weights(apart, logits.shape[1], self.balance)
        if masks is not None and masks.shape[1] and self.weight:
            weights = weights + border_weights(masks, self.weight, self.sigma) * (apart != IGNORE)
        return weighted_mean(logits, apart, weights)
