#!/usr/bin/env bash
# Guess: measuring the masks of an answer that has boxes alone is an error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pycocotools==2.0.11 numpy==2.4.6
cat > show.py <<'PY'
import contextlib
import io
from importlib.metadata import version

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

outline = {"square": [10, 10, 50, 10, 50, 50, 10, 50], "diamond": [30, 10, 50, 30, 30, 50, 10, 30]}


def answered(name):
    """The answer as it is after its masks were measured, and what that gave."""
    answer = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "score": 0.9}]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": [{"id": 1, "width": 100, "height": 100}], "categories": [{"id": 1, "name": "thing"}],
                         "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40],
                                          "area": 1600, "iscrowd": 0, "segmentation": [outline[name]]}]}
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(answer), "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return answer[0], round(float(run.stats[0]), 3)


print(f"pycocotools {version('pycocotools')}")
print("Guess: a box has no mask, so there is nothing to measure: an error, or AP 0.")
print("Seen: each box is filled and counted as a mask, and the caller's own answer has that mask written into it:")
seen = {}
for name in outline:
    answer, seen[name] = answered(name)
    print(f"    the truth a {name:8} AP of masks {seen[name]:.2f}, the answer's fields then {sorted(answer)}")
raise SystemExit(not (seen["square"] == 1 and 0 < seen["diamond"] < 1 and "segmentation" in answer))
PY
env/bin/python -W ignore show.py
