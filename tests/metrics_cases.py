"""Records of drawn objects and detections for the tests of the measures, and pycocotools as their reference."""
from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np

from stemma.metrics import coco
from stemma.metrics.detection import Kind, Picture, Record, to_rles

COCO_NAMES = {"boxes": "bbox", "masks": "segm", "keypoints": "keypoints"}


def shot(true: Any = (), found: Any = (), order: int = 0, size: tuple[int, int] = (100, 100)) -> Picture:
    """A picture from true (x1, y1, x2, y2, label[, crowd]) and found (x1, y1, x2, y2, label, score) rows."""
    t = [(*row, 0)[:6] for row in true]
    boxes = np.array([r[:4] for r in t], float).reshape(-1, 4)
    f = np.array(found, float).reshape(-1, 6)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return Picture(order, size, boxes, np.array([r[4] for r in t], int), np.array([r[5] for r in t], bool), area,
                   f[:, :4], f[:, 5], f[:, 4].astype(int))


def record(*pictures: Picture, names: tuple[str, ...] = ("a", "b", "c")) -> Record:
    out = Record(names)
    for p in pictures:
        out.add(p)
    return out


def drawn(seed: int, images: int = 6, classes: int = 3, ties: bool = True, crowd: float = 0.15) -> Record:
    """A record of random boxes, some on a grid (equal overlaps), with equal scores, crowds,
    empty images and boxes without area."""
    r = np.random.default_rng(seed)
    out = Record(tuple(f"c{c}" for c in range(classes)))
    for i in range(images):
        n = int(r.choice([0, 1, 4, 12]))
        corner = r.integers(0, 12, (n, 2)) * 10.0 if ties else r.uniform(0, 120, (n, 2))
        side = r.choice([0.0, 10, 30, 50, 110], (n, 2), p=[0.05, 0.35, 0.3, 0.2, 0.1])
        boxes = np.concatenate([corner, corner + side], 1)
        labels = r.integers(0, classes, n)
        pick = r.integers(0, n, int(r.choice([0, 3, 3 * n]))) if n else np.zeros(0, int)
        shift = r.integers(-1, 2, (len(pick), 4)) * 5.0 if ties else r.normal(0, 5, (len(pick), 4))
        near = boxes[pick] + shift
        near[:, 2:] = np.maximum(near[:, :2], near[:, 2:])
        far = r.uniform(0, 120, (int(r.choice([0, 2, 5])), 2))
        found = np.concatenate([near, np.concatenate([far, far + 25], 1)])
        said = np.concatenate([np.where(r.random(len(pick)) < 0.8, labels[pick], r.integers(0, classes, len(pick))),
                               r.integers(0, classes, len(far))])
        scores = np.round(r.random(len(found)), int(r.choice([0, 1, 9]))) if ties else r.random(len(found))
        out.add(Picture(i, (200, 200), boxes, labels.astype(int), r.random(n) < crowd, side.prod(1), found, scores,
                        said.astype(int)))
    return out


