#!/usr/bin/env bash
# Guess: a rectangle of supervisely, 20 pixels wide and 10 high to its own `width`, `height` and `area`, is that, in one place, in the COCO and
# YOLO files that supervisely writes of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check supervisely==6.74.51 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

from supervisely import Annotation, Label, ObjClass, Rectangle
from supervisely.convert import annotation_to_coco, annotation_to_yolo

rectangle = Rectangle(top=10, left=20, bottom=19, right=39)  # corners are pixels of it
picture = Annotation((100, 100), [Label(rectangle, ObjClass("cat", Rectangle))])
coco = annotation_to_coco(picture, 1, {"cat": 1})[0][0]
_, x, y, wide, high = (100 * float(v) for v in annotation_to_yolo(picture, ["cat"])[0].split())
yolo = [round(v, 2) for v in (x - wide / 2, y - high / 2, wide, high)]
box = [int(v) for v in coco["bbox"]]
print(f"supervisely {version('supervisely')}")
print(f"Guess: 20 10 20 10 in both, as the rectangle is {rectangle.width} x {rectangle.height}, {rectangle.area:.0f} pixels.")
print("Seen: COCO's box lacks the last column and row, and is smaller than the area beside it; YOLO's has them and lies a pixel to the left")
print("    and a pixel higher:")
print(f"    COCO {box}, area {float(coco['area']):.0f}")
print(f"    YOLO {yolo}")
raise SystemExit(not (box == [20, 10, 19, 9] and coco["area"] == 200 and yolo == [19, 9, 20, 10]))
PY
env/bin/python -W ignore show.py
