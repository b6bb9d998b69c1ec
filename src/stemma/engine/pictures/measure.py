"""Measure a model on a split: batched inference, predictions brought back to the pixels of the files,
metrics of its task."""
from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.paper import Paper, Task
from ...core.recipe import Recipe
from ...core.types import (
    Batch,
    Classes,
    DataError,
    Dataset,
    Detections,
    Info,
    PanopticMap,
    Prediction,
    Sample,
    SemanticMap,
    StemmaError,
    at_least,
)
from ...ops.components import components
from ...ops.masks import encode, patches
from ...ops.scalars import alone
from ..running import checkpoint
from ..running.devices import autocast, pick_device, pick_precision
from ..running.runs import Run
from . import outside

MAIN = {
    "detection": "AP", "instances": "mask_AP", "keypoints": "keypoint_AP", "semantic": "mIoU", "panoptic": "PQ",
    "amodal": "mask_AP", "proposals": "AR100", "weak": "point_AP",
}
NEEDS = {
    "instances": {"boxes", "masks"}, "keypoints": {"boxes", "keypoints"}, "semantic": {"semantic"},
    "panoptic": {"boxes", "masks", "semantic", "panoptic"}, "amodal": {"boxes", "amodal"}, "weak": {"image_labels"},
}


def main_metric(task: str) -> str:
    """The number by which models of a task are ranked."""
    return MAIN.get(task, "AP")


def needs_of(task: str, spec: Any = None, kinds: Iterable[str] = ()) -> frozenset[str]:
    """The kinds of target that the loss of a task reads; those that a spec says it can use besides (`needs`), where the
    data have them."""
    return frozenset(NEEDS.get(task, {"boxes"})) | (frozenset(getattr(spec, "needs", ())) & frozenset(kinds))


def check_kinds(card: Paper, preset: str, info: Info, where: str) -> None:
    """Raises `DataError` when the data lack targets that the paper needs."""
    needs = needs_of(card.task_of(preset))
    # objects say which classes there are
    missing = needs - set(info.kinds) - ({"image_labels"} if "boxes" in info.kinds else set())
    if missing:
        raise DataError(where, f"{card.cli_name} ({preset}) needs {', '.join(sorted(needs))}, and the data have "
                        f"{', '.join(info.kinds) or 'nothing'}", f"Annotate {' and '.join(sorted(missing))}, or choose "
                        "a paper for what there is (`stemma list`)", field="kinds")


@dataclass
class Subset:
    """Some pictures of a data set, as a data set."""

    base: Dataset
    at: Sequence[int]

    @property
    def info(self) -> Info:
        return self.base.info

    @property
    def fingerprint(self) -> str:
        return f"{self.base.fingerprint}:{len(self.at)}:{sum((k + 1) * i for k, i in enumerate(self.at)) % (1 << 61):x}"

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, i: int) -> Sample:
        return self.base[self.at[i]]

    def truth(self, i: int) -> Sample:
        return self.base.truth(self.at[i])


class _Gathering(Subset):
    """A subset of a data set that hands out many pictures at once, which so does too."""

    @property
    def size(self) -> int:
        return int(self.base.size)  # type: ignore[attr-defined]

    def gather(self, index: np.ndarray, kinds: frozenset[str]) -> Any:
        return self.base.gather(np.asarray(self.at)[index], kinds)  # type: ignore[attr-defined]


def subset(data: Dataset, at: Sequence[int]) -> Subset:
    """The pictures `at` of a data set, as a data set; it keeps the loader's fast path where there is one."""
    return _Gathering(data, at) if hasattr(data, "gather") else Subset(data, at)


