#!/usr/bin/env bash
# Guess: what is handed over beside the boxes (`label_fields`: classes, names, ids) comes back as it was.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check albumentations==2.0.8 albucore==0.0.24 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import albumentations
import numpy as np

ids = [900100259690, 16777217, 2211239]  # the first as COCO numbers its crowds
turn = albumentations.Compose([albumentations.HorizontalFlip(p=1)],
                              bbox_params=albumentations.BboxParams(format="coco", label_fields=["ids"]))
boxes = [[10, 10, 20, 20], [30, 10, 20, 20], [50, 30, 20, 20]]
out = turn(image=np.zeros((60, 80, 3), np.uint8), bboxes=boxes, ids=ids)["ids"]
seen = [int(v) for v in out]
print(f"albumentations {version('albumentations')}")
print("Guess: the ids of three COCO objects, handed over beside their boxes, come back as they were.")
print("Seen: they are kept in the array of the boxes, of 32-bit fractions, and whole numbers above 16,777,216 are rounded to others:")
for one, other in zip(ids, seen):
    print(f"    {one:>14,}   ->   {other:>14,}")
raise SystemExit(not (seen[0] != ids[0] and seen[1] == 16777216 and seen[2] == ids[2]))
PY
env/bin/python -W ignore show.py
