#!/usr/bin/env bash
# Guess: `overlay_onto_background_image` of AugLy, which lays a picture on another one, gives back boxes that lie on the objects.
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

print(f"augly {version('augly')}")
print("Guess: the box lies on the object, whatever the shapes of the two pictures.")
print("Seen: the picture keeps its shape, and the box is made narrower or wider as if it filled a share of the background's width")
print("    that it does not fill: where both have one shape it is right:")
seen = []
for wide, high in ((200, 200), (120, 80), (80, 120)):
    picture = np.full((high, wide, 3), 40, np.uint8)
    picture[high // 4 : high // 2, wide // 2 : wide] = 250  # an object in the right half
    told = []
    made = augly.image.overlay_onto_background_image(
        Image.fromarray(picture), Image.new("RGB", (200, 200)), overlay_size=0.5, x_pos=0.2, y_pos=0.1,
        bboxes=[(wide / 2, high / 4, wide, high / 2)], bbox_format="pascal_voc", metadata=told,
    )
    rows, columns = np.nonzero(np.asarray(made)[..., 0] > 150)
    at = [int(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]
    box = [round(float(v)) for v in told[0]["dst_bboxes"][0]]
    across = max(0, min(at[2], box[2]) - max(at[0], box[0])) * max(0, min(at[3], box[3]) - max(at[1], box[1]))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (at, box)]
    overlap = across / (sum(areas) - across)
    seen.append(round(overlap, 2))
    print(f"    a picture of {wide:3} x {high:3} on one of 200 x 200: object {at}, box {box}, IoU {overlap:.2f}")
raise SystemExit(not (seen[0] > 0.95 and max(seen[1:]) < 0.5))
PY
env/bin/python -W ignore show.py
