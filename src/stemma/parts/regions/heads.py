"""Heads that look inside regions. A head owns its pooling: (levels, boxes) -> (logits, deltas).

Axes: B images, R regions an image, C channels, K logits, G sets of deltas, s bins a side.
G is 1 (class-agnostic), or one set a class with or without one for background (last, as its logit is).
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.part import In, Least
from ...core.types import StemmaError
from ...ops import boxes as bx
from ...ops import roi
from ...ops.constants import constant
from ..backbones.resnet import Norm, initialise, stage
from ..backbones.tiny import BasicBlock
from ..low_rank import linear, over_bins

Seen = tuple[Float[Tensor, "B R K"], Float[Tensor, "B R G 4"]]
Deltas = Literal["agnostic", "class", "class+background", "none"]


@runtime_checkable
class Pool(Protocol):
    """From levels and boxes to a small map a region."""

    @property
    def size(self) -> int: ...
    def __call__(self, xs: list[Tensor], strides: tuple[int, ...],
                 boxes: Float[Tensor, "B R 4"]) -> Float[Tensor, "B R C s s"]: ...


@dataclass(frozen=True)
class Align:
    """RoIAlign (Mask R-CNN sec. 3); of the first `levels` levels each region reads the one FPN eq. 1 gives it.

    `samples` points a bin and side, -1: as many as the bin has cells. `aligned=False` keeps the first release's
    half-cell shift, as torchvision's detectors do. A region of side `canonical` pixels reads the level of stride 16.
    """

    size: int = 7
    samples: Annotated[int, Least(-1)] = 2
    aligned: bool = False
    levels: int = 4
    canonical: float = 224.0

    def __call__(self, xs: list[Tensor], strides: tuple[int, ...], boxes: Tensor) -> Tensor:
        n = min(self.levels, len(xs))
        return roi.roi_align_levels(xs[:n], boxes, self.size, strides[:n], self.samples, self.aligned, self.canonical)

    def every(self, xs: list[Tensor], strides: tuple[int, ...], boxes: Tensor) -> list[Float[Tensor, "B R C s s"]]:
        """Every region from each of the first `levels` levels, whatever its size (PANet sec. 3.2)."""
        return [roi.roi_align(x, boxes, self.size, s, self.samples, self.aligned)
                for x, s in zip(xs[: self.levels], strides)]


@dataclass(frozen=True)
class MaxPool:
    """RoIPool (Fast R-CNN sec. 2.1): boxes and bins rounded to whole cells, the maximum of each bin."""

    size: int = 7
    levels: int = 4
    canonical: float = 224.0

    def __call__(self, xs: list[Tensor], strides: tuple[int, ...], boxes: Tensor) -> Tensor:
        n = min(self.levels, len(xs))
        every = [roi.roi_pool(x, boxes, self.size, s) for x, s in zip(xs[:n], strides)]
        return every[0] if n == 1 else roi.select_level(every, roi.level_of(boxes, strides[:n], self.canonical))


@dataclass(frozen=True)
class NearestScale:
    """From the maps of the picture at several `sizes` (`Scales`), each region pooled where it is nearest to `side` x
    `side` pixels.

    `by`: nearest by its area (Fast R-CNN sec. 2.4), or as the size of the picture at which its area would be that
    (SPP-net sec. 4.1, MR-CNN). With one map alone, as in training, that one.
    Every map is pooled, and one of the results taken.
    """

    pool: Pool = MaxPool(7)
    sizes: tuple[int, ...] = (480, 576, 688, 864, 1200)
    side: float = 224.0
    by: Literal["area", "size"] = "area"

    @property
    def size(self) -> int:
        return self.pool.size

    def __call__(self, xs: list[Tensor], strides: tuple[int, ...], boxes: Tensor) -> Tensor:
        if len(xs) == 1:
            return self.pool(xs, strides[:1], boxes)
        shares = self.shares[: len(xs)]
        return roi.select_level([self.pool([x], (s,), boxes * k) for x, s, k in zip(xs, strides, shares)],
                                self.level(boxes))

    @property
    def shares(self) -> tuple[float, ...]:
        return tuple(s / max(self.sizes) for s in sorted(self.sizes, reverse=True))

    def level(self, boxes: Float[Tensor, "B R 4"]) -> Int[Tensor, "B R"]:
        """Place among the sizes, largest first."""
        shares = constant(self.shares, boxes)
        area = bx.area(boxes)[..., None]
        if self.by == "size":
            return (shares - self.side / area.clamp(min=bx.TINY).sqrt()).abs().argmin(-1)
        return (area * shares.square() - self.side**2).abs().argmin(-1)


class RegionHead(nn.Module):
    """Base of region heads. A head that shares its features with a branch computes them in `features` and reads them in
    `read`.

    What a head does to the levels themselves, whatever the regions, is done in `prepare`, once a picture; `features`
    and `forward` take its result.
    """

    def prepare(self, xs: list[Tensor]) -> list[Tensor]:
        return xs

    def features(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> Float[Tensor, "B R C s s"]:
        raise NotImplementedError(f"{type(self).__name__} has no features a branch could share")

    def read(self, features: Float[Tensor, "B R C s s"]) -> Seen:
        raise NotImplementedError

    def forward(self, xs: list[Tensor], boxes: Float[Tensor, "B R 4"]) -> Seen:
        return self.read(self.features(xs, boxes))


class Predictor(nn.Module):
    """Two linear layers: a logit a class and background, and the deltas (Fast R-CNN sec. 2.1: N(0, 0.01) and N(0,
    0.001)). "none" has no second layer and moves nothing."""

    def __init__(self, channels: int, logits: int, classes: int, deltas: Deltas) -> None:
        super().__init__()
        self.sets = {"agnostic": 1, "class": classes, "class+background": classes + 1, "none": 0}[deltas]
        self.cls = nn.Linear(channels, logits)
        self.box = nn.Linear(channels, 4 * self.sets) if self.sets else None
        nn.init.normal_(self.cls.weight, std=0.01)
        nn.init.zeros_(self.cls.bias)
        if self.box is not None:
            nn.init.normal_(self.box.weight, std=0.001)
            nn.init.zeros_(self.box.bias)

    def forward(self, x: Float[Tensor, "B R C"]) -> Seen:
        if self.box is None:
            return self.cls(x), x.new_zeros(*x.shape[:-1], 1, 4)
        return self.cls(x), self.box(x).unflatten(-1, (self.sets, 4))


class Dropout(nn.Dropout):
    """Dropout that rests where no gradient is asked for: a look that only ranks regions by their loss sees the whole
    network."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training and torch.is_grad_enabled())


