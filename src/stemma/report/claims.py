"""What papers claim, held against what was measured: of each claim what it would take, and a verdict with its reason.

A claim is a sentence, a number and a place. The sentence says the measure, the data and the conditions; "the same ..."
is the claim before it with one thing changed. Two claims of one measure on one set are an ordering, in a paper or
between two.
"""
from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.paper import Claim, Paper, get, papers
from ..core.types import StemmaError

Word = Literal["reproduced", "same order", "contradicted", "cannot say"]
CLOSE = 0.01  # a number is reproduced within a point, or within what its own seeds differ
FAR = 0.03  # and contradicted from three points on, where the seeds do not reach it
# how a claim names its data: (words, name, classes of it, pictures of its splits)
SETS: tuple[tuple[str, str, int, dict[str, int]], ...] = (
    (r"VOC 2007|voc07", "VOC 2007", 20, {"test": 4952, "trainval": 5011}),
    (r"VOC 2010", "VOC 2010", 20, {}),
    (r"VOC 2012 val", "VOC 2012 val", 20, {}),
    (r"VOC 2012", "VOC 2012", 20, {"test": 10991, "val": 5823}),
    (r"seg11valid", "VOC 2011 seg val", 20, {"val": 736}),
    (r"COCO", "COCO", 80, {"val": 5000}),
    (r"ILSVRC 2013", "ILSVRC 2013", 200, {}),
    (r"ImageNet", "ImageNet detection", 200, {}),
    (r"Brainwash", "Brainwash", 1, {}),
    (r"Cityscapes", "Cityscapes", 19, {"val": 500}),
    (r"ADE20k", "ADE20k", 150, {"val": 2000}),
    (r"Mapillary", "Mapillary Vistas", 65, {"val": 2000}),
    (r"ISBI EM", "ISBI EM challenge", 1, {}), (r"PhC-U373", "PhC-U373", 1, {}), (r"DIC-HeLa", "DIC-HeLa", 1, {}),
)
MEASURES = (  # the first pattern that a claim's words fit
    (r"mask AP|masks? AP", "mask_AP"), (r"keypoint AP", "keypoint_AP"), (r"AR@10\b.*masks", "mask_AR10"),
    (r"AR@100\b.*masks", "mask_AR100"), (r"AR@1000\b.*masks", "mask_AR1000"), (r"AR@1000", "AR1000"),
    (r"AR@100\b", "AR100"), (r"AR@10\b", "AR10"), (r"mean IoU of boxes", ""), (r"mean IoU", "mIoU"), (r"\bPQ\b", "PQ"),
    (r"AP of points", "point_AP"), (r"mAP of image labels", "image_AP"), (r"equal error rate", "EER"),
    (r"count error", "count_error"), (r"AP at IoU \.5", "AP50"), (r"mAP at \.7", ""), (r"mAP", "VOC_AP50"),
    (r"box AP|\bAP\b", "AP"), (r"return", "return"),
)


@dataclass(frozen=True)
class Stated:
    """A claim as it is read: measure and data by our names, "" where there is no program for them."""

    paper: Paper
    claim: Claim
    measure: str
    data: str
    conditions: str  # its words, in which of two claims what differs is looked for

    @property
    def takes(self) -> str:
        """What it would take to check it."""
        if not self.measure:
            return "no measure of ours says this"
        place = self.data or "data that the claim does not name"
        return f"{self.paper.cli_name} by its published preset and length, {self.measure} on {place}"


def stated(paper: Paper) -> list[Stated]:
    """A paper's claims as they are read, in the card's order."""
    out: list[Stated] = []
    for claim in paper.claims:
        same = claim.what.startswith("the same") and out
        words = f"{out[-1].conditions}; {claim.what}" if same else f"{claim.what} ({claim.source})"
        measure = next((m for pattern, m in MEASURES if re.search(pattern, words)), "")
        data = next((name for pattern, name, _, _ in SETS if re.search(pattern, words)), "")
        measure = "VOC_AP50_11" if measure == "VOC_AP50" and data == "VOC 2007" else measure
        first = out[-1].conditions if same else claim.what
        out.append(Stated(paper, claim, measure, data, first if same else claim.what))
    return out


