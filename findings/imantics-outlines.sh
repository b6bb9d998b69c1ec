#!/usr/bin/env bash
# Guess: a mask that imantics writes as COCO is, read by pycocotools, the mask that went in, with the box around it.
# The page of imantics (pypi.org/project/imantics, 0.1.12): "Image understanding and manipulation … conversion of annotations, masks, polygons";
# COCO's boxes are a corner with width and height, so that a mask four pixels wide has a width of 4.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check imantics==0.1.12 pycocotools==2.0.11 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import imantics
import numpy as np
from pycocotools import mask as coco

shapes = {"4 x 3 pixels": np.s_[3:6, 4:8], "6 x 1 pixels": np.s_[10, 4:10], "ring, 36 - 4 pixels": np.s_[12:18, 2:8]}
image = imantics.Image(image_array=np.zeros((20, 20, 3), np.uint8))
counts = {}
for name, where in shapes.items():
    mask = np.zeros((20, 20), bool)
    mask[where] = True
    if name.startswith("ring"):
        mask[14:16, 4:6] = False
    counts[name] = int(mask.sum())
    image.add(imantics.Mask(mask), category=imantics.Category("cat"))
seen = {}
for name, annotation in zip(shapes, image.coco(include=True)["annotations"], strict=True):
    parts = [p for p in annotation["segmentation"] if len(p) >= 6]  # pycocotools takes no outline of two points
    area = int(coco.area(coco.merge(coco.frPyObjects(parts, 20, 20)))) if parts else None
    seen[name] = list(map(int, annotation["bbox"])), int(annotation["area"]), len(annotation["segmentation"]), area
print(f"imantics {version('imantics')}, pycocotools {version('pycocotools')}")
print("Guess: as many pixels come back as went in.")
print("Seen: outline and box run through the middles of the outermost pixels, and holes are parts of the object:")
for name, (box, area, parts, back) in seen.items():
    print(f"    {name:20} box {box!s:14} area {area:2}, outlines {parts}; to pycocotools {'no outline at all' if back is None else f'{back} pixels'} of {counts[name]}")
raise SystemExit(not (seen["4 x 3 pixels"][0] == [4, 3, 3, 2] and seen["4 x 3 pixels"][3] == 6 and seen["6 x 1 pixels"][0][3] == 0
                      and seen["6 x 1 pixels"][3] is None and seen["ring, 36 - 4 pixels"][2:] == (2, 25)))
PY
env/bin/python -W ignore show.py
