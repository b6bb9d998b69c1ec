"""The values that flow through every detector and segmenter.

Axes: B images, N padded objects, D padded detections, K keypoints, P proposals, S segments,
M mask side, C classes, H W pixels of the network input.

Boxes are plain float32 tensors (x1, y1, x2, y2) in pixels of the network input, edges continuous
(width = x2 - x1, no +1). Labels run 0..C-1; -1 marks padding. Everything is batched and padded, so that
shapes are the same from step to step: ragged lists appear at the border only (`Detections.unpad`).
"""
from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Losses = dict[str, Tensor]  # name -> scalar; their sum is what is minimised
T = TypeVar("T", bound="Moves")
IGNORE = 255  # semantic label that pays no loss and is not counted


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

    def take(self, index: Int[Tensor, "B E"]) -> Detections:
        """The detections at `index`; an index of -1 gives padding (label -1, score 0, box 0)."""
        at, pad = index.clamp(min=0), index < 0

        def pick(v: Tensor | None, fill: float) -> Tensor | None:
            if v is None:
                return None
            i = at.view(*at.shape, *([1] * (v.ndim - 2))).expand(*at.shape, *v.shape[2:])
            return v.gather(1, i).masked_fill(pad.view(*pad.shape, *([1] * (v.ndim - 2))), fill)

        return Detections(
            pick(self.boxes, 0.0), pick(self.scores, 0.0), pick(self.labels, -1),  # type: ignore[arg-type]
            pick(self.masks, 0.0), pick(self.keypoints, 0.0), pick(self.distribution, 0.0),
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
        and masks (n, M, M), keypoints."""
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


# ---------------------------------------------------------------- what a data set hands out


@dataclass(frozen=True)
class Classes:
    """Class names with the ids that the source uses, in label order (label i is `names[i]`, `ids[i]`)."""

    names: tuple[str, ...]
    ids: tuple[int, ...] = ()
    things: tuple[bool, ...] = ()  # False: stuff, counted by pixels and not by objects
    parent: tuple[str, ...] = ()  # name of each class's super-class, "" at the root

    def __post_init__(self) -> None:
        n = len(self.names)
        object.__setattr__(self, "ids", self.ids or tuple(range(n)))
        object.__setattr__(self, "things", self.things or (True,) * n)
        object.__setattr__(self, "parent", self.parent or ("",) * n)
        if len(set(self.names)) != n:
            twice = sorted({x for x in self.names if self.names.count(x) > 1})
            raise ValueError(f"class names appear twice: {', '.join(twice)}")
        if not len(self.ids) == len(self.things) == len(self.parent) == n:
            raise ValueError("names, ids, things and parent must be of one length")

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Points:
    """The keypoints of a data set: names, left/right pairs by index, lines to draw, OKS sigmas."""

    names: tuple[str, ...] = ()
    flip: tuple[int, ...] = ()  # index of each point's mirror image
    lines: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()


@dataclass(frozen=True)
class Info:
    """What a model must know of a data set, and what a checkpoint carries of it.

    `kinds` names the targets present: "boxes", "masks", "amodal", "keypoints", "semantic", "panoptic", "image_labels".
    `classes` are those of the objects (or of pixels where there are no objects); `semantic` those of the semantic map.
    """

    name: str
    format: str
    classes: Classes
    kinds: tuple[str, ...]
    semantic: Classes | None = None
    panoptic: Classes | None = None
    points: Points | None = None
    white: float | None = None  # of pictures of more than 8 bits: the value that is white in all of them

    def classes_for(self, task: str) -> Classes:
        """The class list that a paper of this task ("semantic", "panoptic" or another) is built with."""
        found = {"semantic": self.semantic, "panoptic": self.panoptic}.get(task)
        return found or self.classes


@dataclass
class Sample:
    """One picture with its truth, unpadded, in pixels of the picture, as numpy arrays."""

    image: np.ndarray | None  # uint8 (H, W, 3) RGB; None when only the truth was asked for
    size: tuple[int, int]  # (height, width)
    boxes: np.ndarray  # float32 (N, 4) xyxy
    labels: np.ndarray  # int64 (N,)
    crowd: np.ndarray  # bool (N,)
    area: np.ndarray  # float32 (N,), of the mask where there is one, else of the box: COCO's small/medium/large
    masks: np.ndarray | None = None  # bool (N, H, W)
    amodal: np.ndarray | None = None  # bool (N, H, W)
    keypoints: np.ndarray | None = None  # float32 (N, K, 3)
    semantic: np.ndarray | None = None  # uint8 (H, W), 255 ignored
    panoptic: np.ndarray | None = None  # int32 (H, W), 0 void, else 1 + index in `segments`
    segments: np.ndarray | None = None  # int64 (S,) class of each panoptic segment
    segments_crowd: np.ndarray | None = None  # bool (S,)
    image_labels: np.ndarray | None = None  # float32 (C,)
    proposals: np.ndarray | None = None  # float32 (P, 4)
    boxed: bool = True  # False: its objects are not marked, only `image_labels` says what is there
    file: str = ""  # where it came from, for messages
    id: int = 0  # the source's image id
    extra: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class Dataset(Protocol):
    """A split of a data set. `[i]` reads the picture; `truth(i)` gives the same Sample with `image=None`, fast.

    Boxes, areas and keypoints of `truth` may be float64: what is measured is not rounded.
    """

    @property
    def info(self) -> Info: ...
    @property
    def fingerprint(self) -> str: ...  # hex digest over files, sizes and annotations: equal data, equal string
    def __len__(self) -> int: ...
    def __getitem__(self, i: int) -> Sample: ...
    def truth(self, i: int) -> Sample: ...


class StemmaError(Exception):
    """A user's mistake, with the mend in its message. The command line prints it as one line and exits with `code`."""

    code = 2


def at_least(least: int, **numbers: int | None) -> None:
    """Raises `StemmaError` for the first of `numbers` that is given and below `least`."""
    for name, value in numbers.items():
        if value is not None and value < least:
            raise StemmaError(f"{name} must be {least} or more, not {value}")


class DataError(StemmaError):
    """A fault in data: file, record, field and mend."""

    def __init__(self, file: str, problem: str, mend: str = "", record: str = "", field: str = ""):
        where = ", ".join(x for x in (file, record and f"record {record}", field and f"field '{field}'") if x)
        super().__init__(f"{where}: {problem}" + (f". {mend}" if mend else ""))
        self.file, self.problem, self.mend, self.record, self.field = file, problem, mend, record, field
