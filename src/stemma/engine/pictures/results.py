"""Finished trials as one record, `results.json`: means and spreads over seeds, lineage edges with what they gained,
pictures of most disagreement."""
from __future__ import annotations

import json
import os
import shutil
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core import outputs
from ...core.paper import Paper, get
from ...core.part import diff
from ...core.recipe import Recipe
from ...core.training import differences
from ...core.types import Dataset
from ..comparing.job import Job
from ..running import checkpoint
from .gallery import map_layer, mask_layer, save_layer, save_picture, shown_size
from .paired import Paired
from .tasks import main_metric
from .trial import panoptic_layer
from .verdict import starved, verdict

# what a system is ranked by: the first of these that it has
MAINS = ("AP", "PQ", "mIoU", "point_AP", "AR100", "mask_AP")
OBJECTS = ("AP", "point_AP", "AR100", "mask_AP")  # those whose truth is boxes
# how good an answer is on one picture
QUALITY = {"AP": "F1", "PQ": "PQ", "mIoU": "mIoU", "point_AP": "F1 of points", "AR100": "AR100",
           "mask_AP": "AR100 of masks"}
# those with an interval over pictures
OVER = ("AP", "mask_AP", "keypoint_AP", "PQ", "mIoU", "point_AP", "AR100", "mask_AR100")
PICTURES = 8
COSTS = {
    "parameters": "parameters", "flops": "flops", "train_images_per_second": "images_per_second",
    "peak_memory_mb": "peak_memory_mb", "latency_ms": "latency_ms", "outside_ms": "outside_ms",
}


def summarise(values: Sequence[float | None], untrained: Sequence[float | None] = ()) -> dict[str, Any]:
    """Mean, sample standard deviation (None for one value), the values, and the mean of the untrained nets'."""
    have = [float(v) for v in values if v is not None]
    base = [float(v) for v in untrained if v is not None]
    return {
        "mean": statistics.fmean(have) if have else None, "spread": statistics.stdev(have) if len(have) > 1 else None,
        "values": have, "untrained": statistics.fmean(base) if base else None,
    }


