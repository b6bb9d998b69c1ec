"""Branches: whatever else is asked about a region, beside its class and box.

A branch is trained on the regions that answer for an object, and asked about the final detections.

Axes: B images, R regions, N objects, D detections, C classes or channels, M side of a mask, K keypoints or
chosen regions,
S side of a heat map.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.part import In
from ...core.types import Detections, Losses, StemmaError, Targets
from ...ops import boxes as bx
from ...ops import masks as mk
from ...ops.scalars import normaliser
from ..necks import Norm, conv
from .heads import Align, Pool, upsample2
from .regions import Regions

Shared = Float[Tensor, "B R C s s"] | None  # what the box head saw inside the same regions, where a branch shares it
Sizes = Float[Tensor, "B 2"] | None  # height and width of the pictures without padding; None: as far as the maps reach
Places = Int[Tensor, " K"] | None  # of some regions among all B R, or all of them


class Branch(nn.Module):
    """Base of branches. `shares` says that it reads the box head's features in place of the levels, `moves` that its
    answers are other boxes."""

    shares = False
    moves = False

    def loss(self, xs: list[Tensor], r: Regions, t: Targets, shared: Shared, sizes: Sizes = None) -> Losses:
        raise NotImplementedError

    def predict(self, xs: list[Tensor], d: Detections, shared: Shared) -> Detections:
        raise NotImplementedError


def tower(channels: int, width: int, depth: int, norm: Norm = "none") -> nn.Sequential:
    """`depth` 3x3 convolutions with ReLU."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [conv(channels if i == 0 else width, width, 3, norm), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def among(pooled: Float[Tensor, "B R C s s"], at: Places) -> Float[Tensor, "K C s s"]:
    """The regions at these places, laid out channels last as all are."""
    every = pooled.flatten(0, 1)
    return every if at is None else every.permute(0, 2, 3, 1).index_select(0, at).permute(0, 3, 1, 2)


