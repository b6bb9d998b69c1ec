#!/usr/bin/env bash
# Guess: of an object with two polygons that overlap the mask is both together, as everywhere with COCO files.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check sahi==0.12.8 pycocotools==2.0.11 numpy==2.4.6 pillow==13.0.0
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from pycocotools import mask
from sahi.annotation import Mask
from sahi.utils.coco import CocoAnnotation

parts = [[2, 2, 12, 2, 12, 12, 2, 12], [6, 6, 16, 6, 16, 16, 6, 16]]  # two squares of 100 pixels, 36 of them common
runs = mask.merge(mask.frPyObjects(parts, 20, 30))
read = np.asarray(Mask(segmentation=parts, full_shape=[20, 30]).bool_mask).astype(bool)
area = CocoAnnotation(segmentation=parts, category_id=1, category_name="thing").area
print(f"sahi {version('sahi')}, pycocotools {version('pycocotools')}")
print("Guess: 164 pixels, the one in the middle among them.")
print("Seen: where an even number of parts lie on each other there is nothing, in the mask as in the area that is written:")
print(f"    pycocotools  {int(mask.area(runs))} pixels, row 9, column 9: {bool(mask.decode(runs)[9, 9])}")
print(f"    sahi's mask  {read.sum()} pixels (with the lower and right edges), row 9, column 9: {bool(read[9, 9])}")
print(f"    sahi's area  {area}")
raise SystemExit(not (mask.area(runs) == 164 and not read[9, 9] and area == 128))
PY
env/bin/python -W ignore show.py
