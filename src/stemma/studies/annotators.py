"""Do people agree on what they cannot see? How far several annotations of one picture agree on whole regions and on
which is in front, by how much of a region is occluded (Semantic Amodal Segmentation sec. 4).

    python -m stemma.studies.annotators regions.json
    python -m stemma.studies.annotators --scenes 60 --noise .1

writes annotators.json: of a COCO-A file in which pictures have more than one annotation, or of drawn scenes that two
annotators outline, whose hand is the less steady the more of an object is hidden.

    F        regions of one against those of the other, paired at IoU .5
    IoU      of a region with the likest of the other annotation, by occlusion: none, up to a quarter, more
    order    share of pairs that both order in which they say the same
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..core import interrupts, outputs
from ..core.types import Sample, StemmaError
from ..data.readers.amodal import annotated
from ..data.readers.documents import load_json
from ..data.scenes import Scenes
from ..engine.running.progress import going
from ..metrics import plain
from ..metrics.amodal import HEAVY, OCCLUSION, Agreement, agreement
from ..ops.depth import depth_pairs
from . import Asked, keep, natural, number, seed


def unsteady(s: Sample, noise: float, rng: np.random.Generator) -> Sample:
    """A picture as an annotator outlines it: each object moved and stretched by up to `noise` of its size, and by up to
    three times that in proportion to what of it is hidden. What is in front of what stays."""
    assert s.masks is not None and s.amodal is not None
    whole = np.stack([_drawn(a, noise * (1 + 2 * (1 - m.sum() / max(a.sum(), 1))), rng)
                      for m, a in zip(s.masks, s.amodal, strict=True)]) if len(s.amodal) else s.amodal
    pairs = depth_pairs(s.masks, s.amodal)
    visible = whole.copy()
    for front, back in pairs.tolist():
        visible[back] &= ~whole[front]
    return Sample(None, s.size, s.boxes, s.labels, s.crowd, s.area, masks=visible, amodal=whole)


def _drawn(mask: np.ndarray, by: float, rng: np.random.Generator) -> np.ndarray:
    """A mask read at places that are moved and stretched by up to `by` of its sides."""
    ys, xs = np.nonzero(mask)
    if not len(ys):
        return mask
    out = []
    for at, n in ((ys, mask.shape[0]), (xs, mask.shape[1])):
        middle, side = (at.min() + at.max()) / 2, at.max() - at.min() + 1
        shift, stretch = rng.uniform(-by, by, 2)
        out.append(((np.arange(n) - middle - shift * side) / (1 + stretch) + middle).round().astype(int))
    inside = [(v >= 0) & (v < n) for v, n in zip(out, mask.shape, strict=True)]
    read = mask[np.ix_(*(v.clip(0, n - 1) for v, n in zip(out, mask.shape, strict=True)))]
    return np.asarray(read & inside[0][:, None] & inside[1][None], bool)


def drawn(count: int, noise: float, seed: int = 0) -> Iterator[tuple[Sample, Sample]]:
    """Two annotations of each of so many scenes."""
    data, rng = Scenes(count, size=128, seed=seed), np.random.default_rng(seed)
    for i in range(count):
        s = data.truth(i)
        yield unsteady(s, noise, rng), unsteady(s, noise, rng)


def told(file: str | Path) -> Iterator[tuple[Sample, Sample]]:
    """Every two annotations of a picture in a COCO-A file. Raises `StemmaError` where no picture has two."""
    found = 0
    for several in annotated(load_json(Path(file))[0], str(file)).values():
        for pair in combinations(several, 2):
            found += 1
            yield pair
    if not found:
        raise StemmaError(f"{file}: no picture has two annotations, by which annotators could be compared")


def numbers(pairs: Iterator[tuple[Sample, Sample]]) -> dict[str, Any]:
    """F, IoU by occlusion and order over all pairs of annotations, ready for JSON."""
    every: list[Agreement] = [agreement(a, b) for a, b in going(pairs, "pairs of annotations")]
    best, rate = (np.concatenate([getattr(a, k) for a in every] or [np.zeros(0)]) for k in ("best", "rates"))
    group = np.select([rate <= 0, rate <= HEAVY], [0, 1], 2)
    ordered = sum(a.ordered for a in every)
    iou = {name: float(best[group == k].mean()) if (group == k).any() else float("nan")
           for k, name in enumerate(OCCLUSION)}
    regions = sum(sum(a.counts) for a in every)
    out = {"pairs": len(every), "F": 2 * sum(a.pairs for a in every) / regions if regions else float("nan"),
           "IoU": iou, "regions": {name: int((group == k).sum()) for k, name in enumerate(OCCLUSION)},
           "order": sum(a.alike for a in every) / ordered if ordered else float("nan"), "ordered": ordered}
    return dict(plain(out))


def main(argv: Sequence[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("annotators", __doc__)
    parser.add_argument("file", nargs="?", help="annotations in COCOA's JSON; drawn scenes where it is not given")
    parser.add_argument("--scenes", type=natural, default=60, help="how many are drawn")
    parser.add_argument("--noise", type=number(float, 0), default=0.1,
                        help="how far the drawn annotators err, as a share of a region's size")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--out", default="runs/annotators")
    a = parser.parse_args(argv)
    place = Path(a.out) / "annotators.json"
    outputs.claim([place])
    record = numbers(told(a.file) if a.file else drawn(a.scenes, a.noise, a.seed))
    keep(place, record)
    score = lambda v: "-" if v is None else f"{v:.3f}"  # noqa: E731
    print(f"{record['pairs']} pairs of annotations: F {score(record['F'])}, order {score(record['order'])} of "
          f"{record['ordered']}")
    print("IoU " + ", ".join(f"{k} {score(v)} ({record['regions'][k]})" for k, v in record["IoU"].items()))


if __name__ == "__main__":
    interrupts.command(main)
