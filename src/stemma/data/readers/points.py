"""Keypoints by their names: lines between them, mirror images, and COCO's seventeen of a person."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stemma.core.samples import Points

PERSON = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist",
    "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)
_PERSON_SIGMAS = (.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089)
OTHER_SIGMA = 0.05  # where the source publishes none
OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}
SIDE = re.compile(r"(?i:left|right)|(?<![A-Za-z])[LRlr](?![a-z])")


def points_of(records: Sequence[Mapping[str, Any]]) -> Points | None:
    """The keypoints that categories declare: names, mirror images by their left/right names, lines, sigmas (COCO's for
    COCO's seventeen)."""
    best: Mapping[str, Any] = max(records,
                                  key=lambda c: len(c["keypoints"]) if isinstance(c.get("keypoints"), list) else 0)
    names = best.get("keypoints")
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        return None
    lines = best.get("skeleton")
    drawn = ([x for x in lines if isinstance(x, list) and len(x) == 2 and all(type(v) is int for v in x)]
             if isinstance(lines, list) else [])
    pairs = [(a - 1, b - 1) for a, b in drawn]
    return points_named(names, pairs)


def points_named(names: Sequence[str], pairs: Iterable[tuple[int, int]] = ()) -> Points:
    """Keypoints of these names with lines between them, by index; each line once, whoever else has it."""
    sigmas = _PERSON_SIGMAS if tuple(names) == PERSON else (OTHER_SIGMA,) * len(names)
    lines = tuple(dict.fromkeys(p for p in pairs if all(0 <= v < len(names) for v in p)))
    return Points(tuple(names), mirror(names), lines, sigmas)


def mirror(names: Sequence[str]) -> tuple[int, ...]:
    """Index of each point's mirror image: left and right change places in its name, or an l and an r that stand alone
    (left_eye, LeftEye, l_eye, REye, eye.R)."""
    def other(found: re.Match[str]) -> str:
        word = OTHER_SIDE[found[0].lower()]
        return word.upper() if found[0].isupper() else word.title() if found[0][0].isupper() else word

    at = {n: k for k, n in enumerate(names)}
    return tuple(at.get(SIDE.sub(other, n), k) for k, n in enumerate(names))