def he(module: nn.Module) -> None:
    """He initialisation of every convolution, biases at 0."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            if m.bias is not None:
                nn.init.zeros_(m.bias)


class MaskBranch(Branch):
    """A small FCN that draws each region's mask (Mask R-CNN sec. 3, fig. 4): convolutions, a 2x2 deconvolution, a 1x1.

    `pool=None` reads the box head's features instead (C4: no convolutions of its own, 14 x 14 out).
    `kind`: "sigmoid", one mask a class, the true class's alone is trained (eq. L_mask); "softmax", classes and
    background compete at each pixel (table 2 b); "agnostic", one mask whatever the class (sec. 4.2). `background` adds
    an unused mask as torchvision has it.
    """

    def __init__(
        self, inp: In, pool: Pool | None = Align(14), width: int = 256, depth: int = 4,
        kind: Literal["sigmoid", "softmax", "agnostic"] = "sigmoid",
        background: bool = False, weight: float = 1.0, shared_channels: int = 2048,
    ) -> None:
        super().__init__()
        self.pool, self.strides, self.kind, self.weight, self.classes = pool, inp.strides, kind, weight, inp.classes
        self.shares = pool is None
        channels = shared_channels if pool is None else inp.channels[0]
        self.body = tower(channels, width, 0 if pool is None else depth)
        self.up = nn.ConvTranspose2d(channels if pool is None or depth == 0 else width, width, 2, 2)
        self.last = nn.Conv2d(width, 1 if kind == "agnostic" else inp.classes + (background or kind == "softmax"), 1)
        he(self)

    def pooled(self, xs: list[Tensor], boxes: Tensor, shared: Shared, at: Places = None) -> Float[Tensor, "K C s s"]:
        read = shared if self.pool is None else self.pool(xs, self.strides, boxes)
        assert read is not None
        return among(read, at)

    def drawing(self, pooled: Float[Tensor, "K C s s"]) -> Float[Tensor, "K C M M"]:
        """The map under the last layer."""
        return F.relu(self.up(self.body(pooled)), inplace=True)

    def logits(self, xs: list[Tensor], boxes: Tensor, labels: Int[Tensor, "*R"], shared: Shared,
               at: Places = None) -> Float[Tensor, "*R M M"]:
        """The logits of each region's own class, of all regions "B R" or, with their labels, of those at the places
        `at`: the last layer's other filters are not applied."""
        return self.own(self.body(self.pooled(xs, boxes, shared, at)), labels)

    def own(self, y: Float[Tensor, "K C s s"], labels: Int[Tensor, "*R"]) -> Float[Tensor, "*R M M"]:
        """What each region's own filter of the last layer says, of the map under the deconvolution.

        A kernel of 2 at a stride of 2 is a matrix product: each cell becomes four. They are put side by side when one
        number a cell is left, and not 64 or 256.
        """
        k, c, s = y.shape[:3]
        at = torch.zeros_like(labels) if self.kind == "agnostic" else labels.clamp(0, self.classes - 1)
        assert self.up.bias is not None and self.last.bias is not None
        four = F.linear(y.permute(0, 2, 3, 1).reshape(-1, c), self.up.weight.permute(2, 3, 1, 0).flatten(0, 2),
                        self.up.bias.repeat(4))
        cells = F.relu(four, inplace=True).view(k, 4 * s * s, -1)
        filters = self.last.weight.flatten(1)[at.flatten()][..., None]
        out = torch.baddbmm(self.last.bias[at.flatten()][:, None, None].to(cells.dtype), cells, filters.to(cells.dtype))
        return out.float().view(k, s, s, 2, 2).transpose(2, 3).reshape(*labels.shape, 2 * s, 2 * s)

    def loss(self, xs: list[Tensor], r: Regions, t: Targets, shared: Shared, sizes: Sizes = None) -> Losses:
        if t.masks is None:
            raise StemmaError("Mask R-CNN learns from instance masks, and this data has none; train on data with "
                              "masks, or choose fpn")
        at = r.answering()
        labels, pays = (v.flatten()[at] for v in (r.labels, r.positive))
        if self.kind == "softmax":
            every = self.last(self.drawing(self.pooled(xs, r.boxes, shared, at))).float()
            inside = self.wanted(t, r, at, every.shape[-1]) >= 0.5
            label = torch.where(inside, labels.clamp(max=self.classes - 1)[:, None, None], self.classes)
            each = F.cross_entropy(every, label, reduction="none")
        else:
            said = self.logits(xs, r.boxes, labels, shared, at)
            each = F.binary_cross_entropy_with_logits(said, self.wanted(t, r, at, said.shape[-1]), reduction="none")
        return {"mask": self.weight * (each.mean((1, 2)) * pays).sum() / normaliser(r.positive.sum())}

    @staticmethod
    @torch.no_grad()
    def wanted(t: Targets, r: Regions, at: Int[Tensor, " K"], size: int) -> Float[Tensor, "K M M"]:
        """The share of each cell that the region's object covers (torchvision's targets)."""
        assert t.masks is not None
        return mk.crop(t.masks, r.boxes, r.object, size, at)

    def predict(self, xs: list[Tensor], d: Detections, shared: Shared) -> Detections:
        if self.kind == "softmax":
            every = self.last(self.drawing(self.pooled(xs, d.boxes, shared))).float().softmax(1)
            every = every.unflatten(0, d.labels.shape)
            at = d.labels.clamp(min=0)[..., None, None, None].expand(-1, -1, 1, *every.shape[-2:])
            return replace(d, masks=every.gather(2, at)[:, :, 0])
        return replace(d, masks=self.logits(xs, d.boxes, d.labels, shared).sigmoid())


