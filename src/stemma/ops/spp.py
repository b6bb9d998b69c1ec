"""Spatial pyramid pooling (He et al. 2014, sec. 2.2): a window of any size as a fixed number of bins.

Axes: N windows, B images, C channels, H W cells of a map. A window is (first column, first row, last column, last row),
whole cells, inclusive.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .compiled import compiled


def cells_of(
    boxes: Float[Tensor, "N 4"], stride: float, origin: float, size: tuple[int, int],
    mapping: Literal["paper", "code"] = "paper", margin: float = 6.5,
) -> Float[Tensor, "N 4"]:
    """The window on a map of `size` (rows, columns) that a box of the picture covers;
    whole numbers, at least one cell, inside the map.

    `origin` is the picture's coordinate of the first cell's centre, so cell c has its centre at origin + c stride.
    paper: appendix A, with that offset: first = floor(x / S) + 1, last = ceil(x / S) - 1, which are the cells whose
    centres lie inside the box.
    code:  the authors': first = floor((x + margin) / S + 1/2), last = ceil((x - margin) / S - 1/2).
    A box between two centres has no cell; it gets the nearest.
    """
    x = (boxes - origin) / stride
    low, high = x[:, :2], x[:, 2:]
    if mapping == "paper":
        first, last = low.floor() + 1, high.ceil() - 1
    else:
        first, last = (low + margin / stride + 0.5).floor(), (high - margin / stride - 0.5).ceil()
    near = ((low + high) / 2).round()
    empty = last < first
    most = x.new_tensor([size[1] - 1, size[0] - 1])
    limit = lambda v: v.maximum(torch.zeros_like(most)).minimum(most)  # noqa: E731
    return torch.cat([limit(torch.where(empty, near, first)), limit(torch.where(empty, near, last))], 1)


def pyramid_pool(
    x: Float[Tensor, "B C H W"], windows: Float[Tensor, "N 4"], image: Int[Tensor, " N"], levels: Sequence[int],
    mode: Literal["max", "avg"] = "max",
) -> Float[Tensor, "N D"]:
    """Each window cut into n x n bins for every n of `levels`, C values a bin; D = C sum(n^2). Channels vary slowest
    within a level, as in `flatten`.

    Bin i of n over a side of w cells is [floor(i w / n), ceil((i + 1) w / n)): bins may share a cell, and none is
    empty. Level by level this is `adaptive_max_pool2d` or `adaptive_avg_pool2d` of the window.
    """
    if mode == "max":  # RoIPool of whole cells has these bins
        # halved precision has no such kernel, nor room for large indices
        rois = torch.cat([image.to(windows)[:, None], windows], 1).float()
        wide = x if x.dtype == torch.float64 else x.float()
        return torch.cat([compiled().roi_pool(wide, rois.to(wide), n, 1.0).flatten(1) for n in levels], 1).to(x.dtype)
    b, c, h, w = x.shape
    table = torch.nn.functional.pad(x.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0)).permute(0, 2, 3, 1).reshape(-1, c)
    first, length = windows[:, :2].long(), (windows[:, 2:] - windows[:, :2]).long() + 1
    base, out = image[:, None, None] * ((h + 1) * (w + 1)), []
    for n in levels:
        i = torch.arange(n, device=x.device)
        low = first[:, :, None] + (i * length[:, :, None]).div(n, rounding_mode="floor")
        high = first[:, :, None] + ((i + 1) * length[:, :, None] + n - 1).div(n, rounding_mode="floor")
        (x1, y1), (x2, y2) = low.unbind(1), high.unbind(1)
        at = lambda y, x: table[(base + y[:, :, None] * (w + 1) + x[:, None, :])]  # noqa: E731
        total = at(y2, x2) - at(y1, x2) - at(y2, x1) + at(y1, x1)
        cells = (y2 - y1)[:, :, None] * (x2 - x1)[:, None, :]
        out.append((total / cells[..., None]).permute(0, 3, 1, 2).flatten(1))
    return torch.cat(out, 1).to(x.dtype)
