"""COCO evaluation of made-up detections: ours (the columns, and the Evaluator image by image) against pycocotools.

    python benchmarks/evaluation.py                      5,000 images, 36,781 objects, 500,000 boxes: minutes and some
                                                         GB for pycocotools
    python benchmarks/evaluation.py --images 200         a quick look
    python benchmarks/evaluation.py --kind masks --images 1000

Each measurement is a process of its own, the systems taking turns. Time runs from arrays in memory to the twelve
numbers, on the clock (ours uses all cores in part) and in processor time; memory is the peak above what the process
held before. The numbers must agree to 1e-9, or the benchmark fails.
"""
from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SYSTEMS = ("columns", "evaluator", "pycocotools")
OBJECTS, BOXES, CLASSES = 36_781 / 5_000, 100, 80
SIZE = (480, 640)


@dataclass
class Case:
    """Truth and detections in columns; boxes (x, y, width, height)."""

    images: int
    image: np.ndarray
    label: np.ndarray
    boxes: np.ndarray
    crowd: np.ndarray
    found_image: np.ndarray
    found_label: np.ndarray
    found: np.ndarray
    scores: np.ndarray
    masks: list[dict[str, Any]] | None = None
    found_masks: list[dict[str, Any]] | None = None


def make(images: int, kind: str, seed: int = 0) -> Case:
    """Objects spread over the images; of the detections about a third lie near an object, the others anywhere."""
    r = np.random.default_rng(seed)
    n, per_image = round(images * OBJECTS), BOXES if kind == "boxes" else 36
    image = np.sort(r.integers(0, images, n))
    side = np.exp(r.uniform(np.log(8), np.log(300), (n, 2)))
    corner = r.uniform(0, 1, (n, 2)) * np.maximum(np.array(SIZE[::-1]) - side, 1)
    boxes = np.concatenate([corner, np.minimum(side, np.array(SIZE[::-1]) - corner)], 1)
    label = r.integers(0, CLASSES, n)
    d = images * per_image
    found_image = np.repeat(np.arange(images), per_image)
    starts, stops = np.searchsorted(image, np.arange(images)), np.searchsorted(image, np.arange(images), side="right")
    near = (r.random(d) < 1 / 3) & (stops > starts)[found_image]
    like = (starts[found_image] + (r.random(d) * np.maximum(stops - starts, 1)[found_image])
            .astype(int)).clip(max=n - 1)
    far_side = np.exp(r.uniform(np.log(8), np.log(300), (d, 2)))
    far = np.concatenate([r.uniform(0, 1, (d, 2)) * (np.array(SIZE[::-1]) - far_side), far_side], 1)
    scale = boxes[like][:, [2, 3, 2, 3]]
    found = np.where(near[:, None], boxes[like] + r.normal(0, 0.1, (d, 4)) * scale, far)
    found[:, 2:] = np.abs(found[:, 2:])
    found_label = np.where(near & (r.random(d) < 0.85), label[like], r.integers(0, CLASSES, d))
    scores = np.round(r.beta(1, 4, d) + 0.4 * near * r.random(d), 4).clip(0, 1)
    case = Case(images, image, label, boxes, r.random(n) < 0.01, found_image, found_label, found, scores)
    if kind == "masks":
        from hotcoco import mask

        def ovals(b: np.ndarray) -> list[dict[str, Any]]:
            angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            rings = np.stack([b[:, :1] + b[:, 2:3] * (1 + np.cos(angle)) / 2,
                              b[:, 1:2] + b[:, 3:4] * (1 + np.sin(angle)) / 2], 2)
            return [mask.frPoly(ring.reshape(-1).tolist(), *SIZE) for ring in rings]

        case.masks, case.found_masks = ovals(boxes), ovals(found)
    return case


def area_of(c: Case) -> np.ndarray:
    from hotcoco import mask

    return c.boxes[:, 2] * c.boxes[:, 3] if c.masks is None else np.asarray(mask.area(c.masks), float)


def columns(c: Case, kind: Any, area: np.ndarray) -> list[float]:
    from stemma.metrics import coco, to_rles

    truths = coco.Truths(c.image, c.label, c.boxes, area, c.crowd, None if c.masks is None else to_rles(c.masks))
    found = coco.Found(c.found_image, c.found_label, c.found, c.scores,
                       None if c.found_masks is None else to_rles(c.found_masks))
    return list(coco.evaluate([SIZE] * c.images, [str(i) for i in range(CLASSES)], truths, found, kind)
                .numbers().values())