def spread(data: Dataset, limit: int | None) -> Dataset:
    """At most `limit` pictures of a data set, evenly spread. Raises `StemmaError` for a limit below 1."""
    at_least(1, limit=limit)
    if limit is None or limit >= len(data):
        return data
    return subset(data, [i * len(data) // limit for i in range(limit)])


# ---------------------------------------------------------------- network pixels -> file pixels


def to_file(prediction: Prediction, batch: Batch, objects: Apart | None = None) -> list[dict[str, Any]]:
    """A prediction for a batch as one dict of numpy arrays an image, in pixels of the files.

    Detections: boxes (n, 4), scores, labels, and masks (COCO run-length dicts), keypoints (n, K, 3). Semantic: semantic
    (H, W) int32, and with `objects` what it finds in the map, as detections, under "objects". Panoptic: panoptic (H, W)
    int32 ids, segments (S,) labels, scores (S,).
    """
    sizes, original = batch.sizes.cpu(), batch.original.cpu()
    if isinstance(prediction, Detections):
        return _objects(prediction, sizes, original)
    maps = prediction.scores if isinstance(prediction, SemanticMap) and prediction.scores is not None else None
    labels = prediction.labels if isinstance(prediction, SemanticMap) else prediction.ids
    out = []
    for i in range(len(labels)):
        (h, w), (fh, fw) = (tuple(int(v) for v in t[i].round().tolist()) for t in (sizes, original))
        if maps is not None:
            likely = F.interpolate(maps[i : i + 1, :, :h, :w].float(), (fh, fw), mode="bilinear",
                                   align_corners=False)[0]
            whole = likely.max(0).indices
        else:
            whole = F.interpolate(labels[i : i + 1, None, :h, :w].float(), (fh, fw), mode="nearest-exact")[0, 0]
        plain = whole.to(torch.int32).cpu().numpy()
        if isinstance(prediction, PanopticMap):
            live = prediction.labels[i] >= 0
            out.append({"panoptic": plain, "segments": prediction.labels[i][live].cpu().numpy(),
                        "scores": prediction.scores[i][live].float().cpu().numpy()})
        else:
            entry: dict[str, Any] = {"semantic": plain}
            if objects is not None:
                entry["objects"] = objects(plain, None if maps is None else likely.cpu().numpy())
            out.append(entry)
    return out


@dataclass(frozen=True)
class Apart:
    """Objects in the maps of a semantic system that was trained to keep touching ones apart: connected regions of a
    thing class."""

    classes: Classes  # of the map
    objects: Classes  # of the detections

    def __call__(self, semantic: np.ndarray, scores: np.ndarray | None = None) -> dict[str, Any]:
        """boxes (n, 4), scores, labels, masks (COCO run-length dicts), best first. `scores` (C, H, W): the
        probabilities of the classes."""
        found: dict[str, Any] = components(semantic, self.classes, self.objects, scores)
        return found | {"masks": [encode(m) for m in found["masks"]]}


def apart(model: nn.Module, info: Info | None) -> Apart | None:
    """How the model's maps are read as objects; None where it did not learn to keep objects apart, or gives no maps."""
    m: Any = model
    if info is None or info.semantic is None or not getattr(m.spec, "separates", False):
        return None
    return Apart(info.semantic, info.classes)


def _objects(d: Detections, sizes: Tensor, original: Tensor) -> list[dict[str, Any]]:
    moved = d.map(lambda v: v.float().cpu() if v.is_floating_point() else v.cpu()).scale(original / sizes)
    out: list[dict[str, Any]] = []
    for i, one in enumerate(moved.unpad()):
        h, w = (int(v) for v in original[i].tolist())
        boxes = one["boxes"].clone()
        boxes[:, 0::2].clamp_(0, w)
        boxes[:, 1::2].clamp_(0, h)
        entry: dict[str, Any] = {"boxes": boxes.numpy(), "scores": one["scores"].numpy(),
                                 "labels": one["labels"].numpy()}
        if "masks" in one:
            entry["masks"] = []
            for part, (x, y) in patches(one["masks"], one["boxes"], (h, w)):
                mask = np.zeros((h, w), bool)
                mask[y : y + part.shape[0], x : x + part.shape[1]] = part.numpy() >= 0.5
                entry["masks"].append(encode(mask))
        if "keypoints" in one:
            entry["keypoints"] = one["keypoints"].numpy()
        out.append(entry)
    return out


# ---------------------------------------------------------------- running over a split


@dataclass(frozen=True)
class Seen:
    """What a pass over a split hands out for one batch: `losses` of the batch (a float by name),
    seconds of inference."""

    batch: Batch
    predictions: list[dict[str, Any]]
    losses: dict[str, float]
    seconds: float


def first_stage(model: nn.Module, recipe: Recipe, batch: Batch, images: Tensor) -> Detections:
    """What a system looks at before it says what is there, best first, labels all 0: its own proposals,
    or those that it is given.

    Raises `StemmaError` for a system without proposals.
    """
    m: Any = model
    if outside.wants(recipe):
        boxes = outside.given(recipe, batch)["proposals"]
        real = (boxes[..., 2:] > boxes[..., :2]).all(-1)
        rank = torch.linspace(1.0, 0.0, boxes.shape[1], device=boxes.device).expand(boxes.shape[:2])
        return Detections(boxes, rank * real, real.long() - 1)
    if not hasattr(m, "proposals"):
        raise StemmaError(f"{m.paper.cli_name} makes no proposals; ask a two-stage system for them, or evaluate a "
                          "proposal method as it is")
    found: Detections = m.proposals(images, batch.sizes)
    return found


def run_over(model: nn.Module, data: Dataset, recipe: Recipe, *, batch: int, device: str, precision: str,
             needs: frozenset[str], losses: bool = False,
             workers: int = 0, show: bool = False, of: str = "predict") -> Iterator[Seen]:
    """Predict every picture once, in order, in eval mode; with `losses` also what the loss would say.
    The model's mode is put back.

    Boxes that the model takes from outside are computed before, with a bar where `show`.
    of: "predict", or "proposals" (`first_stage`).
    """
    m: Any = model
    loader = outside.loader(model, data, recipe, batch=batch, needs=needs, workers=workers)
    if len(data) > 1:
        outside.fill(loader.dataset, show=show)
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    objects = apart(model, data.info)
    was, cuda = model.training, device.startswith("cuda")
    model.eval()
    try:
        for raw in loader.epoch(0):
            b = raw.to(device)
            images = b.images.contiguous(memory_format=layout)
            with torch.no_grad(), alone(), autocast(device, precision):
                said = m.loss(b) if losses else {}
                if cuda:
                    torch.cuda.synchronize()
                begin = time.perf_counter()
                found = (m.predict(images, b.sizes, **outside.given(recipe, b)) if of == "predict"
                         else first_stage(m, recipe, b, images))
                if cuda:
                    torch.cuda.synchronize()
                took = time.perf_counter() - begin
            yield Seen(raw, to_file(found, b, objects), {k: float(v) for k, v in said.items()}, took)
    finally:
        model.train(was)


def measure(model: nn.Module, data: Dataset, *, batch: int = 8, device: str = "cpu", precision: str = "fp32",
            losses: bool = False, workers: int = 0, bar: Any = None, collect: list[dict[str, Any]] | None = None,
            details: bool = False, proposals: str | None = None, of: str = "predict") -> dict[str, Any]:
    """Metrics of a model over a data set, with `images`, `images_per_second` (inference alone) and, when asked,
    `loss` and `losses`.

    A semantic system that learned to keep objects apart is measured on these too (AP, mask_AP, ...), where the data
    have masks. `details` adds what a report draws (`metrics.Evaluator.details`).
    `collect` receives every image's prediction.
    of: "predict", or "proposals": the proposals of a two-stage system, measured as those of a proposal method.
    Raises `DataError` when the class lists disagree or the data set is empty.
    """
    from ...metrics import Evaluator

    m: Any = model
    task, info = m.paper.task_of(m.preset) if of == "predict" else "proposals", data.info
    if not len(data):
        raise DataError(info.name, "the split holds no pictures", "Choose another split or add pictures")
    checkpoint.check_classes(model, info, info.name)
    recipe: Recipe = outside.sourced(m.recipe, proposals)
    needs = needs_of(task, m.spec, info.kinds)
    if losses:
        check_kinds(m.paper, m.preset, info, info.name)
    evaluator = Evaluator(info, cast(Task, task))
    also = Evaluator(info, "instances") if "masks" in info.kinds and apart(model, info) is not None else None
    total: dict[str, float] = {}
    images, seconds = 0, 0.0
    needs = needs if losses else frozenset()
    for seen in run_over(model, data, recipe, batch=batch, device=device, precision=precision, needs=needs,
                         losses=losses, workers=workers, show=bar is not None, of=of):
        for i, prediction in zip(seen.batch.index.tolist(), seen.predictions, strict=True):
            evaluator.add(data.truth(i), prediction, i)
            if also is not None:
                also.add(data.truth(i), prediction["objects"], i)
            if collect is not None:
                collect.append({"index": i, **prediction})
        n = len(seen.batch)
        images, seconds = images + n, seconds + seen.seconds
        for k, v in seen.losses.items():
            total[k] = total.get(k, 0.0) + v * n
        if bar is not None:
            bar(images)
    out: dict[str, Any] = (also.result() if also is not None else {}) | evaluator.result()
    if details:
        out["details"] = evaluator.details()
    out |= {"images": images, "images_per_second": images / max(seconds, 1e-9)}
    if losses:
        weights = dict(recipe.loss_weights)
        out["losses"] = {k: v / images for k, v in total.items()}
        out["loss"] = math.fsum(v * weights.get(k, 1.0) for k, v in out["losses"].items())
    return out


def resolve(model: nn.Module | Run | str | Path, which: str = "best", svd: Sequence[int] = ()) -> nn.Module:
    """A model from a model, a run, a run's folder or a weights file; with `svd` its region heads shortened to these
    ranks (`compress`).

    Raises `StemmaError` when it has no card (built by hand), or no layers to shorten.
    """
    if svd:
        from .compress import compress

        return compress(model, svd, which)
    if isinstance(model, Run):
        model = model.load(which)
    elif not isinstance(model, nn.Module):
        model = checkpoint.load(model, which)
    if not hasattr(model, "paper"):
        raise StemmaError("this model does not say which paper it is; build it with stemma.build or load it with "
                          "stemma.load")
    return model


def evaluate(model: nn.Module | Run | str | Path, data: str | Path | Dataset, split: str = "val", *,
             format: str | None = None, which: str = "best",
             batch: int = 8, device: str = "auto", precision: str = "auto", limit: int | None = None, workers: int = 0,
             out: str | Path | None = None, losses: bool = False, details: bool = False, progress: bool = False,
             data_options: dict[str, Any] | None = None,
             proposals: str | None = None, of: str = "predict", svd: Sequence[int] = ()) -> dict[str, Any]:
    """Measure a model, run folder or weights file on a split of a data set.

    Returns the metrics of its task (AP, AP50, ..., per_class; mask_AP, keypoint_AP; mIoU; PQ), with `paper`, `split`,
    `images`, `images_per_second` of inference. `limit`: at most so many pictures, evenly spread. `out`: a COCO JSON
    file of the detections. `losses` adds the loss, `details` what a report draws (curves, confusion, errors).
    `data_options`: what `open_dataset` takes besides.
    `proposals`: another source of boxes than the recipe's, or a file of them, for a system that takes them from
    outside. `of="proposals"`: measure what a two-stage system looks at, before it says what is there (AR10, AR100,
    AR1000, without classes).
    `svd`: measure it with the fully connected layers of its region heads shortened to these ranks (`compress`).
    Raises `StemmaError`/`DataError` for a checkpoint or data that cannot be read or do not agree.
    """
    from ..running.progress import counting

    net = resolve(model, which, svd)
    m: Any = net
    format, options = suited(data, m.paper.task_of(m.preset), format, data_options)
    dataset = spread(open_split(data, split, format, **options), limit)
    if of not in ("predict", "proposals"):
        raise StemmaError(f"what is measured is 'predict' or 'proposals', not '{of}'")
    task = m.paper.task_of(m.preset) if of == "predict" else "proposals"
    device = pick_device(device)
    net.to(device)
    found: list[dict[str, Any]] | None = [] if out is not None else None
    with counting("evaluating", len(dataset), progress) as bar:
        low = pick_precision(device, precision)
        result = measure(net, dataset, batch=batch, device=device, precision=low, losses=losses, workers=workers,
                         bar=bar, collect=found, details=details, proposals=proposals, of=of)
    if out is not None and found is not None:
        write_coco(out, dataset, found, said_of(m.info or dataset.info, task))
        result["predictions"] = str(out)
    return {"paper": m.paper.name, "task": task, "split": split, "fingerprint": dataset.fingerprint, **result}


def said_of(info: Info, task: str) -> Info:
    """`info` with the classes that predictions of a task name: proposals have the one class "object"."""
    return replace(info, classes=Classes(("object",), (1,))) if task == "proposals" else info


def suited(data: str | Path | Dataset, task: str, format: str | None = None,
           options: dict[str, Any] | None = None) -> tuple[str | None, dict[str, Any]]:
    """Format and options with which a folder that holds annotations of several kinds is read for a task; what was told
    stays as it is."""
    options = dict(options or {})
    if isinstance(data, (str, Path)) and Path(data).is_dir():
        from ...data.readers import coco

        if task == "panoptic" and format is None and coco.json_groups(Path(data), "panoptic"):
            format = "panoptic"
        if task == "keypoints" and format in (None, "coco") and "which" not in options:
            named = [g for g in coco.json_groups(Path(data), "coco") if "keypoints" in g]
            options |= {"which": named[0]} if named else {}
    return format, options


def open_split(data: str | Path | Dataset, split: str, format: str | None = None, **options: Any) -> Dataset:
    """A data set as it is, or the split of what a path names; drawn scenes come from their cache."""
    if not isinstance(data, (str, Path)):
        return data
    from ...data.open import open_dataset

    return cached(open_dataset(data, split, format, **options))


def cached(data: Dataset) -> Dataset:
    """Scenes drawn once and kept under `$STEMMA_CACHE` (default ~/.cache/stemma), in memory where that cannot be
    written; other data as they are."""
    import os

    from ...data.scenes import Scenes

    if hasattr(data, "over"):  # one that stands around others
        return data.over(cached)  # type: ignore[no-any-return]
    if not isinstance(data, Scenes):
        return data
    folder = Path(os.environ.get("STEMMA_CACHE", Path.home() / ".cache" / "stemma"))
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return data.cache(folder, workers)
    except OSError:
        return data.cache(None, workers)


# ---------------------------------------------------------------- COCO results


def coco_entries(prediction: dict[str, Any], image_id: int, ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The COCO result records of one image's detections."""
    for k in range(len(prediction["scores"])):
        x1, y1, x2, y2 = (round(float(v), 3) for v in prediction["boxes"][k])
        entry: dict[str, Any] = {
            "image_id": image_id, "category_id": int(ids[int(prediction["labels"][k])]),
            "bbox": [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)], "score": round(float(prediction["scores"][k]), 6),
        }
        if "masks" in prediction:
            code = prediction["masks"][k]
            counts = code["counts"]
            entry["segmentation"] = {"size": list(code["size"]),
                                     "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}
        if "keypoints" in prediction:
            entry["keypoints"] = [round(float(v), 3) for v in np.asarray(prediction["keypoints"][k]).reshape(-1)]
        yield entry


def write_coco(path: str | Path, data: Dataset, predictions: Sequence[dict[str, Any]], info: Info) -> None:
    """Detections as a COCO results file. Raises `StemmaError` for maps, which that format cannot hold, and when the
    disk does not take it."""
    predictions = [p | p["objects"] if "objects" in p else p for p in predictions]
    if predictions and "scores" not in predictions[0] or predictions and "panoptic" in predictions[0]:
        raise StemmaError("a COCO results file holds boxes, masks and keypoints; semantic and panoptic maps are "
                          "written as pictures by `stemma predict`")
    entries = [e for p in predictions for e in coco_entries(p, data.truth(p["index"]).id, info.classes.ids)]
    checkpoint.write_text(path, json.dumps(entries))


__all__ = ["MAIN", "Apart", "Seen", "Subset", "apart", "cached", "check_kinds", "coco_entries", "evaluate",
           "first_stage", "main_metric", "measure", "needs_of", "open_split", "resolve", "run_over", "said_of",
           "spread", "subset", "suited", "to_file", "write_coco"]
