"""Pooling of regions: RoIAlign (Mask R-CNN sec. 3) and RoIPool (Fast R-CNN sec. 2.1), batched.

Axes: B images, R regions an image, C channels, H W of a feature map, s bins a side.
Boxes are (x1, y1, x2, y2) in pixels of the network input; a map of `stride` t covers t x t pixels a cell.

On a CPU, RoIAlign is one `F.embedding_bag`: the map is a table with a row a cell, an output bin is a bag of the 4
corners of each of its sample points, and the bilinear weights are the bag's weights. Over several levels the levels are
one table. The gradient is one `F.embedding_bag` too.
On a GPU torchvision's kernel does the work.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from .boxes import area
from .compiled import compiled
from .constants import constant, remember
from .region_max import RegionMax, cells

Method = Literal["auto", "bag", "torchvision"]
CLOSE = 1.99  # cells a bin: its two samples are then less than a cell apart, and touch three cells a side and not four


def level_of(boxes: Float[Tensor, "B R 4"], strides: Sequence[int], canonical: float = 224.0,
             level: int = 4) -> Int[Tensor, "B R"]:
    """Index into `strides` of the level a region reads: FPN eq. 1, k = floor(k0 + log2(sqrt(wh) / 224)).

    `canonical` is the side in pixels that reads the level of stride 2**`level`. Strides must double.
    """
    assert all(b == 2 * a for a, b in zip(strides, strides[1:])), ("strides must double from level to level: "
                                                                   f"{tuple(strides)}")
    k = torch.floor(level + torch.log2(area(boxes).sqrt() / canonical) + 1e-6) - math.log2(strides[0])
    return k.clamp(0, len(strides) - 1).long()


def axes(box: Float[Tensor, "B R 4"], size: int, samples: int, limit: Int[Tensor, "*R 2"],
         aligned: bool) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Cells and weights along y and along x, (B, R, s, n) each: n = 2 a sample, or 3 for the two samples of a bin that
    lie within a cell of each other. Points beyond one cell outside the map, which has `limit` (rows, columns) for every
    region or for each, weigh nothing.
    """
    lo, hi = box.unflatten(-1, (2, 2)).flip(-1).unbind(-2)  # (y, x) each
    extent = hi - lo if aligned else (hi - lo).clamp(min=1.0)
    step = (extent / size)[..., None, None]
    bins, points = (torch.arange(n, device=lo.device, dtype=lo.dtype) for n in (size, samples))
    p = lo[..., None, None] + bins[:, None] * step + (points + 0.5) * step / samples
    limit = limit[..., None, None]
    last = limit - 1
    inside = (p >= -1) & (p <= limit)
    p = p.clamp(min=0).minimum(last.to(p))
    low = p.detach().floor()
    part = p - low
    keep = inside.to(p) / samples
    near, far = (1 - part) * keep, part * keep
    low = low.int()
    if (samples == 2 and p.device.type == "cpu" and not torch.compiler.is_compiling() and p.numel()
        and _close(step.detach())):
        (low, second), (n0, n1), (f0, f1) = (v.unbind(-1) for v in (low, near, far))
        same = (low == second).to(p)
        n, f = same * n1, same * f1
        cell = low[..., None] + torch.arange(3, dtype=low.dtype)
        weight = torch.stack([n0 + n, f0 + f + (n1 - n), f1 - f], -1)
    else:
        cell, weight = torch.stack([low, low + 1], -1).flatten(-2), torch.stack([near, far], -1).flatten(-2)
    (yc, xc), (yw, xw) = cell.minimum(last).unbind(-3), weight.unbind(-3)
    return (yc, yw), (xc, xw)


def _close(step: Tensor) -> bool:
    """Whether no bin is wider than `CLOSE` cells, nor inside out. Asks for a value, which is free on a CPU."""
    least, most = torch.aminmax(step)
    return bool((least >= 0) & (most <= CLOSE))


def _bags(table: Tensor, base: Tensor, width: Tensor | int, ys: tuple[Tensor, Tensor],
          xs: tuple[Tensor, Tensor]) -> Tensor:
    """Rows `base + y width + x` of the table, which has as many of each picture, weighed and summed: B R C s s, laid
    out with channels last."""
    (yc, yw), (xc, xw) = ys, xs
    b, r, s = yc.shape[:3]
    yc, n = yc * width + base[..., None, None], yc.shape[3] * xc.shape[3]
    if table.device.type == "cpu" and not torch.compiler.is_compiling():
        rows, weight = _pairs(torch.add, yc, xc).view(-1, n), _pairs(torch.mul, yw, xw).view(-1, n)
        out = cast(Tensor, Bags.apply(table, rows, weight))
    else:
        rows = yc[:, :, :, None, :, None] + xc[:, :, None, :, None, :]
        weight = yw[:, :, :, None, :, None] * xw[:, :, None, :, None, :]
        # ONNX knows no other index
        out = F.embedding_bag(rows.reshape(-1, n).long(), table, mode="sum", per_sample_weights=weight.reshape(-1, n))
    return out.view(b, r, s, s, -1).permute(0, 1, 4, 2, 3)


