"""Other programs that measure detections by COCO's rules, each on the same two files: what they say, by our names."""
from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stemma.core.types import StemmaError
from stemma.metrics.coco import evaluate_files

Numbers = dict[str, float]
NAMES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100", "AR_small", "AR_medium",
         "AR_large")
LIBRARIES = ("pycocotools", "faster-coco-eval", "hotcoco", "torchmetrics")


def version(library: str) -> str:
    return importlib.metadata.version(library)


def measured(library: str, truth: dict[str, Any], found: list[dict[str, Any]], folder: Path,
             limits: list[int] | None = None) -> Numbers | str:
    """Its numbers of boxes, or the name of the error that it raises. "here" is Stemma."""
    files = folder / "truth.json", folder / "found.json"
    files[0].write_text(json.dumps(truth))
    files[1].write_text(json.dumps(found))
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if library == "here":
                return evaluate_files(*files, **({"limits": limits} if limits else {})).numbers()
            if library == "torchmetrics":
                return _torchmetrics(truth, found, limits)
            return _coco_like(library, *map(str, files), limits)
        except (KeyError, ValueError, StemmaError) as error:
            return type(error).__name__


def _coco_like(library: str, truth: str, found: str, limits: list[int] | None) -> Numbers:
    if library == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    elif library == "hotcoco":
        from hotcoco import COCO, COCOeval
    else:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    read: Callable[..., Any] = COCO
    data = read(truth)
    e = COCOeval(data, data.loadRes(found), "bbox")
    if limits:
        setattr(e.params, "max_dets" if library == "hotcoco" else "maxDets", limits)
    e.evaluate()
    e.accumulate()
    e.summarize()
    return dict(zip(NAMES, map(float, e.stats)))


def _torchmetrics(truth: dict[str, Any], found: list[dict[str, Any]], limits: list[int] | None) -> Numbers:
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(box_format="xywh", max_detection_thresholds=limits)
    for image in truth["images"]:
        there = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        said = [d for d in found if d["image_id"] == image["id"]]
        target = {"boxes": _boxes(there), "labels": torch.tensor([a["category_id"] for a in there], dtype=torch.long),
                  "iscrowd": torch.tensor([a.get("iscrowd", 0) for a in there], dtype=torch.long)}
        if all("area" in a for a in there):
            target["area"] = torch.tensor([float(a["area"]) for a in there])
        metric.update([{"boxes": _boxes(said), "scores": torch.tensor([d["score"] for d in said]),
                        "labels": torch.tensor([d["category_id"] for d in said], dtype=torch.long)}], [target])
    result = metric.compute()
    names = {"map": "AP", "map_50": "AP50", "map_75": "AP75"} | {f"map_{s}": f"AP_{s}" for s in ("small", "medium")}
    return {ours: float(np.asarray(result[theirs])) for theirs, ours in names.items()}


def _boxes(rows: list[dict[str, Any]]) -> torch.Tensor:
    return torch.tensor([r["bbox"] for r in rows], dtype=torch.float32).reshape(-1, 4)
