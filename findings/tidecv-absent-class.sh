#!/usr/bin/env bash
# Guess: a class of which there is no object has no AP, and no part in the mean: tidecv counts as pycocotools does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check tidecv==1.0.1 pycocotools==2.0.11 numpy==2.4.6
cat > show.py <<'PY'
import contextlib
import io
import json
from importlib.metadata import version

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tidecv import TIDE, Data

truth, answer = Data("truth"), Data("answer")
for k in range(1, 5):
    truth.add_image(k, f"{k}.jpg")
    truth.add_ground_truth(k, 1, [10, 10, 20, 20])
    answer.add_detection(k, 1, 0.9, [10, 10, 20, 20])
answer.add_detection(1, 2, 0.1, [50, 50, 20, 20])  # a dog, hardly believed, where no picture has one
theirs = TIDE().evaluate(truth, answer, mode=TIDE.BOX).ap
with open("truth.json", "w") as file:
    json.dump({"images": [{"id": k, "file_name": f"{k}.jpg", "width": 99, "height": 99} for k in range(1, 5)],
               "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
               "annotations": [{"id": k, "image_id": k, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0}
                               for k in range(1, 5)]}, file)
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO("truth.json")
    found = [{"image_id": d["image"], "category_id": d["class"], "bbox": d["bbox"], "score": d["score"]} for d in answer.annotations]
    measure = COCOeval(coco, coco.loadRes(found), "bbox")
    measure.evaluate()
    measure.accumulate()
    measure.summarize()
print(f"tidecv {version('tidecv')}, pycocotools {version('pycocotools')}")
print("Guess: AP50 100: four cats found exactly, and dogs, of which there are none, left out.")
print("Seen: one detection of such a class, however unsure, is an AP of 0 in the mean, and an error of 50 points:")
print(f"    pycocotools AP50 {100 * measure.stats[1]:.1f}")
print(f"    tidecv      AP50 {theirs:.1f}")
raise SystemExit(not (measure.stats[1] > 0.999 and theirs == 50))
PY
env/bin/python -W ignore show.py