def _pairs(of: Callable[[Tensor, Tensor], Tensor], ys: Tensor, xs: Tensor) -> Float[Tensor, "N K"]:
    """Of every region, in the order (bin y, bin x, y, x), what `of` makes of a number of each axis (B R s n). The cells
    of a bin are listed for both axes first: a processor takes all of them at once, but few along one axis."""
    y, x = ys.repeat_interleave(xs.shape[-1], -1), xs.repeat(1, 1, 1, ys.shape[-1])
    return of(y[:, :, :, None], x[:, :, None])


class Bags(torch.autograd.Function):
    """Rows of a table summed with weights, bag by bag.

    The gradient of a row is the sum of the gradients of the bags that read it: again bags, of the other table. Table
    and bags are a sparse matrix, and the lists of the way back are its columns, which a count of each finds in one pass
    over the pairs: several times as fast on a CPU as the gradient that `F.embedding_bag` brings.
    """

    @staticmethod
    def forward(ctx: Any, table: Float[Tensor, "N C"], rows: Int[Tensor, "K n"],
                weight: Float[Tensor, "K n"]) -> Float[Tensor, "K C"]:
        table = table.contiguous()  # of one picture's map it may be a view of columns, which takes ten times as long
        ctx.save_for_backward(rows, weight, table if weight.requires_grad else table[:0])
        ctx.cells = len(table)
        return F.embedding_bag(rows, table, mode="sum", per_sample_weights=weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "K C"]) -> tuple[Tensor, None, Tensor | None]:
        rows, weight, table = ctx.saved_tensors
        slope: Tensor | None = None
        if ctx.needs_input_grad[2]:  # of a weight: its row times the gradient of its bag
            start = torch.arange(0, rows.numel(), rows.shape[1], dtype=rows.dtype)
            mine = torch.arange(len(rows), dtype=rows.dtype).repeat_interleave(rows.shape[1])
            slope = torch.ops.aten._embedding_bag_per_sample_weights_backward(grad.contiguous(), table, rows.flatten(),
                                                                              start, mine, 0).view_as(weight)
        bag, first, share = _by_row(rows, weight, ctx.cells)
        return F.embedding_bag(bag, grad.contiguous(), first, mode="sum", per_sample_weights=share), None, slope


def _by_row(rows: Int[Tensor, "K n"], weight: Float[Tensor, "K n"],
            cells: int) -> tuple[Int[Tensor, " Kn"], Int[Tensor, " {cells}"], Float[Tensor, " Kn"]]:
    """(the bag of each pair, row by row and within a row in their order; where in that list each row begins; the pairs'
    weights in that order)."""
    begin = np.arange(0, rows.numel() + 1, rows.shape[1], dtype=np.int32 if rows.numel() < 2**31 else np.int64)
    return columns(rows.numpy().ravel(), begin, weight.detach().numpy().ravel(), cells)


