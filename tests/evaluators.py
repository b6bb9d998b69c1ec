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
from PIL import Image

from stemma.core.types import Classes, Sample, StemmaError
from stemma.data.readers.panoptic import encode
from stemma.metrics.coco import evaluate_files
from stemma.metrics.detection import Kind
from stemma.metrics.panoptic import PanopticMetric

Numbers = dict[str, float]
PanopticFiles = tuple[Any, list[dict[str, Any]]]
NAMES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100", "AR_small", "AR_medium",
         "AR_large")
POINTS = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")
LIBRARIES = ("pycocotools", "faster-coco-eval", "hotcoco", "torchmetrics")


def version(library: str) -> str:
    """Of the library as it is installed; "" of panopticapi-lite where it is not, which is not among the extras."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        if library != "panopticapi-lite":
            raise
        return ""


def measured(library: str, truth: dict[str, Any], found: list[dict[str, Any]], folder: Path,
             limits: list[int] | None = None, kind: Kind = "boxes") -> Numbers | str:
    """Its numbers of boxes or keypoints, or the name of the error that it raises; "–" of what it does not measure.
    "here" is Stemma."""
    if library == "torchmetrics" and kind == "keypoints":
        return "–"
    files = folder / "truth.json", folder / "found.json"
    files[0].write_text(json.dumps(truth))
    files[1].write_text(json.dumps(found))
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if library == "here":
                return evaluate_files(*files, kind, **({"limits": limits} if limits else {})).numbers()
            if library == "torchmetrics":
                return _torchmetrics(truth, found, limits)
            return _coco_like(library, *map(str, files), limits, kind)
        except (KeyError, ValueError, StemmaError) as error:
            return type(error).__name__


def _coco_like(library: str, truth: str, found: str, limits: list[int] | None, kind: Kind) -> Numbers:
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
    e = COCOeval(data, data.loadRes(found), "bbox" if kind == "boxes" else kind)
    if limits:
        setattr(e.params, "max_dets" if library == "hotcoco" else "maxDets", limits)
    e.evaluate()
    e.accumulate()
    e.summarize()
    return dict(zip(NAMES if kind == "boxes" else POINTS, map(float, e.stats)))


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


# ---------------------------------------------------------------- panoptic quality

PANOPTIC = ("panopticapi-lite", "hotcoco", "torchmetrics")


def quality(library: str, truth: PanopticFiles, found: PanopticFiles, folder: Path, categories: list[dict[str, Any]],
            ) -> Numbers | str:
    """{"PQ"} of a prediction, each a map of ids (H, W) and its segments {id, category_id, iscrowd}, or the name of the
    error that the library raises. "here" is Stemma."""
    for name, (ids, segments) in (("truth", truth), ("found", found)):
        (folder / name).mkdir(exist_ok=True)
        Image.fromarray(encode(ids)).save(folder / name / "a.png")
        rows = [{"iscrowd": 0, "area": int((ids == s["id"]).sum()), "bbox": [0, 0, *ids.shape[::-1]], **s}
                for s in segments]
        (folder / f"{name}.json").write_text(json.dumps({
            "images": [{"id": 1, "file_name": "a.png", "height": ids.shape[0], "width": ids.shape[1]}],
            "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": rows}], "categories": categories}))
    files = [str(folder / n) for n in ("truth.json", "found.json", "truth", "found")]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if library == "here":
                return {"PQ": float(panoptic_metric(truth, found, categories).result()["PQ"])}
            if library == "torchmetrics":
                return {"PQ": _quality_of_torchmetrics(truth, found, categories)}
            if library == "hotcoco":
                from hotcoco.panoptic import pq_compute
            else:
                from panopticapi.evaluation import pq_compute
            return {"PQ": float(pq_compute(*files)["All"]["pq"])}
        except (KeyError, ValueError) as error:
            return type(error).__name__


def panoptic_metric(truth: PanopticFiles, found: PanopticFiles, categories: list[dict[str, Any]]) -> PanopticMetric:
    """What is measured here of such a prediction."""
    classes = Classes(tuple(c["name"] for c in categories), tuple(c["id"] for c in categories),
                      tuple(bool(c["isthing"]) for c in categories))

    def numbered(ids: Any, segments: list[dict[str, Any]]) -> tuple[Any, Any]:
        out = np.zeros(ids.shape, np.int32)
        for k, s in enumerate(segments):
            out[ids == s["id"]] = k + 1
        return out, np.array([classes.ids.index(s["category_id"]) for s in segments], np.int64)

    (ids, of), (said, labels) = numbered(*truth), numbered(*found)
    empty = np.zeros((0, 4))
    sample = Sample(None, ids.shape, empty, of[:0], of[:0] > 0, empty[:, 0], panoptic=ids, segments=of,
                    segments_crowd=np.array([bool(s.get("iscrowd")) for s in truth[1]], bool))
    metric = PanopticMetric(classes)
    metric.add(sample, {"panoptic": said, "segments": labels})
    return metric


def _quality_of_torchmetrics(truth: PanopticFiles, found: PanopticFiles, categories: list[dict[str, Any]]) -> float:
    from torchmetrics.detection import PanopticQuality

    def pairs(ids: Any, segments: list[dict[str, Any]]) -> torch.Tensor:
        out = np.zeros((*ids.shape, 2), np.int64)  # a category that is not listed is void
        for s in segments:
            out[ids == s["id"]] = s["category_id"], s["id"]
        return torch.from_numpy(out)[None]

    parts = {thing: {c["id"] for c in categories if bool(c["isthing"]) == thing} for thing in (True, False)}
    metric = PanopticQuality(things=parts[True], stuffs=parts[False], allow_unknown_preds_category=True)
    return float(metric(pairs(*found), pairs(*truth)))
