#!/usr/bin/env bash
# Guess: a file that globox writes and pycocotools reads, both of them sound, gives a perfect answer AP 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check globox==2.9.0 pycocotools==2.0.11 numpy==2.4.6
cat > show.py <<'PY'
import contextlib
import io
import json
from importlib.metadata import version

from globox import Annotation, AnnotationSet, BoundingBox
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

pictures = AnnotationSet()
for k in range(2):
    box = BoundingBox(label="thing", xmin=10, ymin=10, xmax=50, ymax=50)
    pictures.add(Annotation(image_id=f"{k}.jpg", image_size=(100, 100), boxes=[box]))
pictures.save_coco("globox.json", auto_ids=True)
truth = json.load(open("globox.json"))


def ap(objects):
    """AP of the objects themselves as the answer."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {**truth, "annotations": objects}
        coco.createIndex()
        answer = [{k: o[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.9} for o in objects]
        run = COCOeval(coco, coco.loadRes(answer), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return round(float(run.stats[0]), 3)


written = truth["annotations"]
seen = ap(written), ap([{**o, "id": o["id"] + 1} for o in written])
print(f"globox {version('globox')}, pycocotools {version('pycocotools')}")
print("Guess: the truth that globox wrote, given back as the answer, is AP 1.")
print("Seen: globox counts objects from 0, and to pycocotools a match with the object 0 is no match:")
print(f"    ids {[o['id'] for o in written]} as written   AP {seen[0]}")
print(f"    ids {[o['id'] + 1 for o in written]} moved by one  AP {seen[1]}")
raise SystemExit(not (written[0]["id"] == 0 and seen[0] < 0.6 and seen[1] == 1.0))
PY
env/bin/python show.py
