"""Why is another program's number another? The same detections, measured by each rule in which evaluators differ, until
one gives their numbers. `docs/differences.md` says who does what, with versions; its tests run these programs.
"""
from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..core.types import StemmaError
from . import coco, panoptic_differences
from .detection import Floats, Kind, Picture, Record
from .panoptic import PanopticMetric
from .voc import voc

Numbers = dict[str, float]
PANOPTIC = "panoptic"  # a kind of numbers beside those of objects
CLOSE = 5e-6  # numbers that were written with many digits agree up to here: float32, another order of sums
_SIZES = ("small", "medium", "large")
_LIST = ("AP", "AP50", "AP75", *(f"AP_{s}" for s in _SIZES), "AR1", "AR10", "AR100", *(f"AR_{s}" for s in _SIZES))
# names of others, without case, blanks and what stands before the last "/": COCO's, torchmetrics', MMDetection's,
# ultralytics', detectron2's
_NAMES = {
    **{n.lower(): n for n in _LIST}, "map": "AP", "map_50": "AP50", "map_75": "AP75", "map50": "AP50", "map75": "AP75",
    "map50-95": "AP", "ap_50": "AP50", "ap_75": "AP75", "aps": "AP_small", "apm": "AP_medium", "apl": "AP_large",
    "map_s": "AP_small", "map_m": "AP_medium", "map_l": "AP_large", "ar_1": "AR1", "ar_10": "AR10", "ar_100": "AR100",
    **{f"map_{s}": f"AP_{s}" for s in _SIZES}, **{f"mar_{n}": f"AR{n}" for n in (1, 10, 100)},
    "ar@300": "AR300", "ar_300": "AR300", "apr": "APr", "apc": "APc", "apf": "APf",
    **{f"mar_{s}": f"AR_{s}" for s in _SIZES}, "mar@100": "AR100", "ar@100": "AR100", "ar@1": "AR1", "ar@10": "AR10",
}


@dataclass(frozen=True)
class Rule:
    """One way to measure. who: evaluators that do so, with versions, or what makes a file so."""

    name: str
    who: str
    numbers: Callable[[Record, Kind], Numbers]


def _coco(change: Callable[[Picture], Picture] | None = None, lvis: bool = False,
          **how: Any) -> Callable[[Record, Kind], Numbers]:
    def numbers(record: Record, kind: Kind) -> Numbers:
        if lvis and not record.frequency:
            return {}
        pictures = [change(p) if change is not None else p for p in record]
        sizes, truths, found = coco.columns(pictures, kind)
        federated = coco.Federated.of(record) if lvis else None
        return coco.evaluate(sizes, record.names, truths, found, kind, federated=federated, **how).numbers()

    return numbers


def _voc(points: Any, inclusive: bool = False) -> Callable[[Record, Kind], Numbers]:
    return lambda record, kind: {"AP50": voc(record, 0.5, points, inclusive).mean} if kind == "boxes" else {}


def _area(boxes: Floats) -> Floats:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _scored(least: float) -> Callable[[Picture], Picture]:
    return lambda p: p.only(slice(None), p.scores >= least)


def _wider(p: Picture) -> Picture:
    far = np.array([0.0, 0.0, 1.0, 1.0])
    return replace(p, boxes=p.boxes + far, found=p.found + far)


RULES = (
    Rule("COCO's rules, as here", "pycocotools 2.0.11, hotcoco 1.3.0", _coco()),
    Rule("LVIS's rules, as here on its data", "lvis 0.5.3, hotcoco 1.3.0", _coco(lvis=True)),
    Rule("thresholds of IoU in float32", "torchmetrics 1.9.0", _coco(
        thresholds=np.linspace(0.5, 0.95, 10).astype(np.float32).astype(np.float64))),
    Rule("sizes by the box, not by `area`", "torchmetrics 1.9.0, files without `area`",
         _coco(lambda p: replace(p, area=_area(p.boxes)))),
    Rule("crowds are objects like others", "programs that do not read `iscrowd`",
         _coco(lambda p: replace(p, crowd=np.zeros_like(p.crowd)))),
    Rule("crowds are not there", "files from which they were taken", _coco(lambda p: p.only(~p.crowd, slice(None)))),
    Rule("300 detections a picture count", "a raised limit", _coco(limits=(1, 10, 300))),
    Rule("1000 detections a picture count", "a raised limit", _coco(limits=(1, 10, 1000))),
    Rule("10 detections a picture count", "a lowered limit", _coco(limits=(1, 10))),
    Rule("classes do not count", "useCats=0, class-agnostic measures", _coco(agnostic=True)),
    *(Rule(f"detections below a score of {s:g} left out", "files of what is shown", _coco(_scored(s)))
      for s in (0.001, 0.01, 0.05, 0.1, 0.25, 0.3, 0.5)),
    Rule("a box's far edge is a pixel of it", "width = x2 - x1 + 1", _coco(_wider)),
    Rule("VOC, all points", "VOC 2010 on, IoU .5", _voc("all")),
    Rule("VOC, 11 points", "VOC 2007, IoU .5", _voc("11")),
    Rule("VOC, 11 points, far edges are pixels", "VOC's own kit, IoU .5", _voc("11", True)),
)


def _sigmas(of: Callable[[int], tuple[float, ...]]) -> Callable[[Record, Kind], Numbers]:
    def numbers(record: Record, kind: Kind) -> Numbers:
        _, truths, _ = coco.columns(list(record), kind)
        count = 0 if truths.keypoints is None else truths.keypoints.shape[1]
        return _coco(sigmas=of(count))(record, kind) if count else {}

    return numbers


