"""Dense heads: from levels to the logits and the box codes of every anchor.

A head is built from an `In` that tells `anchors` (boxes a cell, level by level) and `logits` (numbers a box for its
class), and maps a list of levels to (logits "B A K", codes "B A 4"), or with an objectness to (logits, codes, objects
"B A"). Anchors are ordered level by level, then row, column, anchor of the cell.

Axes: B images, A anchors, K logits, S cells a side.
"""
from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...core.part import In
from ...core.types import StemmaError

Said = tuple[Float[Tensor, "B A K"], Float[Tensor, "B A 4"]]


def flat(y: Float[Tensor, "B C H W"], k: int) -> Float[Tensor, "B A k"]:
    """The channels of a map, `k` numbers an anchor, laid out anchor by anchor."""
    b, c, h, w = y.shape
    return y.view(b, c // k, k, h, w).permute(0, 3, 4, 1, 2).reshape(b, h * w * (c // k), k)


def one_count(inp: In) -> int:
    """Channels and anchors of levels that share a head must agree."""
    assert inp.anchors and len(set(inp.anchors)) == 1 and len(set(inp.channels)) == 1, ("levels differ and cannot "
                                                                                        f"share a head: {inp}")
    return inp.anchors[0]


def normal(m: nn.Module, std: float = 0.01) -> None:
    for c in m.modules():
        if isinstance(c, nn.Conv2d):
            nn.init.normal_(c.weight, std=std)
            if c.bias is not None:
                nn.init.zeros_(c.bias)


def prior_bias(prior: float) -> float:
    """RetinaNet sec. 4.1: the bias with which a sigmoid says `prior`; -4.59512 for 0.01."""
    return -math.log((1 - prior) / prior)


class RPNHead(nn.Module):
    """Faster R-CNN sec. 3.1: a shared 3x3 convolution, then 1x1 for the logits and 1x1 for the boxes.
    All levels share it.

    `width` 0 keeps the channels of the levels.
    """

    def __init__(self, inp: In, width: int = 0, depth: int = 1) -> None:
        super().__init__()
        a, channels, self.k = one_count(inp), inp.channels[0], inp.logits
        width = width or channels
        layers: list[nn.Module] = []
        for i in range(depth):
            layers += [nn.Conv2d(channels if i == 0 else width, width, 3, padding=1), nn.ReLU(inplace=True)]
        self.conv = nn.Sequential(*layers)
        self.cls = nn.Conv2d(width, a * inp.logits, 1)
        self.box = nn.Conv2d(width, a * 4, 1)
        normal(self)

    def forward(self, xs: list[Tensor]) -> Said:
        ys = [self.conv(x) for x in xs]
        return torch.cat([flat(self.cls(y), self.k) for y in ys], 1), torch.cat([flat(self.box(y), 4) for y in ys], 1)


class Tower(nn.Module):
    """`depth` 3x3 convolutions with ReLUs that all levels share. `norm="batch"`: each level has batch norms of its own,
    for levels differ in their statistics and a shared norm would meet other numbers in evaluation than in training.
    """

    def __init__(self, channels: int, width: int, depth: int, norm: str, levels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels if i == 0 else width, width, 3, padding=1, bias=norm == "none")
                                   for i in range(depth))
        self.norms = nn.ModuleList()
        if norm == "batch":
            self.norms.extend(nn.ModuleList(nn.BatchNorm2d(width) for _ in range(depth)) for _ in range(levels))
        else:
            normal(self)

    def forward(self, x: Tensor, level: int) -> Tensor:
        norms: Iterable[nn.Module | None] = (self.norms[level] if len(self.norms)  # type: ignore[assignment]
                                             else [None] * len(self.convs))
        for conv, norm in zip(self.convs, norms):
            x = conv(x)
            x = F.relu(x if norm is None else norm(x), inplace=True)
        return x


