"""What is claimed of heads that look inside regions, held against finished runs: where it is gained, and by what.

    python -m stemma.studies.regions runs/fpn runs/grid-rcnn --data scenes --of square --of disc,ellipse

takes runs of detectors, measures them on the same pictures and writes regions.json and regions.html:

    overlap      AP at each overlap that is asked for, of groups of classes apart (--of): Grid R-CNN's gain at .8 and .9
    suppression  AP, miss rate and error of counts against the overlap that boxes of a class may have: who needs NMS
                 least
    mistakes     false finds that score --score or more, by kind, and DCR's before: its hard false positives, and how
                 many are left where the detector's own classifier names its finds again
    proposals    recall of the 50, 100 and 300 best proposals: guided anchoring's fewer and better ones
    levels       of which level the features of a region are, by its size: PANet's "more than half from others"
    heights      the miss rate by the height of what is looked for, and the share of proposals whose bins collapse on
                 the map that is pooled from: RPN+BF's reason why a second look degrades small people
    offsets      the effective dilation of deformable convolutions by the size of the object that they stand on, and on
                 background: Deformable ConvNets' table 2

A run is left out of a part that says nothing of it.
"""
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core import interrupts, outputs
from ..core.types import Dataset, StemmaError
from ..data.open import open_split, spread
from ..engine.pictures import outside
from ..engine.pictures.measure import run_over
from ..engine.running import checkpoint
from ..engine.running.devices import pick_device
from ..engine.running.progress import counting, going
from ..metrics import Evaluator, coco, f1, matches
from ..metrics.count import counts
from ..metrics.detection import Record
from ..metrics.errors import errors
from ..metrics.miss import miss_rate
from ..metrics.recall import average_recall
from ..ops import roi
from ..parts.dense.post import PerClassNMS, SoftNMS
from ..parts.regions.deformable import DeformConv, dilations
from ..report import charts
from ..report.tags import tag
from ..skeletons.refined import RefinedModel
from ..skeletons.two_stage import TwoStageModel
from . import Asked, keep, natural, number

OVERLAPS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
ALLOWED = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # overlaps that boxes of a class may have
COUNTS = (50, 100, 300)
NONE = 10.0  # an overlap that no two boxes have: nothing is dropped

# ---------------------------------------------------------------- the parts


def seen(model: nn.Module, data: Dataset, device: str, of: str = "predict") -> Record:
    """What is true and what a model finds, or proposes, on every picture."""
    m: Any = model
    found = Evaluator(data.info, "detection" if of == "predict" else "proposals", kinds=("boxes",))
    with counting(f"{m.paper.label}: pictures", len(data)) as tell:
        for part in run_over(m, data, m.recipe, batch=8, device=device, precision="fp32", needs=frozenset(), of=of):
            for i, said in zip(part.batch.index.tolist(), part.predictions, strict=True):
                found.add(data.truth(i), said, i)
            if tell is not None:
                tell(len(found.record))
    return found.record


def by_overlap(record: Record, groups: dict[str, tuple[int, ...]], apart: bool = True) -> dict[str, list[float]]:
    """AP at each of `OVERLAPS`, mean over the classes of each group; of all objects, where classes are not told
    `apart`."""
    sizes, truths, found = coco.columns(list(record))
    scores = coco.evaluate(sizes, record.names, truths, found, agnostic=not apart)
    if not apart:
        return {"all": [scores.ap(t) for t in OVERLAPS]}
    return {name: [float(np.nanmean([scores.ap(t, label=k) for k in labels])) for t in OVERLAPS]
            for name, labels in groups.items()}


def mistakes(record: Record, least: float) -> dict[str, int]:
    """False finds that score `least` or more, by kind (`metrics.errors`), and "right", those that are none."""
    sure = Record(record.names, ("boxes",))
    for one in record:
        sure.add(one.only(slice(None), one.scores >= least))
    count: dict[str, int] = {k: n for k, n in errors(sure).count.items() if k != "missed"}
    return count | {"right": sum(len(one.scores) for one in sure) - sum(count.values())}


@contextmanager
def unrefined(model: RefinedModel) -> Iterator[None]:
    """The model with the word of its detector alone."""
    m: Any = model
    m.predict = MethodType(TwoStageModel.predict, m)
    try:
        yield
    finally:
        del m.predict