def columns(rows: np.ndarray, begin: np.ndarray, weight: np.ndarray, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of bags and rows, listed bag by bag, as listed row by row: (bag, where each of the rows begins, weight).

    begin: where each bag begins in `rows`, and where the last one ends. cells: how many rows there are. They are a
    sparse matrix, whose columns are found by counting, and not by sorting.
    """
    from scipy.sparse import csr_array

    pairs = csr_array((weight, rows, begin), shape=(len(begin) - 1, cells)).tocsc()
    bag, first, share = map(torch.from_numpy, (pairs.indices, pairs.indptr[:-1], pairs.data))
    return bag, first, share


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _flat(boxes: Tensor) -> Tensor:
    """B R 4 -> (B R) 5 with the image's index first, as torchvision wants it."""
    b, r, _ = boxes.shape
    index = torch.arange(b, device=boxes.device, dtype=boxes.dtype)[:, None, None].expand(b, r, 1)
    return torch.cat([index, boxes], -1).reshape(-1, 5)


def _use_bag(x: Tensor, boxes: Tensor, samples: int, method: Method) -> bool:
    if samples <= 0:
        assert method != "bag", "the adaptive number of samples depends on the boxes: torchvision's operator does it"
        return False
    if torch.compiler.is_compiling() and torch.onnx.is_in_onnx_export():
        return False  # ONNX has an operator for regions, and for bags only a loop over them
    if method == "auto":
        return x.device.type != "cuda" or boxes.requires_grad
    return method == "bag"


def roi_align(
    x: Float[Tensor, "B C H W"], boxes: Float[Tensor, "B R 4"], size: int, stride: float, samples: int = 2,
    aligned: bool = True, method: Method = "auto",
) -> Float[Tensor, "B R C {size} {size}"]:
    """Mean of `samples` x `samples` bilinear readings in each of `size` x `size` bins of every box.

    `aligned=False` is the first release's half-pixel shift, with boxes at least one cell wide. `samples=-1` takes
    ceil(bin side) samples, through torchvision. Differentiable in `x`; in `boxes` too on the "bag" path, which "auto"
    therefore takes when boxes need a gradient. Computed in float32 and returned in `x`'s dtype.
    """
    b, _, h, w = x.shape
    if not _use_bag(x, boxes, samples, method):
        out: Tensor = compiled().roi_align(x.float(), _flat(boxes.float()), size, 1.0 / stride, samples, aligned)
        return out.view(b, -1, *out.shape[1:]).to(x.dtype)
    scaled = boxes.float() / stride - (0.5 if aligned else 0.0)
    base = torch.arange(b, device=x.device, dtype=torch.int32)[:, None] * (h * w)
    limit = constant((h, w), base)
    return _bags(_rows(x).float(), base, w, *axes(scaled, size, samples, limit, aligned)).to(x.dtype)


def roi_align_levels(
    xs: Sequence[Float[Tensor, "B C _ _"]], boxes: Float[Tensor, "B R 4"], size: int, strides: Sequence[int],
    samples: int = 2, aligned: bool = True, canonical: float = 224.0, method: Method = "auto",
) -> Float[Tensor, "B R C {size} {size}"]:
    """RoIAlign of every region from the one level that its size belongs to (`level_of`), all levels in one call."""
    if len(xs) == 1:
        return roi_align(xs[0], boxes, size, strides[0], samples, aligned, method)
    level = level_of(boxes, strides, canonical)
    dtype = xs[0].dtype
    if not _use_bag(xs[0], boxes, samples, method):
        canvas, scale, corner = _canvas(xs, strides)
        placed = boxes.float() * scale[level][..., None] + corner[level]
        return roi_align(canvas, placed, size, 1.0, samples, aligned, "torchvision")
    b = len(boxes)
    shapes, device = tuple((x.shape[-2], x.shape[-1]) for x in xs), boxes.device

    def make() -> tuple[Tensor, ...]:
        rows, start = [], 0
        for h, w in shapes:
            rows.append((h, w, start))
            start += h * w
        return torch.tensor(rows, dtype=torch.int32, device=device), torch.tensor([1.0 / s for s in strides],
                                                                                  device=device)

    table, scale = remember(("roi levels", shapes, tuple(strides), b, device), make)
    place = table[level]
    width, start = place[..., 1], place[..., 2]
    cells = sum(h * w for h, w in shapes)
    base = start + torch.arange(b, device=device, dtype=torch.int32)[:, None] * cells
    scaled = boxes.float() * scale[level][..., None] - (0.5 if aligned else 0.0)
    every = torch.cat([x.flatten(2).mT for x in xs], 1).flatten(0, 1)  # all levels of a picture, then of the next
    return _bags(every.float(), base, width[..., None, None],
                 *axes(scaled, size, samples, place[..., :2], aligned)).to(dtype)


def _canvas(xs: Sequence[Tensor], strides: Sequence[int]) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, " L"],
                                                                   Float[Tensor, "L 4"]]:
    """All levels on one map, the finest to the left and the others below one another to its right, each within a rim
    that repeats its border.

    With it, the scale of each level and where its first cell lies (x, y, x, y). A point up to one cell outside a level
    reads what it would read on the level alone; boxes that were cut to the picture have no others.
    """
    framed = [F.pad(x, (1, 1, 1, 1), mode="replicate") for x in xs]
    width = framed[1].shape[-1]
    column = torch.cat([F.pad(x, (0, width - x.shape[-1])) for x in framed[1:]], 2)
    height = max(framed[0].shape[-2], column.shape[-2])
    canvas = torch.cat([F.pad(x, (0, 0, 0, height - x.shape[-2])) for x in (framed[0], column)], 3)
    shapes, device = tuple((x.shape[-2], x.shape[-1]) for x in framed), xs[0].device

    def make() -> tuple[Tensor, ...]:
        corner, y = [(1.0, 1.0, 1.0, 1.0)], 1.0
        for h, _ in shapes[1:]:
            corner.append((shapes[0][1] + 1.0, y, shapes[0][1] + 1.0, y))
            y += h
        return torch.tensor([1.0 / s for s in strides], device=device), torch.tensor(corner, device=device)

    scale, corner = remember(("roi canvas", shapes, tuple(strides), device), make)
    return canvas, scale, corner


def select_level(every: Sequence[Float[Tensor, "B R C s s"]], level: Int[Tensor, "B R"]) -> Float[Tensor, "B R C s s"]:
    """Each region's own among the poolings of all levels."""
    out, at = every[0], level[..., None, None, None]
    for i, pooled in enumerate(every[1:], 1):
        out = torch.where(at == i, pooled, out)
    return out


def roi_pool(x: Float[Tensor, "B C H W"], boxes: Float[Tensor, "B R 4"], size: int,
             stride: float) -> Float[Tensor, "B R C {size} {size}"]:
    """RoIPool: the box rounded to cells, each bin the maximum over its rounded, inclusive window.
    Through torchvision, in float32.

    A traced graph looks the maxima up in a table instead (`RegionMax`), which every runtime can.
    """
    if torch.compiler.is_compiling():
        return RegionMax(x).pool(cells(boxes, stride), size)
    out: Tensor = compiled().roi_pool(x.float(), _flat(boxes.float()), size, 1.0 / stride)
    return out.view(len(x), -1, *out.shape[1:]).to(x.dtype)