class TowerHead(nn.Module):
    """RetinaNet sec. 4.1: two separate towers of `depth` 3x3 convolutions, one for classes and one for boxes,
    shared by all levels.

    `prior` is what the class logits say at first; None starts their bias at zero. `norm="batch"` is not in the paper.
    """

    def __init__(self, inp: In, width: int = 0, depth: int = 4, prior: float | None = 0.01, norm: str = "none") -> None:
        super().__init__()
        a, channels, self.k = one_count(inp), inp.channels[0], inp.logits
        width, levels = width or channels, len(inp.channels)
        self.cls_tower = Tower(channels, width, depth, norm, levels)
        self.box_tower = Tower(channels, width, depth, norm, levels)
        self.cls = nn.Conv2d(width, a * inp.logits, 3, padding=1)
        self.box = nn.Conv2d(width, a * 4, 3, padding=1)
        normal(self.cls)
        normal(self.box)
        if prior is not None and self.cls.bias is not None:
            nn.init.constant_(self.cls.bias, prior_bias(prior))

    def forward(self, xs: list[Tensor]) -> Said:
        cls = [flat(self.cls(self.cls_tower(x, i)), self.k) for i, x in enumerate(xs)]
        box = [flat(self.box(self.box_tower(x, i)), 4) for i, x in enumerate(xs)]
        return torch.cat(cls, 1), torch.cat(box, 1)


