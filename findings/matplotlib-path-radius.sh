#!/usr/bin/env bash
# Guess: a `radius` above zero makes an outline larger for `contains_points`, and one below zero smaller.
# (src/_path.h gives the radius to Agg's `conv_contour` as its width: that moves an outline to one side of its edges, as one walks along them.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check matplotlib==3.11.2 numpy==2.4.6
cat > show.py <<'PY'
import matplotlib
import numpy as np
from matplotlib.path import Path

corners = [(0, 0), (4, 0), (4, 3), (0, 3)]
columns, rows = np.meshgrid(np.arange(-1, 6), np.arange(-1, 5))
pixels = np.c_[columns.ravel(), rows.ravel()]
inside = {(name, radius): int(Path(path).contains_points(pixels, radius=radius).sum())
          for name, path in (("one way round", corners), ("the other way", corners[::-1])) for radius in (0.1, -0.1)}
print(f"matplotlib {matplotlib.__version__}")
print("Guess: with a radius of .1 the 5 x 4 pixels on and in a rectangle from 0 0 to 4 3 are in it, with -.1 the 3 x 2 within.")
print("Seen: that is so in one direction of its corners, and the opposite in the other:")
for (name, radius), count in inside.items():
    print(f"    {name}, radius {radius:4}: {count} pixels")
raise SystemExit(list(inside.values()) != [20, 6, 6, 20])
PY
env/bin/python -W ignore show.py
