"""Position-sensitive pooling of regions (R-FCN sec. 2): bin (i, j) of output channel c reads input channel (c s + i)
s + j alone.

Axes: B images, R regions an image, C output channels, H W of a feature map, s bins a side.
Boxes are (x1, y1, x2, y2) in pixels of the network input, edges continuous; the published code has inclusive corners
and adds 1 to the last.

With `bins_first` the input's channels are ordered (i s + j) C + c instead, which for maps that lie channels last is the
order of the work.

As in `roi`, the work on a CPU is `F.embedding_bag`: the table has a row of C numbers a cell and bin, and an output bin
is a bag of rows. In a traced graph, and on a GPU, the average is read off an integral image,
whose shapes depend on nothing.
"""
from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from .constants import constant, remember
from .roi import Bags, axes, columns

LEAST = 0.1  # cells: the least side of a region in the published code


def _table(x: Float[Tensor, "B D H W"], size: int, bins_first: bool) -> Float[Tensor, "N C"]:
    """A row a cell and bin (cells of an image in reading order, bins inside), a column an output channel."""
    b, d, h, w = x.shape
    assert d % size**2 == 0, f"{d} channels are no {size} x {size} groups"
    cells = x.permute(0, 2, 3, 1)
    out = cells if bins_first else cells.unflatten(3, (d // size**2, size**2)).transpose(3, 4)
    return out.reshape(b * h * w * size**2, d // size**2)


def _bins(size: int, device: torch.device) -> Int[Tensor, "s s"]:
    def make() -> tuple[Tensor, ...]:
        return (torch.arange(size**2, device=device, dtype=torch.int32).view(size, size),)

    return remember(("bins", size, device), make)[0]


def _edges(lo: Tensor, hi: Tensor, size: int, cells: int) -> tuple[Int[Tensor, "B R s"], Int[Tensor, "B R s"]]:
    """First cell of each bin along one axis, and one past its last; boxes in cells.
    Bins overlap where their edges are not whole."""
    step = ((hi - lo).clamp(min=LEAST) / size)[..., None]
    at = torch.arange(size, device=lo.device, dtype=lo.dtype)
    first = (lo[..., None] + at * step).floor().clamp(0, cells).int()
    last = (lo[..., None] + (at + 1) * step).ceil().clamp(0, cells).int()
    return first, last.maximum(first)


def ps_roi_pool(
    x: Float[Tensor, "B D H W"], boxes: Float[Tensor, "B R 4"], size: int, stride: float, whole_cells: bool = False,
    bins_first: bool = False,
) -> Float[Tensor, "B R C {size} {size}"]:
    """R-FCN eq. 1 before the vote: the mean of each bin over its own map; a bin without a cell is 0.

    The box is rounded to whole pixels, and a bin takes every cell that it touches. `whole_cells` rounds the box to
    cells instead, at least one of them wide, as torchvision does (which besides leaves out the last row and column of
    the map). No gradient flows to the boxes.
    """
    b, _, h, w = x.shape
    at = boxes.detach().float()
    corner = torch.floor(at / stride + 0.5) if whole_cells else torch.floor(at + 0.5) / stride
    x1, y1, x2, y2 = corner.unbind(-1)
    if whole_cells:
        x2, y2 = torch.maximum(x2, x1 + 1), torch.maximum(y2, y1 + 1)
    (top, bottom), (left, right) = _edges(y1, y2, size, h), _edges(x1, x2, size, w)
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        return _by_bags(x, size, bins_first, top, bottom, left, right).to(x.dtype)
    return _by_integral(x, size, bins_first, top, bottom, left, right).to(x.dtype)


def _by_bags(x: Tensor, size: int, bins_first: bool, top: Tensor, bottom: Tensor, left: Tensor,
             right: Tensor) -> Tensor:
    """A bag a bin, with as many rows as the bin has cells."""
    b, _, h, w = x.shape
    high, wide = (bottom - top)[..., :, None], (right - left)[..., None, :]  # B R s 1, B R 1 s
    count = (high * wide).flatten().long()
    start = count.cumsum(0) - count
    base = torch.arange(b, dtype=torch.int32)[:, None, None, None] * h + top[..., :, None]
    origin = ((base * w + left[..., None, :]) * size**2 + _bins(size, x.device)).flatten()
    bag = torch.repeat_interleave(torch.arange(len(count), dtype=torch.int32), count)
    step = torch.arange(len(bag), dtype=torch.int32) - start.int()[bag]
    width = wide.expand(-1, -1, size, -1).flatten()[bag]
    down = step.div(width, rounding_mode="floor")
    rows = origin[bag] + (down * (w - width) + step) * size**2
    total = cast(Tensor, Ragged.apply(_table(x.float(), size, bins_first), rows, start.int()))
    return (total / count.clamp(min=1)[:, None]).view(*top.shape[:2], size, size, -1).permute(0, 1, 4, 2, 3)


class Ragged(torch.autograd.Function):
    """Sums of rows of a table, bag by bag, of any lengths. The gradient of a row is the sum over the bags that read it:
    bags of the other table."""

    @staticmethod
    def forward(ctx: Any, table: Float[Tensor, "N C"], rows: Int[Tensor, " P"],
                start: Int[Tensor, " K"]) -> Float[Tensor, "K C"]:
        ctx.save_for_backward(rows, start)
        ctx.cells = len(table)
        return F.embedding_bag(rows, table.contiguous(), start, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "K C"]) -> tuple[Tensor, None, None]:
        rows, start = ctx.saved_tensors
        begin = np.append(start.numpy(), np.int32(len(rows)))
        bag, first, _ = columns(rows.numpy(), begin, np.ones(len(rows), np.int8), ctx.cells)
        return F.embedding_bag(bag, grad.contiguous(), first, mode="sum"), None, None


def _by_integral(x: Tensor, size: int, bins_first: bool, top: Tensor, bottom: Tensor, left: Tensor,
                 right: Tensor) -> Tensor:
    """Sums of rectangles as differences of four corners of the integral image, in float64: the sums of a whole map
    leave float32 too few digits."""
    b, d, h, w = x.shape
    whole = F.pad(x.double(), (1, 0, 1, 0)).cumsum(2).cumsum(3)
    table = _table(whole, size, bins_first)
    base = torch.arange(b, device=x.device)[:, None, None, None] * (h + 1)
    bins = _bins(size, x.device)

    def corner(y: Tensor, at: Tensor) -> Tensor:
        return table[((base + y[..., :, None]) * (w + 1) + at[..., None, :]) * size**2 + bins]

    total = corner(bottom, right) - corner(top, right) - corner(bottom, left) + corner(top, left)
    count = ((bottom - top)[..., :, None] * (right - left)[..., None, :]).clamp(min=1)
    return (total / count[..., None]).float().permute(0, 1, 4, 2, 3)


def ps_roi_align(
    x: Float[Tensor, "B D H W"], boxes: Float[Tensor, "B R 4"], size: int, stride: float, samples: int = 2,
    bins_first: bool = False,
) -> Float[Tensor, "B R C {size} {size}"]:
    """The same without rounding: each bin is the mean of `samples` x `samples` bilinear readings of its own map, as
    torchvision's `ps_roi_align`.

    Differentiable in the map and in the boxes. Computed in float32 and returned in `x`'s dtype.
    """
    b, _, h, w = x.shape
    base = torch.arange(b, device=x.device, dtype=torch.int32)[:, None, None, None] * (h * w)
    (yc, yw), (xc, xw) = axes(boxes.float() / stride - 0.5, size, samples, constant((h, w), base), True)
    rows = (yc * w + base)[:, :, :, None, :, None] + xc[:, :, None, :, None, :]
    rows = rows * size**2 + _bins(size, x.device)[:, :, None, None]
    weight = yw[:, :, :, None, :, None] * xw[:, :, None, :, None, :]
    n = rows.shape[-1] * rows.shape[-2]
    out = bags(_table(x.float(), size, bins_first), rows.reshape(-1, n), weight.reshape(-1, n))
    return out.view(b, -1, size, size, out.shape[-1]).permute(0, 1, 4, 2, 3).to(x.dtype)


def bags(table: Float[Tensor, "N C"], rows: Int[Tensor, "K n"], weight: Float[Tensor, "K n"]) -> Float[Tensor, "K C"]:
    """Rows of a table, weighed and summed."""
    if table.device.type == "cpu" and not torch.compiler.is_compiling():
        return cast(Tensor, Bags.apply(table, rows, weight))
    return F.embedding_bag(rows, table, mode="sum", per_sample_weights=weight)


def vote(pooled: Float[Tensor, "B R C s s"]) -> Float[Tensor, "B R C"]:
    """R-FCN sec. 2: the bins of a region vote by their mean."""
    return pooled.mean((-2, -1))
