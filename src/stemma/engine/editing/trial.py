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
from ..wings import Asked, Ready
from . import fit, measure, show

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
    for ident, (name, preset) in asked.systems.items():
        _, spec, _ = checkpoint.plan(name, preset, asked.sets(name) | gained.get(ident, {}))
        pairs, _ = fit.open_pair(asked.data, spec.tasks)
        held = measure.held_out(asked.data, spec.tasks, split_of(asked.data), asked.options["limit"])
        about |= {"name": pairs.info.name, "split": split_of(asked.data)}
        about.setdefault("held", {})[ident] = counts(held)
    return Ready(asked.data, absolute(asked.data), {"data": about}, collect, sets=gained,
                 files=() if asked.data.startswith("edits") else (absolute(asked.data),))


def split_of(data: str) -> str:
    """The split that systems are measured on."""
    return "test" if "test" in splits(data) else "val"


def trial(job: Job, folder: Path) -> dict[str, Any]:
    """Train (or finish) a job of `compare` and measure it: what its `trial.json` holds. Raises as `train` does."""
    trained = fit.train(job.paper, job.data, job.length, job.preset, folder, job.seed, job.sets, resume=True,
                        device=job.device, batch=job.batch, workers=job.workers,
                        precision=job.precision_of(papers.get(job.paper).recipe(job.preset).precision),
                        val_every=1 / job.validations, progress=False)
    record = trained.record
    model: Any = trained.load("best").to(pick_device(job.device))
    split = split_of(job.data)
    found = measure.evaluate(model, job.data, split=split, limit=job.limit, device=job.device)
    pairs = measure.held_out(job.data, model.spec.tasks, split, job.limit)
    shown = show.examples(model, pairs, model.recipe.resize.size, folder / "shown")
    flat = lambda of: {k: v for k, v in of.items() if isinstance(v, float)}
    return {
        "id": job.id, "paper": model.paper.name, "title": model.paper.title, "label": model.paper.label,
        "preset": job.preset, "seed": job.seed, "task": "editing", "steps": record["spent"]["steps"],
        "images": record["spent"]["images"], "parameters": record["parameters"],
        "peak_memory_mb": record["peak_memory_mb"], "device": record["device"], "size": found["size"],
        "sampler_steps": found["steps"], "edits": found["edits"], "metrics": flat(found), "by_kind": found["by_kind"],
        "copy": flat(found["copy"]), "untrained": flat(found["untrained"]), "shown": shown,
        "curve": [{k: e[k] for k in ("seconds", "images", "step")} | {"value": e.get(MAIN)}
                  for e in trained.metrics("val")],
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def collect(folder: Path, jobs: list[Job], errors: dict[str, str], about: dict[str, Any]) -> dict[str, Any]:
    """The record of a comparison: a system's seeds under `runs`, its measures over them in `summary`, best first."""
    return {**about, **systems_of(folder, jobs, errors, MAIN)}


__all__ = ["MAIN", "collect", "prepare", "trial"]
