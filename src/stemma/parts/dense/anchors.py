"""Where a dense head predicts: the reference boxes of every cell of every level.

Axes: A anchors over all levels (level by level; row, column, then the anchors of the cell), L levels.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...core.types import StemmaError
from ...ops import boxes as bx
from ...ops.constants import remember

HW = tuple[int, int]
Cells = tuple[tuple[float, float, float, float], ...]  # boxes of one cell, relative to its origin


@runtime_checkable
class Anchors(Protocol):
    """A family of reference boxes."""

    def counts(self, levels: int) -> tuple[int, ...]:
        """Boxes a cell, level by level."""

    def layout(self, maps: tuple[HW, ...], strides: tuple[int, ...], image: HW) -> list[tuple[Cells, float, float]]:
        """For each level: the boxes of the cell at the origin, and the steps (y, x) from cell to cell, in pixels."""

    def times(self, ratio: float) -> Anchors:
        """The same shapes, `ratio` times as large in pixels; themselves where cells are their only measure."""


@dataclass(frozen=True)
class Grid:
    """Anchors laid out over the levels of one image size."""

    boxes: Float[Tensor, "A 4"]
    stride: Float[Tensor, " A"]
    levels: tuple[int, ...]  # anchors of each level


def lay(anchors: Anchors, maps: tuple[HW, ...], strides: tuple[int, ...], image: HW, like: Tensor) -> Grid:
    """All anchors for feature maps of these sizes; remembered, since they depend on nothing else."""
    device = like.device

    def make() -> tuple[Tensor, ...]:
        boxes, stride = [], []
        for (h, w), s, (cell, dy, dx) in zip(maps, strides, anchors.layout(maps, strides, image)):
            y = torch.arange(h, device=device, dtype=torch.float32)[:, None, None] * dy
            x = torch.arange(w, device=device, dtype=torch.float32)[None, :, None] * dx
            at = torch.tensor(cell, device=device, dtype=torch.float32)
            sides = [at[:, 0] + x, at[:, 1] + y, at[:, 2] + x, at[:, 3] + y]
            boxes.append(torch.stack(torch.broadcast_tensors(*sides), -1).reshape(-1, 4))
            stride.append(torch.full((h * w * len(cell),), float(s), device=device))
        every = torch.cat(boxes)
        if isinstance(anchors, DefaultBoxes) and anchors.clip:
            edge = torch.tensor((image[1], image[0]), device=device, dtype=torch.float32)
            every = bx.from_centre(*(torch.minimum(v.clamp(min=0), edge) for v in bx.centre_size(every)))
        return every, torch.cat(stride)

    boxes, stride = remember((anchors, maps, strides, image, device), make)
    return Grid(boxes, stride, tuple(h * w * n for (h, w), n in zip(maps, anchors.counts(len(maps)))))


def _centred(sizes: list[tuple[float, float]], centre: tuple[float, float]) -> Cells:
    return tuple((centre[0] - w / 2, centre[1] - h / 2, centre[0] + w / 2, centre[1] + h / 2) for w, h in sizes)


@dataclass(frozen=True)
class Pyramid:
    """Faster R-CNN's anchors (sec. 3.1.1) on any number of levels: side = scale x the level's stride,
    ratio = height / width.

    Order in a cell: ratios outside, scales inside. `offset` puts the centre at that fraction of the cell (0: its
    corner, as in torchvision and detectron2; 0.5: its middle). `whole` does as torchvision does: sides cut to integers,
    corners rounded, and levels spaced by `image // map` instead of the stride.
    """

    scales: tuple[float, ...] = (8.0,)
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    offset: float = 0.0
    whole: bool = False

    def counts(self, levels: int) -> tuple[int, ...]:
        return (len(self.scales) * len(self.ratios),) * levels

    def times(self, ratio: float) -> Pyramid:
        return replace(self, scales=tuple(k * ratio for k in self.scales))

    def layout(self, maps: tuple[HW, ...], strides: tuple[int, ...], image: HW) -> list[tuple[Cells, float, float]]:
        found: list[tuple[Cells, float, float]] = []
        for (h, w), s in zip(maps, strides):
            sides = [int(k * s + 1e-6) if self.whole else k * s for k in self.scales]
            cell = _centred([(a / math.sqrt(r), a * math.sqrt(r)) for r in self.ratios for a in sides],
                            (self.offset * s, self.offset * s))
            if self.whole:
                cell = tuple((float(round(a)), float(round(b)), float(round(c)), float(round(d)))
                             for a, b, c, d in cell)
            found.append((cell, float(image[0] // h if self.whole else s), float(image[1] // w if self.whole else s)))
        return found


@dataclass(frozen=True)
class Legacy:
    """The anchors of the published py-faster-rcnn code: integer arithmetic with inclusive corners, centred in the cell.

    Its corners (x1, y1, x2, y2) include the last pixel; with this library's edges that is (x1, y1, x2 + 1, y2 + 1).
    """

    scales: tuple[float, ...] = (8.0, 16.0, 32.0)  # in cells of `base` pixels
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    base: int = 16

    def counts(self, levels: int) -> tuple[int, ...]:
        return (len(self.scales) * len(self.ratios),) * levels

    def times(self, ratio: float) -> Legacy:
        return replace(self, scales=tuple(k * ratio for k in self.scales))

    def inclusive(self) -> Cells:
        """The published table: (-84, -40, 99, 55) first."""
        middle, found = 0.5 * (self.base - 1), []
        for r in self.ratios:
            w = round(math.sqrt(self.base * self.base / r))
            h = round(w * r)
            found += [tuple(middle + sign * 0.5 * (side * k - 1) for sign in (-1, 1) for side in (w, h))
                      for k in self.scales]
        return tuple((a, b, c, d) for a, b, c, d in found)

    def layout(self, maps: tuple[HW, ...], strides: tuple[int, ...], image: HW) -> list[tuple[Cells, float, float]]:
        cell = tuple((a, b, c + 1, d + 1) for a, b, c, d in self.inclusive())
        return [(cell, float(s), float(s)) for s in strides]


@dataclass(frozen=True)
class DefaultBoxes:
    """SSD's default boxes (sec. 2.2 and its prior-box layer): per level a square of `small`, a square of sqrt(small x
    large), then for each ratio r the boxes of area small^2 with width / height = r and 1 / r. Pixels.

    `steps` are the distances between cells (empty: the strides); centres lie in the middle of a cell, or the first of
    each level at `starts`. `limit` cuts width and height (0: not at all). `clip` keeps centres in the picture and sides
    no longer than it, as the authors' code of RFB Net and others in PyTorch, which clamp centre and size; what of a box
    lies outside is not cut off.
    """

    small: tuple[float, ...] = (30.0, 60.0, 111.0, 162.0, 213.0, 264.0)
    large: tuple[float, ...] = (60.0, 111.0, 162.0, 213.0, 264.0, 315.0)
    ratios: tuple[tuple[float, ...], ...] = ((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0,), (2.0,))
    steps: tuple[int, ...] = (8, 16, 32, 64, 100, 300)
    limit: float = 0.0
    starts: tuple[float, ...] = ()
    clip: bool = False

    def counts(self, levels: int) -> tuple[int, ...]:
        assert levels == len(self.ratios), f"default boxes for {len(self.ratios)} levels, the network has {levels}"
        return tuple(2 + 2 * len(r) for r in self.ratios)

    def times(self, ratio: float) -> DefaultBoxes:
        """As large in proportion; `steps` and `starts` are left to whoever knows the maps of that size."""
        small, large = (tuple(v * ratio for v in sides) for sides in (self.small, self.large))
        return replace(self, small=small, large=large, limit=self.limit * ratio)

    def layout(self, maps: tuple[HW, ...], strides: tuple[int, ...], image: HW) -> list[tuple[Cells, float, float]]:
        found: list[tuple[Cells, float, float]] = []
        steps = self.steps or strides
        starts = self.starts or tuple(s / 2 for s in steps)
        for small, large, ratios, step, start in zip(self.small, self.large, self.ratios, steps, starts):
            sizes = [(small, small), (math.sqrt(small * large),) * 2]
            for r in ratios:
                sizes += [(small * math.sqrt(r), small / math.sqrt(r)), (small / math.sqrt(r), small * math.sqrt(r))]
            if self.limit:
                sizes = [(min(w, self.limit), min(h, self.limit)) for w, h in sizes]
            found.append((_centred(sizes, (start, start)), float(step), float(step)))
        return found


@dataclass(frozen=True)
class CellBoxes:
    """YOLO's grid: the cell itself is the reference, once for each of its `per` predictors."""

    per: int = 2

    def counts(self, levels: int) -> tuple[int, ...]:
        return (self.per,) * levels

    def times(self, ratio: float) -> CellBoxes:
        return self

    def layout(self, maps: tuple[HW, ...], strides: tuple[int, ...], image: HW) -> list[tuple[Cells, float, float]]:
        return [(((0.0, 0.0, image[1] / w, image[0] / h),) * self.per, image[0] / h, image[1] / w) for h, w in maps]


