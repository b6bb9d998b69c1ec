#!/usr/bin/env bash
# Guess: a polygon is filled alike along both axes: its corners belong to it, or do not, whichever edge they are on.
# (In mahotas/polygon.py a row meets an edge that begins above it and ends in it or below: the topmost row meets none. Columns have both ends.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check mahotas==1.4.19 numpy==2.4.6
cat > show.py <<'PY'
import mahotas
import numpy as np

canvas = np.zeros((6, 8), np.uint8)
mahotas.polygon.fill_polygon([(1, 2), (1, 6), (4, 6), (4, 2)], canvas)  # rows 1 to 4, columns 2 to 6
flat = np.zeros((6, 8), np.uint8)
mahotas.polygon.fill_polygon([(3, 2), (3, 6), (3, 6), (3, 2)], flat)  # one row
whole = np.zeros((6, 8), np.uint8)
mahotas.polygon.fill_polygon([(0, 0), (0, 8), (6, 8), (6, 0)], whole)  # all of the canvas, by its edges
print(f"mahotas {mahotas.__version__}")
print("Guess: the rows 1 to 4 and the columns 2 to 6 are 4 x 5 = 20 pixels with both ends, or 3 x 4 = 12 without the far ones.")
print("Seen: 3 x 5 = 15: the first row is left out, the last one and both outer columns are not:")
for row in canvas:
    print("    " + " ".join(map(str, row)))
print(f"    the outline of all 6 x 8 pixels fills {whole.sum()} of 48, and a row of its own {flat.sum()} of 5")
rows, columns = np.nonzero(canvas)
raise SystemExit(not (canvas.sum() == 15 and rows.min() == 2 and rows.max() == 4 and columns.min() == 2 and columns.max() == 6 and whole.sum() == 40))
PY
env/bin/python -W ignore show.py
