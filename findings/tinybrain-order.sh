#!/usr/bin/env bash
# Guess: `downsample_segmentation(…, (2, 2, 2))` takes of each eight pixels the class that most of them have, however the array lies in memory.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check tinybrain==1.7.0 numpy==2.3.5
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import tinybrain

halves = np.ones((8, 4, 2), np.uint8)
halves[4:] = 2  # the classes 1 and 2, as many pixels of each
cube = np.zeros((8, 8, 8), np.uint8)
cube[:4] = 1  # the first four slices of the first axis


def seen(volume, how, order, factor=(2, 2, 2)):
    return getattr(tinybrain, how)(np.asarray(volume, order=order), factor)[0]


modes = {order: seen(halves, "downsample_segmentation", order) for order in "CF"}
cubes = {order: seen(cube, "downsample_segmentation", order) for order in "CF"}
means = {order: seen(halves, "downsample_with_averaging", order) for order in "CF"}
flat = {order: seen(halves, "downsample_segmentation", order, (2, 2, 1)) for order in "CF"}
print(f"tinybrain {version('tinybrain')}, numpy {np.__version__}")
print("Guess: eight rows, four of class 1 and four of class 2, become two rows of class 1 and two of class 2.")
print("Seen: so it is of an array in Fortran's order; in NumPy's own order the answer is turned over, or a class is gone:")
for order, name in (("F", "Fortran's"), ("C", "NumPy's")):
    print(f"    {name:9} order: 8 x 4 x 2 pixels, rows {modes[order][:, 0, 0]}; class 1 in the first half of axis 0 of a cube is"
          f" {cubes[order][:, 0, 0]} along axis 0 and {cubes[order][0, 0, :]} along axis 2")
print(f"    means of the same eights and modes of 2 x 2 x 1 are alike in both: {np.array_equal(means['C'], means['F'])},"
      f" {np.array_equal(flat['C'], flat['F'])}")
raise SystemExit(not (modes["F"][:, 0, 0].tolist() == [1, 1, 2, 2] and 2 not in modes["C"] and np.array_equal(cubes["C"], cubes["F"].T)
                      and np.array_equal(means["C"], means["F"]) and np.array_equal(flat["C"], flat["F"])))
PY
env/bin/python -W ignore show.py
