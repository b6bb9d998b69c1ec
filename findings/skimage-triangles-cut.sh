#!/usr/bin/env bash
# Guess: the boxes that `random_shapes` gives with its pictures are around what it drew, inside of the picture.
# (skimage/draw/_random_shapes.py, `_generate_triangle_mask`: where there is no room for the least side above the corner that was drawn,
# `max(1, available_side)` takes the least side all the same; the other shapes are drawn again there.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scikit-image==0.26.0 scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from skimage.draw import random_shapes

seen, example = {}, None
for shape in ("rectangle", "circle", "ellipse", "triangle"):
    number = other = outside = 0
    for seed in range(200):
        picture, labels = random_shapes((64, 96), max_shapes=1, min_size=8, max_size=40, shape=shape, channel_axis=None, rng=seed)
        for _, ((top, bottom), (left, right)) in labels:
            rows, columns = np.nonzero(picture != 255)
            drawn = (int(rows.min()), int(rows.max()) + 1), (int(columns.min()), int(columns.max()) + 1)
            number += 1
            other += drawn != ((top, bottom), (left, right))
            outside += min(top, left, 64 - bottom, 96 - right) < 0
            if top < -4 and example is None:
                example = seed, tuple(map(int, (top, bottom))), drawn[0]
    seen[shape] = number, other, outside
print(f"scikit-image {version('scikit-image')}")
print("Guess: each box is that of the pixels drawn, and at least `min_size=8` high.")
print("Seen: so it is but for triangles near the upper edge, which are cut off by it, and whose boxes begin above row 0:")
for shape, (number, other, outside) in seen.items():
    print(f"    {shape:10} {number} boxes, {other:2} of them not those of what was drawn, {outside:2} outside of the picture")
print(f"    seed {example[0]}: the box has the rows {example[1][0]} to {example[1][1]}, the pixels {example[2][0]} to {example[2][1]}")
raise SystemExit(not (all(seen[s][1:] == (0, 0) for s in ("rectangle", "circle", "ellipse")) and seen["triangle"][1] == seen["triangle"][2] > 5))
PY
env/bin/python -W ignore show.py
