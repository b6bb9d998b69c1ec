"""Corners: pooling towards them, how far one may be off, peaks of heat maps.

Axes: B images, C channels or classes, H W cells, N candidates, K kept.
"""
from __future__ import annotations

from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Side = Literal["top", "left", "bottom", "right"]


def corner_pool(x: Float[Tensor, "B C H W"], side: Side) -> Float[Tensor, "B C H W"]:
    """CornerNet eq. 6 to 8: at each cell the largest value from there to the far edge.

    "top" looks down the column and "left" along the row to the right (what lies beyond a top-left corner); "bottom"
    looks up and "right" to the left. It is a cumulative maximum from the far end, taken in steps of 1, 2, 4, ... cells,
    so that it is quick and can be exported.
    """
    if torch.is_grad_enabled() and x.requires_grad and not torch.compiler.is_compiling():
        return cast(Tensor, _CornerPool.apply(x, side))
    pad = (0, 0) if side in ("top", "bottom") else ()
    for step in _steps(x, side):
        beyond = (0, step) if side in ("top", "left") else (step, 0)
        x = torch.maximum(x, F.pad(_pair(x, side, step)[1], (*pad, *beyond), value=-torch.inf))
    return x


def _axis(side: Side) -> int:
    return -2 if side in ("top", "bottom") else -1


def _steps(x: Tensor, side: Side) -> list[int]:
    """1, 2, 4, ... cells, as long as any lie so far apart."""
    steps = [1]
    while steps[-1] < x.shape[_axis(side)]:
        steps.append(2 * steps[-1])
    return steps[:-1]


def _pair(x: Tensor, side: Side, step: int) -> tuple[Tensor, Tensor]:
    """The cells that have one `step` away, and those."""
    n = x.shape[_axis(side)] - step
    first, second = x.narrow(_axis(side), 0, n), x.narrow(_axis(side), step, n)
    return (first, second) if side in ("top", "left") else (second, first)


class _CornerPool(torch.autograd.Function):
    """The same steps, which remember who won. What autograd makes of them takes eight times as long: it asks at every
    step again who won, and halves the gradient of equals. Here the nearer cell takes it whole."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, side: Side) -> Tensor:
        ctx.side, won, x = side, [], x.clone()
        for step in _steps(x, side):
            near, far = _pair(x, side, step)
            won.append(far > near)
            near.copy_(torch.maximum(near, far))
        ctx.save_for_backward(*won)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad = grad.clone()
        for step, won in reversed(list(zip(_steps(grad, ctx.side), ctx.saved_tensors))):
            near, far = _pair(grad, ctx.side, step)
            passed = near * won
            near.sub_(passed)
            far.add_(passed)
        return grad, None


def corner_radii(h: Float[Tensor, "*A"], w: Float[Tensor, "*A"],
                 overlap: float) -> tuple[Float[Tensor, "*A"], Float[Tensor, "*A"], Float[Tensor, "*A"]]:
    """How far both corners of a box may be off in x and y and the box still have an IoU of `overlap` with itself, in
    three ways: both corners shifted alike, both drawn in, both pushed out.
    """
    area, both = h * w, h + w
    shifted = (both - (both.square() - 4 * area * (1 - overlap) / (1 + overlap)).clamp(min=0).sqrt()) / 2
    inside = (both - (both.square() - 4 * (1 - overlap) * area).clamp(min=0).sqrt()) / 4
    outside = ((-overlap * both + ((overlap * both).square() + 4 * overlap * (1 - overlap) * area).sqrt())
               / (4 * overlap))
    return shifted, inside, outside


def corner_radius(h: Float[Tensor, "*A"], w: Float[Tensor, "*A"], overlap: float) -> Float[Tensor, "*A"]:
    """CornerNet sec. 3.2: the least of the three `corner_radii`."""
    shifted, inside, outside = corner_radii(h, w, overlap)
    return torch.minimum(torch.minimum(shifted, inside), outside)


def peaks(heat: Float[Tensor, "*B H W"], kernel: int = 3) -> Float[Tensor, "*B H W"]:
    """The values that are the largest of their neighbourhood; 0 elsewhere."""
    flat = heat.flatten(0, -3)
    top = F.max_pool2d(flat, kernel, 1, kernel // 2).view_as(heat)
    return torch.where(top == heat, heat, 0.0)
