"""What an editor learns from: a picture, what is to be done to it, the picture as it should become."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ...core.samples import Classes, DataError, Info

ANSWERS = ("mark", "encircle", "refer")  # kinds of instruction whose picture answers what is where, in a colour
VISITS = 64  # versions in training of an edit that is made at each visit
RESTORED = ("deblur", "denoise", "watermark")  # kinds whose picture is the first one, mended


@dataclass
class Pair:
    """One edit. Pictures are uint8 (H, W, 3) RGB of one size.

    kind: what sort of instruction it is. mask: bool (H, W), what it speaks of; None where that is not known. point: (x,
    y) of what is to be encircled, None where nothing is. colour: the one it names, RGB in 0..1. captions: the two
    pictures in words, where they are known. thing: what the instruction is about, where that has a name. radius: of
    the disc that encircles, as a share of the picture's height, where it is another than drawn edits have. body: of
    whom the point is, (root of the area, longer side of the box) in pixels, and COCO's constant of the point, 0 where
    there is none. sided: whether the instruction was made for the picture as it lies, so that neither is mirrored.
    """

    before: np.ndarray
    after: np.ndarray
    instruction: str
    kind: str = "edit"
    mask: np.ndarray | None = None
    point: tuple[float, float] | None = None
    colour: tuple[float, ...] | None = None
    captions: tuple[str, str] | None = None
    thing: str | None = None
    file: str = ""
    radius: float | None = None
    body: tuple[float, float, float] | None = None
    sided: bool = False


@runtime_checkable
class Pairs(Protocol):
    """A split of edits. An edit may have several `versions`, of which one is drawn at each visit."""

    @property
    def split(self) -> str: ...
    @property
    def info(self) -> Info: ...  # `kinds` are those of the instructions
    @property
    def fingerprint(self) -> str: ...
    def __len__(self) -> int: ...
    def kind(self, i: int) -> str: ...
    def versions(self, i: int) -> int: ...
    def pair(self, i: int, version: int = 0) -> Pair: ...


def info_of(name: str, format: str, kinds: tuple[str, ...]) -> Info:
    """What a model keeps of a data set of edits: it has no classes but the one that everything is."""
    return Info(name, format, Classes(("picture",)), kinds)


def same_size(pair: Pair) -> Pair:
    """The pair. Raises `DataError` where its pictures differ in size, or nothing is to be done."""
    if pair.before.shape != pair.after.shape:
        (h, w), (g, v) = pair.before.shape[:2], pair.after.shape[:2]
        raise DataError(pair.file, f"the picture before has {w} x {h} pixels and the one after {v} x {g}",
                        "bring both to one size")
    if not pair.instruction.strip():
        raise DataError(pair.file, "the instruction is empty", "say what is to be done, or take the pair out")
    return pair


def square(size: tuple[int, ...], rng: np.random.Generator | None, side: int = 0) -> tuple[slice, slice]:
    """Where a square of the shorter side of (height, width), or of `side` where that is less, is cut: by chance, or in
    the middle."""
    s = min(*size, side or min(size))
    y, x = (int(rng.integers(v - s + 1)) if rng is not None else (v - s) // 2 for v in size)
    return slice(y, y + s), slice(x, x + s)


__all__ = ["ANSWERS", "RESTORED", "VISITS", "Pair", "Pairs", "info_of", "same_size", "square"]
