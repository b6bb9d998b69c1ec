#!/usr/bin/env bash
# Guess: mIoU beside AP falls where objects are missed and where boxes are found that are none.
# (It is the mean over the pairs that matched.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check faster-coco-eval==1.8.0 numpy==2.4.6
cat > show.py <<'PY'
import contextlib
import io
from importlib.metadata import version

from faster_coco_eval import COCO, COCOeval_faster

boxes = [[10 * k, 10, 8, 8] for k in range(1, 11)]
truth = {"images": [{"id": 1, "file_name": "1.png", "width": 200, "height": 200}], "categories": [{"id": 1, "name": "cat"}],
         "annotations": [{"id": k + 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 64, "iscrowd": 0} for k, box in enumerate(boxes)]}
false = [[10 * k, 150, 8, 8] for k in range(1, 11)]
answers = {"all ten found": boxes, "one of ten found": boxes[:1], "all ten, and ten that are none": boxes + false, "all ten, .6 of each": [[x, y, w, 4.8] for x, y, w, _ in boxes]}
seen = {}
for name, found in answers.items():
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(truth)
        measure = COCOeval_faster(coco, coco.loadRes([{"image_id": 1, "category_id": 1, "bbox": b, "score": 0.9 - 0.01 * k} for k, b in enumerate(found)]),
                                  "bbox", extra_calc=True)
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    seen[name] = [round(float(measure.stats_as_dict[key]), 3) for key in ("AP_all", "mIoU")]
print(f"faster-coco-eval {version('faster-coco-eval')}")
print("Guess: one of ten objects found has an mIoU of .1, and ten false boxes bring it down.")
print("Seen: both have 1, the mean over what matched:")
for name, (ap, iou) in seen.items():
    print(f"    {name:31} AP {ap}, mIoU {iou}")
raise SystemExit(not ([v[1] for v in seen.values()] == [1, 1, 1, 0.6] and seen["one of ten found"][0] < 0.15))
PY
env/bin/python -W ignore show.py
