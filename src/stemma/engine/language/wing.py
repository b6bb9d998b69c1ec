"""What the wing of language offers to the common commands (`engine.wings`)."""
from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from ...core.types import StemmaError
from ..comparing.job import Job
from ..running import checkpoint, devices
from ..running.runs import Run
from ..wings import Asked, Ready
from . import TASKS, learning, subjects
from .learning import train

SCORES = ("nats", "exact")
ABOUT = "reads sentences"
INSTEAD = {"data_options": "options of how pictures are read have no use", "size": "leave it out",
           "env": "name what it reads with --data"}


def _way(run: Run) -> list[dict[str, Any]]:
    """What each validation of a run found: where it could have been stopped."""
    return [{k: v for k, v in e.items() if k != "kind"} for e in run.metrics("val")]


def _opened(model: nn.Module | Run | str | Path, data: Any, which: str,
            device: str) -> tuple[Any, subjects.Corpus, int]:
    """The model, what it is asked about, the seed. Without `data` they are those that it learned from."""
    m: Any = checkpoint.resolve(model, which)
    place = Path(model) if isinstance(model, (str, Run, Path)) else None
    record = Run.open(place).record if place is not None and (place / "run.json").is_file() else None
    seed = record["seed"] if record else 0
    known = record["data"]["where"] if record else m.info and subjects.subject(m.subject).again(m.info)
    if data is None and not known:
        raise StemmaError("name what to measure on with --data: these weights do not say what they learned from")
    corpus = learning.corpus_for(m.paper, m.subject, data if data is not None else known, seed)
    if m.info is not None and (corpus.info.choices, corpus.info.classes) != (m.info.choices, m.info.classes):
        raise StemmaError(f"{m.paper.cli_name} learned the words of {m.info.name}, and {corpus.name} has others; train "
                          "one there")
    return m.to(devices.pick_device(device)).eval(), corpus, seed


def evaluate(
    model: nn.Module | Run | str | Path, data: Any = None, *, limit: int | None = None, which: str = "best",
    device: str = "auto", out: str | Path | None = None, progress: bool = False,
) -> dict[str, Any]:
    """All that its subject measures of a model (`facts.measure`), on `data` or what it learned from. `limit`: sentences
    that are drawn or asked."""
    m, corpus, seed = _opened(model, data, which, device)
    found: dict[str, Any] = subjects.subject(m.subject).measure(m, corpus, seed, limit)
    found |= {"subject": m.subject}
    if isinstance(model, (str, Path, Run)) and (Path(model) / "run.json").is_file():
        found["curve"] = _way(Run.open(Path(model)))
    if out is not None:
        from ...core import outputs

        outputs.put_text(out, json.dumps(checkpoint.jsonable(found), indent=1), prediction=True)
    return found


