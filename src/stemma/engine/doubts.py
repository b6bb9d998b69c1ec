"""Likely errors of labels: where a trained system disagrees with the truth, and is sure.

Three kinds: something is found where nothing is labelled, something labelled is found as another class, and something
labelled of which nothing at all was found. On pictures that it was trained on a system disagrees seldom, and then the
more is to be looked at. What is missed by a system that misses most things says nothing of labels.
"""
from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from ..core.sentence import many
from ..core.types import StemmaError
from ..data.records import Records
from ..metrics.detection import box_iou
from .running import checkpoint
from .wings import predict, wing_of

SURE, NONE = 0.7, 0.05  # scores: what a doubt takes, and what counts as nothing found
SAME, APART = 0.5, 0.1  # overlaps: of one thing, and of none


@dataclass(frozen=True)
class Doubt:
    """A disagreement. `box` (x1, y1, x2, y2) in pixels; `truth` and `found` are classes, "" for nothing; `score` is how
    sure the system is."""

    split: str
    picture: int
    box: tuple[float, ...]
    truth: str
    found: str
    score: float

    def __str__(self) -> str:
        if not self.truth:
            return f"{self.found}, {self.score:.2f}, where nothing is labelled"
        if not self.found:
            return f"labelled {self.truth}, and nothing is found there"
        return f"labelled {self.truth}, found as {self.found}, {self.score:.2f}"


def doubts(run: Any, splits: Mapping[str, Records], *, most: int = 500, device: str = "auto",
           show: bool = False) -> list[Doubt]:
    """Disagreements of a run with the boxes of data, the surest first. At most `most` pictures a split are looked at,
    evenly spread. Classes are matched by name; of those that the run does not know nothing is said. Where it finds
    nothing of more than half of what is labelled, what it misses is left out, with a warning. Raises `StemmaError` for
    a run that finds no boxes."""
    model: Any = checkpoint.resolve(run)
    without = StemmaError(f"{model.paper.cli_name} finds no boxes, and labels are doubted by boxes; name the run of a "
                          "detector")
    if "threshold" not in signature(wing_of(model.paper.task).predict).parameters:
        raise without
    learned = model.info
    known = frozenset(learned.classes.names if learned is not None else ())
    out: list[Doubt] = []
    labelled = 0
    for split, data in splits.items():
        at = np.unique(np.linspace(0, len(data) - 1, min(most, len(data))).round().astype(int)).tolist()
        answers = predict(model, [data.path(i) for i in at], threshold=NONE, device=device, progress=show)
        if any("boxes" not in a for a in answers):
            raise without
        of = {a["file"]: a for a in answers}
        for i in at:
            if (answer := of.get(str(data.path(i)))) is not None:
                doubted, asked = _of_picture(split, i, data, answer, known)
                out += doubted
                labelled += asked
    missed = sum(not d.found for d in out)
    if missed > labelled / 2:
        warnings.warn(f"the run finds nothing at all of {missed:,} of {many(labelled, 'labelled thing')}: it has "
                      "learned too little for what it misses to say anything of labels", stacklevel=2)
        out = [d for d in out if d.found]
    return sorted(out, key=lambda d: -d.score)


def _of_picture(split: str, i: int, data: Records, answer: dict[str, Any],
                known: frozenset[str]) -> tuple[list[Doubt], int]:
    """The doubts of a picture, and how many things are labelled that the system could find."""
    t = data.narrow({"boxes"}).truth(i)
    truth: Sequence[str] = [data.info.classes.names[int(k)] for k in t.labels]
    found, scores, names = np.asarray(answer["boxes"]).reshape(-1, 4), np.asarray(answer["scores"]), answer["names"]
    over = np.asarray(box_iou(found.astype(np.float64), t.boxes.astype(np.float64)))
    out = []
    for k in np.flatnonzero(scores >= SURE):
        if not len(truth) or over[k].max() < APART:
            out.append(Doubt(split, i, tuple(found[k].tolist()), "", names[k], float(scores[k])))
            continue
        j = int(over[k].argmax())
        if over[k, j] < SAME or truth[j] == names[k] or t.crowd[j] or truth[j] not in known:
            continue
        right = (over[:, j] >= SAME) & (np.array(names) == truth[j]) & (scores >= scores[k])
        if not right.any():
            out.append(Doubt(split, i, tuple(t.boxes[j].tolist()), truth[j], names[k], float(scores[k])))
    asked = [j for j in range(len(truth)) if truth[j] in known and not t.crowd[j]]
    out += [Doubt(split, i, tuple(t.boxes[j].tolist()), truth[j], "", 0.0) for j in asked
            if not len(found) or over[:, j].max() < APART]
    return out, len(asked)
