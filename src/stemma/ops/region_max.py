"""Maxima over regions of a map, with or without a hole (MR-CNN sec. 3).

Axes: B images, C channels, H W of a map, R regions, s bins a side, K rectangles.

In eager mode torchvision's RoIPool does the work, for regions with a hole on copies of the map in which the hole is 0.
In a traced graph, and where the copies would be too many, the maximum over a rectangle is that over four overlapping
rectangles whose sides are powers of two, looked up in a table that is made once a map; a bin with a hole is the union
of what lies above, below, left and right of the hole. The work a bin does not grow with its size, and every shape is
fixed. Either way the gradient goes to the cell that was the maximum.
"""
from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .compiled import compiled

Method = Literal["auto", "copies", "table"]
COPIES = 2**27  # numbers in the copies of a map, at most

Cells = Int[Tensor, "*R 4"]  # x1, y1, x2, y2 in whole cells, the last two not included


def cells(boxes: Float[Tensor, "*R 4"], stride: float) -> Cells:
    """The cells of a box as RoIPool takes them: corners rounded to cells, the last cell included, one cell at least."""
    at = boxes.float() / stride
    whole = torch.where(at >= 0, (at + 0.5).floor(), (at - 0.5).ceil()).int()  # halves away from zero
    return torch.cat([whole[..., :2], torch.maximum(whole[..., 2:], whole[..., :2]) + 1], -1)


def bins(region: Cells, size: int, shape: tuple[int, int]) -> Int[Tensor, "*R s s 4"]:
    """A region's size x size bins, cut to the map: floor at their beginning, ceil at their end, so neighbours may share
    cells (SPP-net)."""
    lo, side = region[..., :2], region[..., 2:] - region[..., :2]
    step = torch.arange(size + 1, device=region.device, dtype=torch.int32)
    first = (side[..., None] * step[:-1]).div(size, rounding_mode="floor")
    last = -(-side[..., None] * step[1:]).div(size, rounding_mode="floor")
    limit = torch.tensor([shape[1], shape[0]], device=region.device, dtype=torch.int32)[:, None]
    a, b = ((lo[..., None] + v).clamp(min=0).minimum(limit) for v in (first, last))  # *R 2 s
    grid = [v[..., i, None, :] if i == 0 else v[..., i, :, None] for v in (a, b) for i in (0, 1)]
    return torch.stack(torch.broadcast_tensors(*grid), -1)