def predict(
    model: nn.Module | Run | str | Path, what: Any = None, out: str | Path | None = None, *, data: Any = None,
    which: str = "best", device: str = "auto", progress: bool = False,
    told: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """What a model says, or answers to `what` (`facts.predict`); `told` is given each turn of a dialogue."""
    m, corpus, seed = _opened(model, data, which, device)
    found: dict[str, Any] = subjects.subject(m.subject).predict(m, corpus, what, Path(out) if out else None, seed,
                                                                told=told)
    return found | {"subject": m.subject}


def export(model: nn.Module | Run | str | Path, *given: Any, **options: Any) -> dict[str, Any]:
    """Raises `StemmaError`: what is said is drawn word by word, which is no graph of a picture."""
    raise StemmaError(f"{checkpoint.card_of(model).cli_name} {ABOUT}; there is no graph of pictures to export. Its "
                      "weights are plain safetensors")


def prepare(asked: Asked) -> Ready:
    """Look at what is read and hold every system's settings against it. Raises `StemmaError`."""
    for option in ("size", "upright", "format"):
        if asked.options.get(option):
            raise StemmaError(f"'{option}' means nothing here: a system of language {ABOUT}; leave it out")
    about = subjects.of_data(asked.data.partition("+")[0])
    names = subjects.subject(about).family(asked.data)
    prints = dict.fromkeys(learning.opened(paper, name, preset, asked.sets(paper), 0)[1].fingerprint
                           for paper, preset in asked.systems.values() for name in names)
    return Ready(asked.data, asked.data, {"subject": about, "data": asked.data}, collect,
                 fingerprint="+".join(prints))


def trial(job: Job, folder: Path) -> dict[str, Any]:
    """Train (or finish) a job of `compare` and measure it; of a family each world gets the whole budget and a run of
    its own, the first in the job's folder and the others within it."""
    about = subjects.subject(subjects.of_data(job.data.partition("+")[0]))
    found = []
    for i, name in enumerate(about.family(job.data, job.seed)):
        where = folder if i == 0 else folder / f"world-{i}"
        run = train(job.paper, name, job.length, job.preset, where, job.seed, job.sets, resume=True, device=job.device,
                    batch=job.batch, val_every=1 / job.validations, progress=False)
        model, corpus = learning.opened(job.paper, name, job.preset, job.sets, job.seed)
        found.append({**evaluate(run, None, limit=job.limit, device=job.device),
                      "untrained": corpus.check(model.to(devices.pick_device(job.device)).eval())})
    record = Run.open(folder).record
    m: Any = model
    return {
        "id": job.id, "paper": m.paper.name, "title": m.paper.title, "label": m.paper.label, "preset": job.preset,
        "seed": job.seed, "task": TASKS[0], "steps": record["spent"]["steps"], "images": record["spent"]["images"],
        "parameters": record["parameters"], "peak_memory_mb": record["peak_memory_mb"], "device": record["device"],
        "main": corpus.main, "higher": corpus.higher, "worlds": found,
        "metrics": {k: v for k, v in found[0].items() if isinstance(v, (int, float)) and not isinstance(v, bool)},
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def collect(folder: Path, jobs: list[Job], errors: dict[str, str], about: dict[str, Any]) -> dict[str, Any]:
    """The record of a comparison: a system's seeds under `runs`, its main number over seeds and worlds in `summary`,
    the best first."""
    by_system: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        if (file := Path(job.folder) / "trial.json").is_file():
            by_system.setdefault(job.id.rsplit("-s", 1)[0].replace("@", ":"), []).append(
                json.loads(file.read_text(encoding="utf-8")) | {"folder": os.path.relpath(job.folder, folder)})
    systems, one = [], len(by_system) > 1 and len({t[0]["paper"] for t in by_system.values()}) == 1
    for ident, trials in by_system.items():
        main, own = trials[0]["main"], trials[0]["preset"]
        values = [statistics.fmean(w[main] for w in t["worlds"]) if all(w[main] is not None for w in t["worlds"])
                  else None for t in trials]
        real = [v for v in values if v is not None]
        systems.append({
            "id": ident, "title": own if one else f"{trials[0]['label']} ({own})",
            "paper": trials[0]["paper"], "main": main, "higher": trials[0]["higher"],
            "summary": {main: {"mean": statistics.fmean(real) if real else None,
                               "spread": statistics.stdev(real) if len(real) > 1 else None, "values": values}},
            "runs": [t | {"status": "done"} for t in trials],
        })
    sign = 1 if systems[0]["higher"] else -1
    mean = lambda s: s["summary"][s["main"]]["mean"]  # noqa: E731
    systems.sort(key=lambda s: (mean(s) is None, -sign * (mean(s) or 0.0)))
    failed = [{"title": k.rsplit("-s", 1)[0], "seed": int(k.rsplit("-s", 1)[1]), "status": "failed", "error": v}
              for k, v in errors.items()]
    return {**about, "systems": systems, "failed": failed}


__all__ = ["ABOUT", "INSTEAD", "SCORES", "TASKS", "collect", "evaluate", "export",
           "predict", "prepare", "train", "trial"]
