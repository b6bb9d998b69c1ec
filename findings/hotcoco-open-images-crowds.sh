#!/usr/bin/env bash
# Guess: a crowd of a COCO file is a group (`IsGroupOf` 1) in the Open Images table that hotcoco writes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check hotcoco==1.3.0 numpy==2.4.6
cat > show.py <<'PY'
import csv
import json
from importlib.metadata import version

from hotcoco import COCO

runs = {"size": [60, 80], "counts": [630, *[20, 40] * 59, 20, 610]}
with open("truth.json", "w") as file:
    json.dump({"images": [{"id": 1, "file_name": "1.jpg", "width": 80, "height": 60}], "categories": [{"id": 1, "name": "person"}],
               "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0},
                               {"id": 2, "image_id": 1, "category_id": 1, "bbox": [10, 30, 60, 20], "area": 1200, "iscrowd": 1,
                                "segmentation": runs}]}, file)
coco = COCO("truth.json")
said = {kind: getattr(coco, f"to_{kind}")(to) for kind, to in (("oid", "boxes.csv"), ("cvat", "cvat.xml"), ("voc", "voc"), ("yolo", "yolo"))}
with open("boxes.csv") as file:
    groups = [int(row["IsGroupOf"]) for row in csv.DictReader(file)]
print(f"hotcoco {version('hotcoco')}")
print("Guess: 0 and 1: Open Images has a column for it, and to VOC and YOLO hotcoco leaves crowds out or marks them, and says so.")
print("Seen: 0 and 0; the crowd is one person of 60 by 20 pixels, in CVAT's file as well:")
print(f"    IsGroupOf {groups}")
for kind, counts in said.items():
    print(f"    to_{kind:5} says {counts}")
raise SystemExit(groups != [0, 0])
PY
env/bin/python -W ignore show.py
