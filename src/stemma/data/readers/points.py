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


def points_of(records: Sequence[Mapping[str, Any]]) -> tuple[Points, list[list[int]]] | None:
    """The keypoints that categories declare, those of one name once, and of each category where its own stand among
    them: names, mirror images by their left/right names, lines, sigmas (COCO's for COCO's seventeen). A category that
    names none has those of the one that names most; None where no category names any."""
    said = [x if isinstance(x := c.get("keypoints"), list) and all(isinstance(n, str) for n in x) else []
            for c in records]
    # a name that a category has twice is two points
    keys = [[(n, own[:k].count(n)) for k, n in enumerate(own)] for own in said]
    at = {key: k for k, key in enumerate(dict.fromkeys(key for own in sorted(keys, key=len, reverse=True)
                                                       for key in own))}
    if not at:
        return None
    places = [[at[key] for key in own] for own in keys]
    lines = [(own[a - 1], own[b - 1]) for c, own in zip(records, places) for a, b in _lines(c.get("skeleton"))
             if 0 < a <= len(own) and 0 < b <= len(own)]
    most = max(places, key=len)
    return points_named([n for n, _ in at], lines), [own or most for own in places]


def _lines(skeleton: Any) -> list[list[int]]:
    """The pairs of a skeleton that are two whole numbers."""
    return ([x for x in skeleton if isinstance(x, list) and len(x) == 2 and all(type(v) is int for v in x)]
            if isinstance(skeleton, list) else [])


def points_named(names: Sequence[str], pairs: Iterable[tuple[int, int]] = ()) -> Points:
    """Keypoints of these names with lines between them, by index; each line once, whoever else has it."""
    known = dict(zip(PERSON, _PERSON_SIGMAS)) if set(PERSON) <= set(names) else {}
    sigmas = tuple(known.get(n, OTHER_SIGMA) for n in names)
    lines = tuple(dict.fromkeys(p for p in pairs if all(0 <= v < len(names) for v in p)))
    return Points(tuple(names), mirror(names), lines, sigmas)


def mirror(names: Sequence[str]) -> tuple[int, ...]:
    """Index of each point's mirror image: left and right change places in its name, or an l and an r that stand alone
    (left_eye, LeftEye, l_eye, REye, eye.R)."""
    def other(found: re.Match[str]) -> str:
        word = OTHER_SIDE[found[0].lower()]
        return word.upper() if found[0].isupper() else word.title() if found[0][0].isupper() else word

    nth = [list(names[:k]).count(n) for k, n in enumerate(names)]  # of one name the first goes with the first
    at = {key: k for k, key in enumerate(zip(names, nth))}
    return tuple(at.get((SIDE.sub(other, n), i), k) for k, (n, i) in enumerate(zip(names, nth)))