POINT_RULES = (  # of keypoints alone
    Rule("one sigma, .05, for every keypoint", "data of other points than COCO's",
         _sigmas(lambda k: (coco.UNIFORM,) * k)),
    Rule("the first of COCO's sigmas", "hotcoco 1.3.0 of other points than COCO's",
         _sigmas(lambda k: coco.PERSON[:k] if k <= len(coco.PERSON) else ())),
)


def read(file: str | Path) -> dict[str, Numbers]:
    """Their numbers, by kind ("boxes", "masks", "keypoints", "panoptic") and by our names: a list of COCO's twelve, or
    a dictionary by the names that COCO, panopticapi, torchmetrics, MMDetection, detectron2 or ultralytics give, flat or
    by kind ("bbox", "segm"). Numbers above 1 are in hundredths; those below 0 say nothing. Raises `StemmaError` where
    none is known."""
    try:
        told = json.loads(Path(file).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise StemmaError(f"cannot read {file}: {error}; give a JSON file of the other program's numbers, such as "
                          '{"AP": 0.412, "AP50": 0.63}') from error
    out: dict[str, Numbers] = {"boxes": {}, "masks": {}, "keypoints": {}, PANOPTIC: {}}
    for kind, name, value in (*_told(told, "boxes"), *_of_segments(told)):
        out[kind][name] = value
    out = {k: v for k, v in out.items() if v}
    if not out:
        raise StemmaError(f"{file} holds no number that is known here: name them AP, AP50, AP75, AP_small, AR100, ... "
                          "(or as COCO, torchmetrics, MMDetection, detectron2 or ultralytics do), and of panoptic "
                          "quality PQ, SQ, RQ, PQ_things, PQ_stuff")
    if max(v for part in out.values() for v in part.values()) > 1:
        out = {k: {n: v / 100 for n, v in part.items()} for k, part in out.items()}
    return out


def _told(told: Any, kind: Kind) -> Iterable[tuple[Kind, str, float]]:
    if isinstance(told, list):
        told = dict(zip(_LIST, told)) if len(told) == len(_LIST) else {}
    for key, value in told.items() if isinstance(told, dict) else ():
        own: Kind = ("masks" if re.search(r"segm|mask|\(M\)", str(key)) else
                     "keypoints" if re.search(r"keypoint|pose|\(P\)", str(key)) else
                     "boxes" if re.search(r"bbox|box|\(B\)", str(key)) else kind)
        if isinstance(value, (dict, list)):
            yield from _told(value, own)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
            plain = re.sub(r"\((B|M|P)\)|\s", "", str(key).rpartition("/")[2])
            name = _NAMES.get(re.sub(r"^(bbox|segm|mask|box|keypoints?)_", "", plain).lower())
            if name is not None:
                yield own, name, float(value)


def _of_segments(told: Any, part: str = "") -> Iterable[tuple[str, str, float]]:
    """Numbers of panoptic quality: panopticapi's {"All": {"pq": ...}, "Things": ..., "Stuff": ...}, or PQ, PQ_th and
    PQ_st as others write them."""
    for key, value in told.items() if isinstance(told, dict) else ():
        name = re.sub(r"\s", "", str(key).rpartition("/")[2]).lower()
        of = {"things": "_things", "stuff": "_stuff", "th": "_things", "st": "_stuff"}
        if isinstance(value, dict):
            yield from _of_segments(value, of.get(name, ""))
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
            first, _, rest = name.partition("_")
            if first in ("pq", "sq", "rq") and (not rest or rest in of):
                yield PANOPTIC, first.upper() + (of[rest] if rest else part), float(value)


def explain(record: Record | None, theirs: Mapping[str, Numbers],
            panoptic: PanopticMetric | None = None) -> list[dict[str, Any]]:
    """Each rule, nearest first: `rule`, `who`, `kind`, `apart` (the largest difference to their numbers), `same`
    (whether no number differs), and `numbers`, ours by that rule beside theirs. One that says nothing of any of their
    numbers is left out. Raises `StemmaError` where theirs are of a kind that was not measured."""
    out = []
    here = [*([PANOPTIC] if panoptic is not None else []), *(record.kinds if record is not None else ())]
    known = (*_LIST, "APr", "APc", "APf", "AR300", *panoptic_differences.NAMES)
    for kind, told in theirs.items():
        if kind not in here:
            raise StemmaError(f"their numbers are of {kind}, and what is measured here is {', '.join(here) or 'maps'}")
        told = {k: v for k, v in told.items() if k in known}
        rules: list[tuple[Any, Callable[[], Numbers]]]
        if panoptic is not None and kind == PANOPTIC:
            rules = [(r, partial(r.numbers, panoptic)) for r in panoptic_differences.RULES]
        else:
            own: Any = (*RULES, *(POINT_RULES if kind == "keypoints" else ()))
            rules = [(r, partial(r.numbers, record, kind)) for r in own]
        for rule, numbers in rules:
            ours = {k: v for k, v in numbers().items() if k in told and not math.isnan(v)}
            apart = [abs(v - told[k]) for k, v in ours.items()]
            if apart:
                same = all(a <= _near(told[k]) for a, k in zip(apart, ours))
                out.append({"rule": rule.name, "who": rule.who, "kind": kind, "apart": max(apart),
                            "same": same and len(ours) == len(told),
                            "numbers": {k: [v, told[k]] for k, v in ours.items()}})
    return sorted(out, key=lambda r: (r["kind"], not r["same"], r["apart"]))


def _near(value: float) -> float:
    """How far a number may be from one that was written with so many digits: half of its last one, or CLOSE."""
    digits = len(f"{value:.10f}".rstrip("0").partition(".")[2])
    return 0.5 * 10.0**-digits + 1e-9 if digits <= 4 else CLOSE


__all__ = ["RULES", "Rule", "explain", "read"]
