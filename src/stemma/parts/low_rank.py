"""Fully connected layers of low rank: truncated SVD (Fast R-CNN sec. 3.1).

W ~ U_t S_t V_t': a layer of u x v numbers becomes two, t x v without a bias and t deep, u x t with the layer's own,
t (u + v) numbers.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..core.types import StemmaError


def factors(weight: Float[Tensor, "u v"], rank: int) -> tuple[Float[Tensor, "u t"], Float[Tensor, "t v"]]:
    """(U_t, S_t V_t') of the `rank` largest singular values: of all pairs of such sizes, the one whose product is
    nearest to `weight`."""
    u, s, vt = torch.linalg.svd(weight.double(), full_matrices=False)
    return u[:, :rank].to(weight.dtype), (s[:rank, None] * vt[:rank]).to(weight.dtype)


def linear(channels: int, width: int, rank: int = 0) -> nn.Module:
    """A fully connected layer, He initialised as He et al. 2015 with slope 1;
    with a `rank`, in two steps through so few numbers."""
    steps = [nn.Linear(channels, width)] if not rank else [nn.Linear(channels, rank, bias=False),
                                                           nn.Linear(rank, width)]
    for step in steps:
        nn.init.kaiming_uniform_(step.weight, a=1)
        if step.bias is not None:
            nn.init.zeros_(step.bias)
    return steps[0] if not rank else nn.Sequential(*steps)


def over_bins(layer: nn.Module, x: Float[Tensor, "*R C s s"]) -> Float[Tensor, "*R D"]:
    """`layer`, of `linear`, on the bins of regions, flattened as C s s. Pooling on a CPU leaves them channels last:
    where the layer has fewer weights than there are numbers in bins, it is turned, and not the bins, forth and back."""
    last, step = x.movedim(-3, -1), layer[0] if isinstance(layer, nn.Sequential) else layer
    assert isinstance(step, nn.Linear)
    if torch.compiler.is_compiling() or not last.is_contiguous() or step.weight.numel() > x.numel():
        said = F.linear(x.flatten(-3), step.weight, step.bias)
    else:
        turned = step.weight.unflatten(1, x.shape[-3:]).movedim(1, -1).flatten(1)
        said = F.linear(last.flatten(-3), turned, step.bias)
    rest: Tensor = layer[1](said) if isinstance(layer, nn.Sequential) else said
    return rest


class BinLinear(nn.Linear):
    """A fully connected layer on the bins of regions, "*R C s s" to "*R D" (`over_bins`)."""

    def forward(self, x: Tensor) -> Tensor:
        return over_bins(self, x)


@torch.no_grad()
def shorten(whole: dict[str, Tensor], short: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a net for the same net with some layers of low rank: those are factored,
    the others are as they were.

    whole, short: the state dicts of both; `short` gives names and shapes.
    Raises `StemmaError` when a layer of `short` has no original.
    """
    out: dict[str, Tensor] = {}
    for name, like in short.items():
        if name in whole and whole[name].shape == like.shape:
            out[name] = whole[name]
            continue
        layer, kind = name.rsplit(".", 1)
        layer, step = layer.rsplit(".", 1)
        original = whole.get(f"{layer}.{kind}")
        if original is None:
            raise StemmaError(f"no layer of the whole net is the original of '{name}'")
        if kind == "bias":
            out[name] = original
        elif step == "0":
            deep, wide = factors(original, like.shape[0])
            out[f"{layer}.0.weight"], out[f"{layer}.1.weight"] = wide, deep
    return {name: out[name].contiguous() for name in short}
