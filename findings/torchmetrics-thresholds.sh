#!/usr/bin/env bash
# Guess: an IoU of exactly .55, .6 or .8 counts alike in two tools that both say COCO.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torchvision==0.29.1 torch==2.14.1 pycocotools==2.0.11 numpy==2.4.6
cat > show.py <<'PY'
import contextlib
import io
from importlib.metadata import version

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.detection import MeanAveragePrecision


def by_pycocotools(high):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": [{"id": 1, "width": 200, "height": 200}], "categories": [{"id": 1, "name": "thing"}],
                         "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 100],
                                          "area": 10000, "iscrowd": 0}]}
        truth.createIndex()
        found = truth.loadRes([{"image_id": 1, "category_id": 1, "bbox": [0, 0, 100, high], "score": 0.9}])
        run = COCOeval(truth, found, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return round(float(run.stats[0]), 2)


def by_torchmetrics(high):
    metric = MeanAveragePrecision(backend="pycocotools")
    found = {"boxes": torch.tensor([[0.0, 0.0, 100.0, high]]), "scores": torch.tensor([0.9]), "labels": torch.tensor([1])}
    truth = {"boxes": torch.tensor([[0.0, 0.0, 100.0, 100.0]]), "labels": torch.tensor([1])}
    metric.update([found], [truth])
    return round(metric.compute()["map"].item(), 2)


seen = {high: (by_pycocotools(high), by_torchmetrics(high)) for high in range(50, 100, 5)}
print(f"torchmetrics {version('torchmetrics')}, pycocotools {version('pycocotools')}, torch {torch.__version__}")
print("Guess: torchmetrics hands its boxes to pycocotools, so that one box against one is the same AP from both.")
print("Seen: its thresholds are rounded to 32 bits first, some of them upwards, and an IoU on the threshold is under it:")
for high, (one, other) in seen.items():
    print(f"    IoU .{high}  pycocotools {one:.1f}  torchmetrics {other:.1f}{'' if one == other else '  <'}")
raise SystemExit({high for high, (one, other) in seen.items() if one != other} != {55, 60, 80, 85})
PY
env/bin/python -W ignore show.py
