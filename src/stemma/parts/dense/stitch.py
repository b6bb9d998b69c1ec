"""Stitching: boxes that neighbouring cells say of one object become one,
and no box suppresses more than one other (ReInspect).

Axes: B images, A hypotheses (cell by cell, in reading order), D detections.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ...core.part import Count
from ...core.types import Detections

Floats = NDArray[np.float64]
LADDER = ((0.8, 1.0), (0.7, 0.9), (0.6, 0.8), (0.5, 0.7), (0.4, 0.6), (0.3, 0.5), (0.2, 0.4), (0.1, 0.3), (0.05, 0.2))


@dataclass(frozen=True)
class Stitch:
    """ReInspect sec. 3.3, with the passes of its code (filter_rects and stitch_rects).

    Cells are visited in reading order. Their boxes above a threshold are matched one to one with the accepted boxes
    that touch any of them, at least cost: first as many pairs that touch as can be, then the least L1 distance of
    centre and size. A box that touches its match is left out, but takes its place, with the lower confidence of the
    two, when it is surer than it and their IoU is above `replace`. What has no match, or does not touch it, is
    accepted: so a box suppresses at most one of another cell, and people who overlap stay.

    passes: (threshold, most) from sure to unsure; matched boxes surer than `most` have had their turn in an earlier
    pass. ((0.5, 1.0),) is the single pass of the paper, which ends each cell's list at its stop symbol.

    What comes first decides what comes after, a few small matchings at a time: it runs on the host, picture by picture,
    after the network.
    """

    passes: tuple[tuple[float, float], ...] = LADDER
    replace: float = 0.7
    keep: Count = 100

    def __call__(self, d: Detections, cell: Tensor) -> Detections:
        """d: all hypotheses, their scores confidences; label -1 leaves one out. cell "A": the cell of each. Best first,
        at most `keep`."""
        boxes, scores, live = (v.detach().cpu().double().numpy() for v in (d.boxes, d.scores, d.labels >= 0))
        place = torch.full((len(boxes), self.keep), -1, dtype=torch.long)
        kept = torch.zeros((len(boxes), self.keep), dtype=d.scores.dtype)
        cells = cell.cpu().numpy()
        for i in range(len(boxes)):
            at = np.flatnonzero(live[i] > 0)
            index, confidence = self.one(boxes[i][at], scores[i][at], cells[at])
            order = np.argsort(-confidence, kind="stable")[: self.keep]
            place[i, : len(order)] = torch.from_numpy(at[index[order]])
            kept[i, : len(order)] = torch.from_numpy(confidence[order])
        found = d.take(place.to(d.labels.device))
        return Detections(found.boxes, kept.to(found.scores), found.labels)

    def one(self, boxes: Floats, scores: Floats, cells: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
        """One picture: (places of the accepted boxes in the order of acceptance, the confidence that each is given).
        `cells` ascends."""
        form = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
        accepted: list[int] = []
        confidence = scores.copy()
        bounds = np.flatnonzero(np.diff(cells, prepend=-1,
                                        append=np.iinfo(np.int64).max)) if len(cells) else np.zeros(0, np.int64)
        for threshold, most in self.passes:
            for start, stop in zip(bounds[:-1], bounds[1:]):
                new = start + np.flatnonzero(scores[start:stop] > threshold)
                if len(new):
                    self._cell(new, form, boxes, scores, confidence, accepted, most)
        return np.array(accepted, np.int64), confidence[accepted]

    def _cell(self, new: NDArray[np.int64], form: Floats, boxes: Floats, scores: Floats, confidence: Floats,
              accepted: list[int], most: float) -> None:
        """Take in the boxes of one cell."""
        old = np.array(accepted, np.int64)
        touch = _touch(form[new], form[old])
        near = touch.any(0)
        if not near.any():
            accepted += new.tolist()
            return
        old, touch = old[near], touch[:, near]
        distance = np.abs(form[new][:, None] - form[old][None]).sum(-1)
        rows, columns = linear_sum_assignment(1000.0 - 100.0 * touch + distance / 1000.0)
        out: set[int] = set()
        for r, c in zip(rows, columns):
            mine, other = int(new[r]), int(old[c])
            if scores[mine] > most:
                out.add(mine)
            elif touch[r, c]:
                if scores[mine] > scores[other] and _iou(boxes[mine], boxes[other]) > self.replace:
                    confidence[mine] = scores[other]
                    accepted.remove(other)
                else:
                    out.add(mine)
        accepted += [k for k in new.tolist() if k not in out]


def _touch(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Whether boxes (centre, size) touch, edges included."""
    apart, reach = np.abs(a[:, None, :2] - b[None, :, :2]), (a[:, None, 2:] + b[None, :, 2:]) / 2
    return np.asarray((apart <= reach).all(-1))


def _iou(a: Floats, b: Floats) -> float:
    side = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    both = float(side.prod())
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - both
    return both / union if union > 0 else 0.0