class KeypointBranch(Branch):
    """A one-hot heat map a keypoint (Mask R-CNN sec. 5): convolutions, a 4x4 deconvolution to `points` maps,
    bilinear x 2: 56 x 56.

    `decode`: "resize" enlarges the heat map bicubically to the box's size in pixels and takes its best pixel, as
    torchvision and the first release do (a loop over the boxes); "quadratic" takes the best cell and refines it by the
    parabola through its neighbours (batched, static). Boxes without a visible keypoint pay nothing.
    """

    def __init__(
        self, inp: In, points: int = 17, pool: Pool = Align(14), width: int = 512, depth: int = 8,
        decode: Literal["resize", "quadratic"] = "resize", weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.pool, self.strides, self.points, self.decode, self.weight = pool, inp.strides, points, decode, weight
        self.body = tower(inp.channels[0], width, depth)
        self.up = nn.ConvTranspose2d(width, points, 4, 2, 1)
        he(self)

    def heat(self, xs: list[Tensor], boxes: Tensor) -> Float[Tensor, "B R K S S"]:
        pooled = self.pool(xs, self.strides, boxes)
        heat = upsample2(self.up(self.body(pooled.flatten(0, 1)))).float()
        return heat.view(*pooled.shape[:2], *heat.shape[1:])

    def loss(self, xs: list[Tensor], r: Regions, t: Targets, shared: Shared, sizes: Sizes = None) -> Losses:
        if t.keypoints is None:
            raise StemmaError("the keypoint branch learns from keypoints, and this data has none; train on data with "
                              "keypoints, or choose mask-rcnn or fpn")
        if t.keypoints.shape[2] != self.points:
            raise StemmaError(f"the data has {t.keypoints.shape[2]} keypoints, the branch {self.points}; set "
                              f"branches.0.points={t.keypoints.shape[2]}")
        heat = self.heat(xs, r.boxes)
        cell, seen = cells(bx.take(t.keypoints, r.object), r.boxes, heat.shape[-1])
        used = seen * r.positive[..., None]
        each = F.cross_entropy(heat.flatten(3).flatten(0, 2), cell.flatten(), reduction="none").view_as(used)
        return {"keypoint": self.weight * (each * used).sum() / normaliser(used.sum())}

    def predict(self, xs: list[Tensor], d: Detections, shared: Shared) -> Detections:
        read = by_resizing if self.decode == "resize" else by_parabola
        return replace(d, keypoints=read(self.heat(xs, d.boxes), d.boxes))


def cells(points: Float[Tensor, "B R K 3"], boxes: Float[Tensor, "B R 4"],
          size: int) -> tuple[Int[Tensor, "B R K"], Float[Tensor, "B R K"]]:
    """(row-major cell of each keypoint in its box's `size` x `size` heat map, 1 where it is labelled and inside).

    A point on the box's right or lower edge belongs to the last cell.
    """
    lo, hi = boxes[:, :, None, :2], boxes[:, :, None, 2:]
    xy = points[..., :2]
    at = ((xy - lo) * (size / (hi - lo).clamp(min=1e-6))).floor()
    at = torch.where(xy == hi, float(size - 1), at)
    seen = ((at >= 0) & (at < size)).all(-1) & (points[..., 2] > 0)
    at = at.clamp(0, size - 1).long()
    return torch.where(seen, at[..., 1] * size + at[..., 0], 0), seen.to(points.dtype)


def by_resizing(heat: Float[Tensor, "B D K S S"], boxes: Float[Tensor, "B D 4"]) -> Float[Tensor, "B D K 3"]:
    """Best pixel of each heat map enlarged to its box: x, y at pixel centres, and the logit there."""
    side = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1)
    whole = side.ceil().long().flatten(0, 1).tolist()  # one wait for the device
    place, score = [], []
    for maps, (w, h) in zip(heat.flatten(0, 1), whole):
        large = F.interpolate(maps[:, None], size=(h, w), mode="bicubic", align_corners=False).flatten(1)
        value, at = large.max(1)
        place.append(torch.stack([at % w, at // w], 1))
        score.append(value)
    step = side / side.ceil()
    xy = (torch.stack(place).view(*heat.shape[:3], 2) + 0.5) * step[:, :, None] + boxes[:, :, None, :2]
    return torch.cat([xy, torch.stack(score).view(*heat.shape[:3], 1)], -1)


def by_parabola(heat: Float[Tensor, "B D K S S"], boxes: Float[Tensor, "B D 4"]) -> Float[Tensor, "B D K 3"]:
    """Best cell of each heat map, moved to the top of the parabola through it and its two neighbours on each axis."""
    s = heat.shape[-1]
    flat = heat.flatten(3)
    value, at = flat.max(-1)
    x, y = at % s, at // s

    def shift(before: Tensor, after: Tensor, inside: Tensor) -> Tensor:
        bend = 2 * value - before - after
        return torch.where(inside & (bend > 1e-6), 0.5 * (after - before) / bend.clamp(min=1e-6), 0.0).clamp(-0.5, 0.5)

    def read(to: Tensor) -> Tensor:
        return flat.gather(-1, to.clamp(0, s * s - 1)[..., None])[..., 0]

    dx = shift(read(at - 1), read(at + 1), (x > 0) & (x < s - 1))
    dy = shift(read(at - s), read(at + s), (y > 0) & (y < s - 1))
    unit = torch.stack([x + 0.5 + dx, y + 0.5 + dy], -1) / s
    xy = boxes[:, :, None, :2] + unit * (boxes[..., 2:] - boxes[..., :2])[:, :, None]
    return torch.cat([xy, value[..., None]], -1)