class LevelHeads(nn.Module):
    """SSD sec. 2.1: each level has a convolution of its own for the logits and one for the boxes; levels may differ in
    channels and anchors. `kernels`: a side for each level, in the place of one for all."""

    def __init__(self, inp: In, kernel: int = 3, kernels: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.k = inp.logits
        kernels = kernels or (kernel,) * len(inp.channels)
        if len(kernels) != len(inp.channels):
            raise StemmaError(f"{len(kernels)} sides of convolutions for {len(inp.channels)} levels: one for each")
        each = list(zip(inp.channels, inp.anchors, kernels))
        self.cls = nn.ModuleList(nn.Conv2d(c, a * inp.logits, k, padding=k // 2) for c, a, k in each)
        self.box = nn.ModuleList(nn.Conv2d(c, a * 4, k, padding=k // 2) for c, a, k in each)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.xavier_uniform_(m.weight)
                assert m.bias is not None
                nn.init.zeros_(m.bias)

    def forward(self, xs: list[Tensor]) -> Said:
        cls = [flat(m(x), self.k) for m, x in zip(self.cls, xs)]
        box = [flat(m(x), 4) for m, x in zip(self.box, xs)]
        return torch.cat(cls, 1), torch.cat(box, 1)


class Local(nn.Module):
    """A 3x3 convolution whose weights differ from place to place ("local" in Darknet),
    with one bias a place and channel."""

    def __init__(self, channels: int, width: int, cells: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(cells * cells, width, channels * 9))
        self.bias = nn.Parameter(torch.zeros(width, cells, cells))
        nn.init.normal_(self.weight, std=math.sqrt(2 / (9 * channels)))

    def forward(self, x: Float[Tensor, "B C S S"]) -> Float[Tensor, "B W S S"]:
        patches = F.unfold(x, 3, padding=1)  # B (C 9) (S S)
        y = torch.einsum("bfp,pwf->bwp", patches, self.weight.to(patches.dtype))
        return y.view(len(x), *self.bias.shape) + self.bias


class YoloHead(nn.Module):
    """YOLOv1 sec. 2: fully connected layers see the whole picture and fill an S x S x (5 B + C) tensor.

    The vector is laid out `[S, S, B * 5 + C]`: for each predictor x, y, root of w, root of h, confidence; then the
    classes of the cell. `local` > 0 replaces the hidden layer by a locally connected 3x3 of that many channels (the
    released configuration); `hidden` 0 replaces both by one 1x1 convolution. `start` are the five numbers that every
    predictor says at first (not in the paper, whose net starts from ImageNet: a box of no size overlaps nothing, and
    then its confidence has nothing to learn).
    """

    def __init__(
        self, inp: In, cells: int = 7, hidden: int = 4096, local: int = 0, dropout: float = 0.5,
        start: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)
    ) -> None:
        super().__init__()
        assert len(inp.channels) == 1, "YOLOv1 predicts from one level"
        self.cells, self.stride, self.per, self.classes = cells, inp.strides[0], inp.anchors[0], inp.logits
        each = 5 * self.per + self.classes
        c = inp.channels[0]
        self.body: nn.Module
        if local:
            last: nn.Linear | nn.Conv2d = nn.Linear(local * cells**2, each * cells**2)
            self.body = nn.Sequential(Local(c, local, cells), nn.LeakyReLU(0.1), nn.Flatten(),
                                      nn.Dropout(dropout), last)
        elif hidden:
            last = nn.Linear(hidden, each * cells**2)
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(c * cells**2, hidden), nn.LeakyReLU(0.1),
                                      nn.Dropout(dropout), last)
        else:
            self.body = last = nn.Conv2d(c, each, 1)
        assert last.bias is not None
        nn.init.normal_(last.weight, std=0.01)
        with torch.no_grad():
            last.bias.copy_(torch.tensor([*start * self.per, *[0.0] * self.classes]).repeat(len(last.bias) // each))
        self.dense = bool(local or hidden)

    def grid(self, x: Tensor) -> Float[Tensor, "B S S E"]:
        """The published tensor."""
        y: Tensor = self.body(x)
        return y.view(len(x), self.cells, self.cells, -1) if self.dense else y.permute(0, 2, 3, 1)

    def forward(self, xs: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        if xs[0].shape[-2:] != (self.cells, self.cells):
            side, (h, w) = self.cells * self.stride, (int(n) * self.stride for n in xs[0].shape[-2:])
            raise StemmaError(f"YOLOv1's fully connected layers see {side} x {side} pixels, not {h} x {w}; resize the "
                              f"pictures to a square of {side}")
        y = self.grid(xs[0]).flatten(1, 2)  # B SS E
        boxes = y[..., : 5 * self.per].unflatten(-1, (self.per, 5)).flatten(1, 2)  # B A 5
        classes = y[..., 5 * self.per :].unsqueeze(2).expand(-1, -1, self.per, -1).flatten(1, 2)
        return classes, boxes[..., :4], boxes[..., 4]


class RegionHead(nn.Module):
    """YOLOv2 sec. 2: one 1x1 convolution says for every prior of a cell tx, ty, tw, th, an objectness and the class
    logits, in this order.

    `prior` is the objectness at first; None starts every number at zero, as the released code does.
    """

    def __init__(self, inp: In, prior: float | None = None) -> None:
        super().__init__()
        self.k = 5 + inp.logits
        self.last = nn.ModuleList(nn.Conv2d(c, a * self.k, 1) for c, a in zip(inp.channels, inp.anchors))
        for conv in self.last:
            assert isinstance(conv, nn.Conv2d) and conv.bias is not None
            normal(conv)
            if prior is not None:
                with torch.no_grad():
                    conv.bias[4 :: self.k] = prior_bias(prior)

    def forward(self, xs: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        y = torch.cat([flat(m(x), self.k) for m, x in zip(self.last, xs)], 1)
        return y[..., 5:], y[..., :4], y[..., 4]


class ClassMaps(nn.Module):
    """A classifier that can be read cell by cell: one 1x1 convolution to the classes (Darknet-19's last layer).
    It says no boxes."""

    def __init__(self, inp: In) -> None:
        super().__init__()
        self.last = nn.Conv2d(inp.channels[-1], inp.logits, 1)
        nn.init.normal_(self.last.weight, std=0.01)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, xs: list[Tensor]) -> Said:
        y = flat(self.last(xs[-1]), self.last.out_channels)
        return y, y.new_zeros(y.shape[0], y.shape[1], 4)


def to_darknet(grid: Float[Tensor, "B S S E"], per: int) -> Float[Tensor, "B F"]:
    """From `[S, S, per * 5 + C]` to Darknet's flat order: all classes, then all confidences, then all boxes,
    cell by cell."""
    boxes = grid[..., : 5 * per].unflatten(-1, (per, 5))
    return torch.cat([grid[..., 5 * per :].flatten(1), boxes[..., 4].flatten(1), boxes[..., :4].flatten(1)], 1)


def from_darknet(vector: Float[Tensor, "B F"], cells: int, per: int, classes: int) -> Float[Tensor, "B S S E"]:
    """The inverse of `to_darknet`."""
    n = cells * cells
    cls, conf, box = vector.split([n * classes, n * per, n * per * 4], 1)
    boxes = torch.cat([box.view(-1, n, per, 4), conf.view(-1, n, per, 1)], -1).flatten(2)
    return torch.cat([boxes, cls.view(-1, n, classes)], -1).view(len(vector), cells, cells, -1)
