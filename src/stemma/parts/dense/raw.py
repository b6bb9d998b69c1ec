"""What a dense network says about every anchor of its levels.

Axes: B images, A anchors over all levels, K logits.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Asked = Callable[[Tensor], Tensor]  # logits of "an object is here", of any shape -> where a rule asks for an answer


@dataclass(frozen=True)
class DenseRaw:
    """What a dense network says, and where. float32."""

    logits: Float[Tensor, "B A K"]
    codes: Float[Tensor, "B A 4"]
    object: Float[Tensor, "B A"] | None
    anchors: Float[Tensor, "A 4"]
    stride: Float[Tensor, " A"]
    levels: tuple[int, ...]  # anchors of each level
    image: tuple[int, int]  # height and width of the network's input, padding included
    # what a head says of its own anchors' widths and heights, as codes, where it makes them itself
    shape: Float[Tensor, "B A 2"] | None = None

    def references(self) -> Float[Tensor, "B A 4"]:
        return self.anchors.expand(len(self.logits), -1, -1)

    def sizes(self, sizes: Tensor | None) -> Float[Tensor, "B 2"]:
        """`sizes`, or the whole input where they are not known."""
        if sizes is not None:
            return sizes
        h, w = self.image
        return torch.stack([self.codes.new_full((len(self.codes),), float(v)) for v in (h, w)], 1)


torch.export.register_dataclass(DenseRaw)
