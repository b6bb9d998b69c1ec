"""Bilinear upsampling by transposed convolution, and the arithmetic of where maps lie on the picture.

Axes: B images, C classes, H W pixels. Coordinates are continuous: the first pixel spans 0..1, its centre is 0.5.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In


@dataclass(frozen=True)
class Grid:
    """Where a map lies on the picture: the pixels between its cells and the coordinate of its first cell's centre."""

    stride: float
    offset: float

    @classmethod
    def of(cls, inp: In, level: int) -> Grid:
        stride = inp.strides[level]
        return cls(stride, inp.offsets[level] if inp.offsets else stride / 2)

    def up(self, factor: int, kernel: int) -> Grid:
        """The grid of the output of a transposed convolution without padding: cell (k - 1) / 2 of it lies on this
        grid's first."""
        stride = self.stride / factor
        return Grid(stride, self.offset - stride * (kernel - 1) / 2)

    def conv(self, kernel: int, pad: int = 0) -> Grid:
        """The grid after a convolution of stride 1."""
        return Grid(self.stride, self.offset + self.stride * ((kernel - 1) / 2 - pad))

    def pool(self, kernel: int = 2) -> Grid:
        """The grid after pooling with kernel = stride = `kernel`."""
        return Grid(self.stride * kernel, self.offset + self.stride * (kernel - 1) / 2)

    def shift(self, other: Grid) -> int:
        """How many cells of this grid lie before the first of `other` (negative: after).
        FCN's crop offset, U-Net's crop margin.

        Raises AssertionError where the strides differ or the cells do not fall on each other.
        """
        assert self.stride == other.stride, (f"maps of stride {self.stride} and {other.stride} cannot be laid on "
                                             "each other")
        cells = (other.offset - self.offset) / self.stride
        assert cells == round(cells), f"the maps are {cells} cells apart"
        return round(cells)

    def within(self, other: Grid) -> Grid:
        """The grid of the window that both maps share (`overlap`)."""
        return Grid(self.stride, max(self.offset, other.offset))


def overlap(a: Tensor, b: Tensor, shift: int) -> tuple[Tensor, Tensor]:
    """Both maps cropped to the window that they share; `shift` cells of `a` lie before the first of `b`
    (`Grid.shift`)."""
    i, j = max(shift, 0), max(-shift, 0)
    h, w = (min(a.shape[d] - i, b.shape[d] - j) for d in (-2, -1))
    return a[..., i : i + h, i : i + w], b[..., j : j + h, j : j + w]


def bilinear_kernel(factor: int) -> Float[Tensor, "k k"]:
    """The (2f, 2f) kernel with which a transposed convolution of stride f interpolates bilinearly."""
    k = 2 * factor
    line = 1 - (torch.arange(k) - (k - 1) / 2).abs() / factor
    return line[:, None] * line[None]


class BilinearUp(nn.Module):
    """Transposed convolution of kernel 2f, stride f, no padding, one filter a class (FCN sec. 3.3): fixed, or learned
    from the bilinear start.

    B C H W -> B C f(H+1) f(W+1); without its outer f/2 pixels and away from the border it is
    `F.interpolate(mode="bilinear", align_corners=False)`.
    """

    weight: Tensor

    def __init__(self, classes: int, factor: int, learn: bool = False) -> None:
        super().__init__()
        self.factor = factor
        kernel = bilinear_kernel(factor)[None, None]
        if learn:
            self.weight = nn.Parameter(kernel.repeat(classes, 1, 1, 1))
        else:
            self.register_buffer("weight", kernel, persistent=False)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H2 W2"]:
        classes = x.shape[1]
        return F.conv_transpose2d(x, self.weight.expand(classes, -1, -1, -1), stride=self.factor, groups=classes)


def fc_to_conv(weight: Float[Tensor, "O I"], channels: int) -> Float[Tensor, "O C k k"]:
    """A fully connected layer over a flattened C k k map as a k x k convolution (FCN sec. 3.1): the same numbers,
    another shape."""
    side = round((weight.shape[1] / channels) ** 0.5)
    return weight.view(weight.shape[0], channels, side, side)
