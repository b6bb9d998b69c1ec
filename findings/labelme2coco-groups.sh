#!/usr/bin/env bash
# Guess: shapes of one label and one `group_id`, which is how labelme marks the parts of an object, are one object in COCO.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check labelme2coco==0.2.6 sahi==0.12.8 numpy==2.4.6 pillow==13.0.0
cat > show.py <<'PY'
import json
import os
from importlib.metadata import version

from labelme2coco import get_coco_from_labelme_folder
from PIL import Image

os.makedirs("one")
Image.new("RGB", (80, 60)).save("one/a.png")
parts = [[[10, 10], [30, 10], [30, 20], [10, 20]], [[10, 30], [30, 30], [30, 40], [10, 40]]]  # a cow behind a fence
with open("one/a.json", "w") as file:
    json.dump({"version": "5.5.0", "flags": {}, "imagePath": "a.png", "imageData": None, "imageHeight": 60, "imageWidth": 80,
               "shapes": [{"label": "cow", "points": p, "group_id": 1, "shape_type": "polygon", "flags": {}} for p in parts]}, file)
written = get_coco_from_labelme_folder("one").json["annotations"]
print(f"labelme2coco {version('labelme2coco')}")
print("Guess: one cow of two polygons, as labelme's own example of a converter writes it.")
print("Seen: group_id is not read, and there are two:")
for one in written:
    print(f"    cow at {one['bbox']}, {len(one['segmentation'])} polygon")
raise SystemExit(len(written) != 2)
PY
env/bin/python -W ignore show.py 2> said || { status=$?; cat said; exit $status; }  # its bars of progress
