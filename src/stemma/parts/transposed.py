"""A transposed convolution whose bias learns by a plain sum.

For many small maps that lie channels last, those of regions, torch 2.14 takes longer on a CPU for the gradient of the
layer's own bias than for that sum (docs/measured.md); for U-Net's few large ones it does not.
"""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Learned(torch.autograd.Function):
    """`y`, to which `bias` was added already: hands the bias its gradient."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor) -> Tensor:
        ctx.dtype = bias.dtype
        ctx.mark_dirty(y)  # nothing is copied, and what follows may work in place
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return grads[0], grads[0].sum((0, 2, 3), dtype=ctx.dtype)


class Transposed(nn.ConvTranspose2d):
    """nn.ConvTranspose2d: the same settings, weights, numbers and gradients.

    forward: "B C H W" -> "B D S*H S*W" at kernel = stride = S.
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is not None or self.bias is None or not (torch.is_grad_enabled() and self.bias.requires_grad):
            return super().forward(x, output_size)
        assert not isinstance(self.padding, str)
        y = F.conv_transpose2d(x, self.weight, self.bias.detach(), self.stride, self.padding, self.output_padding,
                               self.groups, self.dilation)
        out: Tensor = _Learned.apply(y, self.bias)
        return out
