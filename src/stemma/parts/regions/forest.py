"""Boosted trees as a module: plain tensors, a forest a class, saved with the net (RPN+BF).

Axes: N regions, F features, C classes, T trees of depth D.
"""
from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from .boost import Trees

MARGIN = 0.01  # by which the range of a feature is wider than what was seen of it


class Forest(nn.Module):
    """What the trees of each class say of a region's features, added up: `forest(bytes)`; 0 before any is grown.

    Features become bytes by the range that each was seen in (`measure`), which all trees and classes share: 255 steps,
    rounded, and what lies outside goes to the nearest end. Every comparison is of whole numbers up to 255, the same in
    training and in use.
    """

    low: Tensor
    step: Tensor
    feature: Tensor
    at: Tensor
    leaf: Tensor
    grown: Tensor

    def __init__(self, classes: int, features: int, trees: int, depth: int) -> None:
        super().__init__()
        self.depth, shape = depth, (classes, trees, 2**depth - 1)
        self.register_buffer("low", torch.zeros(features))
        self.register_buffer("step", torch.ones(features))
        self.register_buffer("feature", torch.zeros(shape, dtype=torch.int32))
        self.register_buffer("at", torch.full(shape, 255, dtype=torch.uint8))
        self.register_buffer("leaf", torch.zeros(classes, trees, 2**depth))
        self.register_buffer("grown", torch.zeros(classes, dtype=torch.int64))  # trees of each class

    def measure(self, low: Float[Tensor, " F"], high: Float[Tensor, " F"]) -> None:
        """Set the range of each feature. A feature that never changes keeps one byte."""
        self.low.copy_(low - MARGIN)
        self.step.copy_((high - low + 2 * MARGIN) / 255)

    def bytes(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N F"]:
        """Features as whole numbers 0..255, float32."""
        return ((x - self.low) / self.step).round().clamp(0, 255)

    def plant(self, label: int, trees: Trees, lift: float) -> None:
        """Put a class's trees in the place of those that it had; each says `lift` more."""
        n = len(trees.leaf)
        for own, new, bare in ((self.feature, trees.feature, 0), (self.at, trees.at, 255),
                               (self.leaf, trees.leaf + np.float32(lift), 0)):
            own[label].fill_(bare)
            own[label, :n] = torch.from_numpy(np.ascontiguousarray(new)).to(own)
        self.grown[label] = n

    def forward(self, x: Float[Tensor, "N F"]) -> Float[Tensor, "N C"]:
        """`x` as `bytes` gives it."""
        classes, trees, places = self.feature.shape
        feature, at, leaf = self.feature.flatten().long(), self.at.flatten().to(x), self.leaf.flatten()
        tree = torch.arange(classes * trees, device=x.device)
        node = torch.zeros(len(x), classes * trees, dtype=torch.long, device=x.device)
        for _ in range(self.depth):
            k = tree * places + node
            node = 2 * node + 1 + (x.gather(1, feature[k]) > at[k]).long()
        said: Tensor = leaf[tree * (places + 1) + node - places].view(len(x), classes, trees).sum(2)
        return said
