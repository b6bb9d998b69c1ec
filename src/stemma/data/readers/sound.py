"""What a box and an outline are judged by, in whole columns; and which objects of a document nothing is to be said of,
which is kept with its columns. Axes: M boxes of a block, O objects, I pictures.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from . import rle
from .segments import Segments

# pixels by which a box may leave its picture through rounding or 1-based counting: no fault; training clips it
SLACK = 1.0
_BLOCK = 1 << 14  # boxes whose columns stay in a processor's cache


def blocks(judge: Callable[..., np.ndarray], *columns: np.ndarray) -> np.ndarray:
    """What `judge` says of columns (M, ...), asked block by block: (..., M)."""
    starts = range(0, max(len(columns[0]), 1), _BLOCK)
    return np.concatenate([judge(*(c[k : k + _BLOCK] for c in columns)) for k in starts], -1)


def judged(b: Float[np.ndarray, "M 4"], hw: Int[np.ndarray, "M 2"]) -> Bool[np.ndarray, "4 M"]:
    """Which boxes in pictures (height, width) are not finite, have no extent, lie outside, reach outside."""
    limit = hw[:, [1, 0, 1, 0]].astype(np.float64)
    with np.errstate(invalid="ignore"):
        broken = ~np.isfinite(b).all(1)
        flat = ~broken & ((b[:, 2] <= b[:, 0]) | (b[:, 3] <= b[:, 1]))
        cut = np.clip(b, 0.0, limit)
        gone = ~broken & ~flat & ((cut[:, 2] <= cut[:, 0]) | (cut[:, 3] <= cut[:, 1]))
        over = ~broken & ~flat & ~gone & ((b < -SLACK) | (b > limit + SLACK)).any(1)
    return np.stack([broken, flat, gone, over])


def apart(boxes: Float[np.ndarray, "M 4"], around: Float[np.ndarray, "M 4"]) -> Bool[np.ndarray, " M"]:
    """Which boxes are not those around their masks; NaN where a mask has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        side = np.clip(np.minimum(boxes[:, 2:], around[:, 2:]) - np.maximum(boxes[:, :2], around[:, :2]), 0, None)
        one, two = ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (boxes, around))
        common = side.prod(1)
        found: np.ndarray = (common / (one + two - common) < 0.5) & (np.abs(boxes - around).max(1) > 2.0)
    return found


def mask_faults(outlines: Mapping[int, Any], sizes: Int[np.ndarray, "O 2"]) -> dict[int, str]:
    """object -> what is wrong with its outline, of those in `outlines` that are not sound."""
    wrong = {k: said for k, seg in outlines.items() if (said := rle.problem(seg, *sizes[k].tolist()))}
    runs = [k for k, seg in outlines.items() if k not in wrong and isinstance(seg, dict)]
    strings = [k for k in runs if isinstance(outlines[k]["counts"], str | bytes)]
    for lo in range(0, len(strings), 4096):
        part = strings[lo : lo + 4096]
        bad = rle.string_faults([outlines[k]["counts"] for k in part], sizes[part].prod(1))
        wrong.update({part[j]: "has run lengths that do not fill the picture" for j in np.flatnonzero(bad)})
    runs = [k for k in runs if k not in wrong]
    wrong.update({k: "has no pixel" for k, n in zip(runs, rle.areas([outlines[k] for k in runs])) if not n})
    return wrong


def sound(boxes: Float[np.ndarray, "O 4"], area: Float[np.ndarray, " O"], segments: Segments,
          sizes: Int[np.ndarray, "O 2"]) -> Bool[np.ndarray, " O"]:
    """The objects whose vetting says and mends nothing, whatever else their data set holds: finite boxes xyxy within
    their pictures and beyond the first pixel, a known area, and no outline or a sound one that the box is around.
    `sizes`: height and width of the picture of each; below five where they are not known."""
    def plain(b: np.ndarray, a: np.ndarray, hw: np.ndarray) -> np.ndarray:
        found: np.ndarray = ~judged(b, hw).any(0) & (hw > 4).all(1) & (b[:, 2:] > 1).any(1) & (a > 0)
        return found

    found = blocks(plain, boxes, area, sizes)
    odd = {k: segments[k] for k in segments.odd() if found[k]}
    wrong = mask_faults(odd, sizes)
    found[[k for k, seg in odd.items() if k in wrong or not isinstance(seg, dict)]] = False
    at = np.flatnonzero(found)
    found[at] = ~blocks(apart, boxes[at], segments.take(at).bounds())
    return found


__all__ = ["SLACK", "apart", "blocks", "judged", "mask_faults", "sound"]
