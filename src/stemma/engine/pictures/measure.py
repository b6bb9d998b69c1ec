"""Measure a model on a split: batched inference and the metrics of its task."""
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...core import outputs
from ...core.modes import evaluating
from ...core.paper import AGNOSTIC, Task
from ...core.recipe import Recipe
from ...core.types import Batch, DataError, Dataset, Detections, StemmaError
from ...data.named import named_as
from ...data.open import open_split, spread, suited
from ...data.proposals import images_file, sourced, wants
from ...metrics.differences import explain, read
from ...ops.scalars import alone
from ..running import checkpoint
from ..running.clock import Stopwatch
from ..running.devices import autocast, layout, pick_device, pick_precision
from ..running.ranks import Ranks, together
from ..running.runs import Run
from . import outside
from .answers import NO_MAPS, apart, said_of, to_file, write_coco
from .compress import shortened
from .paired import MOST, intervals, tallies_of
from .reading import reading, remembered
from .tasks import check_kinds, needs_of


@dataclass(frozen=True)
class Seen:
    """What a pass over a split hands out for one batch: `losses` of the batch (a float by name)."""

    batch: Batch
    predictions: list[dict[str, Any]]
    losses: dict[str, float]


def first_stage(model: nn.Module, recipe: Recipe, batch: Batch, images: Tensor) -> Detections:
    """What a system looks at before it says what is there, best first, labels all 0: its own proposals,
    or those that it is given.

    Raises `StemmaError` for a system without proposals.
    """
    m: Any = model
    if wants(recipe):
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
             workers: int = 0, show: bool = False, of: str = "predict", watch: Stopwatch | None = None,
             ranks: Ranks = Ranks()) -> Iterator[Seen]:
    """Predict every picture once, in order, in eval mode; with `losses` also what the loss would say.
    The model's mode is put back.

    Boxes that the model takes from outside are computed before, with a bar where `show`.
    of: "predict", or "proposals" (`first_stage`). watch: counts the time of the answers alone.
    ranks: processes that look at a part each.
    """
    m: Any = model
    watch = watch or Stopwatch(device)
    loader = outside.loader(model, data, recipe, batch=batch, needs=needs, workers=workers, ranks=ranks)
    if len(data) > 1:
        outside.fill(loader.dataset, range(ranks.rank, len(data), ranks.world) if ranks.world > 1 else None, show=show)
        ranks.gather(None)
    laid = layout(m, recipe.channels_last, torch.device(device))
    m.to(memory_format=laid)  # else each convolution turns its weights anew, for every picture
    objects = apart(model, data.info)
    cuda = device.startswith("cuda")
    with evaluating(model):
        for raw in loader.epoch(0):
            b = raw.to(device)
            images = b.images.contiguous(memory_format=laid)
            with torch.no_grad(), alone(), autocast(device, precision):
                said = m.loss(b) if losses else {}
                if cuda:
                    torch.cuda.synchronize()
                watch.start()
                found = (m.predict(images, b.sizes, **outside.given(recipe, b)) if of == "predict"
                         else first_stage(m, recipe, b, images))
                if cuda:
                    torch.cuda.synchronize()
                watch.lap()
            yield Seen(raw, to_file(found, b, objects), {k: float(v) for k, v in said.items()})


