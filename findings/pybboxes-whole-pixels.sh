#!/usr/bin/env bash
# Guess: a box of COCO, whose numbers are fractions in COCO's own files, is converted as it is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pybboxes==0.2.0
cat > show.py <<'PY'
from importlib.metadata import version

import pybboxes

box, size = (10.5, 10.5, 4.25, 3.75), (30, 20)
corners = pybboxes.convert_bbox(box, from_type="coco", to_type="voc", image_size=size)
shares = pybboxes.convert_bbox(box, from_type="coco", to_type="yolo", image_size=size)
back = pybboxes.convert_bbox(shares, from_type="yolo", to_type="coco", image_size=size)
print(f"pybboxes {version('pybboxes')}")
print("Guess: 10.5 10.5 4.25 3.75 has the corners 10.5 10.5 14.75 14.25, and is itself again by way of YOLO's shares.")
print("Seen: it is cut to whole pixels, without a word:")
print(f"    corners            {' '.join(f'{v:g}' for v in corners)}")
print(f"    to YOLO and back   {' '.join(f'{v:g}' for v in back)}")
raise SystemExit(not (all(float(v).is_integer() for v in (*corners, *back)) and tuple(back) != box))
PY
env/bin/python -W ignore show.py