def evaluator(c: Case, kind: Any, area: np.ndarray) -> list[float]:
    """Image by image, as a trained model is measured. Boxes go in as corners, masks as runs."""
    from stemma.core.types import Classes, Info, Sample
    from stemma.metrics import Evaluator

    e = Evaluator(Info("made", "made", Classes(tuple(str(i) for i in range(CLASSES))), ("boxes",)), "detection")
    true_at, found_at = (np.searchsorted(v, np.arange(c.images + 1)) for v in (c.image, c.found_image))
    true, found = (np.concatenate([b[:, :2], b[:, :2] + b[:, 2:]], 1) for b in (c.boxes, c.found))
    for i in range(c.images):
        t, d = slice(*true_at[i : i + 2]), slice(*found_at[i : i + 2])
        e.add(Sample(None, SIZE, true[t], c.label[t], c.crowd[t], area[t]),
              {"boxes": found[d], "scores": c.scores[d], "labels": c.found_label[d]})
    return list(e.scores().numbers().values())


def pycocotools(c: Case, kind: Any, area: np.ndarray) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    gt = COCO()
    gt.dataset = {
        "images": [{"id": i + 1, "height": SIZE[0], "width": SIZE[1]} for i in range(c.images)],
        "categories": [{"id": i + 1, "name": str(i)} for i in range(CLASSES)],
        "annotations": [
            {"id": i + 1, "image_id": int(c.image[i]) + 1, "category_id": int(c.label[i]) + 1,
             "bbox": c.boxes[i].tolist(), "area": float(area[i]),
             "iscrowd": int(c.crowd[i])} | ({} if c.masks is None else {"segmentation": c.masks[i]})
            for i in range(len(c.image))
        ],
    }
    gt.createIndex()
    results = []
    for i in range(len(c.found_image)):
        entry = {"image_id": int(c.found_image[i]) + 1, "category_id": int(c.found_label[i]) + 1,
                 "score": float(c.scores[i])}
        entry |= {"bbox": c.found[i].tolist()} if c.found_masks is None else {"segmentation": c.found_masks[i]}
        results.append(entry)
    run = COCOeval(gt, gt.loadRes(results), "bbox" if kind == "boxes" else "segm")
    run.evaluate()
    run.accumulate()
    run.summarize()
    return [float(v) if v >= 0 else float("nan") for v in run.stats]


def peak() -> float:
    """Most memory this process has held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def worker(system: str, images: int, kind: str) -> None:
    run = {"columns": columns, "evaluator": evaluator, "pycocotools": pycocotools}[system]
    case, small = make(images, kind), make(2, kind, 1)
    area = area_of(case)
    with contextlib.redirect_stdout(io.StringIO()):
        run(small, kind, area_of(small))  # imports and first calls
        before, start, start_cpu = peak(), time.perf_counter(), time.process_time()
        numbers = run(case, kind, area)
    out = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - start_cpu, "memory": peak() - before,
           "numbers": numbers}
    print(json.dumps(out | {"found": len(case.found), "true": len(case.boxes)}))


def spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=("boxes", "masks"), default="boxes")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    parser.add_argument("--worker", choices=SYSTEMS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.images, args.kind)
        return
    systems = [s for s in SYSTEMS if args.kind == "boxes" or s != "evaluator"]
    runs: dict[str, list[dict[str, Any]]] = {s: [] for s in systems}
    for i in range(args.rounds):
        for system in systems if i % 2 == 0 else systems[::-1]:
            command = [sys.executable, __file__, "--worker", system, "--images", str(args.images), "--kind", args.kind]
            done = subprocess.run(command, capture_output=True, text=True, check=False,
                                  env={**os.environ, "OMP_NUM_THREADS": "1"})
            if done.returncode:
                sys.exit(f"{system} failed:\n{done.stderr}")
            runs[system].append(json.loads(done.stdout.splitlines()[-1]))
    first = runs["pycocotools"][0]
    worst = max(float(np.nanmax(np.abs(np.subtract(r["numbers"], first["numbers"]))))
                for rs in runs.values() for r in rs)
    print(f"{args.images:,} images, {first['true']:,} objects, {first['found']:,} {args.kind}, {args.rounds} rounds")
    print(f"largest difference of the numbers {worst:.1e}")
    print(f"{'':12} {'seconds':>22} {'times faster':>20} {'in processor time':>20} {'memory MiB':>11}")
    for system, rs in runs.items():
        wall, cpu = ([p[k] / r[k] for p, r in zip(runs["pycocotools"], rs)] for k in ("seconds", "cpu"))
        seconds, memory = [r["seconds"] for r in rs], max(r["memory"] for r in rs)
        print(f"{system:12} {spread(seconds, 2):>22} {spread(wall, 1):>20} {spread(cpu, 1):>20} {memory:11.0f}")
    if args.json:
        args.json.write_text(json.dumps({"images": args.images, "kind": args.kind, "difference": worst, "runs": runs},
                                        indent=1))
    if worst > 1e-9:
        sys.exit("the numbers differ")


if __name__ == "__main__":
    main()
