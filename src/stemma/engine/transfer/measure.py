"""What is asked of a network that was carried over: its accuracy on each data set, and what it sees in pictures."""
from __future__ import annotations

import glob
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core import outputs
from ...core.types import StemmaError
from ...data.images import SUFFIXES, read_image, walk
from ...data.labelled import Labelled, Part, open_sets
from ...metrics.carried import measured
from ...ops import softmax_regression as regression
from ...skeletons.protocol import Path as Path_
from ..running import checkpoint
from ..running.devices import pick_device
from ..running.runs import Run
from . import course, features

TOP = 3  # classes that are told of a picture
SPARSE = 9  # strengths that random weights are tried with


def _open(model: nn.Module | Run | str | Path, which: str, device: str) -> tuple[Any, dict[str, Any]]:
    """The model, and the record of its run where it is one's."""
    m: Any = checkpoint.resolve(model, which)
    folder = model.path if isinstance(model, Run) else Path(model) if isinstance(model, (str, Path)) else None
    record = Run.open(folder).record if folder is not None and folder.is_dir() else {}
    return m.to(pick_device(device)).eval(), record


def known_sets(m: Any, data: Any, record: dict[str, Any]) -> list[tuple[int, Labelled]]:
    """(place in the model, data set) of what `data` names, or of what the run was made on. Raises `StemmaError` for a
    set that the model does not know, or whose classes are others."""
    where = data if data is not None else record.get("data", {}).get("where")
    if where is None:
        raise StemmaError("name the data sets with --data: the model does not say where they are")
    known = {name: i for i, (name, _, _) in enumerate(m.spec.sets)}
    names = m.info.classes.names
    out = []
    for s in open_sets(where):
        if s.name not in known:
            raise StemmaError(f"{s.name} is not among the sets that this network was carried over to: "
                              f"{', '.join(known)}; train it on that set")
        i = known[s.name]
        begin = sum(n for _, n, _ in m.spec.sets[:i])
        own = tuple(x.removeprefix(f"{s.name} / ") for x in names[begin : begin + m.spec.sets[i][1]])
        if own != s.classes:
            at = next((k for k, (a, b) in enumerate(zip(own, s.classes)) if a != b), min(len(own), len(s.classes)))
            raise StemmaError(f"{s.name}: the class list disagrees with the network's: {len(s.classes)} classes here, "
                              f"{len(own)} there, the first that differs is number {at}")
        out.append((i, s))
    return out


@torch.no_grad()
def answers(m: Any, s: Labelled, at: int, part: Part) -> np.ndarray:
    """Probabilities (N, C) of a split."""
    x = features.of(m.network, m.spec.look, part, s.features).to(next(m.parameters()).device)
    head = m.heads[at]  # in the digits in which it was fitted
    z = m.brought(x.double()) @ head.weight.double().mT + head.bias.double()
    found: np.ndarray = (z.sigmoid() if s.many else z.softmax(1)).cpu().numpy()
    return found


def evaluate(
    model: nn.Module | Run | str | Path, data: Any = None, *, split: str = "test", which: str = "best",
    device: str = "auto", progress: bool = False,
) -> dict[str, Any]:
    """{"accuracy": mean over sets, "sets": {name: {"measure", "value", "pictures", "classes", "chance", "log_loss"}}}
    of the linear classifiers, on a split of the sets that `data` names (None: those of the run). "trained": what the
    run's grids reached; "tightness": of the features of each set (`carried.tightness`). Raises `StemmaError`."""
    m, record = _open(model, which, device)
    out: dict[str, Any] = {"paper": m.paper.name, "network": m.network.name, "split": split, "sets": {}}
    for at, s in known_sets(m, data, record):
        part = course.part_of([s], split)[0]
        said, measure = answers(m, s, at, part), m.spec.measure_of(s.name, s.many)
        right = (np.where(part.labels, said, 1 - said).clip(1e-12) if s.many
                 else said[np.arange(len(said)), part.labels].clip(1e-12))
        out["sets"][s.name] = {
            "measure": measure, "value": measured(measure, said, part.labels), "pictures": len(part),
            "classes": len(s.classes), "chance": float(part.labels.mean()) if s.many else 1 / len(s.classes),
            "log_loss": float(-np.log(right).sum() / len(part))}
    out["accuracy"] = float(np.mean([v["value"] for v in out["sets"].values()]))
    results = record.get("results")
    if results and split == "test":
        out["source"] = results["source"]
        out["tightness"] = {s["name"]: s["linear"].get("tightness") for s in results["sets"] if "linear" in s}
        out["trained"] = {s["name"]: {g: v["test"] for g, v in s["grids"].items()} for s in results["sets"]
                          if s["grids"]}
    return out