def measure(model: nn.Module, data: Dataset, *, batch: int = 8, device: str = "cpu", precision: str = "fp32",
            losses: bool = False, workers: int = 0, bar: Any = None, collect: list[dict[str, Any]] | None = None,
            details: bool = False, proposals: str | None = None, of: str = "predict", between: bool = False,
            ranks: Ranks = Ranks(), theirs: dict[str, dict[str, float]] | None = None) -> dict[str, Any]:
    """Metrics of a model over a data set, with `images`, `images_per_second` (inference alone, by the clock that
    `timed_by` names: the processor's where something else had the processor) and, when asked, `loss` and `losses`.

    A semantic system that learned to keep objects apart is measured on these too (AP, mask_AP, ...), where the data
    have masks. `details` adds what a report draws (`metrics.Evaluator.details`).
    `collect` receives every image's prediction.
    of: "predict", or "proposals": the proposals of a two-stage system, measured as those of a proposal method.
    `between` adds `intervals`, what other pictures of the kind may change: {measure: [low, high]}, 95 %, by a bootstrap
    over the pictures; none of fewer than six, nor of more than `paired.MOST`.
    theirs: another program's numbers (`metrics.differences.read`); `explained` then says by which rules they come out.
    ranks: processes that look at a part each; all have the same answer, in which every picture counts once.
    Raises `DataError` when the class lists disagree or the data set is empty.
    """
    from ...metrics import Evaluator

    m: Any = model
    task, info = m.paper.task_of(m.preset) if of == "predict" else "proposals", data.info
    if not len(data):
        raise DataError(info.name, "the split holds no pictures", "Choose another split or add pictures")
    if task not in AGNOSTIC or losses:
        checkpoint.check_classes(model, info, info.name)
    recipe: Recipe = sourced(m.recipe, proposals)
    needs = needs_of(task, m.spec, info.kinds)
    if losses:
        check_kinds(m.paper, m.preset, info, info.name)
    evaluator = Evaluator(info, cast(Task, task))
    also = Evaluator(info, "instances") if "masks" in info.kinds and apart(model, info) is not None else None
    total: dict[str, float] = {}
    images, watch = 0, Stopwatch(device)
    needs = needs if losses else frozenset()
    passed = run_over(model, data, recipe, batch=batch, device=device, precision=precision, needs=needs, losses=losses,
                      workers=workers, show=bar is not None, of=of, watch=watch, ranks=ranks)
    parts = ((seen.batch.index.tolist(), seen.predictions, seen.losses) for seen in passed)
    for index, predictions, said in ranks.rounds(parts, -(-len(data) // (batch * ranks.world))):
        for i, prediction in zip(index, predictions, strict=True):
            evaluator.add(data.truth(i), prediction, i)
            if also is not None:
                also.add(data.truth(i), prediction["objects"], i)
            if collect is not None:
                collect.append({"index": i, **prediction})
        images += len(index)
        for k, v in said.items():
            total[k] = total.get(k, 0.0) + v * len(index)
        if bar is not None:
            bar(images)
    speeds = ranks.gather((watch.seconds, watch.told))
    if not ranks.first:
        return ranks.told({})
    out: dict[str, Any] = (also.result() if also is not None else {}) | evaluator.result()
    if details:
        out["details"] = evaluator.details()
    if theirs is not None:
        objects = also if also is not None else evaluator if evaluator.pixels is None else None
        out["explained"] = explain(None if objects is None else objects.record, theirs,
                                   evaluator.pixels if task == "panoptic" else None)
    if between and len(data) <= MOST:
        out["intervals"] = intervals(tallies_of(evaluator, also, data.fingerprint))
    slowest, clock = max(speeds)
    out |= {"images": images, "images_per_second": images / max(slowest, 1e-9), "timed_by": clock}
    if losses:
        weights = dict(recipe.loss_weights)
        out["losses"] = {k: v / images for k, v in total.items()}
        out["loss"] = math.fsum(v * weights.get(k, 1.0) for k, v in out["losses"].items())
    return ranks.told(out)


def evaluate(model: nn.Module | Run | str | Path, data: str | Path | Dataset, split: str = "val", *,
             format: str | None = None, which: str = "best",
             batch: int = 8, device: str = "auto", precision: str = "auto", limit: int | None = None, workers: int = 0,
             out: str | Path | None = None, losses: bool = False, details: bool = False, progress: bool = False,
             data_options: dict[str, Any] | None = None,
             proposals: str | None = None, of: str = "predict", svd: Sequence[int] = (),
             size: int | None = None, published: bool = False,
             explain_difference: str | Path | None = None) -> dict[str, Any]:
    """Measure a model, run folder or weights file on a split of a data set.

    Returns the metrics of its task (AP, AP50, ..., per_class; mask_AP, keypoint_AP; mIoU; PQ), with `paper`, `split`
    (None of a `Dataset` that names none), `images` measured of the `split_images` that it has, `intervals` over
    pictures (see `measure`), `images_per_second` of inference. `limit`: at most so many pictures, evenly spread. `out`:
    a COCO JSON file of the detections, as they were measured; beside it NAME.images.json says which file each image_id
    is, and which class each category_id. `losses` adds the loss, `details` what a report draws (curves, confusion,
    errors). `data_options`: what `open_dataset` takes besides; None: those that a run was trained with, on the same
    data.
    `proposals`: another source of boxes than the recipe's, or a file of them, for a system that takes them from
    outside. `of="proposals"`: measure what a two-stage system looks at, before it says what is there (AR10, AR100,
    AR1000, without classes).
    `published`: by the paper's test-time settings and not the preset's; "published" then says which differ.
    `explain_difference`: a JSON file of another program's numbers; "explained" then says by which rules of measuring
    they come out of the same detections, nearest first (`metrics.differences`).
    `size`: at another size than it was trained at, as its paper's card says what a size means.
    Under `torchrun` the processes share the pictures, and all must call it; each has the same answer.
    `svd`: measure it with the fully connected layers of its region heads shortened to these ranks (`compress`).
    Classes are matched by name; what the model does not know is left out of the truth, and said. Answers that name no
    class, proposals and whole regions, are measured on objects of all classes, unless `losses` are asked for.
    Raises `StemmaError`/`DataError` for a checkpoint or data that cannot be read, or that have no class in common.
    """
    from ..running.progress import counting

    if (data := remembered(model) if data is None else data) is None:
        raise StemmaError(f"{checkpoint.card_of(model, which).cli_name} looks at pictures and does not live in a "
                          "world; name its data with --data")
    net = shortened(model, svd, which)
    if size is not None:
        net = checkpoint.at_size(net, size)
    changed: dict[str, Any] = {}
    theirs = read(explain_difference) if explain_difference is not None else None
    if published:
        net, changed = checkpoint.as_published(net)
    m: Any = net
    format, told = reading(model, data, format, data_options)
    format, options = suited(data, m.paper.task_of(m.preset), format, told)
    if of not in ("predict", "proposals"):
        raise StemmaError(f"what is measured is 'predict' or 'proposals', not '{of}'")
    task = m.paper.task_of(m.preset) if of == "predict" else "proposals"
    whole = open_split(data, split, format, **options)
    if task not in AGNOSTIC or losses:  # what names no class is measured on objects of any, known or not
        whole = named_as(whole, m.info, m.paper.task_of(m.preset))
    dataset = spread(whole, limit)
    if out is not None:
        if task in ("semantic", "panoptic") and apart(net, m.info) is None:
            raise StemmaError(NO_MAPS)
        outputs.claim([out, images_file(out)])
    found: list[dict[str, Any]] | None = [] if out is not None else None
    with together() as ranks, counting("evaluating", len(dataset), progress and ranks.first) as bar:
        device = ranks.device(pick_device(device))
        net.to(device)
        result = measure(net, dataset, batch=batch, device=device, losses=losses, workers=workers, bar=bar,
                         precision=ranks.told(pick_precision(device, precision)), collect=found, details=details,
                         proposals=proposals, of=of, between=True, ranks=ranks, theirs=theirs)
        if out is not None and found is not None:
            if ranks.first:
                write_coco(out, dataset, found, said_of(dataset.info, task))
            result["predictions"] = str(out)
    said = whole.split if hasattr(whole, "split") else split if isinstance(data, (str, Path)) else None
    return {"paper": m.paper.name, "task": task, "split": said, "split_images": len(whole),
            "fingerprint": dataset.fingerprint, **({"published": changed} if published else {}), **result}


__all__ = ["Seen", "evaluate", "first_stage", "measure", "run_over"]