@dataclass(frozen=True)
class Priors:
    """YOLOv2's anchors (sec. 2, "dimension clusters"): boxes of given widths and heights in the middle of every cell.

    `sizes`: width, height, width, height, ... in cells. `fit`: when a training begins they are found anew in its boxes,
    by k-means (`ops.kmeans`), as many as there are here; the run keeps what was found.
    """

    sizes: tuple[float, ...] = (1.3221, 1.73145, 3.19275, 4.00944, 5.05587, 8.09892, 9.47112, 4.84053, 11.2364, 10.0071)
    fit: bool = False

    def pairs(self) -> list[tuple[float, float]]:
        if not self.sizes or len(self.sizes) % 2:
            raise StemmaError(f"rule.anchors.sizes are widths and heights by turns, not {len(self.sizes)} numbers")
        return list(zip(self.sizes[::2], self.sizes[1::2]))

    def counts(self, levels: int) -> tuple[int, ...]:
        return (len(self.pairs()),) * levels

    def times(self, ratio: float) -> Priors:
        return self

    def layout(self, maps: tuple[HW, ...], strides: tuple[int, ...], image: HW) -> list[tuple[Cells, float, float]]:
        return [(_centred([(w * s, h * s) for w, h in self.pairs()], (s / 2, s / 2)), float(s), float(s))
                for s in strides]


@dataclass(frozen=True)
class ScalePriors:
    """YOLOv3's anchors (sec. 2.3): boxes of given widths and heights in pixels, smallest first, shared out evenly among
    the levels, the smallest on the finest; each in the middle of every cell.

    `sizes`: width, height, width, height, ... `fit` as with `Priors`.
    """

    sizes: tuple[float, ...] = (10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326)
    fit: bool = False

    def pairs(self) -> list[tuple[float, float]]:
        return Priors(self.sizes).pairs()

    def counts(self, levels: int) -> tuple[int, ...]:
        many = len(self.pairs())
        if many % levels:
            raise StemmaError(f"rule.anchors.sizes are {many} pairs, which {levels} levels cannot share evenly")
        return (many // levels,) * levels

    def times(self, ratio: float) -> ScalePriors:
        return self

    def layout(self, maps: tuple[HW, ...], strides: tuple[int, ...], image: HW) -> list[tuple[Cells, float, float]]:
        each, pairs = self.counts(len(strides))[0], self.pairs()
        return [(_centred(pairs[i * each : (i + 1) * each], (s / 2, s / 2)), float(s), float(s))
                for i, s in enumerate(strides)]
