"""What a comparison's record says besides what was measured: by which clocks, on which terms, and what its trainings
warned of, each once."""
from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .job import Job
from .terms import Terms
from .trial import warnings_in


def of(record: dict[str, Any], folder: Path, jobs: Iterable[Job], latency: dict[str, Any], terms: Terms,
       notes: list[str]) -> dict[str, Any]:
    """The record with these: `clock` and `latency` ("by", "share"), `terms`, `warnings` (text, trainings) and `notes`;
    and in each finished run `seconds` (of work), `wall`, `share`, `threads`, `clock` and `cut`."""
    trials = {j.id: t for j in jobs if (t := trial_of(j))}
    for system in record["systems"]:
        for run in system["runs"]:
            if trial := trials.get(Path(run["folder"]).name):
                run |= times(trial)
    clocks = sorted({t.get("clock", "wall") for t in trials.values()})
    if len(clocks) > 1:
        notes = [*notes, "some of these trainings are from before work was counted: theirs are seconds by the clock"]
    precisions: dict[str, list[str]] = {}
    for ident, t in trials.items():
        precisions.setdefault(t.get("precision", ""), []).append(ident)
    if len(precisions) > 1:
        told = "; ".join(f"{p}: {', '.join(ids)}" for p, ids in sorted(precisions.items()))
        notes = [*notes, f"not all were trained in the same precision: {told}"]
    warned: dict[str, list[str]] = {}
    for job in jobs:
        for said in warnings_of(folder, job):
            warned.setdefault(said, []).append(job.id)
    return record | {
        "clock": clocks[-1], "latency": {k: latency[k] for k in ("by", "share") if k in latency},
        "terms": asdict(terms), "warnings": [{"text": k, "trainings": v} for k, v in warned.items()],
        "notes": [*record.get("notes", []), *notes],
    }


def trial_of(job: Job) -> dict[str, Any]:
    """What a finished training has left; nothing of another."""
    file = Path(job.folder) / "trial.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def warnings_of(folder: Path, job: Job) -> list[str]:
    """What a training of the comparison in `folder` has warned of, whether it finished or not; of files of the data by
    the names that the command has, as it is said of them before the first training."""
    told = warnings_in(folder / "jobs" / f"{job.id}.warnings")
    ours, theirs = (re.split(r"[+*,:]", data) for data in (job.named, job.data))
    paths = [(there, here.rstrip("/")) for here, there in zip(ours, theirs) if here and here != there]
    if len(ours) != len(theirs):  # one of these letters stands in the path that leads here
        paths = [(job.data, job.named)] if job.named else []
    return list(dict.fromkeys(functools.reduce(lambda text, pair: text.replace(*pair), paths, said)
                              for said in (*trial_of(job).get("warnings", []), *told)))


def times(trial: dict[str, Any]) -> dict[str, Any]:
    """How long a training took: by its own clock, by the wall's, and which share of its threads the machine gave."""
    wall, worked = trial.get("wall", trial["seconds"]), trial.get("worked", trial["seconds"])
    return {"seconds": trial["seconds"], "worked": worked, "wall": wall, "share": worked / wall if wall else None,
            "clock": trial.get("clock", "wall"), "threads": trial.get("threads", 1), "cut": trial.get("cut")}


__all__ = ["of", "times", "trial_of", "warnings_of"]