class RegionMax:
    """A map, and questions to it."""

    def __init__(self, x: Float[Tensor, "B C H W"]) -> None:
        self.x = x
        h, w = self.shape = (x.shape[-2], x.shape[-1])
        self.tall, self.wide = h.bit_length(), w.bit_length()
        self._table: tuple[Tensor, Tensor] | None = None

    @property
    def table(self) -> tuple[Float[Tensor, "N C"], Int[Tensor, "N C"]]:
        """Made when it is first asked for: maxima over 2^i x 2^j cells and where they are, a row a picture, i, j,
        and first cell."""
        if self._table is not None:
            return self._table
        h, w = self.shape
        value = self.x.detach().permute(0, 2, 3, 1).contiguous()
        place = torch.arange(h * w, device=value.device, dtype=torch.int32).view(1, h, w, 1).expand_as(value)
        values, places = [], []
        for i in range(self.tall):
            if i:
                value, place = _larger(value, place, 2 ** (i - 1), 1)
            v, p = value, place
            for j in range(self.wide):
                if j:
                    v, p = _larger(v, p, 2 ** (j - 1), 2)
                values.append(v)
                places.append(p)
        self._table = torch.stack(values, 1).flatten(0, 3), torch.stack(places, 1).flatten(0, 3)
        return self._table

    def ask(self, at: Int[Tensor, "B K 4"]) -> tuple[Float[Tensor, "B K C"], Int[Tensor, "B K C"]]:
        """(maximum, its cell) of each rectangle; -inf and cell 0 where it is empty."""
        h, w = self.shape
        x1, y1, x2, y2 = at.unbind(-1)
        up, over = _log2(y2 - y1, self.tall), _log2(x2 - x1, self.wide)
        values, places = self.table
        picture = torch.arange(len(at), device=at.device, dtype=torch.int32)[:, None] * (self.tall * self.wide)
        base = (picture + up * self.wide + over) * (h * w)
        last_y, last_x = y2 - _two_to(up, self.tall), x2 - _two_to(over, self.wide)
        best: tuple[Tensor, Tensor] | None = None
        rows, columns = ([v.clamp(0, n - 1) for v in pair] for pair, n in (((y1, last_y), h), ((x1, last_x), w)))
        for y in rows:
            for x in columns:
                row = (base + y * w + x).flatten()
                v, p = values.index_select(0, row), places.index_select(0, row)
                best = (v, p) if best is None else (torch.maximum(best[0], v), torch.where(v > best[0], p, best[1]))
        assert best is not None
        empty = ((x2 <= x1) | (y2 <= y1))[..., None]
        value, place = (t.view(*at.shape[:2], -1) for t in best)
        return value.masked_fill(empty, -torch.inf), place.masked_fill(empty, 0)

    def pool(
        self, outer: Int[Tensor, "B R 4"], size: int, hole: Int[Tensor, "B R 4"] | None = None, method: Method = "auto",
    ) -> Float[Tensor, "B R C {size} {size}"]:
        """The maximum of each bin of a region, cells in the hole taken to be 0; 0 for a bin without cells.

        For features that are not negative, as after a ReLU, the hole's zeros never beat another cell.
        """
        if method == "auto":
            few = hole is None or outer[..., 0].numel() * self.x[0].numel() <= COPIES
            method = "copies" if few and not torch.compiler.is_compiling() else "table"
        return self._copied(outer, size, hole) if method == "copies" else self._looked_up(outer, size, hole)

    def _copied(self, outer: Tensor, size: int, hole: Tensor | None) -> Tensor:
        (b, r), (h, w) = outer.shape[:2], self.shape
        x = self.x.float()
        if hole is not None:
            column, row = torch.arange(w, device=x.device), torch.arange(h, device=x.device)
            x1, y1, x2, y2 = hole[..., None].unbind(-2)
            inside = ((row >= y1) & (row < y2))[..., None] & ((column >= x1) & (column < x2))[..., None, :]
            x = (x[:, None] * ~inside[:, :, None]).flatten(0, 1)
        place = torch.arange(len(x), device=x.device).repeat_interleave(b * r // len(x))
        last = torch.cat([outer[..., :2], outer[..., 2:] - 1], -1).view(-1, 4)
        out: Tensor = compiled().roi_pool(x, torch.cat([place[:, None], last], 1).to(x), size, 1.0)
        return out.view(b, r, *out.shape[1:]).to(self.x.dtype)

    def _looked_up(self, outer: Tensor, size: int, hole: Tensor | None) -> Tensor:
        b, r = outer.shape[:2]
        at = bins(outer, size, self.shape).view(b, -1, 4)
        if hole is None:
            value, place = self.ask(at)
        else:
            hx1, hy1, hx2, hy2 = hole[:, :, None].expand(-1, -1, size * size, -1).reshape(b, -1, 4).unbind(-1)
            x1, y1, x2, y2 = at.unbind(-1)
            sides = ((x1, y1, x2, y2.minimum(hy1)), (x1, y1.maximum(hy2), x2, y2), (x1, y1, x2.minimum(hx1), y2),
                     (x1.maximum(hx2), y1, x2, y2))
            value, place = self.ask(torch.stack(sides[0], -1))
            for side in sides[1:]:
                v, p = self.ask(torch.stack(side, -1))
                value, place = torch.maximum(value, v), torch.where(v > value, p, place)
        own = self.x.flatten(2).transpose(1, 2).gather(1, place.long())  # the same numbers, with their gradient
        own = torch.where(value > -torch.inf, own, 0.0)
        if hole is not None:
            cut = (x1 < hx2) & (hx1 < x2) & (y1 < hy2) & (hy1 < y2)
            own = torch.where(cut[..., None], own.clamp(min=0), own)
        return own.view(b, r, size, size, -1).permute(0, 1, 4, 2, 3)


def _larger(value: Tensor, place: Tensor, step: int, axis: int) -> tuple[Tensor, Tensor]:
    """Maxima over windows twice as long: each with the one `step` further on; what would reach over the edge stays."""
    n = value.shape[axis]
    v, p = (torch.cat([t.narrow(axis, step, n - step), t.narrow(axis, n - step, step)], axis) for t in (value, place))
    return torch.maximum(value, v), torch.where(v > value, p, place)


def _log2(length: Tensor, levels: int) -> Tensor:
    """The largest k below `levels` with 2^k <= length, 0 for nothing."""
    out = torch.zeros_like(length)
    for k in range(1, levels):
        out = out + (length >= 2**k)
    return out


def _two_to(k: Tensor, levels: int) -> Tensor:
    """2^k for whole k below `levels`."""
    out = torch.ones_like(k)
    for j in range(1, levels):
        out = out + (k >= j) * 2 ** (j - 1)
    return out
