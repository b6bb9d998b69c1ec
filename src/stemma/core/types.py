"""The values that flow through every detector and segmenter.

Axes: B images, N padded objects, D padded detections, K keypoints, P proposals, S segments,
M mask side, C classes, H W pixels of the network input.

Boxes are plain float32 tensors (x1, y1, x2, y2) in pixels of the network input, edges continuous
(width = x2 - x1, no +1). Labels run 0..C-1; -1 marks padding. Everything is batched and padded, so that
shapes are the same from step to step: ragged lists appear at the border only (`Detections.unpad`).
"""
from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .samples import IGNORE as IGNORE
from .samples import Classes as Classes
from .samples import DataError as DataError
from .samples import Dataset as Dataset
from .samples import Info as Info
from .samples import Points as Points
from .samples import Sample as Sample
from .samples import StemmaError as StemmaError
from .samples import at_least as at_least
from .samples import is_seed as is_seed

Losses = dict[str, Tensor]  # name -> scalar; their sum is what is minimised
T = TypeVar("T", bound="Moves")


@dataclass(frozen=True)
class Moves:
    """A record of tensors that moves between devices as one."""

    def map(self: T, f: Any) -> T:
        """A copy with `f` applied to every tensor, records inside included."""
        new: dict[str, Any] = {}
        for fl in fields(self):
            v = getattr(self, fl.name)
            if isinstance(v, Tensor):
                new[fl.name] = f(v)
            elif isinstance(v, Moves):
                new[fl.name] = v.map(f)
        return replace(self, **new)

    def to(self: T, device: torch.device | str, non_blocking: bool = True) -> T:
        return self.map(lambda v: v.to(device, non_blocking=non_blocking))

    def pin(self: T) -> T:
        return self.map(lambda v: v.pin_memory())


@dataclass(frozen=True)
class Targets(Moves):
    """What is in the pictures, padded to N objects an image."""

    boxes: Float[Tensor, "B N 4"]
    labels: Int[Tensor, "B N"]  # -1 where padding
    crowd: Bool[Tensor, "B N"] | None = None  # VOC's "difficult" and COCO's "iscrowd": pays no loss, costs no precision
    masks: Bool[Tensor, "B N H W"] | None = None
    amodal: Bool[Tensor, "B N H W"] | None = None
    keypoints: Float[Tensor, "B N K 3"] | None = None  # x, y, visibility 0 unlabelled, 1 hidden, 2 seen
    semantic: Int[Tensor, "B H W"] | None = None  # 255 = ignored
    panoptic: Int[Tensor, "B H W"] | None = None  # 0 void, else 1 + the segment's index in `segments`
    segments: Int[Tensor, "B S"] | None = None  # class of each panoptic segment, -1 padding
    segments_crowd: Bool[Tensor, "B S"] | None = None
    image_labels: Float[Tensor, "B C"] | None = None
    proposals: Float[Tensor, "B P 4"] | None = None
    # False: only the whole picture is labelled, objects in it are not; None: all have boxes
    boxed: Bool[Tensor, " B"] | None = None

    @property
    def valid(self) -> Bool[Tensor, "B N"]:
        """Objects that a loss may ask for: not padding and not crowd."""
        ok = self.labels >= 0
        return ok if self.crowd is None else ok & ~self.crowd


@dataclass(frozen=True)
class Batch(Moves):
    """A padded batch. Images are RGB in 0..1; beyond `sizes` they hold the mean colour."""

    images: Float[Tensor, "B 3 H W"]
    targets: Targets
    sizes: Float[Tensor, "B 2"]  # true (height, width) before padding, network pixels
    original: Float[Tensor, "B 2"]  # (height, width) of the file
    index: Int[Tensor, " B"]  # position in the data set

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Detections(Moves):
    """What a detector says, best first, padded to D. `unpad` gives plain lists."""

    boxes: Float[Tensor, "B D 4"]
    scores: Float[Tensor, "B D"]
    labels: Int[Tensor, "B D"]  # -1 where padding
    masks: Float[Tensor, "B D M M"] | None = None  # probability inside the box
    keypoints: Float[Tensor, "B D K 3"] | None = None  # x, y, score
    distribution: Float[Tensor, "B D C"] | None = None  # class scores where a step wants them all
    visible: Float[Tensor, "B D M M"] | None = None  # of `masks` that are amodal: the part that is seen

    def take(self, index: Int[Tensor, "B E"]) -> Detections:
        """The detections at `index`; an index of -1 gives padding (label -1, score 0, box 0)."""
        at, pad = index.clamp(min=0), index < 0

        def pick(v: Tensor | None, fill: float) -> Tensor | None:
            if v is None:
                return None
            if v.ndim == 2:
                return v.gather(1, at).masked_fill(pad, fill)
            wide = (*at.shape, *[1] * (v.ndim - 2))
            return v.gather(1, at.view(wide).expand(*at.shape, *v.shape[2:])).masked_fill(pad.view(wide), fill)

        return Detections(
            pick(self.boxes, 0.0), pick(self.scores, 0.0), pick(self.labels, -1),  # type: ignore[arg-type]
            pick(self.masks, 0.0), pick(self.keypoints, 0.0), pick(self.distribution, 0.0),
            pick(self.visible, 0.0),
        )

    def scale(self, factor: Float[Tensor, "B 2"]) -> Detections:
        """Boxes and keypoints multiplied by (y, x) factors an image: network pixels -> file pixels."""
        yx = factor.to(self.boxes)[:, None]
        xy = yx.flip(-1)
        points = self.keypoints
        if points is not None:
            points = torch.cat([points[..., :2] * xy[:, :, None], points[..., 2:]], -1)
        return replace(self, boxes=self.boxes * torch.cat([xy, xy], -1), keypoints=points)

    def unpad(self) -> list[dict[str, Tensor]]:
        """One dict an image with its real detections: boxes (n, 4), scores (n,), labels (n,),
        and masks (n, M, M), keypoints, visible (n, M, M)."""
        out: list[dict[str, Tensor]] = []
        for i in range(len(self.labels)):
            ok = self.labels[i] >= 0
            out.append({f.name: v[i][ok] for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)})
        return out


@dataclass(frozen=True)
class SemanticMap(Moves):
    """A class at every pixel."""

    labels: Int[Tensor, "B H W"]
    scores: Float[Tensor, "B C H W"] | None = None


@dataclass(frozen=True)
class PanopticMap(Moves):
    """Non-overlapping segments: `ids` 0 is void, else 1 + the segment's index."""

    ids: Int[Tensor, "B H W"]
    labels: Int[Tensor, "B S"]  # -1 where padding
    scores: Float[Tensor, "B S"]


Prediction = Detections | SemanticMap | PanopticMap


@runtime_checkable
class Model(Protocol):
    """What every built vision paper offers; it is an `nn.Module` besides."""

    classes: int

    def __call__(self, images: Tensor) -> Any: ...
    def loss(self, batch: Batch) -> Losses: ...
    def predict(self, images: Tensor, sizes: Tensor | None = None) -> Prediction: ...
