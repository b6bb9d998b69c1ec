"""Predictions in the pixels of the files: from the network's answers for a batch, and as COCO results."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core import outputs
from ...core.types import Batch, Classes, Dataset, Detections, Info, PanopticMap, Prediction, SemanticMap, StemmaError
from ...data.finding import below_common, common
from ...data.proposals import images_file
from ...metrics.amodal import occlusion
from ...ops.components import components
from ...ops.masks import encode, patches

NO_MAPS = ("a COCO results file holds boxes, masks and keypoints; semantic and panoptic maps are written as pictures "
           "by `stemma predict`")


def to_file(prediction: Prediction, batch: Batch, objects: Apart | None = None) -> list[dict[str, Any]]:
    """A prediction for a batch as one dict of numpy arrays an image, in pixels of the files.

    Detections: boxes (n, 4), scores, labels, and masks (COCO run-length dicts), keypoints (n, K, 3), visible (the seen
    part of amodal masks, no pixel outside them). Semantic: semantic
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
            whole = _pasted(one["masks"], one["boxes"], (h, w))
            entry["masks"] = [encode(m) for m in whole]
            if "visible" in one:
                seen = _pasted(one["visible"], one["boxes"], (h, w))
                entry["visible"] = [encode(v & m) for v, m in zip(seen, whole, strict=True)]
        if "keypoints" in one:
            entry["keypoints"] = one["keypoints"].numpy()
        out.append(entry)
    return out


def _pasted(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> list[np.ndarray]:
    """Masks inside boxes as bool pictures of `size`."""
    out = []
    for part, (x, y) in patches(masks, boxes, size):
        mask = np.zeros(size, bool)
        mask[y : y + part.shape[0], x : x + part.shape[1]] = part.numpy() >= 0.5
        out.append(mask)
    return out


def said_of(info: Info, task: str) -> Info:
    """`info` with the classes that predictions of a task name: proposals and amodal regions have the one class
    "object"."""
    return replace(info, classes=Classes(("object",), (1,))) if task in ("proposals", "amodal") else info


# ---------------------------------------------------------------- COCO results


def coco_entries(prediction: dict[str, Any], image_id: int, ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The COCO result records of one image's detections, to the last bit: what is measured again is what was measured.
    Of whole objects with what is seen of them also how much is hidden, `occlude_rate`."""
    for k in range(len(prediction["scores"])):
        x1, y1, x2, y2 = (float(v) for v in prediction["boxes"][k])
        entry: dict[str, Any] = {
            "image_id": image_id, "category_id": int(ids[int(prediction["labels"][k])]),
            "bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(prediction["scores"][k]),
        }
        for name, field in (("masks", "segmentation"), ("visible", "visible_mask")):
            if name in prediction:
                counts = prediction[name][k]["counts"]
                entry[field] = {"size": list(prediction[name][k]["size"]),
                                "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}
        if "visible" in prediction:
            entry["occlude_rate"] = float(occlusion([prediction["visible"][k]], [prediction["masks"][k]])[0])
        if "keypoints" in prediction:
            entry["keypoints"] = [float(v) for v in np.asarray(prediction["keypoints"][k]).reshape(-1)]
        yield entry


def write_coco(path: str | Path, data: Dataset, predictions: Sequence[dict[str, Any]], info: Info) -> None:
    """Detections as a COCO results file, and beside it `images_file`: the folder, images (id, file_name, height,
    width) and categories that it names.

    File names are relative to the folder that all the pictures have in common. Raises `StemmaError` for maps, which
    results cannot hold, where a file stands that Stemma did not write, and when the disk does not take it.
    """
    predictions = [p | p["objects"] if "objects" in p else p for p in predictions]
    if predictions and "scores" not in predictions[0] or predictions and "panoptic" in predictions[0]:
        raise StemmaError(NO_MAPS)
    truths = [data.truth(p["index"]) for p in predictions]
    entries = [e for p, t in zip(predictions, truths, strict=True) for e in coco_entries(p, t.id, info.classes.ids)]
    files = [t.file for t in truths]
    names = below_common(files)
    folder = common([Path(f).parent for f in files if os.path.exists(f)])
    images = [{"id": t.id, "file_name": n, "height": t.size[0], "width": t.size[1]}
              for t, n in zip(truths, names, strict=True)]
    categories = [{"id": int(k), "name": n} for k, n in zip(info.classes.ids, info.classes.names, strict=True)]
    about = {"folder": str(folder or ""), "images": images, "categories": categories}
    for file, doc in ((Path(path), entries), (images_file(path), about)):
        outputs.put_text(file, json.dumps(doc), prediction=True)


__all__ = ["NO_MAPS", "Apart", "apart", "coco_entries", "said_of", "to_file", "write_coco"]
