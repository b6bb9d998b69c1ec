"""What a data set hands out, and a user's mistake: the part of the vocabulary that needs no torch, so that what is
wrong with a folder can be said at once.

Axes: N objects, K keypoints, P proposals, S segments, C classes, H W pixels of the picture.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

IGNORE = 255  # semantic label that pays no loss and is not counted


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
    # of federated data (LVIS), in which a picture was searched for some classes alone: how frequent each class is among
    # the pictures, "r", "c" or "f". `truth` then says in `extra` which classes are "absent" and which "partial"
    frequency: tuple[str, ...] = ()
    # channels that are shown, with their widths (0: a picture); and the sizes of groups of classes of which one is
    # chosen at a time
    inputs: tuple[tuple[str, int], ...] = ()
    choices: tuple[int, ...] = ()
    # what the numbers of the channel "vector" are, one run behind the other: "numbers", "flags" (each 0 or 1) or a
    # "choice" (one of so many is 1); none: they are numbers
    numbers: tuple[tuple[str, int], ...] = ()
    difficult: bool = False  # what counts as crowd are single objects that Pascal VOC calls difficult

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
    visible: np.ndarray | None = None  # float64 (N,) share of a box that can be seen, NaN unknown; of `truth` alone
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


def is_seed(seed: int | None) -> None:
    """Raises `StemmaError` for a seed that is given and that not every generator of random numbers takes."""
    if seed is not None and not 0 <= seed < 1 << 31:
        raise StemmaError(f"seed must be from 0 to {(1 << 31) - 1:,}, not {seed}")


class DataError(StemmaError):
    """A fault in data: file, record, field and mend."""

    def __init__(self, file: str, problem: str, mend: str = "", record: str = "", field: str = ""):
        problem = " ".join(problem.splitlines())  # a message of another library may have several
        where = ", ".join(x for x in (file, record and f"record {record}", field and f"field '{field}'") if x)
        super().__init__(f"{where}: {problem}" + (f". {mend}" if mend else ""))
        self.file, self.problem, self.mend, self.record, self.field = file, problem, mend, record, field