class FCHead(RegionHead):
    """Pool, `depth` fully connected layers, then classes and deltas (FPN sec. 4.2: two of 1024; VGG-16: two of 4096
    with dropout).

    `ranks`: the first so many layers are of low rank (Fast R-CNN sec. 3.1), of so many numbers in between;
    0 leaves a layer as it is. `reduce` > 0 reads the last level alone, through a 1x1 convolution to so many channels
    (two layers on a dilated fifth stage, as in the code of Deformable ConvNets and its descendants).
    """

    def __init__(
        self, inp: In, pool: Pool = Align(), width: int = 1024, depth: int = 2, dropout: float = 0.0,
        deltas: Deltas = "class+background", ranks: tuple[int, ...] = (), reduce: int = 0,
    ) -> None:
        super().__init__()
        if len(ranks) > depth:
            raise StemmaError(f"ranks of {len(ranks)} fully connected layers, and the head has {depth}")
        self.reduce = _squeeze(inp.channels[-1], reduce) if reduce else None
        if reduce:
            inp = In((reduce,), inp.strides[-1:], inp.classes, logits=inp.logits)
        self.pool, self.strides = pool, inp.strides
        layers: list[nn.Module] = []
        channels = inp.channels[0] * pool.size**2
        for i in range(depth):
            layers += [linear(channels, width, ranks[i] if i < len(ranks) else 0), nn.ReLU(inplace=True),
                       *([Dropout(dropout)] if dropout else [])]
            channels = width
        self.body = nn.Sequential(*layers)
        self.predict = Predictor(channels, inp.logits, inp.classes, deltas)

    def prepare(self, xs: list[Tensor]) -> list[Tensor]:
        return xs if self.reduce is None else [self.reduce(xs[-1])]

    def features(self, xs: list[Tensor], boxes: Tensor) -> Tensor:
        return self.pool(xs, self.strides, boxes)

    def read(self, features: Tensor) -> Seen:
        wide = self.body[1:](over_bins(self.body[0], features)) if len(self.body) else features.flatten(2)
        seen: Seen = self.predict(wide)
        return seen


def _squeeze(channels: int, width: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, 1)
    nn.init.normal_(conv.weight, std=0.01)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, nn.ReLU(inplace=True))


class Res5Head(RegionHead):
    """The last ResNet stage on every region, then the mean of its map (He et al. 2015, "C4"; Mask R-CNN fig. 4 left).

    The stage halves a 14 x 14 pooling to 7 x 7; `stride` 1 reads 7 x 7 as they are. `block="basic"` is the stage of
    `TinyResNet`, `width` channels out; else 4 x `width`.
    """

    SCRATCH = {"norm": "batch"}

    def __init__(
        self, inp: In, pool: Pool = Align(14), width: int = 512, blocks: int = 3,
        block: Literal["bottleneck", "basic"] = "bottleneck",
        norm: Norm = "frozen", eps: float = 1e-5, deltas: Deltas = "class", stride: int = 2,
    ) -> None:
        super().__init__()
        self.pool, self.strides = pool, inp.strides
        if block == "basic":
            self.channels = width
            rest = [BasicBlock(width, width) for _ in range(blocks - 1)]
            self.stage = nn.Sequential(BasicBlock(inp.channels[-1], width, stride), *rest)
        else:
            self.channels = 4 * width
            self.stage = stage(inp.channels[-1], width, blocks, stride, norm, eps)
        initialise(self.stage)
        self.predict = Predictor(self.channels, inp.logits, inp.classes, deltas)

    def features(self, xs: list[Tensor], boxes: Tensor) -> Tensor:
        pooled = self.pool(xs, self.strides, boxes)
        y: Tensor = self.stage(pooled.flatten(0, 1))
        return y.view(*pooled.shape[:2], *y.shape[1:])

    def read(self, features: Tensor) -> Seen:
        seen: Seen = self.predict(features.mean((-2, -1)))
        return seen


def own(per_class: Float[Tensor, "B R G *D"], labels: Tensor) -> Float[Tensor, "B R *D"]:
    """The set of each region's own label among G sets; with one set, that one; background takes the last."""
    at = labels.clamp(0, per_class.shape[2] - 1)
    at = at.view(*at.shape, *([1] * (per_class.ndim - 2))).expand(-1, -1, 1, *per_class.shape[3:])
    return per_class.gather(2, at)[:, :, 0]


def upsample2(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H2 W2"]:
    """Twice the side, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