@dataclass(frozen=True)
class Order:
    """`first` is said to be better than `second`: two claims of one measure, on one set, under like conditions."""

    first: Stated
    second: Stated

    @property
    def says(self) -> str:
        a, b = self.first, self.second
        of = lambda s: f"{s.paper.cli_name} {s.claim.value:g}"  # noqa: E731
        return f"{of(a)} above {of(b)} ({a.measure}, {a.data}{', ' + _trained(a) if _trained(a) else ''})"


def _trained(s: Stated) -> str:
    found = re.search(r"trained on [\w+]+", s.conditions)
    return found[0] if found else ""


def orders(among: Iterable[Paper]) -> list[Order]:
    """What the claims of several papers say of one another: of each measure, set and training data the first that a
    paper states of itself."""
    firsts: dict[tuple[str, str, str], dict[str, Stated]] = {}
    for p in among:
        for s in stated(p):
            if s.measure and s.data and not s.claim.what.startswith("the same"):
                firsts.setdefault((s.measure, s.data, _trained(s)), {}).setdefault(p.name, s)
    out = []
    for group in firsts.values():
        listed = list(group.values())
        for i, a in enumerate(listed):
            for b in listed[i + 1 :]:
                if a.claim.value != b.claim.value:
                    out.append(Order(*((a, b) if a.claim.value > b.claim.value else (b, a))))
    return out


# ---------------------------------------------------------------- what was measured


@dataclass(frozen=True)
class Measured:
    """A system as it was measured: its values by measure, one a seed, and on what."""

    name: str
    paper: str
    preset: str
    values: dict[str, list[float]]
    data: str
    classes: tuple[str, ...]
    split: str
    pictures: int
    budget: str
    settings: tuple[str, ...] = ()

    def known(self) -> str:
        """The published set that these data are by their classes and count of pictures; "" where they are none."""
        return next((name for _, name, classes, sizes in SETS
                     if len(self.classes) == classes and self.pictures in sizes.values()), "")


