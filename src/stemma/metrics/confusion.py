"""The confusion matrix of detection: what each object was taken for, with background as the last row and column."""
from __future__ import annotations

import numpy as np

from .detection import Ints, Kind, Record, overlap

SHOWN = 200  # classes that have a row of their own in a report's matrix, whose size is the square of their number
OTHERS = "(other classes)"


def joined(record: Record, most: int = SHOWN) -> tuple[list[str], Ints]:
    """(names of a matrix's rows, (C,) the row of each class): every class, or of more than `most` those with most
    objects, and the others as one. By the truth alone, so that the matrices of several systems are of the same rows."""
    names = list(record.names)
    if len(names) <= most:
        return names, np.arange(len(names))
    objects = np.zeros(len(names), np.int64)
    for one in record:
        np.add.at(objects, one.labels[~one.crowd], 1)
    kept = np.sort(np.argsort(-objects, kind="stable")[:most])
    row = np.full(len(names), most)
    row[kept] = np.arange(most)
    return [*(names[c] for c in kept), OTHERS], row


def confusion(record: Record, score: float = 0.5, iou: float = 0.5, kind: Kind = "boxes",
              row: Ints | None = None) -> Ints:
    """(C+1, C+1) counts: row the true class, column the found one; index C is background.

    Only detections that score at least `score` count. Pairs that overlap by `iou` or more are made without regard to
    class, most overlap first (between equals the same class, then the higher score). Objects left over fall into the
    last column (missed), detections left over into the last row (found where nothing is),
    unless a crowd object holds them. row: of each class, where some share one (`joined`); C is then their number.
    """
    row = np.arange(len(record.names)) if row is None else row
    background = int(row.max(initial=-1)) + 1
    out = np.zeros((background + 1, background + 1), np.int64)
    for one in record:
        kept = np.flatnonzero(one.scores >= score)
        said = one.found_labels[kept]
        ious = overlap(one, kind)[kept]
        crowded = (ious[:, one.crowd] >= iou).any(1) if one.crowd.any() else np.zeros(len(kept), bool)
        d, g = np.nonzero((ious >= iou) & ~one.crowd[None])
        order = np.lexsort((-one.scores[kept][d], said[d] != one.labels[g], -ious[d, g]))
        free_d, free_g = np.ones(len(kept), bool), ~one.crowd
        for i in order:
            if free_d[d[i]] and free_g[g[i]]:
                free_d[d[i]] = free_g[g[i]] = False
                out[row[one.labels[g[i]]], row[said[d[i]]]] += 1
        out[:background, background] += np.bincount(row[one.labels[free_g]], minlength=background)
        out[background, :background] += np.bincount(row[said[free_d & ~crowded]], minlength=background)
    return out
