#!/usr/bin/env bash
# Guess: an answer that finds five of ten objects and nothing else has an AP of .5 by yolov5's `ap_per_class`, which `val` counts by: its
# comment says "101-point interp (COCO)", and COCO's own program says .505.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 numpy==1.26.4 pycocotools==2.0.11 pandas==2.3.3 scipy==1.17.1 \
    matplotlib==3.10.8 opencv-python-headless==4.11.0.86 seaborn==0.13.2 psutil==7.2.2 pyyaml==6.0.3 requests==2.32.5 tqdm==4.67.1 setuptools==80.9.0
env/bin/pip install --quiet --disable-pip-version-check --no-deps yolov5==7.0.14 ultralytics==8.4.190
cat > show.py <<'PY'
import contextlib
import io
from importlib.metadata import version

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from ultralytics.utils.metrics import ap_per_class as newer
from yolov5.utils.metrics import ap_per_class as older


def three(found, false=0):
    """AP50 of ten objects, of which some are found, and behind them some false boxes: pycocotools, yolov5, ultralytics."""
    right = np.array([[True]] * found + [[False]] * false)
    scores, classes = np.linspace(0.9, 0.1, found + false), np.zeros(found + false)
    truth = np.zeros(10)
    ours = float(older(right, scores, classes, truth, names={0: "cat"})[5][0, 0])
    theirs = float(newer(right, scores, classes, truth, names={0: "cat"})[5][0, 0])
    objects = [{"id": k + 1, "image_id": 1, "category_id": 1, "bbox": [20 * k, 0, 10, 10], "area": 100, "iscrowd": 0} for k in range(10)]
    boxes = [[20 * k, 0, 10, 10] for k in range(found)] + [[20 * k, 50, 10, 10] for k in range(false)]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": 1}], "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
        coco.createIndex()
        answer = [{"image_id": 1, "category_id": 1, "bbox": b, "score": float(s)} for b, s in zip(boxes, scores)]
        measure = COCOeval(coco, coco.loadRes(answer), "bbox")
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    return tuple(round(v, 3) for v in (float(measure.stats[1]), ours, theirs))


print(f"yolov5 {version('yolov5')}, ultralytics {version('ultralytics')}, pycocotools {version('pycocotools')}")
print("Guess: .5 where half of the objects are found, and .1 where one of ten is.")
print("Seen: yolov5 draws a straight line from the last point of the curve to a recall of 1 and counts what lies below it, half of")
print("    what was not found; ultralytics 8.4.190 does not:")
seen = {}
for found, false in ((5, 0), (1, 0), (5, 5)):
    seen[found, false] = three(found, false)
    print("    {} of 10 found, {} false: pycocotools {:.3f}, yolov5 {:.3f}, ultralytics {:.3f}".format(found, false, *seen[found, false]))
raise SystemExit(not all(abs(y - (f + (10 - f) / 2 * f / (f + n)) / 10) < 0.02 and abs(u - c) < 0.02 and y > c + 0.1 for (f, n), (c, y, u) in seen.items()))
PY
YOLO_CONFIG_DIR=$folder YOLO_VERBOSE=false env/bin/python -W ignore show.py
