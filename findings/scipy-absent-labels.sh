#!/usr/bin/env bash
# Guess: of a label that no pixel has, `scipy.ndimage` says nan for every measure, as it does for the mean.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import scipy
from scipy import ndimage

depth = np.array([[4.0, 5, 6, 30, 31, 32]])  # metres
objects = np.array([[1, 1, 1, 3, 3, 3]])  # 2 is hidden in this picture
says = {f: [float(v) for v in getattr(ndimage, f)(depth, objects, [1, 2, 3])] for f in ("mean", "minimum", "maximum", "median")}
print(f"scipy {scipy.__version__}")
print("Guess: nan for the object 2, which has no pixels; or an error.")
print("Seen: the mean is nan; least and largest are 0, the nearest of all, and the median is the least of the other objects' pixels:")
for name, values in says.items():
    print(f"    {name:8}" + "".join(f"{v:7.1f}" for v in values))
raise SystemExit(not (np.isnan(says["mean"][1]) and says["minimum"][1] == says["maximum"][1] == 0 and says["median"][1] == 4))
PY
env/bin/python -W ignore show.py
