"""One training of a comparison of editors, what is measured of it, and the record of all of them."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ...core import paper as papers
from ...core.types import StemmaError
from ...data.editing.open import absolute, counts, splits
from ..comparing.job import Job
from ..comparing.record import systems_of
from ..running import checkpoint
from ..running.devices import pick_device
from ..running.runs import Run
from ..wings import Asked, Ready
from . import fit, guests, measure, show

MAIN = "right"


def prepare(asked: Asked) -> Ready:
    """Open the data once and hold every system's settings against them. Raises `StemmaError`."""
    if asked.options.get("upright"):
        raise StemmaError("'upright' means nothing here: a sentence may speak of left and right; leave it out")
    if asked.options.get("format") or asked.options.get("data_options"):
        raise StemmaError("how edits are read needs no options; leave them out")
    size = asked.options.get("size")
    gained = {} if size in (None, "auto", "preset") else {ident: {"size": size} for ident in asked.systems}
    about: dict[str, Any] = {"where": asked.data}
    told: dict[str, Any] = {}
    prints: dict[str, None] = {}
    visiting = [i for i, (name, preset) in asked.systems.items() if guests.is_guest(name, preset)]
    for ident in visiting:
        name, preset = asked.systems[ident]
        gained.pop(ident, None)
        checkpoint.plan(name, preset, asked.sets(name), guests.learned(asked.data, "train").info)
    for ident, (name, preset) in asked.systems.items():
        if ident in visiting:
            continue
        if visiting and "tasks" not in asked.sets(name):  # all are asked for masks
            gained[ident] = {**gained.get(ident, {}), "tasks": str([list(t) for t in guests.ASKED])}
        _, spec, recipe = checkpoint.plan(name, preset, asked.sets(name) | gained.get(ident, {}))
        told["size"] = min(told.get("size", recipe.resize.size), recipe.resize.size)
        pairs, val = fit.open_pair(asked.data, spec.tasks)
        held = measure.held_out(asked.data, spec.tasks, split_of(asked.data), asked.options["limit"])
        prints |= dict.fromkeys(part.fingerprint for part in (pairs, val, held))
        about |= {"name": pairs.info.name, "split": split_of(asked.data)}
        about.setdefault("held", {})[ident] = counts(held)
    begin = None if not visiting else {"says": f"{' and '.join(visiting)} reads no sentence: all are asked for the "
                                       f"masks of things, measured at {told['size']} pixels"}
    for ident in visiting:
        about["held"][ident] = {k: asked.options["limit"] or len(guests.learned(asked.data, split_of(asked.data)))
                                for k, _ in guests.ASKED}
    return Ready(asked.data, absolute(asked.data), {"data": about}, collect, sets=gained, told=told, begin=begin,
                 files=() if asked.data.startswith("edits") else (absolute(asked.data),), fingerprint="+".join(prints))


def split_of(data: str) -> str:
    """The split that systems are measured on."""
    return "test" if "test" in splits(data) else "val"


def trial(job: Job, folder: Path) -> dict[str, Any]:
    """Train (or finish) a job of `compare` and measure it: what its `trial.json` holds. Raises as `train` does."""
    if guests.is_guest(job.paper, job.preset):
        return _visit(job, folder)
    trained = fit.train(job.paper, job.data, job.length, job.preset, folder, job.seed, job.sets, resume=True,
                        device=job.device, batch=job.batch, workers=job.workers,
                        precision=job.precision_of(papers.get(job.paper).recipe(job.preset).precision),
                        val_every=1 / job.validations, progress=False)
    model: Any = trained.load("best").to(pick_device(job.device))
    split = split_of(job.data)
    found = measure.evaluate(model, job.data, split=split, limit=job.limit, device=job.device)
    pairs = measure.held_out(job.data, model.spec.tasks, split, job.limit)
    shown = show.examples(measure.editing(model), pairs, model.recipe.resize.size, folder / "shown")
    return _told(job, trained, model, found, shown)


def _visit(job: Job, folder: Path) -> dict[str, Any]:
    """The same of a system of another wing, which is asked for masks."""
    trained = guests.train(job, folder)
    model: Any = trained.load("best").to(pick_device(job.device))
    size, split = job.told["size"], split_of(job.data)
    found = guests.evaluate(model, job.data, split, job.limit, size, job.device)
    pairs = measure.held_out(job.data, guests.ASKED, split, job.limit)
    shown = show.examples(guests.painting(model, job.device), pairs, size, folder / "shown")
    return _told(job, trained, model, found, shown)


def _told(job: Job, trained: Run, model: Any, found: dict[str, Any], shown: list[dict[str, Any]]) -> dict[str, Any]:
    """What `trial.json` holds. The curve of a guest has no values: its validations measure something else."""
    record = trained.record
    flat = lambda of: {k: v for k, v in of.items() if isinstance(v, float)}
    return {
        "id": job.id, "paper": model.paper.name, "title": model.paper.title, "label": model.paper.label,
        "preset": job.preset, "seed": job.seed, "task": "editing", "steps": record["spent"]["steps"],
        "images": record["spent"]["images"], "parameters": record["parameters"],
        "peak_memory_mb": record["peak_memory_mb"], "device": record["device"], "size": found["size"],
        "sampler_steps": found["steps"], "edits": found["edits"], "metrics": flat(found), "by_kind": found["by_kind"],
        "copy": flat(found["copy"]), "untrained": flat(found["untrained"]),
        **({"words": flat(found["words"])} if "words" in found else {}), "shown": shown,
        "curve": [{k: e[k] for k in ("seconds", "images", "step")} | {"value": e.get(MAIN)}
                  for e in trained.metrics("val")],
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def collect(folder: Path, jobs: list[Job], errors: dict[str, str], about: dict[str, Any]) -> dict[str, Any]:
    """The record of a comparison: a system's seeds under `runs`, its measures over them in `summary`, best first."""
    return {**about, **systems_of(folder, jobs, errors, MAIN)}


__all__ = ["MAIN", "collect", "prepare", "trial"]
