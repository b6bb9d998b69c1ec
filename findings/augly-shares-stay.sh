#!/usr/bin/env bash
# Guess: `bbox_format="pascal_voc_norm"` of AugLy, corners as shares of the picture, moves boxes as its other formats do.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check augly==1.0.0 pillow==12.3.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import augly.image
import numpy as np
from PIL import Image

WIDE, HIGH = 120, 80
picture = np.full((HIGH, WIDE, 3), 40, np.uint8)
picture[30:50, 20:60] = 250  # one white object
picture = Image.fromarray(picture)


def where(of):
    rows, columns = np.nonzero(np.asarray(of)[..., 0] > 150)
    return [int(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


def moved(change, form):
    """The object in the picture that was made, and its box, both in pixels."""
    box = (20, 30, 60, 50) if form == "pascal_voc" else (20 / WIDE, 30 / HIGH, 60 / WIDE, 50 / HIGH)
    told = []
    made = change(picture, bboxes=[box], bbox_format=form, metadata=told)
    wide, high = (1, 1) if form == "pascal_voc" else made.size
    box = told[0]["dst_bboxes"][0]
    return where(made), [round(float(v) * s) for v, s in zip(box, (wide, high, wide, high))]


changes = {
    "hflip": augly.image.hflip,
    "crop": lambda p, **more: augly.image.crop(p, x1=0.1, y1=0.1, x2=0.8, y2=0.9, **more),
    "rotate by 90": lambda p, **more: augly.image.rotate(p, degrees=90, **more),
    "pad_square": augly.image.pad_square,
}
print(f"augly {version('augly')}")
print("Guess: the box lies on the object.")
print("Seen: corners in pixels do; as shares of the picture they come back as they were given, and lie elsewhere:")
right, stayed = [], []
for name, change in changes.items():
    at, pixels = moved(change, "pascal_voc")
    _, shares = moved(change, "pascal_voc_norm")
    right.append(at == pixels)
    stayed.append(shares != at)
    print(f"    {name:13} object {at}, pascal_voc {pixels}, pascal_voc_norm {shares}")
raise SystemExit(not (all(right) and all(stayed)))
PY
env/bin/python -W ignore show.py
