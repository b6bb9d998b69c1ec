"""Finished trials of networks as one record, `results.json`: the table of networks and data sets, and how accuracy
where they were trained goes with what they carry over."""
from __future__ import annotations

import json
import os
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...metrics import carried
from ..comparing.job import Job
from .findings import findings


def collect(folder: Path, jobs: list[Job], errors: dict[str, str], about: dict[str, Any]) -> dict[str, Any]:
    """The record of a comparison of networks: a network's seeds under `runs`; "table" of logits, "adjusted" accuracy
    and its interval in `summary`; "correlation" for every way of measuring and for each set; what the paper found, held
    against it. The best first.
    """
    by_system: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        if (Path(job.folder) / "trial.json").is_file():
            trial = json.loads((Path(job.folder) / "trial.json").read_text(encoding="utf-8"))
            by_system.setdefault(job.id.rsplit("-s", 1)[0], []).append(trial | {
                "folder": os.path.relpath(job.folder, folder)})
    systems: list[dict[str, Any]] = []
    for ident, trials in by_system.items():
        values = [t["metrics"]["accuracy"] for t in trials]
        tops = [t["top1"] for t in trials if t["top1"] is not None]
        systems.append({
            "id": ident, "title": about["titles"].get(ident, ident), "paper": trials[0]["paper"], "main": "accuracy",
            "top1": statistics.fmean(tops) if tops else None, "top1_of": trials[0]["top1_of"],
            "top1_pictures": trials[0]["top1_pictures"],
            "summary": {"accuracy": {"mean": statistics.fmean(values), "values": values,
                                     "spread": statistics.stdev(values) if len(values) > 1 else None}},
            "runs": [t | {"status": "done"} for t in trials],
        })
    ways = ways_of(systems)
    record: dict[str, Any] = {**about, "systems": systems, "ways": {w: _way(systems, w) for w in ways}}
    for i, s in enumerate(systems):
        s["adjusted"] = record["ways"]["linear"]["adjusted"][i]
        s["interval"] = record["ways"]["linear"]["intervals"][i]
    order = sorted(range(len(systems)), key=lambda i: -systems[i]["adjusted"])
    record["systems"] = [systems[i] for i in order]
    record["ways"] = {w: _way(record["systems"], w) for w in ways}
    failed = [{"title": about["titles"].get(k.rsplit("-s", 1)[0], k.rsplit("-s", 1)[0]),
               "seed": int(k.rsplit("-s", 1)[1]), "status": "failed", "error": v} for k, v in errors.items()]
    record["apart"] = apart(record["systems"])
    return {**record, "findings": findings(record["ways"]), "failed": failed}


def apart(systems: list[dict[str, Any]]) -> dict[str, float]:
    """{set: p} of the best network and the next on each set whose answers both have, by exchanging them picture by
    picture (`metrics.carried.exchanged`), in the set's own measure; of the first seed's classifiers."""
    if len(systems) < 2:
        return {}
    one, other = ({s["name"]: s for s in x["runs"][0]["results"]["sets"]} for x in systems[:2])
    right = lambda x: carried.unpacked(x["right"], x["count"]["test"])
    classes = lambda x: np.array(x["classes_of"]) if "classes_of" in x else None
    return {n: carried.exchanged(right(one[n]), right(other[n]), labels=classes(one[n])) for n in one
            if n in other and "right" in one[n] and "right" in other[n] and one[n]["count"] == other[n]["count"]}


def ways_of(systems: list[dict[str, Any]]) -> list[str]:
    """"linear", and the grids that were trained."""
    grids = {g: None for s in systems for r in s["runs"] for x in r["results"]["sets"] for g in x["grids"]}
    return ["linear", *grids]


def value_of(run: dict[str, Any], way: str, name: str) -> float | None:
    """What one run reached on a set in a way; None where it was not tried."""
    one = next((s for s in run["results"]["sets"] if s["name"] == name), None)
    if one is None:
        return None
    found = one.get("linear") if way == "linear" else one["grids"].get(way)
    return None if found is None else float(found["test"])


def _way(systems: list[dict[str, Any]], way: str) -> dict[str, Any]:
    """Accuracies (mean over seeds) by set, adjusted logits with their interval, and the correlations with the logit of
    accuracy where the networks were trained: of all, without the weakest, of the same networks with random weights,
    and for each set."""
    names = [s["name"] for s in systems[0]["runs"][0]["results"]["sets"]]
    there = [n for n in names if all(value_of(r, way, n) is not None for s in systems for r in s["runs"])]
    counts = {s["name"]: s["count"]["test"] for s in systems[0]["runs"][0]["results"]["sets"]}
    table = np.array([[np.mean([value_of(r, way, n) for r in s["runs"]]) for n in there] for s in systems])
    out: dict[str, Any] = {"sets": there, "table": table.tolist(), "counts": [counts[n] for n in there]}
    if not there:
        return out | {"adjusted": [None] * len(systems), "intervals": [None] * len(systems), "r": None, "each": {}}
    logits = carried.logit(table, np.array([counts[n] for n in there])[None])
    adjusted = carried.adjusted(logits)
    out |= {"adjusted": adjusted.mean(1).tolist(), "intervals": carried.intervals(logits).tolist()}
    known = [i for i, s in enumerate(systems) if s["top1"]]
    top = np.array([float(carried.logit(systems[i]["top1"], systems[i]["top1_pictures"])) for i in known])
    out["logit_top1"] = dict(zip((systems[i]["id"] for i in known), top.tolist()))
    of = lambda y, at: asdict(carried.correlation(top[at], y[[known[i] for i in at]]))
    every = list(range(len(known)))
    out["r"] = of(adjusted.mean(1), every)
    if len(known) > 3:
        weakest = int(top.argmin())
        out["r_without_weakest"] = of(adjusted.mean(1), [i for i in every if i != weakest])
        out["weakest"] = systems[known[weakest]]["title"]
    bare = [n for n in there if all(n in r.get("untrained", {}) for s in systems for r in s["runs"])]
    if way == "linear" and bare:  # the control: what their size and shape alone carry over
        table = np.array([[np.mean([r["untrained"][n] for r in s["runs"]]) for n in bare] for s in systems])
        logits_ = carried.logit(table, np.array([counts[n] for n in bare])[None])
        out["r_random"] = of(carried.adjusted(logits_).mean(1), every)
    out["each"] = {n: of(logits[:, k], every) for k, n in enumerate(there)}
    return out


__all__ = ["apart", "collect", "value_of", "ways_of"]
