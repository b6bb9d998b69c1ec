"""Which of two objects is in front: pairs (front, back) from masks, and whether pairs are an order."""
from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Int


def depth_pairs(visible: Bool[np.ndarray, "N H W"], amodal: Bool[np.ndarray, "N H W"]) -> Int[np.ndarray, "P 2"]:
    """Of every two objects whose amodal masks meet, first the one that is seen in more of the common pixels. No pair
    where neither is, or both in as many."""
    out = []
    for i in range(len(amodal)):
        for j in range(i + 1, len(amodal)):
            common = amodal[i] & amodal[j]
            if common.any():
                a, b = int((visible[i] & common).sum()), int((visible[j] & common).sum())
                out += [(i, j)] if a > b else [(j, i)] if b > a else []
    return np.asarray(out, dtype=np.int64).reshape(-1, 2)


def front_first(items: Iterable[int], pairs: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """(the items, none before one that is in front of it; those that cannot be laid so). The second list is empty
    unless the pairs hold a cycle."""
    left, known = list(items), set()
    rest = {(int(a), int(b)) for a, b in pairs}
    done: list[int] = []
    while left:
        behind = {b for a, b in rest if a not in known}
        free = [k for k in left if k not in behind]
        if not free:
            return done, left
        done += free
        known |= set(free)
        left = [k for k in left if k not in known]
    return done, []
