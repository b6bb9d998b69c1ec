#!/usr/bin/env bash
# Guess: how far each pixel is from the nearest zero, where there is no zero, is infinite, or an error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import scipy
from scipy.ndimage import distance_transform_cdt, distance_transform_edt

full = np.ones((3, 4), bool)
exact, chessboard = distance_transform_edt(full), distance_transform_cdt(full)
rows, columns = np.mgrid[:3, :4]
outside = np.hypot(rows + 1, columns)  # from the place (row -1, column 0), which the picture does not have
print(f"scipy {scipy.__version__}")
print("Guess: a mask without background has no distance to the background: infinity, or an error.")
print("Seen: the exact transform measures to a pixel above the first one, outside of the picture, and the chamfer one says -1:")
for line in (*exact.round(3), *chessboard):
    print("    " + " ".join(f"{v:6}" for v in line))
raise SystemExit(not (np.allclose(exact, outside) and (chessboard == -1).all()))
PY
env/bin/python show.py