@torch.no_grad()
def predict(
    model: nn.Module | Run | str | Path, what: Any = None, out: str | Path | None = None, *, which: str = "best",
    device: str = "auto", progress: bool = False,
) -> list[dict[str, Any]]:
    """The likeliest classes of pictures (files, folders, patterns, or arrays uint8 (H, W, 3)), for each data set:
    [{"file", "sets": {name: [[class, probability], ...]}}]; written to `out`/predictions.json where `out` is given.
    Raises `StemmaError` where there are none."""
    m, _ = _open(model, which, device)
    found = list(_pictures(what))
    if not found:
        raise StemmaError("name pictures: files, a folder, or a pattern in quotes")
    size = m.spec.look.size
    names, begin = m.info.classes.names, np.cumsum([0, *(n for _, n, _ in m.spec.sets)])
    rows: list[dict[str, Any]] = []
    for i in range(0, len(found), features.AT_ONCE):
        some = found[i : i + features.AT_ONCE]
        x = torch.from_numpy(np.stack([features.middle(p, size) for _, p in some]))
        said = m.predict(x.to(next(m.parameters()).device))
        for k, (file, _) in enumerate(some):
            row: dict[str, list[list[Any]]] = {}
            for j, (name, _, _) in enumerate(m.spec.sets):
                best = said[j][k].topk(min(TOP, said[j].shape[1]))
                row[name] = [[names[begin[j] + c].removeprefix(f"{name} / "), round(float(p), 6)]
                             for p, c in zip(best.values.tolist(), best.indices.tolist())]
            rows.append({"file": file, "sets": row})
    if out is not None:
        outputs.put_text(Path(out) / "predictions.json", json.dumps(rows, indent=1), prediction=True)
    return rows


def _pictures(what: Any) -> Any:
    """(name, picture) of all that is asked for."""
    if isinstance(what, np.ndarray):
        yield "picture", what
    elif isinstance(what, (list, tuple)):
        for one in what:
            yield from _pictures(one)
    elif what is not None:
        path = Path(what).expanduser()
        if path.is_dir():
            files = [path / f for f in walk(path)]
        else:
            files = [path] if path.is_file() else [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
        if not files:
            raise StemmaError(f"no picture at {what}; name a file, a folder or a pattern in quotes")
        for file in files:
            if file.is_dir() or file.suffix.lower() not in SUFFIXES:
                continue
            yield str(file), read_image(file)


def untrained(m: Any, sets: list[Labelled], seed: int) -> dict[str, float]:
    """What the same network with random weights carries over: its best of a sparse path, by validation, on test. Of
    features that were extracted before it says nothing."""
    torch.manual_seed(seed)
    network = m.spec.network.build(course._inputs()).to(next(m.parameters()).device).eval()
    out = {}
    probe = m.spec.probe if isinstance(m.spec.probe, Path_) else Path_()
    for s in (x for x in sets if not x.features):
        train, val, test = (m.brought(features.of(network, m.spec.look, s.parts[k], s.features).double())
                            for k in ("train", "val", "test"))
        rows, y = regression.turned(train), torch.from_numpy(s.parts["train"].labels)
        measure, found, warm = m.spec.measure_of(s.name, s.many), [], None
        for strength in regression.path(probe.weakest, probe.strongest, SPARSE):
            fitted = regression.fit(rows, y, [strength], len(s.classes), warm, tolerance=1e-4, most=200)
            weight, bias = rows.back(fitted.w[0])
            said = [measured(measure, (x @ weight + bias).numpy(), s.parts[k].labels)
                    for k, x in (("val", val), ("test", test))]
            found.append(said)
            warm = fitted.w
        out[s.name] = max(found, key=lambda v: v[0])[1]
    return out


def trial(job: Any, folder: Path) -> dict[str, Any]:
    """Carry a job of `compare` over (or finish it) and measure it: what its `trial.json` holds."""
    run = course.train(job.paper, job.data, job.length, job.preset, folder, job.seed, job.sets, resume=True,
                       device=job.device, progress=False)
    m: Any = run.load("last")
    record, said = run.record, evaluate(run, device=job.device)
    sets = [s for _, s in known_sets(m, None, record)]
    source = record["results"]["source"]
    return {
        "id": job.id, "paper": m.paper.name, "title": m.paper.title, "label": m.paper.label, "preset": job.preset,
        "seed": job.seed, "task": "transfer", "network": m.network.name, "weights": record["start"]["says"],
        "steps": record["spent"]["steps"], "images": record["spent"]["images"], "parameters": record["parameters"],
        "peak_memory_mb": record["peak_memory_mb"], "device": record["device"],
        "top1": m.spec.top1 or (source["test"] if source else None),
        "top1_of": "as its file says" if m.spec.top1 else f"measured on {source['name']}" if source else "",
        "top1_pictures": source["count"] if source and not m.spec.top1 else 50_000,
        "metrics": {"accuracy": said["accuracy"]}, "sets": said["sets"], "results": record["results"],
        "untrained": untrained(m, sets, job.seed), "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


__all__ = ["answers", "evaluate", "known_sets", "predict", "trial", "untrained"]
