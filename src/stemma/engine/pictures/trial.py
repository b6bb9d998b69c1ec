"""One training of a comparison on pictures, and what is measured of it: numbers, curves, errors, confusion,
and answers to show.

The run's folder gains `shown/` (answers on a few pictures, for the report) and `pictures.npz` (what each picture adds
to the measures, for intervals over them).
"""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core import paper as papers
from ...core.types import Dataset, Sample, StemmaError
from ...data.open import held_out, spread
from ..comparing.job import Job
from ..running import checkpoint
from ..running.clock import Stopwatch
from ..running.devices import autocast, layout, pick_device
from ..running.runs import Run
from . import fit, outside, starts
from .answers import apart
from .draw import hatch
from .flops import flops
from .gallery import map_layer, mask_layer, save_layer, shown_size
from .measure import measure, run_over
from .paired import FILE, tallies_of
from .tasks import main_metric

SHOWN = 120  # pictures whose answers are kept, for the report to choose from
UNTRAINED = 100  # pictures on which the untrained net is measured
BOXES = 25  # most boxes that are drawn on a picture, best first
PIXELS = {"semantic": "mIoU", "panoptic": "PQ"}
ASIDE = ("proposals", "amodal")  # tasks that know no classes
# a picture's quality is the measure itself, of that picture alone
WHOLE = PIXELS | {"proposals": "AR100", "amodal": "mask_AR100"}
PROPOSED = 100  # proposals of a picture from which those shown are chosen
CURVE = 128  # pictures that a point of a learning curve is measured on