def read(where: str | Path) -> list[Measured]:
    """The systems of a comparison's folder or of a run's. Raises `StemmaError` where there is neither, or a run that
    was not measured."""
    path = Path(where)
    if (path / "results.json").is_file():
        return [m for m in _of_comparison(json.loads((path / "results.json").read_text(encoding="utf-8")))]
    if not (path / "run.json").is_file():
        raise StemmaError(f"{path} is neither a run nor a comparison: it has no run.json and no results.json")
    record = json.loads((path / "run.json").read_text(encoding="utf-8"))
    lines = [json.loads(x) for x in (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()] if (
        path / "metrics.jsonl").is_file() else []
    found: dict[str, Any] = next((x for x in reversed(lines) if x.get("kind") == "val"), {})
    if not found:
        raise StemmaError(f"{path} was not measured yet: its metrics hold no validation")
    info = record.get("info") or {}
    classes = tuple((info.get("classes") or {}).get("names", ())) or tuple(record["data"].get("classes", ()))
    values = {k: [float(v)] for k, v in found.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    where_at = str(record["data"].get("where", ""))
    count, budget = int(record["data"].get("val_images", 0)), str(record.get("budget", ""))
    return [Measured(str(path), record["paper"], record["preset"], values, where_at, classes, "val", count, budget,
                     tuple(f"{k}={v}" for k, v in (record.get("sets") or {}).items()))]


def _of_comparison(results: dict[str, Any]) -> list[Measured]:
    data = results["data"]
    out = []
    for s in results["systems"]:
        if "paper" not in s:
            continue
        values = {k: [float(v) for v in row["values"]] for k, row in s["summary"].items() if row.get("values")}
        out.append(Measured(s["id"], s["paper"], s["preset"], values, str(data.get("where", data.get("name", ""))),
                            tuple(data.get("classes", ())), str(data.get("split", "")), int(data.get("measured") or 0),
                            str(results["budget"])))
    return out


# ---------------------------------------------------------------- verdicts


@dataclass(frozen=True)
class Verdict:
    """What is said of a claim or an ordering, and why."""

    word: Word
    why: str


def of_number(s: Stated, m: Measured) -> Verdict:
    """Whether a measured system bears a claim's number out. It can only where it is the published system, trained as
    long, on the set that the claim names."""
    if not s.measure:
        return Verdict("cannot say", "no measure of ours says this")
    values = m.values.get(s.measure)
    if not values:
        return Verdict("cannot say", f"{s.measure} was not measured")
    reasons = []
    if not s.data or m.known() != s.data:
        reasons.append(f"other data: {m.data or 'unnamed'}, claimed on {s.data or 'a set that is not named'}")
    if m.preset == "small" or m.preset.endswith("-small"):
        reasons.append(f"other scale: preset {m.preset}")  # and whatever its length, none was published
    elif m.budget not in ("paper", published := s.paper.recipe(m.preset).length):
        reasons.append(f"other length: {m.budget}, published {published}")
    if m.settings:
        reasons.append(f"other settings: {', '.join(m.settings)}")
    if reasons:
        return Verdict("cannot say", "; ".join(reasons))
    mean, spread = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
    off, scale = abs(mean - s.claim.value), max(abs(s.claim.value), 1.0)
    said = f"{mean:.3f} measured, {s.claim.value:g} claimed"
    if off <= max(CLOSE * scale, spread):
        return Verdict("reproduced", said)
    if off >= FAR * scale and off > 2 * spread and len(values) > 1:
        return Verdict("contradicted", f"{said}, over {len(values)} seeds")
    return Verdict("cannot say", f"{said}: " + ("one seed" if len(values) == 1 else "the seeds reach as far"))


def of_order(o: Order, measured: Sequence[Measured]) -> Verdict:
    """Whether what is claimed to be better was better: both measured alike, in the same comparison or on the same data,
    and their seeds apart."""
    of = lambda s: [m for m in measured if get(m.paper).name == s.paper.name]  # noqa: E731
    pairs = [(a, b) for a in of(o.first) for b in of(o.second)
             if (a.data, a.split, a.pictures, a.budget) == (b.data, b.split, b.pictures, b.budget)]
    if not pairs:
        return Verdict("cannot say", "the two were not measured on the same data under one budget")
    for measure in dict.fromkeys((o.first.measure, "AP", "mIoU", "PQ")):
        found = next(((a, b) for a, b in pairs if measure in a.values and measure in b.values), None)
        if found is not None:
            break
    else:
        return Verdict("cannot say", "they have no measure in common")
    a, b = found[0].values[measure], found[1].values[measure]
    said = f"{measure} {statistics.fmean(a):.3f} and {statistics.fmean(b):.3f} on {found[0].data}"
    if min(len(a), len(b)) < 2:
        return Verdict("cannot say", f"{said}: one seed")
    low, high = sorted((a, b), key=statistics.fmean)
    if max(low) >= min(high):
        return Verdict("cannot say", f"{said}: seeds overlap")
    right = statistics.fmean(a) > statistics.fmean(b)
    return Verdict("same order" if right else "contradicted", f"{said}, over {min(len(a), len(b))} seeds or more")


def listed(paper: str | None = None) -> list[dict[str, Any]]:
    """Every claim of a paper, or of all, with its source and what it would take to check it."""
    return [{"paper": s.paper.cli_name, "what": s.claim.what, "value": s.claim.value, "source": s.claim.source,
             "measure": s.measure or None, "data": s.data or None, "takes": s.takes}
            for p in ([get(paper)] if paper else papers()) for s in stated(p)]


def checked(measured: Sequence[Measured], paper: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """The claims and orderings that measured systems may speak to, each with its verdict and why."""
    cards = {m.paper: get(m.paper) for m in measured}
    only = get(paper).name if paper else None
    numbers = []
    for m in measured:
        for s in stated(cards[m.paper]):
            if only in (None, s.paper.name):
                v = of_number(s, m)
                numbers.append({"paper": s.paper.cli_name, "what": s.claim.what, "value": s.claim.value,
                                "source": s.claim.source, "run": m.name, "verdict": v.word, "why": v.why})
    between = []
    for o in orders({c.name: c for c in cards.values()}.values()):
        if only in (None, o.first.paper.name, o.second.paper.name):
            v = of_order(o, measured)
            between.append({"says": o.says, "sources": [o.first.claim.source, o.second.claim.source],
                            "verdict": v.word, "why": v.why})
    return {"numbers": numbers, "orders": between}


def of_results(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What a comparison says to the orderings between its papers' claims."""
    return checked(_of_comparison(results))["orders"]


__all__ = ["Measured", "Order", "Stated", "Verdict", "checked", "listed", "of_number", "of_order", "of_results",
           "orders", "read", "stated"]
