#!/usr/bin/env bash
# Guess: an object of the truth with "ignore": 1 is set aside as a crowd is: whoever misses it loses nothing.
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


def ap(**flag):
    """AP where the one object without a flag is found exactly, and the one with it is missed."""
    boxes = [0, 0, 40, 40], [50, 50, 40, 40]
    objects = [{"id": k + 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 1600, "iscrowd": 0}
               for k, box in enumerate(boxes)]
    objects[1].update(flag)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": [{"id": 1, "width": 100, "height": 100}],
                         "categories": [{"id": 1, "name": "thing"}], "annotations": objects}
        truth.createIndex()
        found = truth.loadRes([{"image_id": 1, "category_id": 1, "bbox": boxes[0], "score": 0.9}])
        run = COCOeval(truth, found, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return round(float(run.stats[0]), 3)


seen = {"no flag": ap(), '"ignore": 1': ap(ignore=1), '"iscrowd": 1': ap(iscrowd=1)}
print(f"pycocotools {version('pycocotools')}")
print('Guess: the evaluator, which has a field `ignore` for each object of the truth, keeps the one that a file gives.')
print("Seen: for boxes it overwrites the file's `ignore` by `iscrowd`, and the object to be ignored counts as missed:")
for name, value in seen.items():
    print(f"    {name:12} AP {value}")
raise SystemExit(seen != {"no flag": 0.505, '"ignore": 1': 0.505, '"iscrowd": 1': 1.0})
PY
env/bin/python show.py