@contextmanager
def itself(model: RefinedModel) -> Iterator[None]:
    """The model with its detector's classifier in the place of the net that shares nothing with it: each find is pooled
    and named again where it was moved to, and scores are multiplied alike."""
    m: Any = model
    maps: list[Any] = []

    def found(raw: Any, sizes: Tensor) -> Any:
        maps[:] = [m.prepared(raw.levels)[0]]
        return RefinedModel.found(m, raw, sizes)

    m.found, m.named = found, lambda boxes: m.see(0, maps[0], boxes)[0][0]
    try:
        with changed(m, view=lambda images, boxes, sizes: boxes):
            yield
    finally:
        del m.found, m.named


@contextmanager
def changed(model: nn.Module, **slots: Any) -> Iterator[None]:
    """The model with other slots of its spec, of those that are read as it answers."""
    m: Any = model
    was = m.spec
    m.spec = replace(was, **slots)
    try:
        yield
    finally:
        m.spec = was


def allowed(model: nn.Module, iou: float) -> AbstractContextManager[None]:
    """The model with suppression at another overlap, and what overlaps more dropped, where its scores would fall
    softly."""
    m: Any = model
    first, *rest = m.spec.post
    hard = {"sigma": 0.0} if isinstance(first, SoftNMS) else {}
    return changed(m, post=(replace(first, iou=iou, **hard), *rest))


def miscounted(record: Record) -> float:
    """Mean error of counts, of what scores as much as the best F1 wants."""
    return counts(record, float(np.nextafter(f1(matches(record, 0.5)).best_threshold, -np.inf))).error


def suppression(model: nn.Module, data: Dataset, device: str) -> dict[str, Any] | None:
    """{"own": the overlap it was made for, "rows": [[overlap, AP, miss rate, error of counts], ...]}. Where nothing is
    suppressed by itself, or scores fall softly, own is `NONE`, and the last of the rows is the model as it is. Counted
    is what scores as much as the best F1 wants. None for a model that suppresses in another way."""
    post = getattr(getattr(model, "spec", None), "post", ())
    if not post or not isinstance(post[0], PerClassNMS):
        return None
    own, rows = NONE if getattr(post[0], "sigma", 0.0) else post[0].iou, []
    for iou in (*ALLOWED, *[own] * (own >= 1)):
        with allowed(model, iou) if iou < 1 else nullcontext():
            record = seen(model, data, device)
        sizes, truths, found = coco.columns(list(record))
        rows.append([iou, coco.evaluate(sizes, record.names, truths, found).ap(), miss_rate(record).mean,
                     miscounted(record)])
    return {"own": own, "rows": rows}


def proposals(model: nn.Module, data: Dataset, device: str) -> dict[str, float] | None:
    """Average recall of the best `COUNTS` proposals, classes aside; as many are asked for, of as many candidates. None
    for a model that makes none."""
    rule, most = getattr(getattr(model, "spec", None), "rpn", None), max(COUNTS)
    if rule is None:
        return None
    more = replace(rule.proposals, keep=most, pre=max(rule.proposals.pre, 4 * most))
    with changed(model, rpn=replace(rule, proposals=more)):
        return average_recall(seen(model, data, device, "proposals"), COUNTS)


@torch.no_grad()
def levels(model: nn.Module, data: Dataset, device: str) -> list[dict[str, Any]] | None:
    """For the objects that FPN's eq. 1 gives to each level: {"level": its number, "objects", "side": the mean root of
    their areas in network pixels, "from": the share of fused features that each level has}. None for a model whose
    regions read one level."""
    m: Any = model
    head = next((h for h in getattr(m, "heads", ()) if hasattr(h, "winners")), None)
    if head is None:
        return None
    n = len(head.first)
    own, side, share = np.zeros(0, np.int64), np.zeros(0), np.zeros((0, n))
    for raw in outside.loader(m, data, m.recipe, batch=8, needs=frozenset({"boxes"})).epoch(0):
        b = raw.to(device)
        boxes, valid = b.targets.boxes, b.targets.valid
        if not valid.any():
            continue
        of = head.winners(m(b.images).levels, boxes)[valid]
        at = roi.level_of(boxes, head.strides[:n], head.pool.canonical)[valid]
        area = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1).sqrt()[valid]
        own, side = np.concatenate([own, at.cpu().numpy()]), np.concatenate([side, area.cpu().numpy()])
        share = np.concatenate([share, of.cpu().numpy()])
    return [{"level": k, "objects": int((own == k).sum()), "side": float(side[own == k].mean()),
             "from": share[own == k].mean(0).tolist()} for k in range(n) if (own == k).any()]