def system(ident: str, trials: list[dict[str, Any]], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One system from its finished trials, one a seed. `runs` tells the state of every seed, finished or not."""
    first, card = trials[0], get(trials[0]["paper"])
    metrics = [t["metrics"] for t in trials]
    numbers = [k for k, v in first["metrics"].items() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    summary = {k: summarise([m.get(k) for m in metrics], [t["untrained"].get(k) for t in trials]) for k in numbers}
    summary |= {name: summarise([t.get(key) for t in trials]) for key, name in COSTS.items()}
    for key in ("calibration", "count", "best_f1", "predict_images_per_second"):
        if key in first:
            summary[key] = summarise([t.get(key) for t in trials])
    main = next((k for k in MAINS if first["metrics"].get(k) is not None), main_metric(first["task"]))
    out: dict[str, Any] = {
        "id": ident, "paper": card.cli_name, "title": label(card, first["preset"], ident), "year": card.year,
        "task": first["task"], "main": main, "preset": first["preset"], "about": f"{card.line} {card.summary}",
        "full_title": card.title, "input": first["input"], "batch": first["batch"], "weights": first["weights"],
        "precision": first["precision"], "images_seen": statistics.fmean(t["images"] for t in trials), "runs": runs,
        "summary": summary, "curves": [{"seed": t["seed"], "points": t["curve"]} for t in trials],
        "per_class": {name: {k: _mean(t["per_class"].get(name, {}).get(k) for t in trials)
                             for k in row if isinstance(row[k], (int, float))}
                      for name, row in first["per_class"].items()},
    }
    if "pr" in first:
        grid = lambda iou: np.mean([np.nan_to_num(np.array(t["pr"]["precision"][iou], float))  # noqa: E731
                                    for t in trials], 0).round(4).tolist()
        out["pr"] = {"recall": first["pr"]["recall"], "precision": {iou: grid(iou) for iou in first["pr"]["precision"]}}
    if "errors" in first:
        out["errors"] = {k: _mean(t["errors"].get(k) for t in trials) for k in first["errors"]}
        out["error_counts"] = {k: _mean(t["error_counts"].get(k) for t in trials) for k in first["error_counts"]}
    if "recall" in first:
        out["recall"] = {"iou": first["recall"]["iou"], "count": first["recall"]["count"]} | {
            k: np.mean([np.nan_to_num(np.array(t["recall"][k], float)) for t in trials], 0).round(4).tolist()
            for k in ("100", "1000", "AR")
        }
    if "confusion" in first:
        names = first["confusion"]["labels"]
        rows = [("(nothing)" if n == "background" else n) for n in names] if "pr" in first else names
        said = [("(missed)" if n == "background" else n) for n in names] if "pr" in first else names
        out["confusion"] = {"rows": rows, "columns": said,
                            "matrix": np.mean([t["confusion"]["matrix"] for t in trials], 0).round(2).tolist()}
    return out


def label(card: Paper, preset: str, ident: str) -> str:
    """A system's name in a report: the card's short name, with the preset where one was asked for."""
    return f"{card.label} ({preset})" if ":" in ident else card.label


def _mean(values: Iterable[float | None]) -> float | None:
    have = [float(v) for v in values if v is not None and v == v]
    return statistics.fmean(have) if have else None


# ---------------------------------------------------------------- lineage


@dataclass(frozen=True)
class Trained:
    """A system as it was trained: card, preset and every setting that was given."""

    spec: Any
    recipe: Recipe


def beside(ident: str, made: float, pictures: int) -> str:
    """What the boxes from outside cost, which no budget counts: they are made once, before the first training."""
    return (f"{ident} takes its boxes from outside: {made:.3g} ms a picture, which its latency holds, and "
            f"{made * pictures / 1000:.3g} s of one core for the {pictures:,} training pictures, beside its budget")


def as_trained(job: Job, info: Any) -> Trained:
    """The values that a training of a comparison was made from."""
    _, spec, recipe = checkpoint.plan(job.paper, job.preset, job.sets, info)
    return Trained(spec, recipe if job.batch is None else replace(recipe, batch=job.batch))


def between(parent: Trained, child: Trained, told: list[dict[str, Any]]) -> dict[str, Any]:
    """What lies between two systems as they were trained. changes: those sentences of the cards that the two bear out;
    untrue: those that they do not, whose slots are alike in both; besides: settings that differ and that no sentence
    tells, as "slot before -> after"; trained: how their trainings differ."""
    found = diff(parent.spec, child.spec)
    covers = lambda slot, path: slot == "" or path == slot or path.startswith(slot + ".")  # noqa: E731
    borne = [c for c in told if any(covers(s, path) for s in c["slots"] for path in found)]
    besides = [f"{path} {was} -> {now}" for path, (was, now) in found.items()
               if not any(covers(s, path) for c in borne for s in c["slots"])]
    return {"changes": borne, "untrue": [c for c in told if c not in borne], "besides": besides,
            "trained": [{"slots": list(slots), "what": what}
                        for slots, what in differences(parent.recipe, child.recipe)]}


def edges(systems: list[dict[str, Any]], trained: dict[str, Trained] | None = None) -> list[dict[str, Any]]:
    """Every step from a compared system up to its nearest compared ancestors: the changes told on the way,
    and the gain measured. With the systems as they were `trained`, by id, the changes are those that they bear out."""
    by_paper: dict[str, list[dict[str, Any]]] = {}
    for s in systems:
        by_paper.setdefault(get(s["paper"]).name, []).append(s)
    out = []
    for s in systems:
        for ancestor, changes, through in _upward(get(s["paper"]), set(by_paper)):
            parent = next((p for p in by_paper[ancestor] if p["preset"] == s["preset"]), by_paper[ancestor][0])
            have = trained or {}
            apart = (between(have[parent["id"]], have[s["id"]], changes) if {parent["id"], s["id"]} <= have.keys()
                     else {"changes": changes})
            out.append({"parent": parent["id"], "child": s["id"], "through": through, **apart, **gain(parent, s)})
    return out


def _upward(paper: Paper, compared: set[str]) -> list[tuple[str, list[dict[str, Any]], list[str]]]:
    """(ancestor's name, changes from it down to `paper`, names passed through),
    for the nearest ancestors in `compared`."""
    found: dict[str, tuple[str, list[dict[str, Any]], list[str]]] = {}
    for edge in paper.parents:
        own = [{"slots": list(slots), "what": what, "by": paper.cli_name} for slots, what in edge.told]
        if edge.paper.name in compared:
            found[edge.paper.name] = (edge.paper.name, own, [])
            continue
        for name, changes, through in _upward(edge.paper, compared):
            found.setdefault(name, (name, changes + own, [*through, edge.paper.cli_name]))
    return list(found.values())


def gain(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    """What the child's main measure gained over the parent's; its spread is that of a difference of two independent
    runs.

    `overlap`: whether the worse system's best seed reaches the better one's worst. `starved`: the title of the worse
    one, where it had less work than its budget bought. None of them where there is no common measure.
    """
    # a detector's AR100 is of each class, a proposal method's of none
    common = [m for m in MAINS if m != "AR100" or parent["main"] == child["main"]]
    metric = next((m for m in (child["main"], *common)
                   if m in common and all(s["summary"].get(m, {}).get("values") for s in (parent, child))), None)
    if metric is None:
        return {"metric": child["main"], "gain": None, "spread": None,
                "note": f"no common measure: {parent['main']} and {child['main']}"}
    p, c = parent["summary"][metric], child["summary"][metric]
    several = p["spread"] is not None and c["spread"] is not None
    low, high = sorted((p["values"], c["values"]), key=statistics.fmean)
    worse = parent if low is p["values"] else child
    return {
        "metric": metric, "gain": c["mean"] - p["mean"], "spread": (p["spread"] ** 2 + c["spread"] ** 2) ** 0.5
        if several else None, "overlap": max(low) >= min(high) if several else None,
        **({"starved": worse["title"]} if starved(worse) else {}),
    }


def judged(gap: dict[str, Any], split: str) -> dict[str, Any]:
    """A gap with what it is worth: whether it is `clear`, the `verdict` in words, and what `would` tell."""
    found = verdict(gap)
    return gap | {"clear": found.clear, "verdict": found.short(), "would": found.would(split)}


def leading(systems: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """By main measure, what the first system has more than each of the others that it ranks, best first."""
    out = {}
    for main in MAINS:
        have = [s for s in systems if s["main"] == main and s["summary"].get(main, {}).get("mean") is not None]
        order = sorted(have, key=lambda s: -s["summary"][main]["mean"])
        if order:
            out[main] = [{"first": order[0]["id"], "second": s["id"], **gain(s, order[0])} for s in order[1:]]
    return out


# ---------------------------------------------------------------- pictures


def pictures(systems: list[dict[str, Any]], trials: dict[str, dict[str, Any]], data: Dataset,
             folder: Path) -> dict[str, list[dict[str, Any]]]:
    """By main measure, the pictures on which its systems' first seeds differ most in quality; files are written under
    `folder`/pictures.

    With one system alone they go from its worst picture to its best in even steps.
    """
    where = folder / "pictures"
    outputs.clear(where)
    out: dict[str, list[dict[str, Any]]] = {}
    for main in MAINS:
        group = [s["id"] for s in systems if s["main"] == main and s["id"] in trials]
        if not group:
            continue
        shown = {g: trials[g]["shown"] for g in group}
        common = sorted(set.intersection(*(set(v) for v in shown.values())), key=int)
        out[main] = [_picture(i, group, shown, trials, data, where, main, how) for i, how in choose(common, shown)]
    return out


def choose(common: list[str], shown: dict[str, dict[str, Any]], count: int = PICTURES) -> list[tuple[str, float]]:
    """(picture, standard deviation of the systems' qualities on it), the largest first."""
    qualities = {i: [v[i]["quality"] for v in shown.values() if v[i].get("quality") is not None] for i in common}
    if len(shown) == 1:
        order = sorted((q[0], i) for i, q in qualities.items() if q)
        steps = {round(k * (len(order) - 1) / max(count - 1, 1)) for k in range(count)} if order else set()
        return [(order[k][1], 0.0) for k in sorted(steps)]
    scored = [(i, float(np.std(q))) for i, q in qualities.items() if len(q) > 1]
    return sorted(scored, key=lambda x: (-x[1], int(x[0])))[:count]


def _picture(
    i: str, group: list[str], shown: dict[str, dict[str, Any]], trials: dict[str, dict[str, Any]], data: Dataset,
    where: Path, main: str, how: float
) -> dict[str, Any]:
    sample = data[int(i)]
    assert sample.image is not None
    h, w = shown_size(sample.size)
    save_picture(sample.image, where / f"{i}.jpg")
    said: dict[str, Any] = {}
    for g in group:
        one = dict(shown[g][i])
        one["measure"] = QUALITY[main]
        if one.get("overlay"):
            name = f"{main}-{i}-{g.replace(':', '-')}.png"
            overlay = Path(trials[g]["folder"]) / one["overlay"]
            outputs.put(where / name, lambda p, overlay=overlay: shutil.copyfile(overlay, p),  # type: ignore[misc]
                        prediction=True)
            one["overlay"] = f"pictures/{name}"
        said[g] = one
    truth: dict[str, Any] = {}
    layer = None
    if main in OBJECTS:
        names = data.info.classes.names
        scale = np.array([w, h, w, h]) / np.array([sample.size[1], sample.size[0]] * 2)
        truth = {"boxes": np.round(sample.boxes * scale, 1).tolist(), "labels": [names[k] for k in sample.labels],
                 "crowd": sample.crowd.tolist()}
        if sample.keypoints is not None and any(shown[g][i].get("points") for g in group):
            seen = sample.keypoints[..., 2] > 0
            truth["points"] = np.round(sample.keypoints[seen][:, :2] * scale[:2], 1).tolist()
        if sample.masks is not None and any(shown[g][i].get("overlay") for g in group):
            layer = mask_layer(list(sample.masks), sample.labels.tolist(), sample.size)
    elif main == "mIoU" and sample.semantic is not None:
        layer = map_layer(sample.semantic, sample.size)
    elif main == "PQ" and sample.panoptic is not None and sample.segments is not None:
        layer = panoptic_layer(sample.panoptic, sample.segments, sample.size)
    if layer is not None:
        save_layer(layer, where / f"{main}-{i}-truth.png")
        truth["overlay"] = f"pictures/{main}-{i}-truth.png"
    name = Path(sample.file).name if sample.file else f"picture {i}"
    return {"index": int(i), "file": name, "width": w, "height": h, "image": f"pictures/{i}.jpg", "disagreement": how,
            "truth": truth, "systems": said}


# ---------------------------------------------------------------- the whole


def collect(folder: Path, jobs: list[Job], errors: dict[str, str], about: dict[str, Any],
            data: Dataset) -> dict[str, Any]:
    """The record of a comparison from its trials on disk, finished or not.
    `about` is what the comparison was asked to do."""
    by_system: dict[str, list[Job]] = {}
    for job in jobs:
        by_system.setdefault(job.id.rsplit("-s", 1)[0], []).append(job)
    systems, failed, notes, first, folders, trained = [], [], [], {}, {}, {}
    for ident, group in by_system.items():
        trials, runs = [], []
        for job in group:
            file = Path(job.folder) / "trial.json"
            state = {"seed": job.seed, "folder": os.path.relpath(job.folder, folder),
                     "status": "done" if file.is_file() else "failed"}
            if file.is_file():
                took = about["latency"]["milliseconds"].get(job.folder)
                trial = (json.loads(file.read_text(encoding="utf-8"))
                         | {"folder": job.folder, "latency_ms": None if isinstance(took, str) else took})
                notes += [f"the latency of {job.id} was not measured: {took}"] if isinstance(took, str) else []
                if (made := about["latency"].get("proposals", {}).get(job.folder)) is not None:
                    trial |= {"outside_ms": made}
                    notes.append(beside(ident.replace("@", ":"), made, about["data"].get("train", 0)))
                trials.append(trial)
                runs.append(state | {k: trial[k] for k in ("steps", "images", "seconds")})
            else:
                runs.append(state | {"error": errors.get(job.id, "did not finish")})
        if trials:
            systems.append(system(ident.replace("@", ":"), trials, runs))
            first[systems[-1]["id"]] = trials[0]
            folders[systems[-1]["id"]] = [Path(t["folder"]) for t in trials]
            trained[systems[-1]["id"]] = as_trained(group[0], data.info)
        else:
            failed += [r | {"title": ident.replace("@", ":")} for r in runs]
    info = data.info
    pixel = info.panoptic or info.semantic
    paired = Paired(folders)
    for s in systems:
        for measure in OVER:
            if s["summary"].get(measure, {}).get("values") and (ends := paired.own(s["id"], measure)) is not None:
                s["summary"][measure]["interval"] = ends
    steps, leads = edges(systems, trained), leading(systems)
    for step in steps:
        if step["gain"] is not None:
            step |= judged(step | paired.gap(step["parent"], step["child"], step["metric"]), about["data"]["split"])
    for lead in (one for some in leads.values() for one in some):
        lead |= judged(lead | paired.gap(lead["second"], lead["first"], lead["metric"]), about["data"]["split"])
    return {
        **{k: about[k] for k in ("stemma", "created", "command", "budget", "preset", "seeds", "versions", "machine")},
        "data": about["data"] | {"classes": list(info.classes.names), "pixel_classes": list(pixel.names) if pixel
                                 else []}, "systems": systems, "failed": failed, "notes": [*notes, *paired.notes],
        "edges": steps, "leads": leads, "pictures": pictures(systems, first, data, folder),
    }


__all__ = ["choose", "collect", "edges", "gain", "judged", "leading", "pictures", "summarise", "system"]
