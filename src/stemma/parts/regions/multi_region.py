"""Several regions around a box, each with layers of its own, and features that know where the classes lie (MR-CNN).

Axes: B images, N objects, R regions, C classes, F features, s bins a side, H W of a map.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...core.part import In
from ...core.types import Targets
from ...ops import boxes as bx
from ...ops import roi
from ...ops.region_max import RegionMax, cells
from ...ops.scalars import normaliser
from ..low_rank import linear
from ..trunk import Trunk
from .heads import NearestScale, RegionHead, Seen
from .regions import Regions


@dataclass(frozen=True)
class Region:
    """A box's half or whole, `outer` times as large about its centre, without the part `inner` times as large (MR-CNN
    sec. 3.1, fig. 3)."""

    inner: float = 0.0
    outer: float = 1.0
    half: Literal["", "left", "right", "up", "down"] = ""

    def __call__(self, boxes: Float[Tensor, "*R 4"]) -> tuple[Float[Tensor, "*R 4"], Float[Tensor, "*R 4"] | None]:
        """(the outer rectangle, the hole or None)."""
        centre, size = bx.centre_size(boxes)
        if self.half:
            way = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[self.half]
            axis = 0 if way[0] else 1
            part = torch.stack([size[..., 0] * (0.5 if axis == 0 else 1.0), size[..., 1] * (0.5 if axis == 1 else 1.0)],
                               -1)
            centre = torch.stack([centre[..., 0] + way[0] * part[..., 0] / 2,
                                  centre[..., 1] + way[1] * part[..., 1] / 2], -1)
            size = part
        outer = bx.from_centre(centre, size * self.outer)
        return outer, bx.from_centre(centre, size * self.inner) if self.inner else None


TEN = (  # fig. 3 (a) to (j)
    Region(), Region(half="left"), Region(half="right"), Region(half="up"), Region(half="down"),
    Region(0.0, 0.5), Region(0.3, 0.8), Region(0.5, 1.0), Region(0.8, 1.5), Region(1.0, 1.8),
)


class SemanticMaps(Trunk):
    """Beside each map of the backbone one that has learned which classes' boxes cover each cell (MR-CNN sec. 4.1).

    VGG's classifier as an FCN: a 2x2 pool and a 7x7 convolution, without the stride of the pool (the authors interleave
    four shifted passes, which is the same), then a 1x1 to `width` channels, which are handed out. `score` says a logit
    a class, for the loss alone. `sizes` of the backbone's `of` (short sides) get such a map; left empty, all.
    """

    def __init__(
        self, inp: In, fc: int = 4096, width: int = 512, kernel: int = 7, dropout: float = 0.5,
        of: tuple[int, ...] = (), sizes: tuple[int, ...] = (), norm: bool = False,
    ) -> None:
        super().__init__()
        c = inp.channels[-1]
        self.places = ([i for i, s in enumerate(sorted(of, reverse=True)) if s in sizes]
                       or list(range(len(inp.channels))))
        self.fc6 = nn.Conv2d(c, fc, kernel, padding=kernel // 2 * 2, dilation=2, bias=not norm)
        self.fc7 = nn.Conv2d(fc, width, 1)
        self.norm = nn.BatchNorm2d(fc) if norm else nn.Identity()
        self.score = nn.Conv2d(width, inp.classes, 1)
        self.dropout = nn.Dropout(dropout)
        for m in (self.fc6, self.fc7):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
        for conv in (self.fc6, self.fc7, self.score):
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        nn.init.normal_(self.score.weight, std=0.01)
        n = len(self.places)
        self.stride = inp.strides[0]
        self.out = In((*inp.channels, *(width,) * n), (*inp.strides, *inp.strides[:n]), inp.classes)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        return [*xs, *(self.seen(xs[i]) for i in (self.places if len(xs) > 1 else (0,)))]

    def seen(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="replicate"), 2, 1)
        x = self.dropout(F.relu(self.norm(self.fc6(x)), inplace=True))
        return F.relu(self.fc7(x), inplace=True)

    def loss(self, x: Float[Tensor, "B D H W"], t: Targets, sizes: Float[Tensor, "B 2"]) -> Float[Tensor, ""]:
        """Binary cross entropy of every class at every cell of the picture, against the filled boxes; summed over
        classes, the mean of cells."""
        said = self.score(x).float()
        wanted, real = filled(t, said.shape[1], (x.shape[-2], x.shape[-1]), float(self.stride), sizes)
        cost = F.binary_cross_entropy_with_logits(said, wanted.to(said), reduction="none").sum(1)
        return (cost * real).sum() / real.sum().clamp(min=1)


@torch.no_grad()
def filled(
    t: Targets, classes: int, shape: tuple[int, int], stride: float, sizes: Float[Tensor, "B 2"],
) -> tuple[Bool[Tensor, "B C H W"], Bool[Tensor, "B H W"]]:
    """(whether an object's box of the class covers a cell's centre, whether the centre lies in the picture): masks from
    boxes alone."""
    h, w = shape
    y, x = ((torch.arange(n, device=t.boxes.device) + 0.5) * stride for n in (h, w))
    x1, y1, x2, y2 = t.boxes[..., None].unbind(-2)
    # B N H W
    inside = ((y >= y1) & (y < y2))[..., None] & ((x >= x1) & (x < x2))[..., None, :] & t.valid[..., None, None]
    of_class = (t.labels[..., None] == torch.arange(classes, device=t.labels.device)).to(torch.float32)  # B N C
    covered = torch.einsum("bnc,bnhw->bchw", of_class, inside.to(torch.float32)) > 0
    real = (y < sizes[:, :1])[..., None] & (x < sizes[:, 1:])[..., None, :]
    return covered, real


def tower(channels: int, width: int, depth: int, dropout: float) -> nn.Sequential:
    """`depth` fully connected layers with ReLU and dropout."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [linear(channels if i == 0 else width, width), nn.ReLU(inplace=True),
                   *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers)