def coco_case(seed: int, kind: Kind) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A COCO annotation file and a result list, as parsed JSON, full of corners: crowds, ties, empty images and masks,
    sizes on a boundary, objects without a visible point, areas that contradict the boxes,
    far more detections than count."""
    r = np.random.default_rng(seed)
    side = 64 if kind == "masks" else 300
    categories = sorted(int(c) for c in r.choice(90, int(r.integers(1, 4)), replace=False) + 1)
    images = sorted(int(i) for i in r.choice(1000, int(r.integers(1, 5)), replace=False) + 1)
    mode, crowd, levels = int(r.integers(0, 3)), float(r.choice([0, 0.2, 0.5])), int(r.choice([1, 3, 10**6]))

    def box() -> list[float]:
        if r.random() < 0.1:
            return [*map(float, r.integers(0, 50, 2)), 0.0, float(r.integers(0, 20))]
        s = float(r.choice([4, 8, 16, 32] if kind == "masks" else [4, 8, 32, 96, 200]))
        if mode == 0:
            return [*(r.integers(0, 6, 2) * s / 2).tolist(), s, s]
        if mode == 1:
            return [*r.uniform(-5, 200, 2).tolist(), *(r.uniform(0.1, 1.2, 2) * s).tolist()]
        return [*map(float, r.integers(0, 40, 2)), *map(float, r.integers(1, 2 * int(s), 2))]

    def mask(b: list[float]) -> dict[str, Any]:
        m = np.zeros((side, side), bool)
        x, y, w, h = (int(v) for v in b)
        x, y = min(max(x, 0), side - 10), min(max(y, 0), side - 10)
        m[y : y + h, x : x + w] = True
        if r.random() < 0.3:
            m &= r.random(m.shape) > 0.3
        if r.random() < 0.05:
            m[:] = False
        rle = to_rles(m[None])[0]
        return {"size": [rle.height, rle.width], "counts": rle.counts.decode()}

    def points(b: list[float]) -> np.ndarray:
        p = np.stack([b[0] + r.random(17) * b[2], b[1] + r.random(17) * b[3], r.integers(0, 3, 17)], 1)
        p[:, 2] *= r.random() > 0.1
        return np.round(p) if mode == 0 else p

    annotations: list[dict[str, Any]] = []
    for image in images:
        for _ in range(int(r.choice([0, 1, 3, 8, 25]))):
            b = box()
            a: dict[str, Any] = {
                "id": len(annotations) + 1, "image_id": image, "category_id": int(r.choice(categories)), "bbox": b,
                "area": b[2] * b[3], "iscrowd": int(r.random() < crowd),
            }
            if r.random() < 0.2:
                a["area"] = float(r.choice([0, 1024, 9216, 1023.99, 1e10, 2e10, 50]))
            if kind == "masks":
                a["segmentation"] = mask(b)
            if kind == "keypoints":
                p = points(b)
                a |= {"keypoints": p.reshape(-1).tolist(), "num_keypoints": int((p[:, 2] > 0).sum())}
            annotations.append(a)
    results: list[dict[str, Any]] = []
    for image in images:
        here = [a for a in annotations if a["image_id"] == image]
        for _ in range(int(r.choice([0, 2, 10, 30, 130]))):
            like = here[int(r.integers(len(here)))] if here and r.random() < 0.7 else None
            b = box() if like is None else (np.array(like["bbox"]) + (r.normal(0, 3, 4) if mode == 1
                                                                      else r.integers(-3, 4, 4))).tolist()
            if like is not None and r.random() < 0.2:
                b = list(like["bbox"])
            b[2:] = [abs(b[2]), abs(b[3])]
            category = like["category_id"] if like is not None and r.random() < 0.8 else int(r.choice(categories))
            d: dict[str, Any] = {"image_id": image, "category_id": category,
                                 "score": float(r.integers(0, levels + 1) / levels)}
            if kind == "boxes":
                d["bbox"] = b
            elif kind == "masks":
                d["segmentation"] = mask(b)
            else:
                p = points(b)
                if like is not None and r.random() < 0.8:
                    p = np.array(like["keypoints"]).reshape(-1, 3) + r.normal(0, 3, (17, 3)) * [1, 1, 0]
                d["keypoints"] = p.reshape(-1).tolist()
            results.append(d)
    pictures = [{"id": i, "height": side, "width": side, "file_name": f"{i}.jpg"} for i in images]
    return {"images": pictures, "categories": [{"id": c, "name": f"c{c}"}
                                               for c in categories], "annotations": annotations}, results


def reference(truth: dict[str, Any], results: list[dict[str, Any]], kind: Kind, limits: tuple[int, ...] = (),
              agnostic: bool = False) -> Any:
    """pycocotools' evaluation: `.stats` (unless there are `limits`), `.eval["precision"]` and `.eval["recall"]` with
    NaN for its -1."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        gt, dt = COCO(), COCO()
        gt.dataset = copy.deepcopy(truth)
        gt.createIndex()
        if results:
            dt = gt.loadRes(copy.deepcopy(results))
        else:
            dt.dataset = {**truth, "annotations": []}
            dt.createIndex()
        run = COCOeval(gt, dt, COCO_NAMES[kind])
        run.params.useCats = int(not agnostic)
        run.params.maxDets = list(limits) or run.params.maxDets
        run.evaluate()
        run.accumulate()
        if not limits:
            run.summarize()
    run.stats = np.where(np.asarray(run.stats) < 0, np.nan, run.stats)
    for name in ("precision", "recall"):
        run.eval[name] = np.where(run.eval[name] < 0, np.nan, run.eval[name])
    return run


def columns_of(
    truth: dict[str, Any], results: list[dict[str, Any]], kind: Kind
) -> tuple[list[tuple[int, int]], list[str], coco.Truths, coco.Found]:
    """Parsed COCO files as the columns that `coco.evaluate` takes."""
    image = {x["id"]: i for i, x in enumerate(truth["images"])}
    label = {c["id"]: i for i, c in enumerate(truth["categories"])}

    def common(rows: list[dict[str, Any]]) -> tuple[Any, ...]:
        return (
            np.array([image[r["image_id"]] for r in rows], np.int64),
            np.array([label[r["category_id"]] for r in rows], np.int64),
            np.array([r.get("bbox", [0] * 4) for r in rows], float).reshape(-1, 4),
        )

    def extra(rows: list[dict[str, Any]]) -> dict[str, Any]:
        if kind == "masks":
            return {"masks": to_rles([r["segmentation"] for r in rows])}
        if kind == "keypoints":
            return {"keypoints": np.array([r["keypoints"] for r in rows], float).reshape(-1, 17, 3)}
        return {}

    a = truth["annotations"]
    area, crowd = np.array([x["area"] for x in a], float), np.array([x["iscrowd"] for x in a], bool)
    truths = coco.Truths(*common(a), area, crowd, **extra(a))
    found = coco.Found(*common(results), np.array([x["score"] for x in results], float), **extra(results))
    sizes = [(x["height"], x["width"]) for x in truth["images"]]
    return sizes, [c["name"] for c in truth["categories"]], truths, found


def repeated(
    truth: dict[str, Any], results: list[dict[str, Any]], times: np.ndarray
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Parsed COCO files in which the i-th image stands `times[i]` times, with all that is true and found in it."""
    images, annotations, found = [], [], []
    for image, n in zip(sorted(truth["images"], key=lambda x: x["id"]), times):
        for k in range(int(n)):
            new = 1000 * image["id"] + k
            images.append(image | {"id": new})
            annotations += [a | {"image_id": new} for a in truth["annotations"] if a["image_id"] == image["id"]]
            found += [d | {"image_id": new} for d in results if d["image_id"] == image["id"]]
    numbered = [a | {"id": i + 1} for i, a in enumerate(annotations)]
    return {"images": images, "categories": truth["categories"], "annotations": numbered}, found