def pooling(model: nn.Module) -> tuple[Any, tuple[float, ...]] | None:
    """(the pooling that looks inside regions, the strides of the maps that it reads); None where none does."""
    m: Any = model
    if getattr(m, "forest", None) is not None:
        return m.spec.pool, tuple(m.out.strides[:1])
    head = next((h for h in getattr(m, "heads", ()) if hasattr(h, "pool")), None)
    return None if head is None else (head.pool, tuple(head.strides))


def collapsed(pool: Any, strides: tuple[float, ...], boxes: Tensor) -> Tensor:
    """bool (...): whether a region has fewer cells than bins along a side, so that bins repeat one another (RPN+BF
    sec. 2). boxes: (..., 4), pixels of the network's input."""
    n = min(getattr(pool, "levels", 1), len(strides))
    at = torch.tensor(strides[-1:] if n == 1 else strides[:n], dtype=boxes.dtype, device=boxes.device)
    stride = at[0] if n == 1 else at[roi.level_of(boxes, tuple(int(s) for s in strides[:n]), pool.canonical)]
    side = boxes[..., 2:] - boxes[..., :2]
    few: Tensor = (side < pool.size * (stride[..., None] if stride.ndim else stride)).any(-1)
    return few


def missed_by_height(record: Record) -> list[dict[str, Any]]:
    """Of four ranges of height which hold as many objects each, in pixels of the files: {"from", "to", "objects",
    "miss": MR-2 of them}."""
    tall = np.concatenate([(b.boxes[:, 3] - b.boxes[:, 1])[~b.crowd] for b in record])
    ends = [0.0, *np.quantile(tall, (0.25, 0.5, 0.75)).tolist(), np.inf] if len(tall) else [0.0, np.inf]
    return [{"from": low, "to": high, "objects": int(((tall >= low) & (tall < high)).sum()),
             "miss": miss_rate(record, least=low, most=np.nextafter(high, 0) if high < np.inf else high).mean}
            for low, high in zip(ends, ends[1:])]


@torch.no_grad()
def heights(model: nn.Module, data: Dataset, device: str) -> list[dict[str, Any]]:
    """`missed_by_height` with "regions", the proposals of that height, and "collapsed", the share of those whose bins
    do; NaN where nothing is pooled."""
    m: Any = model
    rows = missed_by_height(seen(model, data, device))
    own, gone = np.zeros(0), np.zeros(0)
    pool = pooling(model) if hasattr(m, "proposals") else None
    for raw in outside.loader(m, data, m.recipe, batch=8, needs=frozenset()).epoch(0) if pool else ():
        b = raw.to(device)
        d = m.proposals(b.images, b.sizes)
        high = (d.boxes[..., 3] - d.boxes[..., 1]) * (b.original[:, :1] / b.sizes[:, :1])
        real = d.labels >= 0
        own = np.concatenate([own, high[real].cpu().numpy()])
        assert pool is not None
        gone = np.concatenate([gone, collapsed(*pool, d.boxes)[real].cpu().numpy()])
    for row in rows:
        at = (own >= row["from"]) & (own < row["to"])
        row |= {"regions": int(at.sum()), "collapsed": float(gone[at].mean()) if at.any() else float("nan")}
    return rows


@torch.no_grad()
def offsets(model: nn.Module, data: Dataset, device: str) -> list[dict[str, Any]] | None:
    """Of each deformable convolution: {"layer", "plain": its dilation where no tap is moved, "background": the mean
    effective dilation at cells in no object, "objects": [{"from", "to", "cells", "dilation"}, ...] by thirds of the
    objects' sides, roots of areas in network pixels; a cell is of the smallest object in which its middle lies}. None
    for a model without such layers."""
    m: Any = model
    layers = {n: float(c.dilation[0]) for n, c in m.named_modules() if isinstance(c, DeformConv)}
    if not layers:
        return None
    sides: list[Tensor] = []
    cells: dict[str, list[Tensor]] = {n: [] for n in layers}
    for raw in outside.loader(m, data, m.recipe, batch=8, needs=frozenset({"boxes"})).epoch(0):
        b = raw.to(device)
        t, edge = b.targets, torch.tensor(b.images.shape[-2:], device=b.images.device)
        side = (t.boxes[..., 2:] - t.boxes[..., :2]).clamp(min=0).prod(-1).sqrt().masked_fill(~t.valid, math.inf)
        sides.append(side[t.valid])
        for name, found in dilations(m, b.images).items():
            h, w = found.shape[1:]
            y, x = ((torch.arange(n, device=edge.device) + 0.5) * (edge[i] / n) for i, n in enumerate((h, w)))
            x1, y1, x2, y2 = t.boxes[:, None, None].unbind(-1)
            rows_, columns = y[:, None, None], x[:, None]
            here = (rows_ >= y1) & (rows_ < y2) & (columns >= x1) & (columns < x2)
            of = torch.where(here, side[:, None, None], math.inf).amin(-1) if side.shape[1] else found * 0 + math.inf
            inside = (y[:, None] < b.sizes[:, :1, None]) & (x < b.sizes[:, 1:, None])
            cells[name].append(torch.stack([of[inside], found[inside]]).cpu())
    every = torch.cat(sides).cpu()
    ends = [0.0, *every.quantile(torch.tensor([1 / 3, 2 / 3])).tolist(), math.inf] if len(every) else []
    rows = []
    for name, parts in cells.items():
        of, value = torch.cat(parts, 1)
        thirds = [(low, high, value[(of >= low) & (of < high)]) for low, high in zip(ends, ends[1:])]
        rows.append({"layer": name, "plain": layers[name], "background": float(value[of == math.inf].mean()),
                     "objects": [{"from": low, "to": high, "cells": len(v), "dilation": float(v.mean())}
                                 for low, high, v in thirds]})
    return rows


