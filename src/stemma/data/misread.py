"""Whether the boxes or the masks of a split were written by another rule than the one by which its format reads them:
fractions for pixels, corners for a corner and a size, or a size for the other corner; y before x, rows for columns.

One box cannot tell. All of them together can: boxes of pixels do not all lie within one pixel, and numbers that mean
(x, y, width, height) do not all fit their pictures as two corners, least of all where they leave them as they are read.
Masks that lie beside their own boxes were misread where by another rule each of them fits its box.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

# what the four numbers of a box are in a format: two corners, a corner and the size, the centre and the size; "" where
# a program draws them and they are not looked at
Spelt = Literal["", "corners", "size", "centre"]
SAYS: dict[str, str] = {"corners": "x1, y1, x2, y2", "size": "x, y, width, height", "centre": "cx, cy, width, height"}
SHARE = 0.25  # of the boxes that cannot be meant as they are read
FEWEST = {False: 4, True: 16}  # boxes that can tell one rule from another; of two that both have a size
_SLACK = 1.0  # pixels
_BESIDE = 2.0  # pixels between a box and its mask
Boxes = Float[np.ndarray, "O 4"]


def misread(boxes: Boxes, sizes: Int[np.ndarray, "O 2"], bare: Bool[np.ndarray, " O"],
            spelt: Spelt) -> tuple[str, str] | None:
    """(what is wrong, what to do) of boxes xyxy as they were read, in pictures of (height, width); None where nothing
    is. `bare`: objects without an outline, whose boxes are all that is known of them."""
    with np.errstate(invalid="ignore"):
        known = np.isfinite(boxes).all(1) & (sizes > 4).all(1)
    b, hw = boxes[known], sizes[known]
    within = ((b >= 0) & (b <= 1)).all(1) & (b != np.rint(b)).any(1)
    if 2 * int(within.sum()) > len(b):
        return (f"{int(within.sum()):,} of {len(b):,} boxes lie within the first pixel of their pictures: their "
                "numbers are fractions, or were divided by the picture's size once too often",
                "write them in the unit of the format")
    if not spelt:
        return None
    b, hw = b[bare[known]], hw[bare[known]]
    wrong = int(_wrong(b, hw, spelt == "corners").sum())
    if wrong < SHARE * len(b):
        return None
    written = _written(b, spelt)
    fits = [says for other, says in SAYS.items() if other != spelt and len(b) >= FEWEST["corners" not in (other, spelt)]
            and not _wrong(_read(written, other), hw).any()]
    if not fits:
        return None
    how = "have no extent" if spelt == "corners" else "reach outside their pictures"
    return (f"{wrong:,} of {len(b):,} boxes {how} when their numbers are read as {SAYS[spelt]}, and as "
            f"{' or as '.join(fits)} all of them fit", f"write {SAYS[spelt]}")


def masks_misread(boxes: Boxes, sizes: Int[np.ndarray, "O 2"], around: Boxes, beside: Bool[np.ndarray, " O"],
                  by_rows: Callable[[int], Float[np.ndarray, " C"]]) -> tuple[str, str] | None:
    """(what is wrong, what to do) of masks that fill `around`, xyxy, in pictures of (height, width); None where nothing
    is. `beside`: which lie beside their boxes; `by_rows`: what one fills if it is run lengths that go row by row."""
    at = np.flatnonzero(beside)
    if len(at) < max(FEWEST[False], SHARE * np.isfinite(around).all(1).sum()):
        return None
    h, w = sizes[at].T
    meant = {"fractions of the picture": around[at] * np.stack([w, h, w, h], 1),
             "y, x": around[at][:, [1, 0, 3, 2]],
             "runs row by row": np.array([by_rows(k) for k in at.tolist()])}
    for says, other in meant.items():
        if (np.abs(np.clip(other, 0, np.stack([w, h, w, h], 1)) - boxes[at]).max(1) <= _BESIDE).all():
            return (f"{len(at):,} masks lie beside their own boxes as they are read, and read as {says} all of them "
                    "fit", "write x, y in pixels, and runs column by column")
    return None


def _written(b: Boxes, spelt: Spelt) -> Boxes:
    """The four numbers that were read as boxes xyxy."""
    low, high = b[:, :2], b[:, 2:]
    return b if spelt == "corners" else np.concatenate([low if spelt == "size" else (low + high) / 2, high - low], 1)


def _read(numbers: np.ndarray, spelt: str) -> np.ndarray:
    """The boxes xyxy that four numbers mean."""
    one, two = numbers[:, :2], numbers[:, 2:]
    return {"corners": numbers, "size": np.concatenate([one, one + two], 1),
            "centre": np.concatenate([one - two / 2, one + two / 2], 1)}[spelt]


def _wrong(b: np.ndarray, hw: np.ndarray, flat_alone: bool = False) -> np.ndarray:
    """Which boxes have no extent, or reach outside their pictures."""
    flat = np.any(b[:, 2:] <= b[:, :2], axis=1)
    outside = np.any((b < -_SLACK) | (b > hw[:, [1, 0, 1, 0]] + _SLACK), axis=1)
    found: np.ndarray = flat if flat_alone else flat | outside
    return found


__all__ = ["SAYS", "Spelt", "masks_misread", "misread"]
