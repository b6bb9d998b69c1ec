"""Transformers as torch has them, with the settings that ours share."""
from __future__ import annotations

from torch import nn


def pre_normed(width: int, heads: int, wide: int, layers: int) -> nn.TransformerEncoder:
    """`layers` of self-attention and of `wide` GELU units, [N, T, width]: norms come before each and at the end (Xiong
    et al. 2020), and nothing is dropped."""
    layer = nn.TransformerEncoderLayer(width, heads, wide, 0.0, "gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)


__all__ = ["pre_normed"]
