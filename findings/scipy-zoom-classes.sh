#!/usr/bin/env bash
# Guess: `scipy.ndimage.zoom(map, 3, order=0)` makes each pixel of a map of classes three wide.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import scipy
from scipy.ndimage import zoom

classes = np.array([0, 1, 2, 3])
plain, grid = zoom(classes, 3, order=0).tolist(), zoom(classes, 3, order=0, grid_mode=True, mode="nearest").tolist()
half = zoom(np.arange(8), 0.5, order=0).tolist()
print(f"scipy {scipy.__version__}")
print("Guess: 0 0 0 1 1 1 2 2 2 3 3 3.")
print("Seen: it puts the middles of the outermost pixels on each other, so that classes at the edge of the picture lose a third of their pixels")
print("    and those inside gain it; boxes times 3 no longer fit the objects. `grid_mode=True` is what was meant:")
print("    zoom by 3                    ", *plain)
print("    zoom by 3, grid_mode         ", *grid)
print("    zoom by 1/2 of 0 1 2 ... 7   ", *half)
raise SystemExit(not (plain == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3] and grid == [k for k in range(4) for _ in range(3)] and half == [0, 2, 5, 7]))
PY
env/bin/python -W ignore show.py