class MultiRegionHead(RegionHead):
    """Each region of a box pooled to `bins` x `bins`, two layers of its own;
    all features side by side are classified (MR-CNN sec. 3).

    The last map(s) are semantic (`SemanticMaps`): `semantic` is the region they are pooled in, and has one layer. `box`
    is the region of the regression, which shares nothing (sec. 5). `soft` says a logit a class and background for each
    region by itself, which its layers are trained by. `bins=1` is one maximum a filter. `sizes`, `semantic_sizes`:
    short sides of the pictures that the maps are of, where there are several.

    `classify` holds SVMs, which are fitted and not learned; until then (`fitted`) the mean of what the regions say by
    themselves stands in, as the logit of its probability. Told of a logit for background, it is learned as any layer.
    """

    def __init__(
        self, inp: In, regions: tuple[Region, ...] = TEN, bins: int = 7, width: int = 4096, dropout: float = 0.5,
        semantic: Region | None = Region(0.0, 1.5),
        semantic_bins: int = 9, semantic_width: int = 2048, box: Region = Region(0.0, 1.3), sizes: tuple[int, ...] = (),
        semantic_sizes: tuple[int, ...] = (), semantic_std: float = 1e-4,
    ) -> None:
        super().__init__()
        self.regions, self.bins, self.semantic, self.semantic_bins, self.box_region = (regions, bins, semantic,
                                                                                       semantic_bins, box)
        self.strides, self.semantic_maps = inp.strides, max(len(semantic_sizes), 1)
        self.near, self.semantic_near = (NearestScale(sizes=s or (1,), by="size") for s in (sizes, semantic_sizes))
        c = inp.channels[0] * bins**2
        self.each = nn.ModuleList(tower(c, width, 2, dropout) for _ in regions)
        widths = [width] * len(regions)
        if semantic is not None:
            self.each.append(tower(inp.channels[-1] * semantic_bins**2, semantic_width, 1, dropout))
            nn.init.normal_(self.each[-1][0].weight, std=semantic_std)  # type: ignore[index]
            widths.append(semantic_width)
        self.soft = nn.ModuleList(nn.Linear(n, inp.classes + 1) for n in widths)
        self.classify = nn.Linear(sum(widths), inp.logits)
        self.joint = inp.logits > inp.classes
        self.classify.requires_grad_(self.joint)
        self.register_buffer("fitted", torch.zeros(()))
        self.fitted: Tensor
        self.regress = tower(c, width, 2, dropout)
        self.deltas = nn.Linear(width, 4 * inp.classes)
        for m in (*self.soft, self.classify, self.deltas):
            assert isinstance(m, nn.Linear)
            nn.init.normal_(m.weight, std=0.01)
            nn.init.zeros_(m.bias)

    def split(self, xs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """(the backbone's maps, the semantic ones)."""
        if self.semantic is None:
            return xs, []
        n = self.semantic_maps if len(xs) > 2 else 1
        return xs[:-n], xs[-n:]

    def pool(self, maps: list[RegionMax], nearest: NearestScale, region: Region, bins: int,
             boxes: Tensor) -> Float[Tensor, "B R C {bins} {bins}"]:
        """One region of every box, from the map of the size it suits."""
        outer, hole = region(boxes)
        found = []
        for x, share in zip(maps, nearest.shares):
            stride = self.strides[0] / share
            found.append(x.pool(cells(outer, stride), bins, None if hole is None else cells(hole, stride)))
        return found[0] if len(found) == 1 else roi.select_level(found, nearest.level(outer))

    def every(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> list[Float[Tensor, "B R F"]]:
        """What each region's layers say."""
        own, semantic = ([RegionMax(x) for x in maps] for maps in self.split(xs))
        seen = [layers(self.pool(own, self.near, region, self.bins, boxes).flatten(2))
                for region, layers in zip(self.regions, self.each)]
        if self.semantic is not None:
            seen.append(self.each[-1](self.pool(semantic, self.semantic_near, self.semantic, self.semantic_bins, boxes)
                                      .flatten(2)))
        return seen

    def moves(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> Float[Tensor, "B R C 4"]:
        """Where each class's box lies."""
        pooled = self.pool([RegionMax(x) for x in self.split(xs)[0]], self.near, self.box_region, self.bins, boxes)
        said: Tensor = self.deltas(self.regress(pooled.flatten(2)))
        return said.view(*said.shape[:2], -1, 4)

    def forward(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> Seen:
        seen = self.every(xs, boxes)
        logits: Tensor = self.classify(torch.cat(seen, -1))
        if not self.joint:
            share = torch.stack([soft(f).float().softmax(-1)[..., :-1] for soft, f in zip(self.soft, seen)]).mean(0)
            logits = torch.where(self.fitted > 0, logits.float(), torch.logit(share, eps=1e-6))
        return logits, self.moves(xs, boxes)


def mean(cost: Float[Tensor, "B R"], r: Regions) -> Float[Tensor, ""]:
    """The mean over the regions there are."""
    return (cost * r.weight).sum() / normaliser(r.weight.sum())