# ---------------------------------------------------------------- the study


def groups_of(asked: Sequence[str], names: tuple[str, ...], option: str = "--of") -> dict[str, tuple[int, ...]]:
    """Labels by group, "all" first; a group is "class,class", as `option` names them. Raises `StemmaError` for a class
    that is none."""
    found = {"all": tuple(range(len(names)))}
    for group in asked:
        mine = group.split(",")
        unknown = [c for c in mine if c not in names]
        if unknown:
            raise StemmaError(f"{option} {group}: there is no class '{unknown[0]}' among {', '.join(names)}")
        found[group] = tuple(names.index(c) for c in mine)
    return found


def study(runs: Sequence[str | Path], data: Any, out: str | Path, split: str = "val", of: Sequence[str] = (),
          score: float = 0.3, limit: int | None = None, parts: Sequence[str] = (), which: str = "last",
          device: str = "auto") -> dict[str, Any]:
    """The study's record, and its page in `out`. `parts`: those of `PARTS` that are asked for; all when none is."""
    outputs.claim([Path(out) / "regions.json", Path(out) / "regions.html"])
    for part in parts:
        if part not in PARTS:
            raise StemmaError(f"--part takes one of {', '.join(PARTS)}, not '{part}'")
    wanted, where = tuple(parts) or PARTS, pick_device(device)
    pictures = spread(open_split(data, split), limit)
    rows = []
    for run in runs:
        model: Any = checkpoint.load(run, which, device=where).eval()
        checkpoint.check_classes(model, pictures.info, pictures.info.name)
        row: dict[str, Any] = {"run": str(run), "name": f"{model.paper.label} ({Path(run).name})"}
        if {"overlap", "mistakes"} & set(wanted):
            record = seen(model, pictures, where)
            apart = model.paper.task_of(model.preset) != "proposals"
            row["overlap"] = by_overlap(record, groups_of(of, record.names), apart) if "overlap" in wanted else None
            row["mistakes"] = mistakes(record, score) if "mistakes" in wanted and apart else None
            if row["mistakes"] and isinstance(model, RefinedModel):
                for key, way in (("before", unrefined), ("itself", itself)):
                    with way(model):
                        row[key] = mistakes(seen(model, pictures, where), score)
        for part, measured in going((("suppression", suppression), ("proposals", proposals), ("levels", levels),
                                     ("heights", heights), ("offsets", offsets)), row["name"]):
            row[part] = measured(model, pictures, where) if part in wanted else None
        rows.append(row)
    record_ = {"data": pictures.info.name, "split": split, "pictures": len(pictures), "score": score, "rows": rows}
    keep(Path(out) / "regions.json", record_)
    outputs.put_text(Path(out) / "regions.html", page(record_))
    return record_


PARTS = ("overlap", "suppression", "mistakes", "proposals", "levels", "heights", "offsets")


def _range(low: float, high: float) -> str:
    return f"{low:.0f} to {high:.0f}" if high < np.inf else f"{low:.0f} and more"