def trial(job: Job, folder: Path) -> dict[str, Any]:
    """Train (or finish) a job of `compare` on pictures and measure it: what its `trial.json` holds.
    Raises as `train` does."""
    held = held_out(job.data, job.format, job.limit, papers.get(job.paper).task_of(job.preset), job.data_options)
    info, data, which = held.train.info, held.measured, held.weights
    device = pick_device(job.device)
    model = checkpoint.build(job.paper, job.preset, sets=job.sets, info=info)
    m: Any = model
    trained = fit.train(job.paper, job.data, job.length, job.preset, folder, job.seed, job.sets, resume=True,
                        format=job.format, data_options=job.data_options, device=job.device, batch=job.batch,
                        precision=precision_for(job, folder, m.recipe.precision),
                        workers=job.workers, size="preset", upright="preset", val_every=1 / job.validations,
                        val_images=CURVE, progress=False,
                        start=job.start or None)
    record = trained.record
    torch.manual_seed(job.seed)
    # what was measured in the data included
    bare = checkpoint.build(job.paper, job.preset, sets=record["sets"], info=info)
    starts.all_of(bare, job.start or None)
    bare = bare.to(device)
    model = trained.load(which).to(device)
    precision = record["precision"]
    m = model
    task = m.paper.task_of(m.preset)
    untrained = measure(bare, spread(data, UNTRAINED), device=device, precision=precision)
    measured = _measure(model, data, task, device, precision, folder)
    out: dict[str, Any] = {
        "id": job.id, "paper": m.paper.name, "title": m.paper.title, "preset": job.preset,
        "seed": job.seed, "task": task, "weights": which, "split": held.split, "split_images": held.whole,
        "untrained_images": min(UNTRAINED, len(data)), "curve_split": "val", "curve_images": min(CURVE, len(held.val)),
        "steps": record["spent"]["steps"], "images": record["spent"]["images"],
        "train_images_per_second": record["images_per_second"], "peak_memory_mb": record["peak_memory_mb"],
        "device": record["device"], "precision": record["precision"], "parameters": record["parameters"], "batch":
        record["batch"], "fingerprint": record["data"]["fingerprint"], "curve": _curve(trained, main_metric(task)),
        "untrained": {k: v for k, v in untrained.items() if isinstance(v, float)}, **measured,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    out["flops"] = _flops(model.float(), data, device)
    return out


def precision_for(job: Job, folder: Path, recipe: str) -> str | None:
    """What a job's training computes in; None, which leaves it to the run, where one has begun."""
    return None if (folder / "run.json").is_file() else job.precision_of(recipe)


def _flops(model: nn.Module, data: Dataset, device: str, pictures: int = 8) -> int:
    """Operations a picture takes, mean over a few held-out ones, one at a time."""
    m: Any = model
    loader = outside.loader(model, spread(data, pictures), m.recipe, batch=1)
    moved = (b.to(device) for b in loader.epoch(0))
    counts = [flops(model, b.images, proposals=outside.given(m.recipe, b).get("proposals")) for b in moved]
    return round(sum(counts) / len(counts))


def _curve(run: Any, main: str) -> list[dict[str, Any]]:
    """Validations over time. Detectors are drawn by box AP, whatever they are ranked by in training."""
    lines = list(run.metrics("val"))
    return [{"seconds": e["seconds"], "images": e["images"], "step": e["step"], "loss": e.get("loss"),
             "value": e.get("AP", e.get(main))} for e in lines]


# ---------------------------------------------------------------- measuring


def _measure(model: nn.Module, data: Dataset, task: str, device: str, precision: str, folder: Path) -> dict[str, Any]:
    from ...metrics import Evaluator, matches, precision_recall

    m: Any = model
    info = data.info
    evaluator = Evaluator(info, task)  # type: ignore[arg-type]
    also = Evaluator(info, "instances") if "masks" in info.kinds and apart(model, info) is not None else None
    wanted = {i * len(data) // min(SHOWN, len(data)) for i in range(min(SHOWN, len(data)))}
    kept: dict[int, dict[str, Any]] = {}
    shape: list[int] = []
    images, watch = 0, Stopwatch(device)
    for seen in run_over(model, data, m.recipe, batch=8, device=device, precision=precision, needs=frozenset(),
                         watch=watch):
        shape = shape or list(seen.batch.images.shape[-2:])
        for i, prediction in zip(seen.batch.index.tolist(), seen.predictions, strict=True):
            evaluator.add(data.truth(i), prediction, i)
            if also is not None:
                also.add(data.truth(i), prediction["objects"], i)
            if i in wanted:
                kept[i] = prediction
        images += len(seen.batch)
    numbers = (also.result() if also is not None else {}) | evaluator.result()
    tallies_of(evaluator, also, data.fingerprint).save(folder / FILE)
    out: dict[str, Any] = {"metrics": numbers, "input": shape, "images_measured": images,
                           "predict_images_per_second": images / max(watch.seconds, 1e-9)}
    details = evaluator.details()
    out["per_class"] = details.get("per_class", {})
    names = list(info.classes_for(task).names)
    threshold = 0.5
    if task in ASIDE:
        out["recall"] = details["recall" if task == "proposals" else "mask_recall"]
    elif task == "weak":
        out["pr"] = {"recall": details["pr_mean"][0], "precision": {"points": details["pr_mean"][1]}}
    elif task not in PIXELS:
        strict = precision_recall(matches(evaluator.record, 0.75)).mean.tolist()
        threshold = float(details["confusion"]["score"])
        recall, loose = details["pr_mean"]
        out["pr"] = {"recall": recall, "precision": {"0.50": loose, "0.75": strict}}
        out["errors"] = {k: v["dAP"] for k, v in details["errors"].items()}
        out["error_counts"] = {k: v["count"] for k, v in details["errors"].items()}
        out["calibration"], out["count"], out["best_f1"] = (details["calibration"]["ECE"], details["count"]["error"],
                                                            details["f1"]["best"])
    if "confusion" in details:
        out["confusion"] = {"labels": details["confusion"]["labels"], "matrix": details["confusion"]["matrix"]}
    out["threshold"] = threshold
    out["shown"] = {}
    for i, prediction in sorted(kept.items()):
        truth = data.truth(i)
        said = show(prediction, truth, task, names, threshold)
        layer = said.pop("layer")
        if layer is not None:
            save_layer(layer, folder / "shown" / f"{i}.png")
            said["overlay"] = f"shown/{i}.png"
        said["quality"] = quality(prediction, truth, info, task, threshold)
        out["shown"][str(i)] = said
    return out


def show(prediction: dict[str, Any], truth: Sample, task: str, names: list[str], threshold: float) -> dict[str, Any]:
    """A prediction as the report draws it, in pixels of the shown picture: boxes, labels, scores, whether each is
    right, and a layer of masks."""
    if task == "semantic" and "objects" in prediction:
        from ...metrics.detection import to_rles

        found = prediction["objects"]
        return {"layer": mask_layer([r.decode() for r in to_rles(found["masks"])],
                                    found["labels"].tolist(), truth.size)}
    if task == "semantic":
        return {"layer": map_layer(prediction["semantic"], truth.size)}
    if task == "panoptic":
        return {"layer": panoptic_layer(prediction["panoptic"], prediction["segments"], truth.size)}
    if task in (*ASIDE, "weak"):
        return (_proposed if task in ASIDE else _pointed)(prediction, truth, names, threshold)
    from ...metrics.detection import to_rles

    scores = np.asarray(prediction["scores"])
    order = np.argsort(-scores, kind="stable")[:BOXES]
    keep = order[scores[order] >= threshold]
    scale = _shown(truth)
    labels = np.asarray(prediction["labels"])[keep]
    masks, points = prediction.get("masks"), prediction.get("keypoints")
    layer = None
    if masks is not None:
        layer = mask_layer([r.decode() for r in to_rles([masks[k] for k in keep])], labels.tolist(), truth.size)
    return {
        "boxes": np.round(np.asarray(prediction["boxes"])[keep] * scale, 1).tolist(),
        "labels": [names[k] for k in labels],
        "scores": np.round(np.asarray(prediction["scores"])[keep].astype(float), 3).tolist(),
        "ok": (_taken(prediction, truth, keep) != -1).tolist(), "layer": layer,
        "points": [] if points is None else np.round(np.asarray(points)[keep][..., :2].reshape(-1, 2) * scale[:2],
                                                     1).tolist(),
    }


def _proposed(prediction: dict[str, Any], truth: Sample, names: list[str], threshold: float) -> dict[str, Any]:
    """Of the first hundred proposals that which overlaps each object most, named by the object, right from IoU .5 on;
    and their masks."""
    from ...metrics.detection import box_iou, to_rles

    first = np.argsort(-np.asarray(prediction["scores"]), kind="stable")[:PROPOSED]
    boxes = np.asarray(prediction["boxes"], np.float64).reshape(-1, 4)
    ious = box_iou(boxes[first], truth.boxes.astype(np.float64).reshape(-1, 4))
    objects = np.flatnonzero(~truth.crowd & (ious.max(0, initial=0.0) > 0))[:BOXES]
    keep = first[ious[:, objects].argmax(0)] if len(objects) else np.zeros(0, np.int64)
    labels, masks, layer = truth.labels[objects], prediction.get("masks"), None
    if masks is not None:
        whole, visible = [r.decode() for r in to_rles([masks[k] for k in keep])], prediction.get("visible")
        if visible is not None:  # what is hidden is hatched
            stripe = hatch(truth.size)
            whole = [m & (r.decode() | stripe) for m, r in zip(whole, to_rles([visible[k] for k in keep]), strict=True)]
        layer = mask_layer(whole, labels.tolist(), truth.size)
    return {
        "boxes": np.round(boxes[keep] * _shown(truth), 1).tolist(), "labels": [names[k] for k in labels],
        "scores": np.round(np.asarray(prediction["scores"], float)[keep], 3).tolist(),
        "ok": (ious.max(0, initial=0.0)[objects] >= 0.5).tolist(), "layer": layer, "points": [],
    }


def _pointed(prediction: dict[str, Any], truth: Sample, names: list[str], threshold: float) -> dict[str, Any]:
    """The best point of each class that scores `threshold` or more, in a square of the tolerance."""
    from ...metrics.points import tolerance_in

    best, right, points = _best_points(prediction, truth, threshold)
    scale, around = _shown(truth), tolerance_in(truth.size)
    squares = np.concatenate([points - around, points + around], 1)
    return {
        "boxes": np.round(squares * scale, 1).tolist(),
        "labels": [names[k] for k in np.asarray(prediction["labels"])[best]],
        "scores": np.round(np.asarray(prediction["scores"], float)[best], 3).tolist(), "ok": right.tolist(),
        "layer": None, "points": np.round(points * scale[:2], 1).tolist(),
    }


def _best_points(prediction: dict[str, Any], truth: Sample,
                 threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(detections that are the best of their class and score `threshold` or more, whether each lies in an object of the
    class, their centres)."""
    from ...metrics.detection import picture
    from ...metrics.points import best_of_class, centres, inside, tolerance_in

    one = picture(truth, prediction, int(max([*truth.labels, *prediction["labels"]], default=0)) + 1, 0)
    best = best_of_class(one)
    best = best[one.scores[best] >= threshold]
    points = centres(one.found[best])
    near = inside(points, one.boxes, tolerance_in(one.size)) & (one.found_labels[best][:, None] == one.labels[None])
    return best, near.any(1), points


def _shown(truth: Sample) -> np.ndarray:
    """Factors (x, y, x, y) from pixels of the file to those of the picture in the report."""
    return np.asarray(np.array(shown_size(truth.size)[::-1] * 2) / np.array(truth.size[::-1] * 2))


def panoptic_layer(ids: np.ndarray, segments: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A panoptic map as a layer: the colour of each segment's class, its outline dark, nothing where it is void."""
    table = np.concatenate([[255], np.asarray(segments, np.int64).clip(min=0)])
    return map_layer(table[np.asarray(ids).clip(0, len(table) - 1)], size, ids)


def _taken(prediction: dict[str, Any], truth: Sample, keep: np.ndarray) -> np.ndarray:
    """For each kept detection the object that it takes at IoU .5: its index, -1 for none, -2 for a crowd."""
    from ...metrics.detection import box_iou, match

    boxes, labels = np.asarray(prediction["boxes"], np.float64)[keep], np.asarray(prediction["labels"], np.int64)[keep]
    order = np.argsort(-np.asarray(prediction["scores"])[keep], kind="stable")
    ious = box_iou(boxes[order], truth.boxes.astype(np.float64), truth.crowd)
    out = np.full(len(keep), -1, np.int64)
    out[order] = match(ious, labels[order], truth.labels.astype(np.int64), truth.crowd, 0.5)
    return out


def quality(prediction: dict[str, Any], truth: Sample, info: Any, task: str, threshold: float) -> float | None:
    """How good an answer is on one picture: F1 at IoU .5 of boxes, F1 of the classes' points, AR100 of proposals, mean
    IoU of a semantic map, PQ of a panoptic one."""
    if task == "weak":
        _, right, _ = _best_points(prediction, truth, threshold)
        said, there = len(right), len(np.unique(truth.labels[~truth.crowd]))
        return 2 * int(right.sum()) / (said + there) if said + there else 1.0
    if task in WHOLE:
        from ...metrics import Evaluator

        one = Evaluator(info, task)  # type: ignore[arg-type]
        one.add(truth, prediction)
        value = one.result().get(WHOLE[task])
        return None if value is None else float(value)
    taken = _taken(prediction, truth, np.flatnonzero(np.asarray(prediction["scores"]) >= threshold))
    hits, said, there = int((taken >= 0).sum()), int((taken != -2).sum()), int((~truth.crowd).sum())
    return 2 * hits / (said + there) if said + there else 1.0


# ---------------------------------------------------------------- speed


def latency(folders: list[str], data: str, format: str | None, device: str, rounds: int = 9,
            data_options: dict[str, Any] | None = None) -> dict[str, Any]:
    """How long one picture takes through `predict`, in the precision that a system was trained in, and for a system
    that takes its boxes from outside also the making of these.

    milliseconds: the median by folder, or why it could not be measured. proposals: what of it the boxes from outside
    took, by folder. by: the clock that says so, the wall's where it can be trusted, else the processor's over the
    threads. share: what the machine gave, work over wall time.
    The systems take turns, so that a busy moment of the machine falls on all.
    """
    device = pick_device(device)
    ready: dict[str, tuple[Any, str, list[tuple[Any, Any, dict[str, Any]]]]] = {}
    trouble: dict[str, float | str] = {}
    boxes: dict[str, tuple[float, float]] = {}
    for f in folders:
        try:
            m: Any = checkpoint.load(f, "last", device)
        except StemmaError as error:
            trouble[f] = str(error)
            continue
        held = held_out(data, format, task=m.paper.task_of(m.preset), options=data_options).measured
        loader = outside.loader(m, spread(held, 3), m.recipe, batch=1)
        boxes[f] = outside.cost(loader.dataset, m.recipe)
        laid = layout(m, m.recipe.channels_last, torch.device(device))
        m.to(memory_format=laid)
        moved = (b.to(device) for b in loader.epoch(0))
        pictures = [(b.images.contiguous(memory_format=laid), b.sizes, outside.given(m.recipe, b)) for b in moved]
        ready[f] = m, Run.open(f).record["precision"], pictures
    times: dict[str, list[tuple[float, float]]] = {f: [] for f in ready}
    whole = Stopwatch(device)
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for f, (m, precision, pictures) in ready.items():
                for images, sizes, more in pictures:
                    one = Stopwatch(device)
                    with autocast(device, precision):
                        m.predict(images, sizes, **more)
                    if device.startswith("cuda"):
                        torch.cuda.synchronize()
                    one.lap()
                    if turn:
                        times[f].append((one.busy, one.wall))
                        whole.add(one)
    made = {f: 1000 * t[whole.told == "wall"] for f, t in boxes.items()}
    found = {f: made[f] + 1000 * float(np.median([t[whole.told == "wall"] for t in v])) for f, v in times.items()}
    return {"milliseconds": trouble | found, "proposals": {f: v for f, v in made.items() if v},
            "by": whole.told, "share": whole.busy / max(whole.wall, 1e-9)}


__all__ = ["latency", "panoptic_layer", "quality", "show", "trial"]