def tables(record: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, heads, rows) of every part that has something to say."""
    out: list[tuple[str, list[str], list[list[str]]]] = []
    have = {p: [r for r in record["rows"] if r.get(p)] for p in PARTS}
    said = [[r["name"], g, *(f"{v:.3f}" for v in values)] for r in have["overlap"]
            for g, values in r["overlap"].items()]
    out.append(("AP by the overlap asked for", ["run", "classes", *(f"{t:.2f}" for t in OVERLAPS)], said))
    said = [[r["name"], measure, *(f"{row[k]:.3f}" for row in r["suppression"]["rows"][: len(ALLOWED)]),
             next((f"{row[k]:.3f}" for row in r["suppression"]["rows"][len(ALLOWED):]), "")]
            for r in have["suppression"] for measure, k in (("AP", 1), ("miss rate", 2), ("error of counts", 3))]
    out.append(("By the overlap that boxes of a class may have",
                ["run", "", *(f"{t:.1f}" for t in ALLOWED), "as it is"], said))
    kinds = list(have["mistakes"][0]["mistakes"]) if have["mistakes"] else []
    out.append((f"Finds that score {record['score']:g} or more", ["run", *kinds],
                [[r["name"] + said, *(str(r[k][c]) for c in kinds)] for r in have["mistakes"]
                 for k, said in (("before", ", before it is named again"), ("itself", ", named again by the detector"),
                                 ("mistakes", "")) if k in r]))
    asked = [f"AR{n}" for n in COUNTS]
    out.append(("Recall of proposals", ["run", *asked],
                [[r["name"], *(f"{r['proposals'][k]:.3f}" for k in asked)] for r in have["proposals"]]))
    said = [[r["name"], str(x["level"]), str(x["objects"]), f"{x['side']:.0f}",
             " ".join(f"{v:.2f}" for v in x["from"]), f"{1 - x['from'][x['level']]:.2f}"]
            for r in have["levels"] for x in r["levels"]]
    out.append(("Levels of the fused features, 0 the finest", ["run", "own level", "objects", "side", "share of each",
                                                               "of others"], said))
    said = [[r["name"], _range(x["from"], x["to"]), str(x["objects"]), f"{x['miss']:.3f}", str(x["regions"]),
             "–" if x["collapsed"] != x["collapsed"] else f"{x['collapsed']:.3f}"]
            for r in have["heights"] for x in r["heights"]]
    out.append(("By height in pixels", ["run", "height", "objects", "miss rate", "proposals", "of which bins collapse"],
                said))
    said = [[r["name"], x["layer"], f"{x['plain']:g}", name, f"{v:.3f}"] for r in have["offsets"] for x in r["offsets"]
            for name, v in (*((_range(o["from"], o["to"]), o["dilation"]) for o in x["objects"]),
                            ("background", x["background"]))]
    out.append(("Effective dilation by the side of the object", ["run", "layer", "plain", "pixels", "dilation"], said))
    return [part for part in out if part[2]]


def page(record: dict[str, Any]) -> str:
    """The study as one page: a table a part, and AP against overlap drawn."""
    from ..report.sheet import grid, leaf, remark

    lines = [charts.Line(i, r["name"], tuple(zip(OVERLAPS, r["overlap"]["all"])))
             for i, r in enumerate(record["rows"]) if r.get("overlap")]
    body = [remark(f"{record['pictures']} pictures of {record['data']} ({record['split']})."), charts.legend(lines),
            charts.line_chart(lines, "IoU", "AP", "AP by the overlap asked for", 1.0)]
    for title, heads, rows in tables(record):
        body += [tag("h2", title), grid(heads, rows)]
    return leaf("Heads of regions", *body)


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("regions", __doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--of", action="append", default=[], metavar="CLASS,CLASS", help="a group of classes apart")
    parser.add_argument("--part", action="append", default=[], choices=PARTS, help="that part alone")
    parser.add_argument("--score", type=number(float, 0, 1), default=0.3, help="the least of a find that is looked at")
    parser.add_argument("--limit", type=natural)
    parser.add_argument("--which", choices=("best", "last"), default="last")
    parser.add_argument("--out", default="runs/regions")
    parser.add_argument("--device", default="auto")
    a = parser.parse_args(argv)
    record = study(a.runs, a.data, a.out, a.split, a.of, a.score, a.limit, a.part, a.which, a.device)
    for title, heads, rows in tables(record):
        print(f"{title}: {', '.join(heads)}")
        for row in rows:
            print("  " + "  ".join(row))
    print(Path(a.out) / "regions.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["by_overlap", "collapsed", "groups_of", "heights", "levels", "missed_by_height", "mistakes", "offsets",
           "page", "proposals", "study", "suppression"]
